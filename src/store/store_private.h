/* store_private.h: what the files of the store share. Nothing outside the room includes it.
 *
 * Threads. Everything in these structs belongs to the loop's thread, except that a worker running a job of an account
 * (store_account.c) has that account's `db` and `work`, and reads what does not change during the job. Whoever changes an
 * account in memory or on disk holds its lock, so that views and database always agree. */
#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include "base/log.h"
#include "base/map.h"
#include "rt/work.h"
#include "sql/sql.h"
#include "store/store_watch.h"

#define STORE_MAGIC 0x73746f72u
#define STORE_BLOB_NAME 32             /* hexadecimal digits of a file's random name */
#define STORE_HEADER_INLINE_MAX 65536u /* of a large message's header, kept in the database beside the file */
#define STORE_CACHE_MAX 65536u
#define STORE_GAP_UID 10000
#define STORE_GAP_MODSEQ 1000000
/* An account is synced at once when this much is unsynced: half of what the gaps leave room for. */
#define STORE_UNSYNCED_UIDS_MAX (STORE_GAP_UID / 2)
#define STORE_UNSYNCED_MODSEQS_MAX (STORE_GAP_MODSEQ / 2)
#define STORE_UID_MAX 0xfffffff0u
#define STORE_MODSEQ_NONE UINT64_MAX

/* ---- the store, accounts -------------------------------------------------------------------------------------- */

struct store {
	uint32_t magic;
	struct loop *loop;
	struct house *house;
	char *dir;
	char *vfs; /* or NULL */
	int index;
	int threads;
	struct store_hooks hooks;
	struct workers *workers;
	struct map accounts; /* id → struct store_account */
	struct list handles; /* of accounts with an open database, the longest unused first */
	size_t handles_n;
	struct list dirty; /* of accounts with unsynced commits, oldest first */
	size_t dirty_n;
	struct fiber *syncer;
	/* store_index.c */
	struct workers *index_workers; /* one thread */
	struct list index_waiting, index_open;
	size_t index_open_n;
	struct fiber *indexer;
	bool index_stopped, index_busy;
	struct waitq synced;
	bool started, stopping, failed, unclean;
	uint8_t boot[STORE_ID_BYTES];
	uint64_t view_last;     /* views are numbered, for `own` */
	struct list boxes_idle; /* selected lately, the longest unused first; each holds its account */
	size_t boxes_idle_messages;
	struct list recents; /* store_view.c: what is to be written of \Recent; each has a fiber and holds an account */
	/* store_body.c */
	struct map bodies; /* account id and email → struct store_body */
	struct list bodies_idle;
	size_t bodies_idle_bytes;
	int64_t body_memory; /* bytes of large bodies loaded */
	struct waitq body_memory_freed;
	struct store_counters counters;
};

/* What has to be done to the disk before the account's commits count as durable; and what may be done after. */
struct store_sync_work {
	struct buf ids;    /* delivery ids, 16 bytes each */
	struct buf blobs;  /* names of files to sync, 32 bytes each */
	struct buf unlink; /* names of files that no row needs any more */
};

struct store_keywords;
struct store_index;
struct store_journal;
struct account_row;

struct store_account {
	struct store *store;
	uint32_t refs;
	int broken; /* ERR_DAMAGED once the data was found damaged */
	bool removed;
	bool exists; /* its database has been seen */
	bool dirty;
	struct fiber_lock lock; /* held during a job and what it does to memory */
	struct sqldb *db;       /* NULL: not open */
	struct list_node handle_node, dirty_node;
	int64_t used_ms, dirty_ms;
	uint64_t commits, synced; /* commits made; how many of them are durable */
	uint32_t unsynced_uids;
	uint64_t modseq;        /* the last one given; 0: not known yet. Of the jobs and, under the lock, the loop */
	uint64_t modseq_synced; /* … that is durable */
	size_t unsaved_n;       /* messages whose flags are newer than their rows: store_unsaved.c */
	bool unsaved_stuck;     /* they could not be written */
	size_t flag_jobs;       /* changes of flags since the database was opened */
	struct store_journal *journal;   /* NULL: none */
	uint64_t last_email;             /* given last; of the jobs */
	_Atomic int64_t quota_bytes;     /* set on the loop, read by jobs; -1: what the database says */
	struct list boxes;               /* selected mailboxes */
	struct list deliveries;          /* waiting for the lock */
	int64_t gathered_ms;             /* when the last of them were taken; 0: never */
	struct list watches;             /* store_watch.c */
	uint64_t acl_changes;            /* of what others may do (store_acl.c) */
	struct store_keywords *keywords; /* NULL: not loaded */
	struct store_sync_work *work;    /* NULL: nothing */
	struct store_index *index;       /* NULL: not used yet */
	char *append_to;                 /* the mailbox that took messages last; NULL: not known */
	bool unindexed;                  /* when it was opened, messages were listed as not indexed */
	size_t id_n;
	char id[];
};

