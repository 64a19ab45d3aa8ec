/* store_segments.c: the lists of grams. Documents are indexed in runs of limits.search_segment: a segment. When SEGMENT_FAN segments of a level lie side by
 * side, they are merged to one of the next level, so that a million documents are a few dozen segments, and each
 * list is written a few times only. The latest documents, fewer than a segment, have no lists: their texts are looked
 * through.
 *
 * A segment is a sequence of blocks: entries of ascending grams, each a varint of the difference to the gram before (to the
 * block's key, for the first), a varint of the list's length, and the list (store_grams.h). */
#include "store/store_grams.h"
#include "store/store_index.h"

#include "base/cursor.h"

#include <zstd.h>

#define BLOCK_BYTES 3900u /* fills a page of the file */
#define LIST_BYTES_MAX (64u << 20)
/* A run ends early, and a document is listed as wide, rather than use more memory. */
#define PAIRS_MAX (1u << 20)
#define WIDE_GRAMS (PAIRS_MAX / 8)
/* What a step of a merge writes: some 20 milliseconds. */
#define STEP_BYTES (4u << 20)
#define TEXT_BYTES_MAX (1u << 30)
#define ASCII_GRAMS (1u << 21)

/* ---- texts -------------------------------------------------------------------------------------------------- */

int
text_reader_init(struct text_reader *r)
{
	*r = (struct text_reader){.unpacker = ZSTD_createDCtx()};
	buf_init(&r->text, TEXT_BYTES_MAX);
	return r->unpacker == NULL ? ERR_NOMEM : 0;
}

void
text_reader_free(struct text_reader *r)
{
	buf_free(&r->text);
	(void)ZSTD_freeDCtx(r->unpacker);
	r->unpacker = NULL;
}

int
text_load(struct sqltx *tx, struct text_reader *r, uint64_t email)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int64_t header, whole;
	uint8_t *to;
	struct slice z;
	int err = SQL_QUERY(tx, &q, &search_sql_text_get, SQLI(email));

	if (err != 0 || (err = sql_next(&q)) <= 0)
		return err;
	header = sql_col_int(&q, 0);
	whole = sql_col_int(&q, 1);
	z = sql_col_bytes(&q, 2);
	if (whole < 0 || whole > TEXT_BYTES_MAX || header < 0 || header > whole)
		return ERR_DAMAGED;
	buf_truncate(&r->text, 0);
	if ((to = buf_reserve(&r->text, (size_t)whole + 1)) == NULL)
		return r->text.err;
	if (ZSTD_decompressDCtx(r->unpacker, to, (size_t)whole, z.p, z.n) != (size_t)whole)
		return ERR_DAMAGED;
	buf_added(&r->text, (size_t)whole);
	r->header_n = (size_t)header;
	return 1;
}

/* The one number of a question without parameters. */
static int
number_of(struct sqltx *tx, const struct sql_text *t, int64_t *out)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = sql_query(tx, &q, t, NULL, 0);

	if (err != 0 || (err = sql_next(&q)) != 1)
		return err == 0 ? ERR_DAMAGED : err;
	*out = sql_col_int(&q, 0);
	return 0;
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

static void
put_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(out, (uint8_t)(v | 0x80));
	buf_put_u8(out, (uint8_t)v);
}

static uint64_t
get_varint(struct cursor *c)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		b = cursor_u8(c);
		v |= (uint64_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0)
			return v;
	}
	cursor_fail(c, ERR_SYNTAX);
	return 0;
}

struct block_writer {
	struct sqltx *tx;
	int64_t segment, block, first, last;
	struct buf b;
	size_t written;
};

static int
block_flush(struct block_writer *w)
{
	int err = w->b.err;

	if (err == 0 && w->b.n > 0)
		err = SQL_EXEC(w->tx, &search_sql_block_insert, SQLI(w->block++), SQLI(w->segment), SQLI(w->first),
		    SQLB(buf_slice(&w->b)));
	w->written += w->b.n;
	buf_reset(&w->b);
	return err;
}

