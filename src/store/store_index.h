/* store_index.h: an account's search.db: the folded text of every message (store_text.h) and lists of which messages have
 * which three characters in a row. It can be lost at any time: what mail.db lists as not indexed is indexed, and a file
 * that is missing, damaged or of another version has all messages listed again. Inside the store only.
 *
 * Order. A text is durable in search.db before mail.db forgets that it was wanted, so that after any end every message is
 * either listed or indexed. Messages that were expunged stay in the index until it is made anew; nobody asks for them. */
#ifndef STORE_STORE_INDEX_H
#define STORE_STORE_INDEX_H

#include "store/store_private.h"

#define STORE_SEARCH_VERSION 1

#define SQL_STATEMENT(name, text) extern const struct sql_text search_sql_##name;
#include "store/store_search_sql.def"
#undef SQL_STATEMENT

/* ---- search.db, opened and shared: store_index.c -------------------------------------------------------------- */

struct store_index {
	struct store_account *a;  /* a reference, while waiting or open */
	struct list_node waiting; /* in store->index_waiting */
	struct list_node opened;  /* in store->index_open, the longest unused first */
	int64_t first_ms, due_ms, used_ms;
	struct fiber_lock lock; /* of db */
	struct sqldb *db;
	uint32_t users;
	bool working; /* the fiber is at it */
};

/* There is something to index: it will be done in the background a while after. Does not park. */
void index_wanted(struct store_account *a);
void index_fiber(void *store);
/* Ends the fiber and closes all. */
void index_stop(struct store *s);
/* Before the account's folder goes. */
NODISCARD int index_remove(struct store_account *a);
void index_free(struct store_index **x);

/* Takes the lock with search.db open (made, or made anew); index_give() afterwards. ERR_IO and others: no index now. */
NODISCARD int index_take(struct store_account *a, struct store_index **out);
void index_give(struct store_index *x);
/* Its file is damaged: it goes, and everything is listed again. Under the lock. */
NODISCARD int index_rebuild(struct store_index *x);
/* Runs fn in a transaction on search.db on a worker. Under the lock. Damage is dealt with: ERR_CONFLICT tells that all
 * begins anew. */
NODISCARD int index_run(struct store_index *x, sql_fn *fn, void *arg, bool write, bool sync);

/* ---- filling: store_fill.c -------------------------------------------------------------------------------------- */

/* Indexes some of the messages that are listed as not indexed and have a number above *from, which moves on: of all of them (wanted
 * NULL), or of those among n ascending ones. *left: there may be more. */
NODISCARD int index_fill(struct store_account *a, const uint64_t *wanted, size_t n, uint64_t *from, bool *left);

/* ---- segments: store_segments.c (inside transactions) ------------------------------------------------------------ */

enum segment_state { SEGMENT_BUILDING, SEGMENT_READY, SEGMENT_DEAD };
#define SEGMENT_FAN 8u

struct segment {
	int64_t id, level, first_doc, docs;
	enum segment_state state;
};

/* One step of making (of `docs` documents), merging or removing segments. 1: there is more to do; 0: not now. The state between the steps of a merge lies in
 * the database. */
NODISCARD int segments_grow(struct sqltx *tx, size_t docs);
/* Texts one after another, each valid until the next. */
struct text_reader {
	struct buf text;
	size_t header_n; /* of it, the header */
	void *unpacker;  /* of the compressing library */
};
NODISCARD int text_reader_init(struct text_reader *r);
void text_reader_free(struct text_reader *r);
/* The text of an email: 1; 0: none. */
NODISCARD int text_load(struct sqltx *tx, struct text_reader *r, uint64_t email);
NODISCARD int segments_list(struct sqltx *tx, struct arena *a, struct segment **out, size_t *n);
/* The documents of a segment that have all these grams, as a bitmap of (docs + 63) / 64 words (`other` is as large). Those that have too many
 * grams to be listed are among them; *sure: there are none of those. */
NODISCARD int segment_candidates(struct sqltx *tx, const struct segment *s, const int64_t *grams, size_t n,
    uint64_t *bits, uint64_t *other, bool *sure);

#endif