static inline struct slice
acc_id(const struct store_account *a)
{
	return slice_of(a->id, a->id_n);
}
#define ACC(a) SQLT(acc_id(a))

/* One job of an account. Returns of prepare: 0 go on, 1 nothing to do (the job succeeds), or an error. */
struct store_op {
	int (*prepare)(void *arg);                         /* loop, lock held; may be NULL */
	int (*before)(struct store_account *a, void *arg); /* worker: files; may be NULL */
	sql_fn *tx;                                        /* worker */
	void (*undo)(struct store_account *a, void *arg);  /* worker: the transaction (or before) failed; may be NULL */
	void (*finish)(void *arg, int err);                /* loop, lock held, if prepare returned 0; may be NULL */
	void *arg;
	struct buf *unlink; /* names of files to remove once this is durable; may be NULL */
	bool write;
	bool apart;  /* it reads, and neither flags nor what depends on them */
	bool sync;   /* durable when store_run() returns */
	bool create; /* the account may not exist yet */
	bool closed; /* needs no open database */
};
/* Runs it after those before it. */
NODISCARD int store_run(struct store_account *a, const struct store_op *op);
/* 0, or why no job of the account can run now. */
NODISCARD int store_state(const struct store_account *a);
/* With the lock held by the caller, who has done `prepare`. */
NODISCARD int store_run_locked(struct store_account *a, const struct store_op *op);
NODISCARD int store_lock(struct store_account *a);
void store_unlock(struct store_account *a);
/* Makes everything committed so far durable. */
NODISCARD int store_make_durable(struct store_account *a, uint64_t commits);
/* Has the syncer look at the account within limits.store_sync_ms. */
void store_mark_dirty(struct store_account *a);
void store_clear_dirty(struct store_account *a);
/* The row of a new account and its default mailboxes (store_mailboxes.c). */
NODISCARD int store_defaults_insert(struct sqltx *tx, void *account);
/* A mailbox whose parents are there. */
NODISCARD int store_mailbox_insert_row(
    struct sqltx *tx, struct store_account *a, struct account_row *ar, struct slice name, int role, int64_t *id_out);
/* The account's sync work, made at the first use; NULL when out of memory. */
struct store_sync_work *store_work(struct store_account *a);
void store_work_free(struct store_sync_work **w);
/* Frees the account if nothing needs it any more. */
void store_account_settle(struct store_account *a);
void store_account_ref(struct store_account *a);
/* Finds or makes the struct in memory. */
NODISCARD int store_account_intern(struct store *s, struct slice id, struct store_account **out);
bool store_account_id_valid(struct slice id);
/* Closes one handle that nobody has used since `before_ms`. False if there was none. Syncs it first, unless abandoned. */
bool store_close_idle_handle(struct store *s, int64_t before_ms, bool abandon);

/* store.c */
void store_fail(struct store *s, struct slice account_id);
/* store_body.c */
void body_cache_clear(struct store *s);
/* store_sync.c */
void store_syncer(void *arg);
/* Syncs the accounts that became dirty before that moment, several at a time. */
void store_sync_due(struct store *s, int64_t before_ms);

/* ---- what sessions hear of: store_watch.c (on the loop, by the fiber whose doing it is) ----------------------------------- */

/* Messages of the mailbox came, went or changed: some of enum store_change_kind. */
void watch_messages(struct store_account *a, int64_t mailbox, unsigned what);
/* The name was created or deleted. */
void watch_name(struct store_account *a, struct slice name);
/* So were the levels above the name from the one of `top` bytes on; 0: none. */
void watch_levels(struct store_account *a, struct slice name, size_t top);
void watch_rename(struct store_account *a, struct slice from, struct slice to);
void watch_subscription(struct store_account *a, struct slice name);
void watch_metadata(struct store_account *a, struct slice name, struct slice entry);
/* What others may do with it is another than before. */
void watch_rights(struct store_account *a, struct slice name);

