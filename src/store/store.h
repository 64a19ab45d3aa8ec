/* store.h: mailboxes. One `struct store` a desk process; an account is a folder accounts/NN/ID/ with a database
 * (mail.db) and a folder of large messages (blobs/), and belongs to one desk, so that its files have one writer and
 * its sessions share memory.
 *
 * Everything here is called from fibers on the loop and may park, unless it says "does not park". SQL and files are
 * worked on by the store's own threads: an account's jobs run one at a time and in order, those of different
 * accounts side by side.
 *
 * Words. A mailbox is named in UTF-8 with '/' between levels; INBOX is the same in any case. An *email* is an
 * immutable message (`email` is its number within the account, never given twice); a *placement* of it in a mailbox
 * has a UID, flags, keywords and a modseq of its own. A *view* is a session's look at a selected mailbox: sequence
 * numbers of a view stay as they are until the session takes the news with store_view_next().
 *
 * Errors common to all: ERR_NOTFOUND (no such account, mailbox or message), ERR_DAMAGED (this account's data;
 * others go on), ERR_FULL (no space; nothing half done), ERR_QUOTA, ERR_IO (after a failed sync the store refuses
 * everything and calls hooks.failed), ERR_CLOSED (the store is closing), ERR_CANCELLED, ERR_NOMEM, ERR_LIMIT. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "rt/fiber.h"

struct store;
struct store_account; /* an account in use; counted references */
struct store_view;    /* one session's look at one mailbox */
struct store_upload;  /* a message on its way in */
struct store_body;    /* a message being read */

#define STORE_ID_BYTES 16       /* delivery ids, email ids, mailbox ids */
#define STORE_ACCOUNT_ID_MAX 64 /* letters, digits, '-' and '_' */

/* ---- the store ---------------------------------------------------------------------------------------------- */

/* A stranger's text that only a reader reads: HTML, and charsets that are not built in. */
enum store_text_kind { STORE_TEXT_PLAIN, STORE_TEXT_HTML, STORE_TEXT_WORDS /* a field's value with encoded words */ };
struct store_text_input {
	enum store_text_kind kind;
	struct slice charset; /* as declared, or empty */
	struct slice bytes;   /* transfer encoding removed */
};

struct store_hooks {
	/* These deliveries (16 bytes each) are durable from now on. On a fiber; must not park. */
	void (*durable)(void *arg, struct slice account_id, struct slice_list delivery_ids);
	/* A sync failed: what is on the disk is unknown. The process must end; the store refuses everything.
	 * On the loop or a fiber; must not park. */
	void (*failed)(void *arg, struct slice account_id);
	/* Messages of this account were removed; there may be room where there was none. On the loop; must not park. */
	void (*removed)(void *arg, struct slice account_id);
	void *arg;
	/* Turns texts of one account's message into plain UTF-8, texts[i] for v[i], in `a`; what cannot be read is empty. On a fiber; may
	 * park. NULL: those texts count as empty. ERR_UNAVAILABLE, ERR_BUSY: not now. */
	int (*texts)(void *arg, struct slice account_id, const struct store_text_input *v, size_t n, struct arena *a,
	    struct slice *texts);
	void *texts_arg;
	/* Writes what is kept with a message from its arrival on (store_cache_put()) into `out`, nothing if there is nothing. On a worker;
	 * `raw` is all of it. May be NULL. */
	void (*describe)(const struct limits *l, struct slice raw, struct buf *out);
};

struct store_config {
	struct loop *loop;
	const char *dir; /* absolute path of accounts/; must exist */
	int index;       /* of this desk: names the file that tells a clean end from an unclean one */
	int threads;     /* at least 2 */
	const char *vfs; /* NULL, or the name of a test VFS for the databases */
	struct store_hooks hooks;
};

/* Reads the mark of the last end. Blocking; before fibers need it. `detail` gets a sentence on failure. */
NODISCARD int store_open(struct store **out, const struct store_config *c, struct buf *detail);
/* Starts threads and the syncing fiber; inside the sandbox. */
NODISCARD int store_start(struct store *s);
/* Syncs every account, closes all and leaves the mark of a clean end. All sessions have ended: no accounts or views
 * are held any more. On a fiber. The result tells whether the end was clean. */