static int
block_put(struct block_writer *w, int64_t gram, struct slice list)
{
	int err = w->b.n > 0 && w->b.n + list.n > BLOCK_BYTES ? block_flush(w) : 0;

	if (w->b.n == 0)
		w->first = w->last = gram;
	put_varint(&w->b, (uint64_t)gram - (uint64_t)w->last);
	put_varint(&w->b, list.n);
	buf_put(&w->b, list);
	w->last = gram;
	return err != 0 ? err : w->b.err;
}

/* The next entry of a block. */
static bool
block_next(struct cursor *c, int64_t *gram, struct slice *list)
{
	if (cursor_end(c))
		return false;
	*gram = (int64_t)((uint64_t)*gram + get_varint(c));
	*list = cursor_take(c, (size_t)get_varint(c));
	return c->err == 0;
}

/* ---- a segment of fresh documents --------------------------------------------------------------------------- */

struct builder {
	struct gram_pair *pairs;
	size_t n, from; /* from: the first of this document */
	uint32_t *seen; /* by ASCII gram: 1 + the last document that had it */
	uint32_t doc;
	size_t others; /* of this document, grams that are not ASCII: counted more than once */
	bool wide;
};

static void
add_gram(void *arg, int64_t gram)
{
	struct builder *b = arg;

	if (b->wide)
		return;
	if (gram >= 0 && gram < ASCII_GRAMS) {
		if (b->seen[gram] == b->doc + 1)
			return;
		b->seen[gram] = b->doc + 1;
	}
	if (b->n - b->from >= WIDE_GRAMS) {
		b->n = b->from;
		b->wide = true;
		return;
	}
	b->pairs[b->n++] = (struct gram_pair){gram, b->doc};
}

/* Writes the pairs as a segment's blocks. */
static int
write_pairs(struct sqltx *tx, int64_t segment, struct builder *b, size_t docs)
{
	struct block_writer w = {.tx = tx, .segment = segment};
	struct buf BUF_CLEANUP list;
	uint32_t *v = malloc(docs * sizeof(*v));
	int err = v == NULL ? ERR_NOMEM : 0;

	buf_init(&w.b, LIST_BYTES_MAX);
	buf_init(&list, LIST_BYTES_MAX);
	gram_pairs_sort(b->pairs, b->n);
	if (err == 0)
		err = number_of(tx, &search_sql_block_next, &w.block);
	for (size_t i = 0; i < b->n && err == 0;) {
		int64_t gram = b->pairs[i].gram;
		size_t n = 0;

		for (; i < b->n && b->pairs[i].gram == gram; i++)
			if (n == 0 || v[n - 1] != b->pairs[i].doc)
				v[n++] = b->pairs[i].doc;
		buf_reset(&list);
		gram_list_put(&list, v, n, docs);
		err = list.err != 0 ? list.err : block_put(&w, gram, buf_slice(&list));
	}
	if (err == 0)
		err = block_flush(&w);
	buf_free(&w.b);
	free(v);
	return err;
}

/* Reads documents first_doc … until there are enough; *docs: how many. */
static int
collect(struct sqltx *tx, struct builder *b, struct text_reader *r, int64_t first_doc, size_t max, size_t *docs)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &search_sql_doc_from, SQLI(first_doc), SQLI(max));

	*docs = 0;
	while (err == 0 && b->n + WIDE_GRAMS < PAIRS_MAX && (err = sql_next(&q)) == 1) {
		if (sql_col_int(&q, 0) != first_doc + (int64_t)*docs)
			return ERR_DAMAGED;
		b->doc = (uint32_t)*docs;
		b->from = b->n;
		b->wide = false;
		if ((err = text_load(tx, r, (uint64_t)sql_col_int(&q, 1))) < 0)
			return err;
		if (err == 1)
			grams_each(buf_slice(&r->text), add_gram, b);
		if (b->wide)
			b->pairs[b->n++] = (struct gram_pair){GRAM_WIDE, b->doc};
		err = 0;
		++*docs;
	}
	return err < 0 ? err : 0;
}