/* ---- what others may do: store_acl.c ---------------------------------------------------------------------------------- */

/* A mailbox that was just made gets the entries of the level above it, if that exists. */
NODISCARD int acl_inherit(struct sqltx *tx, struct store_account *a, struct slice name, int64_t id);
/* Whoever has a mailbox of the account selected looks at its rights again. On the loop. */
void acl_changed(struct store_account *a, struct slice name);

/* ---- files: store_blob.c (blocking, on workers) ------------------------------------------------------------------- */

#define STORE_PATH_MAX 2048
/* DIR/NN/ID and then `tail`, which begins with '/' or is "". ERR_LIMIT. */
NODISCARD int store_path(const struct store *s, struct slice account_id, const char *tail, char out[STORE_PATH_MAX]);
NODISCARD int store_blob_path(
    const struct store_account *a, const char *name, bool temporary, char out[STORE_PATH_MAX]);
void store_blob_name(struct house *h, char out[STORE_BLOB_NAME + 1]);
NODISCARD int store_file_write(int fd, struct slice s);
NODISCARD int store_file_read(int fd, uint64_t offset, void *out, size_t n); /* exactly n, or ERR_DAMAGED */
NODISCARD int store_fsync_dir(const char *path);
/* 0: the account is there; ERR_NOTFOUND: it is not, or was never quite made or removed; ERR_DAMAGED: its database is missing. */
NODISCARD int store_account_look(const struct store *s, struct slice account_id);
/* Makes the folder of an account that is not there, durably, and finishes a removal that was cut off. */
NODISCARD int store_folder_create(const struct store *s, struct slice account_id);
/* After the database is durable: from now on the account exists. */
NODISCARD int store_folder_finish(const struct store *s, struct slice account_id);
NODISCARD int store_folder_remove(const struct store *s, struct slice account_id);
/* Removes files that no row names and syncs the others: after an unclean end. `keep` are names of 32 bytes, sorted. With `aside`
 * (a folder) they are moved there instead, as NAME.eml. */
NODISCARD int store_blobs_reconcile(const struct store_account *a, struct slice keep, const char *aside);
/* A transaction function: names of all files that rows name, sorted. */
struct blob_names {
	struct store_account *a;
	struct buf names;
};
NODISCARD int store_blob_names(struct sqltx *tx, void *blob_names);
NODISCARD int store_blobs_sync(const struct store_account *a, struct slice names);
void store_blobs_unlink(const struct store_account *a, struct slice names);
/* Reads and writes the mark that tells a clean end from an unclean one. */
NODISCARD int store_mark_read(const struct store *s, uint8_t boot[STORE_ID_BYTES], bool *clean);
NODISCARD int store_mark_write(const struct store *s, bool clean);

/* ---- rows: store_rows.c (inside transactions) ----------------------------------------------------------------------- */

#define SQL_STATEMENT(name, text) extern const struct sql_text store_sql_##name;
#include "store/store_sql.def"
#undef SQL_STATEMENT
extern const struct sql_migration store_migrations[];
extern const size_t store_migrations_count;

struct account_row {
	uint8_t boot[STORE_ID_BYTES];
	int64_t next_mailbox, modseq, uidvalidity, used_bytes, quota_bytes, changes;
};
struct mailbox_row {
	int64_t id;
	uint8_t object_id[STORE_ID_BYTES];
	struct slice name; /* in the arena, if one was given */
	int role;
	bool selectable;
	uint32_t uidvalidity;
	int64_t uidnext, highestmodseq, first_recent, messages, unseen, deleted, bytes, changes;
	int64_t uid_floor; /* of UIDs that are not given by row_place_next() */
	int64_t tombstones, vanished_from;
};
/* One message of a mailbox as it is in memory. Packed: there are millions. */
struct message {
	uint64_t modseq;
	uint64_t email;
	int64_t internal_s;
	uint32_t uid;
	uint32_t size;
	uint32_t keywords; /* handle of a set of keywords; 0: none */
	uint8_t flags;
	uint8_t dead : 2;    /* 1: expunged, but some view still counts it; 2: during compaction */
	uint8_t unsaved : 1; /* flags, keywords and modseq are newer than its row */
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct message) == 38, "a message of a view costs 38 bytes");

