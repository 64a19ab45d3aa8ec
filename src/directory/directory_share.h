/* directory_share.h: which accounts share mailboxes with which: where a person's program looks for them. What exactly may be done is kept
 * with the mailboxes (store/store_acl.h); here may be more than is true, never less. */
#ifndef DIRECTORY_DIRECTORY_SHARE_H
#define DIRECTORY_DIRECTORY_SHARE_H

#include "directory/directory.h"

/* Sharing may be kept within a domain: `any_domain` is false then. */

/* `owner` shares something with the account (empty: with everyone), or nothing any more. ERR_NOTFOUND: no such owner. */
NODISCARD int directory_share_set(struct sqltx *tx, struct slice owner, struct slice account_id, bool on);
/* The accounts that share something with it, by address; with `address` not empty only the one whose that is. At most `max`. */
NODISCARD int directory_share_owners(struct sqltx *tx, struct arena *a, struct slice account_id, struct slice address,
    bool any_domain, size_t max, struct directory_account **v, size_t *n);
/* Whom `owner` may share with, by the name with which they sign in. ERR_NOTFOUND. */
NODISCARD int directory_share_person(struct sqltx *tx, struct arena *a, struct slice owner, struct slice name,
    bool short_names, bool any_domain, struct directory_account *out);

#endif