static int
build(struct sqltx *tx, int64_t first_doc, size_t max)
{
	struct builder b = {
	    .pairs = malloc((PAIRS_MAX + 1) * sizeof(*b.pairs)), .seen = calloc(ASCII_GRAMS, sizeof(*b.seen))};
	int64_t id = 0;
	size_t docs = 0;
	struct text_reader r;
	int err = text_reader_init(&r);

	if (b.pairs == NULL || b.seen == NULL)
		err = ERR_NOMEM;
	if (err == 0)
		err = collect(tx, &b, &r, first_doc, max, &docs);
	text_reader_free(&r);
	free(b.seen);
	if (err == 0)
		err = number_of(tx, &search_sql_segment_next, &id);
	if (err == 0)
		err = write_pairs(tx, id, &b, docs);
	if (err == 0)
		err = SQL_EXEC(tx, &search_sql_segment_insert, SQLI(id), SQLI(0), SQLI(first_doc), SQLI(docs),
		    SQLI(SEGMENT_READY));
	free(b.pairs);
	return err == 0 ? 1 : err;
}

/* ---- merging ------------------------------------------------------------------------------------------------- */

/* One of the segments that are merged. */
struct source {
	struct segment s;
	struct sql_rows rows;
	struct cursor block;
	int64_t gram;
	struct slice list;
	bool ended;
};

/* Moves on to the next entry. */
static int
source_next(struct source *s)
{
	int err;

	while (!block_next(&s->block, &s->gram, &s->list)) {
		if (s->block.err != 0)
			return ERR_DAMAGED;
		if ((err = sql_next(&s->rows)) < 0)
			return err;
		if (err == 0) {
			s->ended = true;
			return 0;
		}
		s->gram = sql_col_int(&s->rows, 0);
		s->block = cursor_of(sql_col_bytes(&s->rows, 1));
	}
	return 0;
}

struct numbers {
	uint32_t *v;
	size_t n, max;
};

static void
add_number(void *arg, uint32_t doc)
{
	struct numbers *a = arg;

	if (a->n < a->max)
		a->v[a->n++] = doc;
}

/* The smallest gram that a source stands at; false at the end of all. */
static bool
smallest(const struct source *v, size_t n, int64_t *gram)
{
	bool any = false;

	for (size_t i = 0; i < n; i++)
		if (!v[i].ended && (!any || v[i].gram < *gram)) {
			*gram = v[i].gram;
			any = true;
		}
	return any;
}

static int
merge_gram(struct source *v, size_t n, int64_t gram, size_t docs, struct numbers *all, struct block_writer *w,
    struct buf *list)
{
	int err = 0;

	all->n = 0;
	for (size_t i = 0; i < n && err == 0; i++) {
		if (v[i].ended || v[i].gram != gram)
			continue;
		if (!gram_list_each(v[i].list, (size_t)v[i].s.docs, (uint32_t)(v[i].s.first_doc - v[0].s.first_doc),
			add_number, all))
			return ERR_DAMAGED;
		err = source_next(&v[i]);
	}
	buf_reset(list);
	gram_list_put(list, all->v, all->n, docs);
	if (err == 0)
		err = list->err;
	return err != 0 ? err : block_put(w, gram, buf_slice(list));
}

/* Merges from behind `after` on until a step's worth is written. 1: all is done. */
static int
merge_some(struct source *v, size_t n, size_t docs, int64_t after, struct block_writer *w)
{
	struct numbers all = {.v = malloc(docs * sizeof(*all.v)), .max = docs};
	struct buf BUF_CLEANUP list;
	int64_t gram = 0;
	int err = all.v == NULL ? ERR_NOMEM : 0;

	buf_init(&list, LIST_BYTES_MAX);
	for (size_t i = 0; i < n && err == 0; i++) {
		err = SQL_QUERY(w->tx, &v[i].rows, &search_sql_block_from, SQLI(v[i].s.id), SQLI(after));
		if (err == 0)
			err = source_next(&v[i]);
		while (err == 0 && !v[i].ended && v[i].gram <= after)
			err = source_next(&v[i]);
	}
	while (err == 0 && w->written < STEP_BYTES && smallest(v, n, &gram))
		err = merge_gram(v, n, gram, docs, &all, w, &list);
	if (err == 0)
		err = block_flush(w);
	if (err == 0 && !smallest(v, n, &gram))
		err = 1;
	for (size_t i = 0; i < n; i++)
		sql_done(&v[i].rows);
	free(all.v);
	return err;
}