NODISCARD int row_account_load(struct sqltx *tx, struct store_account *a, struct account_row *r);
NODISCARD int row_account_save(struct sqltx *tx, struct store_account *a, const struct account_row *r);
/* From an open query of the columns of mailbox_list. `mem` may be NULL. */
NODISCARD int row_mailbox_read(struct sql_rows *q, struct arena *mem, struct mailbox_row *r);
/* One mailbox; ERR_NOTFOUND. */
NODISCARD int row_mailbox_by_name(
    struct sqltx *tx, struct store_account *a, struct slice name, struct arena *mem, struct mailbox_row *r);
NODISCARD int row_mailbox_by_id(
    struct sqltx *tx, struct store_account *a, int64_t id, struct arena *mem, struct mailbox_row *r);
NODISCARD int row_mailbox_by_role(
    struct sqltx *tx, struct store_account *a, int role, struct arena *mem, struct mailbox_row *r);
/* Writes the counters, and forgets tombstones that are too many. */
NODISCARD int row_mailbox_save(struct sqltx *tx, struct store_account *a, struct mailbox_row *r);
/* Inserts a placement with the mailbox's next UID and counts it. keywords: be16 ids. */
NODISCARD int row_place(struct sqltx *tx, struct store_account *a, struct mailbox_row *m, struct message *msg,
    struct slice keywords, int64_t modseq, int64_t saved_s);
/* The same with exactly m->uidnext: for a message whose UID came with it. */
NODISCARD int row_place_next(struct sqltx *tx, struct store_account *a, struct mailbox_row *m, struct message *msg,
    struct slice keywords, int64_t modseq, int64_t saved_s);
/* Deletes a placement, leaves a tombstone, counts it. If it was the email's last one the email goes too, and the name
 * of its file is added to `unlink`. */
NODISCARD int row_unplace(struct sqltx *tx, struct store_account *a, struct account_row *ar, struct mailbox_row *m,
    const struct message *msg, int64_t modseq, struct buf *unlink);
/* Only the second half: the email, if no placement is left. */
NODISCARD int row_email_drop(
    struct sqltx *tx, struct store_account *a, struct account_row *ar, uint64_t email, struct buf *unlink);
/* 1 if the account has the email with that id (`id`: STORE_ID_BYTES), which has come by a copy from another account or gone by
 * one: its number and size into *m (may be NULL). */
NODISCARD int row_email_known(struct sqltx *tx, struct store_account *a, const uint8_t *id, struct message *m);
/* store_vanished.c: forgets the older half of a mailbox's tombstones. */
NODISCARD int tombstones_prune(struct sqltx *tx, struct store_account *a, struct mailbox_row *m);
/* 1 if the query has a row. */
NODISCARD int row_exists(struct sqltx *tx, const struct sql_text *t, const struct sql_value *v, size_t n);
NODISCARD int row_count(struct sqltx *tx, struct store_account *a, const struct sql_text *t, int64_t *out);

/* ---- messages on their way in: store_incoming.c --------------------------------------------------------------------- */

#define STORE_REFS_MAX 12
struct incoming {
	struct slice head, header, rest; /* rest is empty for a file */
	char blob[STORE_BLOB_NAME + 1];  /* "": inline */
	uint64_t size;                   /* of the whole message */
	uint32_t header_size;            /* head included */
	int64_t internal_s;
	uint8_t flags;
	struct slice keywords; /* be16 ids, ascending */
	bool given;            /* email_id and thread_id are set already */
	bool own; /* it is the account's own, of an earlier time: its thread is found as that of any other */
	/* made by incoming_parse() and incoming_insert() */
	uint64_t refs[STORE_REFS_MAX]; /* the message's own first */
	size_t refs_n;
	uint8_t email_id[STORE_ID_BYTES], thread_id[STORE_ID_BYTES];
	struct message msg; /* as placed */
	struct buf cache;   /* what is kept with it; freed by incoming_free() */
};
/* The length of the header section at the front, its empty line included; all of it when there is none. */
size_t incoming_header_size(struct slice body, size_t max);
/* Splits a body and computes sizes. `body` is everything, or the first part of a file of `size` bytes. */
void incoming_split(struct incoming *in, struct slice head, struct slice body, uint64_t size, const struct limits *l);
/* Reads what threads need, and of one that is no file what is kept with it. Worker. */
void incoming_parse(struct store *s, struct incoming *in);
void incoming_free(struct incoming *in);
/* Inserts the email (not its placement) and counts its bytes. ERR_QUOTA. */
NODISCARD int incoming_insert(struct sqltx *tx, struct store_account *a, struct account_row *ar, struct incoming *in);

