/* store_watch.h: what changes in an account as a whole, for sessions that want to hear of more than the mailbox that they have
 * selected (RFC 5465). A watch collects which mailboxes were touched, each once however often that happens, until its owner takes
 * it; what it holds is bounded by limits.imap_notify_pending. The owner looks up how things stand then. */
#ifndef STORE_STORE_WATCH_H
#define STORE_STORE_WATCH_H

#include "store/store.h"

struct store_watch;

enum store_change_kind {
	STORE_CHANGE_NEW = 1,           /* messages came: `mailbox` */
	STORE_CHANGE_EXPUNGE = 2,       /* messages went: `mailbox` */
	STORE_CHANGE_FLAGS = 4,         /* flags or keywords changed: `mailbox` */
	STORE_CHANGE_NAME = 8,          /* `name` was created or deleted; or renamed, with `old_name` */
	STORE_CHANGE_SUBSCRIPTION = 16, /* `name` was subscribed to or unsubscribed from */
	STORE_CHANGE_METADATA = 32, /* the annotation `entry` of `name` (the account's own: "") was set or removed */
	STORE_CHANGE_RIGHTS = 128   /* what other accounts may do with `name` was changed */
};
struct store_change {
	unsigned what;   /* enum store_change_kind: of messages maybe several, of others one */
	int64_t mailbox; /* its id */
	struct slice name, old_name, entry;
};

/* Watches for these kinds from now on; `wake` is woken with fiber_wake() when there is something. Holds its own reference to the
 * account. ERR_NOMEM. Does not park. */
NODISCARD int store_watch_open(struct store_account *acc, unsigned kinds, struct fiber *wake, struct store_watch **out);
/* Sets *w to NULL; NULL is fine. Does not park. */
void store_watch_close(struct store_watch **w);
/* What this fiber does is not told (NULL: all is). Does not park. */
void store_watch_own(struct store_watch *w, const struct fiber *f);
/* Does not park. */
bool store_watch_has_changes(const struct store_watch *w);
/* Takes the oldest change; its slices lie in `a`. 1, or 0: none. ERR_LIMIT: more was to be kept than may be (or memory, of the
 * arena too, was out), so some are lost. Does not park. */
NODISCARD int store_watch_next(struct store_watch *w, struct arena *a, struct store_change *out);

#endif