NODISCARD int store_close(struct store **s);
/* Ends without syncing, checkpointing or marking anything, as a crash would. For tests. On a fiber. */
void store_abandon(struct store **s);
/* Syncs what is dirty now and waits for it. */
NODISCARD int store_sync(struct store *s);
/* True after a failed sync. Does not park. */
bool store_has_failed(const struct store *s);

struct store_counters {
	int64_t deliveries, duplicates, over_quota, appends, copies, expunges;
	int64_t syncs, transactions, handles_opened, indexed;
	int64_t accounts, handles, views, messages_in_views, body_bytes, dirty_accounts;
	int64_t indexes_behind; /* accounts whose search index has something to take in */
};
void store_counters(const struct store *s, struct store_counters *out); /* does not park */

/* ---- accounts ------------------------------------------------------------------------------------------------- */

/* Makes the account's folder, database and default mailboxes (INBOX, Drafts, Sent, Junk, Trash, Archive), durable
 * when it returns. An account that exists already is fine, and one that was half made is finished. ERR_INVALID: not an account
 * id. ERR_DAMAGED: it exists, but its database is gone. */
NODISCARD int store_account_create(struct store *s, struct slice account_id);
/* Removes the account and all its mail. Views of it get STORE_EVENT_GONE. A missing account is fine. */
NODISCARD int store_account_remove(struct store *s, struct slice account_id);
/* Takes a reference. ERR_NOTFOUND: never created. ERR_DAMAGED: its database is damaged or gone. */
NODISCARD int store_account_get(struct store *s, struct slice account_id, struct store_account **out);
/* Gives it back, sets *a to NULL; NULL is fine. Does not park. */
void store_account_put(struct store_account **a);
#define STORE_ACCOUNT_CLEANUP __attribute__((cleanup(store_account_put)))
struct slice store_account_id(const struct store_account *a);
/* 0 is no limit. Remembered with the account at its next write. Does not park. */
void store_account_set_quota(struct store_account *a, int64_t bytes);

struct store_usage {
	int64_t messages; /* placements */
	int64_t bytes;    /* of emails, each counted once */
	int64_t quota_bytes;
};
NODISCARD int store_account_usage(struct store_account *a, struct store_usage *out);

/* Where an account's folder lies below accounts/: "NN/ID". */
#define STORE_PLACE_MAX (STORE_ACCOUNT_ID_MAX + 4)
NODISCARD int store_account_place(struct slice account_id, char out[STORE_PLACE_MAX]);

/* ---- backups -------------------------------------------------------------------------------------------------- */

#define STORE_MARK_MAX 160
/* A text that stays the same while the account does; empty when it has changed just now. */
NODISCARD int store_account_mark(struct store_account *acc, char out[STORE_MARK_MAX]);
/* The database as it is now, and the names of the large messages that it refers to (32 characters each, one behind the other), as
 * descriptors for reading, the caller's to close. Others of the account wait meanwhile. */
NODISCARD int store_account_copy(struct store_account *acc, int *database, int *names);
/* One large message by its name. ERR_NOTFOUND: it was expunged meanwhile; ERR_INVALID: no such name. */
NODISCARD int store_blob_open(struct store_account *acc, struct slice name, int *fd);

/* ---- mailboxes ------------------------------------------------------------------------------------------------ */

/* Special uses (RFC 6154). At most one mailbox of an account has each. */
enum store_role {
	STORE_ROLE_NONE = 0,
	STORE_ROLE_INBOX = 1,
	STORE_ROLE_DRAFTS = 2,
	STORE_ROLE_SENT = 3,
	STORE_ROLE_JUNK = 4,
	STORE_ROLE_TRASH = 5,
	STORE_ROLE_ARCHIVE = 6
};

struct store_mailbox {
	int64_t id;             /* within the account; never given twice */
	struct slice object_id; /* 16 random bytes (RFC 8474 MAILBOXID) */
	struct slice name;
	enum store_role role;
	bool selectable; /* false: \Noselect, only there for its children */
	bool subscribed;
	bool has_children;
	uint32_t uidvalidity;
	uint32_t uidnext;
	uint64_t highestmodseq;
	uint32_t messages, unseen, deleted, recent;
	int64_t bytes;
	uint64_t changes; /* order of last structural change (create, rename, subscribe); for clients' caches */
};