/* store_append.c: mailboxes were renamed or deleted. */
void append_forget(struct store_account *a);

/* ---- messages from other servers: store_moved.c ------------------------------------------------------------------------ */

/* Places a message that has an origin, with the UID that it had there where that can be, and remembers it. 1: it has been placed
 * before, nothing was done. */
NODISCARD int moved_place(struct sqltx *tx, struct store_account *a, struct mailbox_row *m,
    const struct store_append *v, struct incoming *in, int64_t modseq);
/* Has it been placed before? 1, 0 or an error. */
/* Is it a message of the account itself? */
bool moved_is_own(const uint8_t source[STORE_ID_BYTES]);
NODISCARD int moved_known(struct sqltx *tx, struct store_account *a, const struct store_origin *o);

/* ---- keywords: store_keywords.c ----------------------------------------------------------------------------------------- */

struct keyword_set {
	uint32_t refs;
	uint32_t handle;
	uint16_t n;
	uint16_t ids[]; /* ascending */
};
struct store_keywords {
	char **names; /* by id */
	size_t names_n, names_cap;
	struct map by_content;     /* be16 ids → set */
	struct keyword_set **sets; /* by handle - 1; NULL: free */
	size_t sets_n, sets_cap, sets_free;
};
/* Loads the account's dictionary, if that has not been done. May park. */
NODISCARD int keywords_load(struct store_account *a);
/* The same inside a transaction of the account, to be taken over by keywords_adopt() on the loop. */
NODISCARD int keywords_read(struct sqltx *tx, struct store_account *a, struct store_keywords **out);
void keywords_free(struct store_keywords **k);
/* Id of a name, or -1. */
int keywords_find(const struct store_keywords *k, struct slice name);
/* Id of a name, added if it is new (in memory; keywords_save() writes those from `from` on). */
NODISCARD int keywords_add(struct store_account *a, struct slice name, uint16_t *id);
NODISCARD int keywords_save(struct sqltx *tx, struct store_account *a, size_t from);
void keywords_forget_from(struct store_keywords *k, size_t from);
/* Handle of a set, counted once more. 0 for none. */
NODISCARD int keywords_intern(struct store_account *a, const uint16_t *ids, size_t n, uint32_t *handle);
NODISCARD int keywords_intern_bytes(struct store_account *a, struct slice be16, uint32_t *handle);
void keywords_ref(struct store_keywords *k, uint32_t handle);
void keywords_unref(struct store_keywords *k, uint32_t handle);
const struct keyword_set *keywords_set(const struct store_keywords *k, uint32_t handle); /* NULL for none */
/* be16 ids of a set; at most 2 * limits.mailbox_keywords bytes; in the arena. */
struct slice keywords_bytes(const struct store_keywords *k, uint32_t handle, struct arena *mem);
/* Applies names to a set: the new handle is counted. */
NODISCARD int keywords_change(
    struct store_account *a, uint32_t from, enum store_flag_op op, const uint16_t *ids, size_t n, uint32_t *to);
/* Ids of names, added where new; out[] has names.n places: how many different ones. */
NODISCARD int keywords_ids(struct store_account *a, struct slice_list names, bool add, uint16_t *out, size_t *n);

/* ---- selected mailboxes: store_box.c, store_view.c ------------------------------------------------------------------------ */

/* One change of flags: messages between uid_min and uid_max that have this modseq. */
struct box_change {
	uint64_t modseq;
	uint64_t origin; /* number of the view */
	uint32_t uid_min, uid_max;
};
#define BOX_LOG_MAX 256

/* A mailbox that is selected by at least one view, or was not long ago: its messages in UID order. */
struct store_box {
	struct list_node node; /* in account->boxes */
	struct store_account *account;
	struct list views;
	struct list_node idle_node; /* in store->boxes_idle: no view is left */
	size_t idle_n;              /* messages when the last one went */
	int64_t idle_ms;
	int64_t id;
	uint8_t object_id[STORE_ID_BYTES];
	char *name;
	size_t name_n;
	uint32_t uidvalidity, uidnext, first_recent;
	uint32_t recent_saved; /* first_recent as it is on disk */
	uint64_t highestmodseq;
	bool gone;
	struct message *v;
	size_t n, cap;
	size_t unsaved_n; /* messages that are, between these UIDs; and by how much the row's sums change with them */
	uint32_t unsaved_min, unsaved_max;
	int64_t unsaved_unseen, unsaved_deleted;
	uint64_t expunge_origin, append_origin; /* numbers of the views that expunged and appended last */
	size_t dead_n, dead_retry;              /* compaction is tried again when dead_n reaches dead_retry */
	struct box_change *log;                 /* log[i] is change number log_first + i */
	size_t log_n, log_cap;
	uint64_t log_first;
};

