/* imap_notify_shared.h: NOTIFY (RFC 5465) for mailboxes that others share: a watch of each account that the client named something of.
 * What it is told of must be visible and readable to it then (§5); a mailbox that becomes so, or ceases to be, has come or gone for it
 * (§5.4). Private to the room. */
#ifndef IMAP_NOTIFY_SHARED_H
#define IMAP_NOTIFY_SHARED_H

#include "imap/imap_place.h"
#include "store/store_watch.h"

struct imap_notify_shared;

/* What is told: names as the client knows them. They may park. */
struct imap_notify_shared_fns {
	/* Messages of the mailbox changed: enum store_change_kind. */
	void (*messages)(
	    struct imap_session *s, struct store_account *account, const struct store_mailbox *m, unsigned what);
	/* It came, or (m NULL) went. */
	void (*name)(struct imap_session *s, struct slice name, const struct store_mailbox *m);
	void (*metadata)(struct imap_session *s, const struct store_mailbox *m, struct slice entry);
};

/* Watches the accounts of these owners ("Other Users/ADDRESS", each once). `shared` are the mailboxes that the session sees now. */
NODISCARD int imap_notify_shared_open(struct imap_session *s, const struct slice_list *owners,
    const struct imap_shared *shared, size_t shared_n, unsigned kinds, struct imap_notify_shared **out);
/* Sets it to NULL; NULL is fine, as in the next two. */
void imap_notify_shared_close(struct imap_notify_shared **n);
bool imap_notify_shared_has_changes(const struct imap_notify_shared *n);
void imap_notify_shared_own(struct imap_notify_shared *n, const struct fiber *f);
/* Tells all that changed; ERR_LIMIT: some of it is lost. */
NODISCARD int imap_notify_shared_tell(
    struct imap_session *s, struct imap_notify_shared *n, const struct imap_notify_shared_fns *fns);

#endif
