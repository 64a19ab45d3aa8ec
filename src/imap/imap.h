/* imap.h: IMAP4rev1 (RFC 3501) in two halves. imap_presession() runs in the porch, before anybody has signed
 * in: greeting, CAPABILITY, STARTTLS, LOGIN, AUTHENTICATE, and nothing else. When a sign-in succeeds it hands back
 * the stream to the account's desk and the porch only joins both streams. imap_session() runs in the desk
 * on a fiber of its own, answers the sign-in command (tagged OK) and then serves the mailboxes until the end. */
#ifndef IMAP_IMAP_H
#define IMAP_IMAP_H

#include "base/histogram.h"
#include "directory/guest.h"
#include "rt/work.h"
#include "store/store_acl.h"

/* Shared by all signed-in sessions of a process; for status. */
struct imap_counters {
	int64_t sessions_open; /* now */
	int64_t sessions;      /* since start */
	int64_t commands;
	int64_t commands_bad;
	int64_t messages_fetched;
	int64_t messages_appended;
	int64_t idling;         /* now */
	struct histogram times; /* from a whole command to its answer; HISTOGRAM_COMMANDS */
};

/* Serves an unauthenticated client; c->again: one that was signed in before and is not greeted. 0: signed in, `*desk` is the stream to join with stream_proxy(), nothing of
 * the session's memory is left. Otherwise the session is over (the client has its BYE where that could be
 * sent): ERR_CLOSED after LOGOUT or the client's end, ERR_TIMEOUT, ERR_DENIED after too many failures, … The stream
 * stays the caller's. */
NODISCARD int imap_presession(
    struct stream *st, const struct guest_config *c, const struct signin_ops *ops, struct stream **desk);

struct imap_person {
	struct slice id, address; /* of an account */
};
/* What sessions ask of the house about other accounts, whose mailboxes they may open (RFC 4314). On the session's fibers; may park. */
struct imap_sharing {
	void *of;
	/* The accounts that may share something with this one, by address; with `address` not empty only the one whose that is. */
	int (*owners)(void *of, struct slice account_id, struct slice address, struct arena *a, struct imap_person **v,
	    size_t *n);
	/* Gives a reference to one of them. */
	int (*open)(void *of, struct slice owner_id, struct store_account **out);
	/* Whom an identifier of an access control list stands for ("anyone", "-alice@example.test"). ERR_NOTFOUND: nobody with whom the
	 * owner may share; ERR_EXISTS: the owner; ERR_UNSUPPORTED: an account with which this house cannot share. */
	int (*identify)(
	    void *of, struct slice owner_id, struct slice identifier, struct arena *a, struct store_acl_entry *out);
	/* The identifiers of entries, out[i] for v[i]; "" of an account that is no more. */
	int (*identifiers)(void *of, struct slice owner_id, const struct store_acl_entry *v, size_t n, struct arena *a,
	    struct slice *out);
	/* store_acl_set(), and whoever must know of it does. */
	int (*set)(void *of, struct store_account *owner, struct slice mailbox, enum store_flag_op op,
	    const struct store_acl_entry *e);
};

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
	const struct imap_sharing *sharing; /* NULL: no account shares anything */
	struct imap_counters *counters;
	const bool *stopping; /* as above */
	bool *
	    back; /* becomes true when the client has left the account and stays, uncompressed (RFC 8437); NULL: it may not */
};

/* Serves a signed-in client until it leaves. The stream and the account stay the caller's. The result is why it
 * ended: 0 after LOGOUT or shutdown, else the stream's error. */
NODISCARD int imap_session(struct stream *st, struct store_account *account, const struct imap_session_config *c);

/* For struct store_hooks: what FETCH tells of a message, kept with it from its arrival on. On a worker. */
void imap_describe(const struct limits *l, struct slice raw, struct buf *out);

#endif