/* All mailboxes sorted by name (INBOX first), parents before children. The array lies in `a`. Names that were
 * deleted while children remain are there as not selectable. */
NODISCARD int store_mailboxes(struct store_account *acc, struct arena *a, struct store_mailbox **out, size_t *n);
/* One mailbox by name. ERR_NOTFOUND. */
NODISCARD int store_mailbox(struct store_account *acc, struct slice name, struct arena *a, struct store_mailbox *out);
/* The same by its id (not 0). */
NODISCARD int store_mailbox_by_id(struct store_account *acc, int64_t id, struct arena *a, struct store_mailbox *out);
/* Bytes of the messages of a mailbox (by id) that have STORE_DELETED (RFC 9208 §4.1.4). */
NODISCARD int store_deleted_bytes(struct store_account *acc, int64_t mailbox, int64_t *bytes);
/* Names subscribed to, mailboxes that no longer exist included (RFC 9051 §6.3.7), sorted. */
NODISCARD int store_subscriptions(struct store_account *acc, struct arena *a, struct slice_list *out);
/* The order of lists: INBOX and what is below it first, then by bytes, children behind their parent. Does not park. */
int store_name_compare(struct slice a, struct slice b);
/* The form in which names are kept: INBOX in upper case (as first level too), no empty levels, no leading or trailing
 * '/', no control characters, valid UTF-8, within limits. A single trailing '/' (CREATE "x/") is dropped. The result
 * lies in `a`. ERR_INVALID, ERR_LIMIT. Does not park. */
NODISCARD int store_name_normal(const struct limits *l, struct slice name, struct arena *a, struct slice *out);

/* Creates it and its missing parents (RFC 9051 §6.3.4). role may be STORE_ROLE_NONE; ERR_CONFLICT: another has that
 * role. ERR_EXISTS. Durable when it returns, as are the next four. */
NODISCARD int store_mailbox_create(struct store_account *acc, struct slice name, enum store_role role);
/* RFC 9051 §6.3.5: one with children stays as a name that is not selectable; deleting such a one again, while it
 * has children, is ERR_DENIED, as is deleting INBOX. Sessions that have it selected get STORE_EVENT_GONE. */
NODISCARD int store_mailbox_delete(struct store_account *acc, struct slice name);
/* RFC 9051 §6.3.6: children are renamed with it; missing parents of the new name are created; renaming INBOX moves its
 * messages to the new mailbox and leaves INBOX empty and its children alone. ERR_NOTFOUND, ERR_EXISTS, ERR_INVALID
 * (into itself). Sessions get STORE_EVENT_RENAMED and keep their view. */
NODISCARD int store_mailbox_rename(struct store_account *acc, struct slice from, struct slice to);
NODISCARD int store_subscribe(struct store_account *acc, struct slice name, bool on);

/* ---- annotations (RFC 5464) ----------------------------------------------------------------------------------- */

struct store_annotation {
	struct slice entry; /* "/private/comment"; names are kept as given, the caller folds their case */
	struct slice value; /* any bytes */
	bool remove;        /* store_metadata_set(): the entry goes */
};
/* All annotations of a mailbox, or with an empty name of the account itself, in `a`, sorted by entry. ERR_NOTFOUND. */
NODISCARD int store_metadata_get(
    struct store_account *acc, struct slice mailbox, struct arena *a, struct store_annotation **v, size_t *n);
/* Sets and removes, all or nothing; durable when it returns. ERR_NOTFOUND; ERR_QUOTA over limits.metadata_entries or
 * metadata_bytes of the account. */
NODISCARD int store_metadata_set(
    struct store_account *acc, struct slice mailbox, const struct store_annotation *v, size_t n);
/* The bytes that all entries of the account take, names included. */
NODISCARD int store_metadata_usage(struct store_account *acc, int64_t *bytes);

/* ---- flags ------------------------------------------------------------------------------------------------------ */