/* The last gram that the segment has: where its merge goes on. */
static int
last_gram(struct sqltx *tx, int64_t segment, int64_t *out)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int64_t gram;
	struct slice list;
	struct cursor c;
	int err = SQL_QUERY(tx, &q, &search_sql_block_get, SQLI(segment), SQLI(INT64_MAX));

	*out = INT64_MIN;
	if (err != 0 || (err = sql_next(&q)) <= 0)
		return err;
	gram = sql_col_int(&q, 0);
	c = cursor_of(sql_col_bytes(&q, 1));
	while (block_next(&c, &gram, &list))
		*out = gram;
	return c.err != 0 ? ERR_DAMAGED : 0;
}

/* One step of merging v[0..n-1] into the segment `target`, which exists. */
static int
merge_step(struct sqltx *tx, const struct segment *v, size_t n, const struct segment *target)
{
	struct source sources[SEGMENT_FAN] = {0};
	struct block_writer w = {.tx = tx, .segment = target->id};
	int64_t after;
	int err = last_gram(tx, target->id, &after);

	if (err == 0)
		err = number_of(tx, &search_sql_block_next, &w.block);

	buf_init(&w.b, LIST_BYTES_MAX);
	for (size_t i = 0; i < n; i++)
		sources[i].s = v[i];
	if (err == 0)
		err = merge_some(sources, n, (size_t)target->docs, after, &w);
	buf_free(&w.b);
	if (err != 1)
		return err == 0 ? 1 : err;
	err = SQL_EXEC(tx, &search_sql_segment_state, SQLI(target->id), SQLI(SEGMENT_READY));
	for (size_t i = 0; i < n && err == 0; i++)
		err = SQL_EXEC(tx, &search_sql_segment_state, SQLI(v[i].id), SQLI(SEGMENT_DEAD));
	return err == 0 ? 1 : err;
}

/* ---- what is next ----------------------------------------------------------------------------------------------- */

int
segments_list(struct sqltx *tx, struct arena *a, struct segment **out, size_t *n)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	size_t cap = 0;
	int err = sql_query(tx, &q, &search_sql_segment_list, NULL, 0);

	*out = NULL;
	*n = 0;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct segment *v = arena_grow(a, *out, *n, &cap, sizeof(*v), 1u << 20);

		if (v == NULL)
			return ERR_LIMIT;
		*out = v;
		v += (*n)++;
		*v = (struct segment){sql_col_int(&q, 0), sql_col_int(&q, 1), sql_col_int(&q, 2), sql_col_int(&q, 3),
		    (enum segment_state)sql_col_int(&q, 4)};
		if (v->docs <= 0 || v->docs > UINT32_MAX || v->first_doc < 0)
			return ERR_DAMAGED;
		err = 0;
	}
	return err;
}

static int
drop_segment(struct sqltx *tx, const struct segment *s)
{
	int err = SQL_EXEC(tx, &search_sql_blocks_delete, SQLI(s->id));

	if (err == 0)
		err = SQL_EXEC(tx, &search_sql_segment_delete, SQLI(s->id));
	return err == 0 ? 1 : err;
}

/* Ready segments in order of documents into v[]; SEGMENT_FAN neighbours of one level: their first place, or SIZE_MAX. */
static size_t
find_neighbours(struct segment *v, size_t *n)
{
	size_t to = 0, run = 0;

	for (size_t i = 0; i < *n; i++)
		if (v[i].state == SEGMENT_READY)
			v[to++] = v[i];
	*n = to;
	for (size_t i = 0; i < to; i++) {
		run = i > 0 && v[i].level == v[i - 1].level ? run + 1 : 1;
		if (run == SEGMENT_FAN)
			return i + 1 - SEGMENT_FAN;
	}
	return SIZE_MAX;
}

