/* pop3.h: POP3 (RFC 1939, 2449, 2595, 5034) in two halves. pop3_presession() runs in the porch: greeting, CAPA,
 * STLS, USER/PASS, AUTH. When a sign-in succeeds it hands back the stream to the account's desk and the
 * porch only joins both. pop3_session() runs in the desk on a fiber of its own, answers the sign-in (+OK) and
 * serves a snapshot of the Inbox; what was marked with DELE is removed at QUIT, durably, before its +OK. */
#ifndef POP3_POP3_H
#define POP3_POP3_H

#include "base/histogram.h"
#include "directory/guest.h"
#include "rt/work.h"

struct store_account;

/* Shared by all signed-in sessions of a process; for status. */
struct pop3_counters {
	int64_t sessions_open; /* now */
	int64_t sessions;      /* since start */
	int64_t commands;
	int64_t commands_bad;
	int64_t messages_retrieved;
	int64_t messages_deleted;
	struct histogram times; /* from a command to its answer; HISTOGRAM_COMMANDS */
};

/* Serves an unauthenticated client. 0: signed in, `*desk` is the stream to join with stream_proxy(), nothing of
 * the session's memory is left. Otherwise the session is over: ERR_CLOSED after QUIT or the client's end,
 * ERR_TIMEOUT, ERR_DENIED after too many failures, … The stream stays the caller's. */
NODISCARD int pop3_presession(
    struct stream *st, const struct guest_config *c, const struct signin_ops *ops, struct stream **desk);

struct pop3_session_config {
	struct house *house;
	struct loop *loop;
	struct slice login; /* for the log; as are client and tls; valid during the call. What the client sent
	                           * after its sign-in command comes through the stream */
	struct slice client;
	struct slice tls;
	bool utf8;    /* the client takes headers in UTF-8 (RFC 6856 §2.1); else it gets surrogates */
	bool refused; /* limits.pop3_login_delay_ms after the last sign-in are not over: it is told and let go */
	struct pop3_counters *counters;
	const bool *stopping; /* as above */
};

/* Serves a signed-in client until it leaves. The stream and the account stay the caller's. The result is why it
 * ended: 0 after QUIT or shutdown, else the stream's error (nothing is deleted then). */
NODISCARD int pop3_session(struct stream *st, struct store_account *account, const struct pop3_session_config *c);

#endif