enum store_flag {
	STORE_SEEN = 1,
	STORE_ANSWERED = 2,
	STORE_FLAGGED = 4,
	STORE_DELETED = 8,
	STORE_DRAFT = 16,
	STORE_FLAGS_ALL = 31
};

/* A keyword is 1..limits.keyword_bytes of printable ASCII without ( ) { % * " \ ] and space (RFC 9051 §9 atom). They are
 * compared without case; the first spelling is kept. */
bool store_keyword_valid(const struct limits *l, struct slice keyword);

/* ---- views ------------------------------------------------------------------------------------------------------ */

/* One message of a view. `keywords` is a handle for store_view_keywords(). */
struct store_entry {
	uint64_t modseq;
	uint64_t email;
	int64_t internal_s; /* INTERNALDATE, seconds since 1970 */
	uint32_t uid;
	uint32_t size; /* of the whole message in bytes (RFC822.SIZE) */
	uint32_t keywords;
	uint8_t flags; /* enum store_flag */
	bool recent;   /* of this view (\Recent, RFC 3501 §2.3.2) */
	bool expunged; /* it is gone, though this view has not been told yet: sequence numbers still count it */
};

/* Selects. With `read_only` (EXAMINE) flags cannot be changed through the view and \Recent is not taken. Holds its own
 * reference to the account. ERR_NOTFOUND: none of that name, or not selectable. */
NODISCARD int store_view_open(struct store_account *acc, struct slice name, bool read_only, struct store_view **out);
/* Sets *v to NULL; NULL is fine. Does not park. */
void store_view_close(struct store_view **v);
#define STORE_VIEW_CLEANUP __attribute__((cleanup(store_view_close)))

/* None of these parks. */
struct store_account *store_view_account(struct store_view *v);
bool store_view_read_only(const struct store_view *v);
/* The mailbox was deleted (or the account): everything else but closing fails with ERR_NOTFOUND. */
bool store_view_gone(const struct store_view *v);
int64_t store_view_mailbox_id(const struct store_view *v);
struct slice store_view_object_id(const struct store_view *v);
struct slice store_view_name(const struct store_view *v); /* until the next call that parks */
uint32_t store_view_uidvalidity(const struct store_view *v);
uint32_t store_view_uidnext(const struct store_view *v);
uint64_t store_view_highestmodseq(const struct store_view *v);
size_t store_view_count(const struct store_view *v);        /* EXISTS: messages the session knows of */
size_t store_view_recent(const struct store_view *v);       /* how many of them are \Recent */
size_t store_view_first_unseen(const struct store_view *v); /* its sequence number, or 0 */
/* The message with sequence number 1..count. Traps on another number. */
struct store_entry store_view_at(const struct store_view *v, size_t seq);
/* The sequence number of a UID, or 0. */
size_t store_view_seq(const struct store_view *v, uint32_t uid);
/* The first sequence number whose UID is at least `uid`; count + 1 if none: for UID ranges. */
size_t store_view_seq_from(const struct store_view *v, uint32_t uid);
/* Appends the keywords of an entry to out[]: returns how many there are (at most `max` are written). The slices are
 * valid until the next call that parks. */
size_t store_view_keywords(const struct store_view *v, const struct store_entry *e, struct slice out[], size_t max);
/* All keywords used in the account: for FLAGS and PERMANENTFLAGS. Same lifetime. */
size_t store_view_all_keywords(const struct store_view *v, struct slice out[], size_t max);
/* Does the entry have this keyword (in any case)? */
bool store_view_has_keyword(const struct store_view *v, const struct store_entry *e, struct slice keyword);

/* News. */
enum store_event_kind {
	STORE_EVENT_NONE,
	STORE_EVENT_EXPUNGE, /* seq, uid: gone; later sequence numbers have moved down by one already */
	STORE_EVENT_FLAGS, /* seq, uid: flags, keywords or modseq of a message changed; read them with store_view_at() */
	STORE_EVENT_EXISTS,  /* store_view_count() has grown to `seq`; store_view_recent() may have */
	STORE_EVENT_RENAMED, /* the mailbox has another name */
	STORE_EVENT_GONE     /* the mailbox is no more */
};
struct store_event {
	enum store_event_kind kind;
	size_t seq;
	uint32_t uid;
	bool own; /* caused through this very view (best effort: false when in doubt) */
};
/* Takes one piece of news into the view and describes it; STORE_EVENT_NONE when there is no more. Expunges are held
 * back (and sequence numbers stay) unless `expunges`: RFC 9051 §7.5.1 forbids them during FETCH, STORE and SEARCH.
 * Order: expunges, flags, exists. Does not park. */
