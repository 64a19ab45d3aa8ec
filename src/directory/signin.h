/* signin.h: the calls between the protocols' sessions before sign-in (they run in the porch) and what checks
 * passwords and joins the client to its desk (role/porch_signin.c). */
#ifndef DIRECTORY_SIGNIN_H
#define DIRECTORY_SIGNIN_H

#include "bus/values.h"
#include "directory/scram.h"
#include "rt/stream.h"
#include "rt/tls.h"

struct signin_request {
	enum bus_service service;
	struct slice mechanism; /* "PLAIN", "SCRAM-SHA-256", …; for the log */
	struct slice authzid;   /* SASL authorization identity, or empty; must name the same account */
	struct slice login;     /* as typed */
	struct slice password;
	struct slice client; /* address text */
	struct slice helo;   /* submission */
	struct slice tls;    /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty in the clear */
	struct slice tag;    /* IMAP */
	bool utf8;           /* POP3: headers in UTF-8 are welcome */
};

/* A SCRAM exchange between its messages; all in the caller's arena. */
struct signin_scram {
	enum scram_hash hash;
	struct slice account_id; /* of nobody, where there is no such account */
	struct slice salt_id;    /* what the vault knows a name by that nobody has */
	struct slice salt;
	int64_t iterations;
	struct slice nonce;     /* the server's part of it */
	struct slice signature; /* the server's, once the proof was right … */
	struct slice ticket;    /* … and what the desk will want to see */
};

struct signin_ops {
	/* 0: `*desk` is the stream to the account's desk, which greets the client itself (IMAP: tagged OK; POP3: +OK;
	 * SMTP: 235); the session then only joins both with stream_proxy(). ERR_DENIED: wrong name or password (the same time
	 * and the same reply for both). ERR_BUSY, ERR_UNAVAILABLE: try later. Parks. */
	int (*sign_in)(void *ctx, const struct signin_request *r, struct stream **desk);
	/* The same with the certificate of which the client's TLS has the key. r->login: the account that it asks for, or empty: the
	 * certificate's. */
	int (*sign_in_certificate)(
	    void *ctx, const struct signin_request *r, const struct tls_peer *peer, struct stream **desk);
	/* SCRAM in three steps. What the client is told of a name that nobody has is like what it is told of one that somebody
	 * has, and the same each time: 0, or try later. Fills all but signature and ticket; s->hash is set. */
	int (*scram_begin)(void *ctx, const struct signin_request *r, struct arena *a, struct signin_scram *s);
	/* Fills signature and ticket, or ERR_DENIED, or try later. */
	int (*scram_prove)(void *ctx, const struct signin_request *r, struct arena *a, struct signin_scram *s,
	    struct slice auth_message, struct slice proof);
	/* As the end of sign_in. */
	int (*scram_join)(
	    void *ctx, const struct signin_request *r, const struct signin_scram *s, struct stream **desk);
	void *ctx;
};

#endif
