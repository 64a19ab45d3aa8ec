/* imap.h: IMAP4rev1 (RFC 3501) in two halves. imap_presession() runs in the porch, before anybody has signed
 * in: greeting, CAPABILITY, STARTTLS, LOGIN, AUTHENTICATE, and nothing else. When a sign-in succeeds it hands back
 * the stream to the account's desk and the porch only joins both streams. imap_session() runs in the desk
 * on a fiber of its own, answers the sign-in command (tagged OK) and then serves the mailboxes until the end. */
#ifndef IMAP_IMAP_H
#define IMAP_IMAP_H

#include "directory/guest.h"
#include "rt/work.h"

struct store_account;

/* Shared by all signed-in sessions of a process; for status. */
struct imap_counters {
	int64_t sessions_open; /* now */
	int64_t sessions;      /* since start */
	int64_t commands;
	int64_t commands_bad;
	int64_t messages_fetched;
	int64_t messages_appended;
	int64_t idling; /* now */
};

/* Serves an unauthenticated client. 0: signed in, `*desk` is the stream to join with stream_proxy(), nothing of
 * the session's memory is left. Otherwise the session is over (the client has its BYE where that could be
 * sent): ERR_CLOSED after LOGOUT or the client's end, ERR_TIMEOUT, ERR_DENIED after too many failures, … The stream
 * stays the caller's. */
NODISCARD int imap_presession(
    struct stream *st, const struct guest_config *c, const struct signin_ops *ops, struct stream **desk);

struct imap_session_config {
	struct house *house;
	struct loop *loop;
	struct workers *workers; /* for charset conversion and searching of bodies */
	struct slice login;      /* for the log; as are client and tls; valid during the call. What the client sent
	                           * after its sign-in command comes through the stream */
	struct slice client;
	struct slice tls;
	struct slice tag; /* of the sign-in command */
	bool moving;      /* the operator's: may bring messages in as they were elsewhere (imap_move_in.c) */
	struct imap_counters *counters;
	const bool *stopping; /* as above */
};

/* Serves a signed-in client until it leaves. The stream and the account stay the caller's. The result is why it
 * ended: 0 after LOGOUT or shutdown, else the stream's error. */
NODISCARD int imap_session(struct stream *st, struct store_account *account, const struct imap_session_config *c);

/* For struct store_hooks: what FETCH tells of a message, kept with it from its arrival on. On a worker. */
void imap_describe(const struct limits *l, struct slice raw, struct buf *out);

#endif