struct store_event store_view_next(struct store_view *v, bool expunges);
/* Is there news that store_view_next(v, true) would tell? Does not park. */
bool store_view_has_news(const struct store_view *v);
/* … or store_view_next(v, false)? */
bool store_view_has_news_but_expunges(const struct store_view *v);
/* `f` is woken with fiber_wake() when there is news (IDLE: stream_wait_readable_or_wake()); NULL ends it. Wakes at
 * once if there is news already. Does not park. */
void store_view_watch(struct store_view *v, struct fiber *f);

/* ---- changing messages --------------------------------------------------------------------------------------------- */

enum store_flag_op { STORE_FLAGS_REPLACE, STORE_FLAGS_ADD, STORE_FLAGS_REMOVE };
struct store_flag_change {
	enum store_flag_op op;
	uint8_t flags; /* enum store_flag */
	struct slice_list keywords;
	uint64_t unchanged_since; /* RFC 7162; UINT64_MAX: whatever its modseq */
	/* For STORE_FLAGS_REPLACE by who may not change everything; slower. */
	uint8_t kept_flags; /* these stay as they are, whatever `flags` says */
	bool kept_keywords; /* so do the keywords; `keywords` is empty then */
};
/* Changes flags of messages by UID (ascending). UIDs that are gone are skipped. Changes become news of all views, of
 * this one with `own`. `conflicts` (may be NULL; n wide) is set true for those changed since. ERR_DENIED: read-only;
 * ERR_LIMIT: too many keywords, nothing changed; ERR_INVALID: a bad keyword. Not synced: a power cut may undo the latest; the end of
 * the process does not. */
NODISCARD int store_flags(
    struct store_view *v, const uint32_t *uids, size_t n, const struct store_flag_change *c, bool *conflicts);

/* Removes messages for good: with uids NULL all that have STORE_DELETED, else those of the given UIDs (ascending)
 * that, with `deleted_only`, also have STORE_DELETED. Durable when it returns; take the news to number and report them. */
NODISCARD int store_expunge(struct store_view *v, const uint32_t *uids, size_t n, bool deleted_only);

/* The UIDs of the view's mailbox that were expunged after `modseq` (RFC 7162 §3.2), as ranges, ascending, in the arena. Those that the
 * view has yet to be told of are left out. Where that is too long ago, all UIDs below UIDNEXT that are not there.
 * ERR_LIMIT: too many for the arena. */
struct store_uid_range {
	uint32_t lo, hi; /* both included */
};
NODISCARD int store_vanished(
    struct store_view *v, uint64_t modseq, struct arena *a, struct store_uid_range **out, size_t *n);

/* Copied or appended UIDs, for COPYUID and APPENDUID (RFC 4315): source[i] became target[i]. Arrays lie in the arena. */
struct store_copied {
	uint32_t uidvalidity; /* of the target */
	size_t n;
	uint32_t *source;
	uint32_t *target;
};
/* Copies (or with `move` moves: RFC 6851, one transaction) messages by UID to the mailbox `to`, which may be the same one.
 * Flags, keywords and INTERNALDATE are kept, the EMAILID too. UIDs that are gone are left out. All or nothing; durable
 * when it returns. ERR_NOTFOUND: no such target ([TRYCREATE]). */
NODISCARD int store_copy(struct store_view *v, const uint32_t *uids, size_t n, struct slice to, bool move,
    struct arena *a, struct store_copied *out);

/* What of a message's flags a copy keeps. */
struct store_filter {
	uint8_t flags; /* enum store_flag */
	bool keywords;
};
/* The same into a mailbox of another account (or, with fewer flags, of the same one): a message's EMAILID and THREADID are kept, its
 * bytes count there. A power cut may leave some of the copies; a message that moves is never in neither. ERR_QUOTA: that account's. */
