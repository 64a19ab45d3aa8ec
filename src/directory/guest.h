/* guest.h: a client of IMAP or POP3 that has not signed in: what the sessions before sign-in of both have in common. They
 * read commands and word replies; here are writing, waiting, TLS, the ways to sign in, and what it costs to guess. */
#ifndef DIRECTORY_GUEST_H
#define DIRECTORY_GUEST_H

#include "base/house.h"
#include "directory/sasl.h"
#include "rt/tls.h"

/* Shared by all guests of a process; for status. */
struct guest_counters {
	int64_t sessions_open; /* now */
	int64_t sessions;      /* since start */
	int64_t sign_ins;
	int64_t sign_ins_failed;
	int64_t commands;
	int64_t commands_bad;
};

struct guest_config {
	struct house *house;
	struct loop *loop;
	struct tls_server *tls; /* NULL: upgrading is not offered; implicit TLS is done by the caller beforehand */
	bool cleartext_sign_in; /* else no way to sign in is offered or taken until TLS */
	bool again;             /* it was signed in before, and has left the account: it is not greeted */
	struct slice client;    /* address text */
	struct guest_counters *counters;
	const bool *stopping; /* when it becomes true (and the fiber is woken) the session ends */
};

struct guest {
	struct stream *st;
	const struct guest_config *c;
	const struct signin_ops *ops;
	const struct limits *limits;
	enum bus_service service;
	bool utf8; /* POP3: asked for by UTF8 */
	int64_t deadline_ms;
	int64_t failures; /* of signing in */
	int64_t errors;
	struct stream *desk; /* once signed in */
	int end;             /* why the session is over; 0: it is not */
};

void guest_begin(struct guest *g, struct stream *st, const struct guest_config *c, const struct signin_ops *ops,
    enum bus_service service);
/* The result of the session before sign-in: 0 with *desk, or why it is over. */
NODISCARD int guest_finish(struct guest *g, struct stream **desk);

void guest_say(struct guest *g, struct slice bytes);
void guest_flush(struct guest *g);
/* Says it, sends it, and ends the session. */
void guest_end(struct guest *g, int why, struct slice reply);
/* Counts a bad command and says what is wrong with it. */
void guest_bad(struct guest *g, struct slice reply);
/* Until there is input: false when the session is over; what is said then is the protocol's. */
bool guest_wait(struct guest *g, struct slice stopping, struct slice timeout);

bool guest_may_sign_in(const struct guest *g);
bool guest_may_start_tls(const struct guest *g);
/* After the reply that invites to it, which is sent. An error ends the session. */
void guest_start_tls(struct guest *g);

/* Signs in, with a tag for IMAP; when it was wrong, after a delay that doubles each time. SASL_SIGNED_IN: g->desk is set.
 * Challenges are lines "+ base64". */
NODISCARD enum sasl_outcome guest_password(
    struct guest *g, struct slice tag, struct slice login, struct slice password);
NODISCARD enum sasl_outcome guest_sasl(struct guest *g, struct slice tag, struct slice mechanism, struct slice initial);
/* After a refusal was said: was it one too many? */
bool guest_is_guessing(const struct guest *g);

#endif
