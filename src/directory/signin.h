/* signin.h: the one call between the protocols' sessions before sign-in (they run in the porch) and what
 * checks a password and joins the client to its desk (role/porch.c). */
#ifndef DIRECTORY_SIGNIN_H
#define DIRECTORY_SIGNIN_H

#include "bus/values.h"
#include "rt/stream.h"

struct signin_request {
	enum bus_service service;
	struct slice authzid; /* SASL authorization identity, or empty; must name the same account */
	struct slice login;   /* as typed */
	struct slice password;
	struct slice client;  /* address text */
	struct slice helo;    /* submission */
	struct slice tls;     /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty in the clear */
	struct slice tag;     /* IMAP */
	struct slice pending; /* what the client sent after the sign-in command */
};

struct signin_ops {
	/* 0: `*desk` is the stream to the account's desk, which greets the client itself (IMAP: tagged OK; POP3: +OK;
	 * SMTP: 235); the session then only joins both with stream_proxy(). ERR_DENIED: wrong name or password (the same time
	 * and the same reply for both). ERR_BUSY, ERR_UNAVAILABLE: try later. Parks. */
	int (*sign_in)(void *ctx, const struct signin_request *r, struct stream **desk);
	void *ctx;
};

#endif