NODISCARD int store_transfer(struct store_view *v, const uint32_t *uids, size_t n, struct store_account *to,
    struct slice mailbox, const struct store_filter *filter, bool move, struct arena *a, struct store_copied *out);

/* ---- reading messages ------------------------------------------------------------------------------------------------- */

enum store_want {
	STORE_WANT_HEADER = 1,   /* the header section with the empty line that ends it (our trace fields included) */
	STORE_WANT_RAW = 2,      /* the whole message, if it is not `large` */
	STORE_WANT_IDS = 4,      /* email_id, thread_id, saved_s */
	STORE_WANT_CACHE = 8,    /* what store_cache_put() left for this email */
	STORE_WANT_UNCACHED = 16 /* RAW where it left nothing; `large` is not told where it did */
};
struct store_fetched {
	uint32_t uid; /* set by the caller */
	bool found;   /* false: gone meanwhile; the rest is empty */
	bool large;   /* the message is a file: use store_body_open() for RAW (and for a HEADER over 64 KB) */
	uint64_t email;
	uint32_t size;
	uint32_t header_size;
	int64_t saved_s; /* SAVEDATE (RFC 8514) */
	struct slice header, raw, cache;
	uint8_t email_id[STORE_ID_BYTES];
	uint8_t thread_id[STORE_ID_BYTES];
};
/* Reads a batch of messages (f[0..n-1].uid is given, ascending) in one go. Slices lie in the arena; when it is full the
 * rest stays unread and *done (at least 1, or ERR_LIMIT) says how many are filled, so batches are chosen by the arena's size.
 * What was expunged after the view was told is not found. */
NODISCARD int store_fetch(
    struct store_view *v, struct store_fetched *f, size_t n, unsigned want, struct arena *a, size_t *done);
/* Keeps something derived from an email (ENVELOPE, BODYSTRUCTURE, part offsets) with it; at most 64 KB (more is not
 * kept). It is never needed: readers must check its form and be able to make it again. Not synced. */
NODISCARD int store_cache_put(struct store_account *acc, uint64_t email, struct slice cache);
struct store_cached {
	uint64_t email;
	struct slice cache;
};
/* Of several at once. */
NODISCARD int store_caches_put(struct store_account *acc, const struct store_cached *v, size_t n);

/* A message for reading in pieces, or whole. Bodies in use and lately used are shared between sessions. */
NODISCARD int store_body_open(struct store_account *acc, uint64_t email, struct store_body **out);
void store_body_close(struct store_body **b); /* sets to NULL; NULL is fine; does not park */
#define STORE_BODY_CLEANUP __attribute__((cleanup(store_body_close)))
size_t store_body_size(const struct store_body *b);
/* Appends the bytes offset..offset+n-1 (cut at the end) to out. */
NODISCARD int store_body_read(struct store_body *b, size_t offset, size_t n, struct buf *out);
/* The whole message in memory, valid until store_body_close(). For a large one this waits for its share of
 * limits.store_body_memory_bytes; a session should hold one at a time. */
NODISCARD int store_body_raw(struct store_body *b, struct slice *out);

/* Looks through messages on a worker thread: match() is called there with the whole message (head and body) and may
 * block (charsets), but must touch nothing of the loop; it returns 1, 0 or an error, which ends the search. hits[i] tells
 * about uids[i] (ascending; gone ones are false). In slices, so that others of the account get their turn. With
 * header_only, `raw` is only the header section. */
struct store_candidate {
	uint32_t uid;
	uint32_t size;
	struct slice raw;
};
typedef int store_match_fn(void *arg, const struct store_candidate *c);
NODISCARD int store_search(struct store_view *v, const uint32_t *uids, size_t n, bool header_only,
    store_match_fn *match, void *arg, bool *hits);

/* Has strangers' texts of one account read by its reader (hooks.texts): texts[i] of v[i], in `a`. Parks. ERR_UNAVAILABLE, ERR_BUSY: not now. */
NODISCARD int store_texts(
    struct store_account *acc, const struct store_text_input *v, size_t n, struct arena *a, struct slice *texts);

