/* sasl.h: signing in with SASL (RFC 4422), for every protocol. A protocol only moves lines of base64: it calls sasl_sign_in()
 * with what its AUTH command said and a function that sends a challenge and reads the answer; in the end it has the
 * stream to the account's desk, or knows what to reply. Runs on the session's fiber.
 *
 * Nothing is offered or taken over a connection on which a password may not be sent, SCRAM too: who listens there can try
 * passwords against the proof in his own time. */
#ifndef DIRECTORY_SASL_H
#define DIRECTORY_SASL_H

#include "base/arena.h"
#include "directory/signin.h"

/* A line of base64 with a message (RFC 4954 §4 asks for 12,288). */
#define SASL_LINE_MAX 12288u

enum sasl_flag {
	SASL_BOUND = 1,      /* bound to the TLS connection: offered under TLS only */
	SASL_SUBMISSION = 2, /* offered for submission only */
	SASL_CERTIFICATE = 4 /* offered to clients that have shown a certificate */
};

struct sasl_plain {
	struct slice authzid; /* mostly empty */
	struct slice authcid; /* the name */
	struct slice password;
};
/* Splits a PLAIN message (RFC 4616 §2, already out of its base64): 0, or ERR_SYNTAX when it has not three fields or an
 * empty name or password. */
NODISCARD int sasl_plain_parse(struct slice message, struct sasl_plain *out);

struct sasl {
	const struct limits *limits;
	const struct signin_ops *ops;
	struct stream *st;             /* the client's: its TLS is what a mechanism binds to */
	bool unbound;                  /* no mechanism that binds to the TLS connection is offered */
	struct signin_request request; /* what is known before: service, client, helo, tls, tag */
	/* Sends a challenge (base64, may be empty) in the protocol's form and reads the client's line, which is valid until the
	 * next call. An error ends the session. */
	int (*ask)(void *ctx, struct slice challenge, struct slice *line);
	void *ctx;
};

enum sasl_outcome {
	SASL_SIGNED_IN,
	SASL_DENIED,       /* wrong name, password or proof */
	SASL_BUSY,         /* try later */
	SASL_MALFORMED,    /* not base64, or not a message of the mechanism */
	SASL_CANCELLED,    /* the client sent "*" */
	SASL_NO_MECHANISM, /* not known, or not offered here */
	SASL_ENDED         /* ask() failed */
};
/* `initial`: the initial response as sent (base64; "=" is an empty one), p == NULL without one. *desk is set when signed in. */
NODISCARD enum sasl_outcome sasl_sign_in(
    const struct sasl *s, struct slice mechanism, struct slice initial, struct stream **desk);
/* A name and a password that came by another way (LOGIN, USER and PASS): SASL_SIGNED_IN, _DENIED or _BUSY. */
NODISCARD enum sasl_outcome sasl_password(
    const struct sasl *s, struct slice authzid, struct slice login, struct slice password, struct stream **desk);

/* Appends the names of the mechanisms that are offered on this stream, each with `before` in front and `after` behind. `unbound` as
 * in struct sasl. */
void sasl_put_mechanisms(struct buf *out, struct stream *st, enum bus_service service, bool unbound,
    struct slice before, struct slice after);

#endif