struct uid_range {
	uint32_t from, to;
};

struct store_view {
	struct list_node node; /* in box->views */
	struct store_box *box;
	uint64_t number;
	bool read_only, renamed, gone_told;
	struct fiber *watcher;
	size_t known;     /* messages of the box that this view has been told of: indexes below this */
	uint32_t *hidden; /* UIDs of dead ones among them that it has been told are gone, ascending */
	size_t hidden_n, hidden_cap;
	size_t untold_dead;       /* dead ones among them that it has not been told of */
	uint32_t dead_cursor;     /* expunges up to this UID have been told in this round */
	uint64_t change;          /* changes below this number have been told */
	uint32_t change_uid;      /* within that change, messages up to this UID have been told */
	uint64_t told_modseq;     /* for when the log is too short: flags up to this modseq have been told */
	uint64_t catch_change;    /* while catching up: the change to go on with; 0: not */
	struct uid_range *recent; /* claimed ranges, ascending */
	size_t recent_n, recent_cap;
};

/* ---- flags that are only in memory yet: store_unsaved.c ----------------------------------------------------------------- */

static inline uint8_t
flags_after(uint8_t flags, enum store_flag_op op, uint8_t named)
{
	return (uint8_t)((op == STORE_FLAGS_REPLACE      ? named
				 : op == STORE_FLAGS_ADD ? flags | named
							 : flags & ~named) &
	    STORE_FLAGS_ALL);
}

struct unsaved_box;
/* What a job writes of them: taken from memory on the loop, written by the worker. */
struct unsaved {
	struct store_account *a;
	struct arena mem;
	struct unsaved_box *boxes;
	size_t n, cap;
	uint64_t modseq;
	int err; /* of writing */
};
/* With the lock held. NULL: there is nothing, or no memory. */
struct unsaved *unsaved_take(struct store_account *a);
void unsaved_free(struct unsaved **u);
/* A transaction function. */
NODISCARD int unsaved_tx(struct sqltx *tx, void *u);
/* It was committed; the lock is still held. */
void unsaved_saved(struct store_account *a);
/* The account goes, or the process ends without them: they are in the journal. */
void unsaved_drop(struct store_account *a);

struct store_box *box_find(struct store_account *a, int64_t id);
struct store_box *box_find_name(struct store_account *a, struct slice name);
NODISCARD int box_new(struct store_account *a, const struct mailbox_row *m, struct store_box **out);
void box_free(struct store_box **b);
/* The last view has gone: kept for the next one within limits.store_view_cache_messages, or freed. */
void box_rest(struct store_box *b);
/* A view comes. */
void box_wake_up(struct store_box *b);
/* Frees those that nobody has selected since before_ms, and more than may be kept; none with unsaved flags. */
void box_drop_idle(struct store *s, int64_t before_ms, size_t messages_max);
/* The process ends: all of them, unsaved flags or not. */
void box_drop_all(struct store *s);
/* Index of the first message with a UID of at least `uid`. */
size_t box_lower_bound(const struct store_box *b, uint32_t uid);
/* The living message with that UID, or NULL. */
struct message *box_message(struct store_box *b, uint32_t uid);
/* Takes over a new message (its keywords handle is counted already). */
void box_add(struct store_box *b, const struct message *m, const struct mailbox_row *row);
void box_expunge(struct store_box *b, uint32_t uid);
/* After messages got a new modseq. */
void box_changed(struct store_box *b, uint64_t modseq, uint64_t origin, uint32_t uid_min, uint32_t uid_max);
void box_gone(struct store_box *b);
void box_renamed(struct store_box *b, struct slice name);
void box_counters(struct store_box *b, const struct mailbox_row *row);
/* Wakes watchers. Called after each of the above by those who are done with a job. */
void box_wake(struct store_box *b);
void box_compact(struct store_box *b);
/* Does the view count this index as a message? */
bool view_shows(const struct store_view *v, size_t i);
/* Forgets the messages that are about to leave the array (dead is 2). */
void view_forget_dropped(struct store_view *v);

#endif