/* Which messages of the view have which strings, from the account's search index: what is not in it yet is read first. A
 * string is found where it is a substring of the text, both folded (message/fold.h): of the decoded header fields, and of the body the
 * decoded text of text parts (HTML as a person reads it) and the headers of parts (RFC 9051 §6.4.4). */
enum store_text_scope {
	STORE_SCOPE_FIELD, /* the header fields of that name */
	STORE_SCOPE_BODY,
	STORE_SCOPE_TEXT /* header and body */
};
struct store_text_key {
	enum store_text_scope scope;
	struct slice field; /* name, in any case */
	struct slice text;  /* folded with text_fold(); empty: every message that has the field (or any) */
};
struct store_found; /* the answer; stays as it is while messages come and go */
/* Among the messages with these UIDs (ascending), or with uids NULL among all. ERR_UNAVAILABLE, ERR_BUSY: some texts
 * cannot be read now. */
NODISCARD int store_find_text(struct store_view *v, const uint32_t *uids, size_t uids_n,
    const struct store_text_key *keys, size_t n, struct store_found **out);
/* Has the message keys[key]? Quick when asked in order of UIDs. A message that came after the question: no. Does not park. */
bool store_found_has(struct store_found *f, size_t key, uint32_t uid);
/* The first UID of at least `uid` that has keys[key]; 0: none. */
uint32_t store_found_next(struct store_found *f, size_t key, uint32_t uid);
void store_found_free(struct store_found **f); /* sets to NULL; NULL is fine; does not park */
#define STORE_FOUND_CLEANUP __attribute__((cleanup(store_found_free)))

/* ---- bringing messages in ------------------------------------------------------------------------------------------- */

/* A message that arrives in pieces (an APPEND literal): in memory up to limits.body_inline_bytes, then in a file. */
NODISCARD int store_upload_new(
    struct store_account *acc, size_t size_max, struct store_upload **out); /* does not park */
/* ERR_LIMIT over size_max. */
NODISCARD int store_upload_write(struct store_upload *u, struct slice bytes);
size_t store_upload_size(const struct store_upload *u);
/* Gives up; the file goes. NULL is fine. Does not park. */
void store_upload_free(struct store_upload **u);
#define STORE_UPLOAD_CLEANUP __attribute__((cleanup(store_upload_free)))

/* Where a message comes from that is brought here from another server (store_moved.c): of one origin only one is ever placed. */
/* A source whose first eight bytes are 0xff is this account itself, earlier, as a backup has it: the number is the email's and the
 * other eight bytes the rest of its id, which it gets again. Such a message is known while any mailbox has it, and not when it is
 * gone: it may be brought back as often as it is removed. */
struct store_origin {
	bool given;
	uint8_t source[STORE_ID_BYTES]; /* a folder there */
	int64_t number;                 /* of the message in it */
	uint32_t uid;                   /* that it should have here; 0: any */
};
struct store_append {
	struct store_upload *upload; /* used up when the append succeeds; free it all the same */
	uint8_t flags;
	struct slice_list keywords;
	int64_t internal_s; /* INT64_MIN: now */
	struct store_origin origin;
	/* STORE_ID_BYTES each, of a message that is copied from another account; NULL: new ones. When the account has that email it is
	 * placed once more; `upload` may then be NULL, and ERR_CONFLICT tells that it is not there. */
	const uint8_t *email_id, *thread_id;
};
/* Can messages be appended there? Mostly known without looking: what was asked about or appended to last, and what is selected.
 * ERR_NOTFOUND: no such mailbox, or not selectable. store_append() looks again. */
NODISCARD int store_append_check(struct store_account *acc, struct slice mailbox);
/* APPEND (several: RFC 3502 MULTIAPPEND, all or nothing). Durable when it returns; out->target has the UIDs (0 for a message
 * whose origin is known already, which is not placed again), out->source is NULL. ERR_NOTFOUND: no such mailbox ([TRYCREATE]); ERR_QUOTA. `view` (may be NULL) is the caller's: news of
 * it is marked as own there. */