static int
start_merge(struct sqltx *tx, const struct segment *v)
{
	struct segment t = {.level = v->level + 1, .first_doc = v->first_doc};
	int err = number_of(tx, &search_sql_segment_next, &t.id);

	for (size_t i = 0; i < SEGMENT_FAN; i++)
		t.docs += v[i].docs;
	if (err == 0)
		err = SQL_EXEC(tx, &search_sql_segment_insert, SQLI(t.id), SQLI(t.level), SQLI(t.first_doc),
		    SQLI(t.docs), SQLI(SEGMENT_BUILDING));
	return err == 0 ? 1 : err;
}

int
segments_grow(struct sqltx *tx, size_t max)
{
	struct arena ARENA_CLEANUP mem;
	struct segment *v, building = {0};
	size_t n, at;
	int64_t covered = 0, docs = 0;
	int err;

	arena_init(&mem, 64u << 20);
	if ((err = segments_list(tx, &mem, &v, &n)) != 0)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (v[i].state == SEGMENT_DEAD)
			return drop_segment(tx, &v[i]);
		if (v[i].state == SEGMENT_BUILDING)
			building = v[i];
	}
	at = find_neighbours(v, &n);
	if (building.id != 0) {
		if (at == SIZE_MAX || v[at].first_doc != building.first_doc || v[at].level + 1 != building.level)
			return drop_segment(tx, &building);
		return merge_step(tx, v + at, SEGMENT_FAN, &building);
	}
	if (at != SIZE_MAX)
		return start_merge(tx, v + at);
	if ((err = number_of(tx, &search_sql_covered, &covered)) != 0 ||
	    (err = number_of(tx, &search_sql_doc_next, &docs)) != 0)
		return err;
	return docs - covered >= (int64_t)max ? build(tx, covered, max) : 0;
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

/* The list of a gram: 1, or 0 without one. It lies in the open query. */
static int
find_list(struct sqltx *tx, struct sql_rows *q, int64_t segment, int64_t gram, struct slice *list)
{
	struct cursor c;
	int64_t at;
	int err = SQL_QUERY(tx, q, &search_sql_block_get, SQLI(segment), SQLI(gram));

	if (err != 0 || (err = sql_next(q)) <= 0)
		return err;
	at = sql_col_int(q, 0);
	c = cursor_of(sql_col_bytes(q, 1));
	while (block_next(&c, &at, list))
		if (at == gram)
			return 1;
	return c.err != 0 ? ERR_DAMAGED : 0;
}

static void
set_bit(void *arg, uint32_t doc)
{
	uint64_t *bits = arg;

	bits[doc / 64] |= (uint64_t)1 << (doc % 64);
}

int
segment_candidates(struct sqltx *tx, const struct segment *s, const int64_t *grams, size_t n, uint64_t *bits,
    uint64_t *other, bool *sure)
{
	size_t docs = (size_t)s->docs, words = (docs + 63) / 64;
	struct slice list = SLICE_EMPTY;
	int err = 1;

	*sure = true;
	for (size_t i = 0; i < words; i++)
		bits[i] = i + 1 < words || docs % 64 == 0 ? UINT64_MAX : ((uint64_t)1 << (docs % 64)) - 1;
	for (size_t i = 0; i < n && err == 1; i++) {
		struct sql_rows SQL_ROWS_CLEANUP q = {0};

		if ((err = find_list(tx, &q, s->id, grams[i], &list)) == 1 && !gram_list_and(list, docs, bits, other))
			err = ERR_DAMAGED;
	}
	if (err < 0)
		return err;
	if (err == 0)
		memset(bits, 0, words * sizeof(*bits));
	if (n > 0) {
		struct sql_rows SQL_ROWS_CLEANUP q = {0};

		if ((err = find_list(tx, &q, s->id, GRAM_WIDE, &list)) == 1) {
			*sure = false;
			if (!gram_list_each(list, docs, 0, set_bit, bits))
				err = ERR_DAMAGED;
		}
	}
	return err < 0 ? err : 0;
}
