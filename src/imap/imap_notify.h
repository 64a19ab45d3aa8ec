/* imap_notify.h: what a client wants to hear of without asking each time (NOTIFY, RFC 5465). Private to the room. */
#ifndef IMAP_NOTIFY_H
#define IMAP_NOTIFY_H

#include "imap/imap_parse.h"
#include "store/store_watch.h"

enum imap_event {
	/* of messages, as enum store_change_kind … */
	IMAP_EVENT_MESSAGE_NEW = STORE_CHANGE_NEW,
	IMAP_EVENT_MESSAGE_EXPUNGE = STORE_CHANGE_EXPUNGE,
	IMAP_EVENT_FLAG_CHANGE = STORE_CHANGE_FLAGS,
	IMAP_EVENTS_OF_MESSAGES = IMAP_EVENT_MESSAGE_NEW | IMAP_EVENT_MESSAGE_EXPUNGE | IMAP_EVENT_FLAG_CHANGE,
	/* … of mailboxes and the account */
	IMAP_EVENT_MAILBOX_NAME = STORE_CHANGE_NAME,
	IMAP_EVENT_SUBSCRIPTION = STORE_CHANGE_SUBSCRIPTION,
	IMAP_EVENT_MAILBOX_METADATA = STORE_CHANGE_METADATA,
	IMAP_EVENT_SERVER_METADATA = 64
};

enum imap_notify_where {
	IMAP_NOTIFY_SELECTED,
	IMAP_NOTIFY_SELECTED_DELAYED,
	IMAP_NOTIFY_PERSONAL, /* "inboxes" too: mail may be delivered anywhere */
	IMAP_NOTIFY_SUBSCRIBED,
	IMAP_NOTIFY_SUBTREE,
	IMAP_NOTIFY_MAILBOXES
};

struct imap_notify_group {
	enum imap_notify_where where;
	struct slice_list names; /* of mailboxes, as sent */
	unsigned events;         /* enum imap_event; 0: NONE */
	bool has_fetch;          /* what is told of new messages of the selected mailbox: */
	struct imap_fetch fetch;
};
struct imap_notify_args {
	bool none;   /* NOTIFY NONE */
	bool status; /* STATUS: how things stand now is told */
	struct imap_notify_group *groups;
	size_t n, cap;
	size_t names;     /* of all groups */
	bool unsupported; /* some event is one that we do not know */
	bool too_many;    /* more than limits.imap_notify_names: the lexer has failed */
};
/* What stands behind "NOTIFY " up to the end. Combinations that the RFC forbids (§5, §6.1) fail the lexer. */
void imap_parse_notify(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out);

struct imap_session;
struct imap_notify;

/* Is there anything that the session wants to be told now, though no command runs (or only IDLE)? */
bool imap_has_news_to_push(const struct imap_session *s);
/* Tells it; between commands, and in IDLE. */
void imap_push_news(struct imap_session *s);
/* Tells what happened in other mailboxes and to names. */
void imap_notify_tell(struct imap_session *s);
/* May news of the selected mailbox be told in this command at all, and changed flags among them? True without NOTIFY. */
bool imap_notify_allows(const struct imap_session *s);
bool imap_notify_allows_flags(const struct imap_session *s);
/* What is to be told of each new message of the selected mailbox, or NULL. */
const struct imap_fetch *imap_notify_fetch(const struct imap_session *s);
/* Has the session woken by its view when that is needed: after it selected, began or ended IDLE. */
void imap_watch_view(struct imap_session *s);
/* This fiber works for the session: what it does is no news. NULL: it has ended. */
void imap_notify_own(struct imap_session *s, const struct fiber *f);
void imap_notify_end(struct imap_session *s);

#endif