NODISCARD int store_append(struct store_account *acc, struct store_view *view, struct slice mailbox,
    const struct store_append *v, size_t n, struct arena *a, struct store_copied *out);

/* What is remembered of a message that was brought here. */
struct store_moved {
	int64_t number;
	bool known;
	int64_t mailbox; /* where it was placed … */
	uint32_t uid;    /* … and with which UID; it may be elsewhere by now, or gone */
	uint8_t flags;   /* as they were there when it was last looked at */
	struct slice keywords;
};
/* Fills v[0..n-1], whose numbers are given; keywords lie in `mem`. ERR_LIMIT. */
NODISCARD int store_moved_get(struct store_account *acc, const uint8_t source[STORE_ID_BYTES], struct store_moved *v,
    size_t n, struct arena *mem);
/* All of a source with numbers from `lo` to `hi`, by number. Only number, mailbox and uid are filled. */
NODISCARD int store_moved_range(struct store_account *acc, const uint8_t source[STORE_ID_BYTES], int64_t lo, int64_t hi,
    struct arena *mem, struct store_moved **v, size_t *n);
/* Remembers other flags of some. Not synced. */
NODISCARD int store_moved_flags(
    struct store_account *acc, const uint8_t source[STORE_ID_BYTES], const struct store_moved *v, size_t n);
/* Has a mailbox carry on a folder of another server: one that never had a message here gets its UIDVALIDITY, and from then on the
 * UIDs that its messages come with (store_origin.uid), while messages from anywhere else get UIDs from far above `uidnext` on, so
 * that none is given to two messages by the two servers. modseq: the highest of the folder there, 0 where it has none: what comes and changes
 * here from now on gets higher ones, and who comes back with an older one is told of all UIDs that are not here, so that a client
 * of that server misses nothing (RFC 7162). With `done` UIDNEXT becomes at least `uidnext`. *kept: the mailbox has that
 * UIDVALIDITY now; if not, nothing was changed. ERR_NOTFOUND. Durable when it returns. */
NODISCARD int store_mailbox_adopt(struct store_account *acc, struct slice name, uint32_t uidvalidity, uint32_t uidnext,
    uint64_t modseq, bool done, bool *kept);

struct store_delivery {
	uint8_t delivery_id[STORE_ID_BYTES];
	struct slice mailbox; /* a role ("junk", "sent", …) or a name; "" or unknown is the Inbox */
	struct slice head;    /* our trace fields: whole CRLF lines */
	struct slice body;    /* the message from its first header field … */
	int file;             /* … or a descriptor that holds it from offset 0, when >= 0; stays the caller's */
	uint64_t size;        /* of body or file */
	int64_t received_s;   /* becomes INTERNALDATE */
	uint8_t flags;
};
enum store_delivered { STORE_DELIVERED = 1, STORE_DUPLICATE = 2 };
/* Delivers once: the same id again is STORE_DUPLICATE. Committed when it returns and seen by sessions; durable, and
 * told by hooks.durable, within about a second (for a duplicate too). ERR_QUOTA. Concurrent deliveries
 * to one account share a transaction; each fails alone. */
NODISCARD int store_deliver(struct store_account *acc, const struct store_delivery *d, enum store_delivered *out);
/* The queue rows of these deliveries are gone for good: forget their ids. Unknown ids are fine. */
NODISCARD int store_forget(struct store_account *acc, struct slice_list delivery_ids);

/* ---- answers of a machine ------------------------------------------------------------------------------------------- */

/* May this sender (a digest of 1..64 bytes) be answered for this delivery: *mine is true when it was not answered within period_s
 * seconds, or was for the same delivery (which is being repeated). Then it is remembered, durably before this returns, so that
 * a crash behind it answers nobody twice. Of limits.vacation_answered senders the newest are kept. */
NODISCARD int store_answer_claim(struct store_account *acc, struct slice sender,
    const uint8_t delivery_id[STORE_ID_BYTES], int64_t period_s, bool *mine);
/* The answer could not be sent: the sender may be answered the next time. */
NODISCARD int store_answer_release(
    struct store_account *acc, struct slice sender, const uint8_t delivery_id[STORE_ID_BYTES]);

#endif
