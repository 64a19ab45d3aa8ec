/* move_client.h: the client's side of an IMAP session (RFC 9051), for a fiber: with other servers, and with the account's desk.
 * One command at a time. Bodies of messages are streamed into a struct move_body, everything else is small. */
#ifndef MOVE_MOVE_CLIENT_H
#define MOVE_MOVE_CLIENT_H

#include "move/move_answer.h"
#include "move/move_body.h"
#include "rt/net.h"
#include "rt/tls.h"

enum move_tls { MOVE_TLS_NONE, MOVE_TLS_IMPLICIT, MOVE_TLS_START };

/* Where a server is and who signs in. */
struct move_server {
	struct slice host;
	uint16_t port;
	/* A new connection to it: *fd, or an error. Blocks. */
	int (*connect)(void *arg, int *fd);
	void *arg;
	enum move_tls tls;
	struct tls_client *tls_client; /* NULL only without TLS; it verifies, or whoever answers is the server */
	bool verify;
	const uint8_t *fingerprint; /* SHA-256 of the one certificate that counts; NULL: what the client trusts */
	struct slice user;          /* whose mail */
	struct slice master;        /* who signs in for them, or empty: the user */
	struct slice password;
};

struct move_client {
	struct loop *loop;
	const struct limits *limits;
	struct stream *st;
	struct buf line;         /* the response at hand */
	struct arena arena;      /* of it */
	struct buf words;        /* what the server said to it, for people */
	struct move_body *sink;  /* where the next body goes; NULL: thrown away */
	bool sunk;               /* the response at hand had one */
	uint64_t body_bytes_max; /* a longer body is thrown away, b->err is ERR_LIMIT */
	unsigned tag;
	bool literal_plus, special_use, uidplus, auth_plain; /* what the server can */
	bool bye, throttled;                                 /* what it has said last */
};

/* Connects and signs in. On failure c->words is one sentence; ERR_DENIED: the server does not let this user in, or is not the one that it
 * should be; anything else may pass. Nothing of a user is sent before the server's certificate was found to be right. The client is to be closed in any case. */
NODISCARD int move_client_open(
    struct move_client *c, struct loop *l, const struct limits *limits, const struct move_server *s);
/* The same over a connection to the account's desk, which has let us in. Takes the descriptor. */
NODISCARD int move_client_adopt(struct move_client *c, struct loop *l, const struct limits *limits, int fd);
void move_client_close(struct move_client *c);

/* Called for each untagged response of a command; what it is given is valid during the call. Not 0 ends the session. */
typedef int move_answer_fn(void *arg, const struct move_answer *a);

/* "tag " and the beginning of a command; more may follow with the next functions until move_client_run(). */
NODISCARD int move_client_begin(struct move_client *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A string, quoted or as a literal. */
NODISCARD int move_client_string(struct move_client *c, struct slice s);
NODISCARD int move_client_put(struct move_client *c, struct slice s);
/* A body as a literal. ERR_DENIED: the server said no to it before it was sent. */
NODISCARD int move_client_body(struct move_client *c, struct move_body *b);
/* Ends the command and reads its responses: 0 for OK, ERR_DENIED for NO and BAD (c->words), ERR_BUSY for a NO that will pass,
 * or why the session is over. */
NODISCARD int move_client_run(struct move_client *c, move_answer_fn *fn, void *arg);
/* A whole command. */
NODISCARD int move_client_command(struct move_client *c, const char *text, move_answer_fn *fn, void *arg);

#endif
