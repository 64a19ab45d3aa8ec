/* store_archive.h: an account's database that nobody else has open: a copy out of a backup. Everything here blocks. */
#ifndef STORE_STORE_ARCHIVE_H
#define STORE_STORE_ARCHIVE_H

#include "store/store.h"

struct store_archive;

/* Opens the file as the mail.db of that account; data of an older version is brought up to date in it. ERR_VERSION, ERR_DAMAGED, with
 * a sentence in `detail`. */
NODISCARD int store_archive_open(
    struct store_archive **out, struct house *h, const char *path, struct slice account_id, struct buf *detail);
void store_archive_close(struct store_archive **ar); /* sets to NULL; NULL is fine */

/* Is the file sound as a database? Else ERR_DAMAGED with what is wrong in `detail`. */
NODISCARD int store_archive_check(struct store_archive *ar, struct buf *detail);
/* Its mailboxes, sorted by name; of each the columns of the row (no `recent`, no `subscribed`). */
NODISCARD int store_archive_mailboxes(struct store_archive *ar, struct arena *a, struct store_mailbox **out, size_t *n);

/* A message of it; the slices are valid during the call that tells it. */
struct store_archived {
	uint32_t uid;
	uint64_t email;
	struct slice email_id;
	uint8_t flags; /* enum store_flag */
	struct slice_list keywords;
	int64_t internal_s;
	uint64_t size;
	struct slice blob;               /* the name of its file in blobs/, or empty: then it is in */
	struct slice head, header, rest; /* these three, one behind the other */
};
typedef int store_archived_fn(void *arg, const struct store_archived *m);
/* Tells the messages of a mailbox (by id) by UID, without `whole` what they say of themselves only (the last three are empty); *lost
 * counts rows without an email. An error of `fn` ends it. */
NODISCARD int store_archive_each(
    struct store_archive *ar, int64_t mailbox, bool whole, store_archived_fn *fn, void *arg, int64_t *lost);
/* One email, of which only `email_id` and what follows `size` are told. ERR_NOTFOUND. */
NODISCARD int store_archive_read(struct store_archive *ar, uint64_t email, store_archived_fn *fn, void *arg);

#endif
