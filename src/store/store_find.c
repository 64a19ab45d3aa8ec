/* store_find.c: which messages of a view have which strings. What is not indexed yet is indexed first, so that one way of
 * looking remains: the index tells which texts may have a string (all of them, when it is too short), and each of those
 * is looked at. */
#include "store/store_index.h"

#include "message/fold.h"
#include "store/store_grams.h"
#include "store/store_text.h"

/* Grams of a string that the index is asked for; more of a long one say little new. */
#define GRAMS_MAX 24
/* Texts looked at before others of the account get their turn. */
#define STEP_TEXTS 2048
#define TRIES 3

struct key {
	enum store_text_scope scope;
	struct slice field, text; /* folded; in the arena */
	int64_t grams[GRAMS_MAX];
	size_t grams_n;
	uint64_t *hits; /* bits by place in emails[] */
	bool exact;     /* a list of the one gram is the answer */
};

struct store_found {
	struct arena mem;
	size_t n;         /* messages of the view when it was asked */
	uint32_t *uids;   /* ascending */
	uint32_t *places; /* of each in emails[]; NULL: the same */
	uint64_t *emails; /* ascending, each once */
	size_t emails_n;
	struct key *keys;
	size_t keys_n;
	size_t last; /* where the last UID was found */
};

/* ---- what is asked --------------------------------------------------------------------------------------------- */

static void
note_gram(void *arg, int64_t gram)
{
	struct key *k = arg;

	if (k->grams_n < GRAMS_MAX)
		k->grams[k->grams_n++] = gram;
}

static int
add_key(struct store_found *f, const struct store_text_key *from, struct key *k)
{
	struct buf BUF_CLEANUP field;

	buf_init(&field, from->field.n * 32 + 64);
	text_fold(from->field, &field);
	k->scope = from->scope;
	k->field = arena_copy(&f->mem, buf_slice(&field));
	k->text = arena_copy(&f->mem, from->text);
	k->hits = ARENA_ARRAY(&f->mem, uint64_t, f->emails_n / 64 + 1);
	grams_each(k->text, note_gram, k);
	k->exact = k->scope == STORE_SCOPE_TEXT && k->grams_n == 1;
	buf_put(&field, SLICE(": "));
	if (k->scope == STORE_SCOPE_FIELD)
		grams_each(buf_slice(&field), note_gram, k);
	return field.err != 0 ? field.err : arena_failed(&f->mem) ? ERR_LIMIT : 0;
}

struct by_email {
	uint64_t email;
	uint32_t at;
};

static int
compare_emails(const void *x, const void *y)
{
	const struct by_email *a = x, *b = y;

	return a->email < b->email ? -1 : a->email > b->email;
}

/* Emails in order, where the mailbox has them in another or one twice. */
static int
sort_emails(struct store_found *f)
{
	struct by_email *v = malloc((f->n + 1) * sizeof(*v));
	size_t to = 0;

	if (v == NULL || (f->places = ARENA_ARRAY(&f->mem, uint32_t, f->n + 1)) == NULL) {
		free(v);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < f->n; i++)
		v[i] = (struct by_email){f->emails[i], (uint32_t)i};
	qsort(v, f->n, sizeof(*v), compare_emails);
	for (size_t i = 0; i < f->n; i++) {
		if (i == 0 || v[i].email != v[i - 1].email)
			f->emails[to++] = v[i].email;
		f->places[v[i].at] = (uint32_t)(to - 1);
	}
	f->emails_n = to;
	free(v);
	return 0;
}

/* The messages of the view as they are now, those asked for. */
static int
note_messages(struct store_found *f, const struct store_box *b, const uint32_t *uids, size_t uids_n)
{
	size_t at = 0;
	bool sorted = true;

	f->uids = ARENA_ARRAY(&f->mem, uint32_t, b->n + 1);
	f->emails = ARENA_ARRAY(&f->mem, uint64_t, b->n + 1);
	if (f->uids == NULL || f->emails == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < b->n; i++) {
		while (uids != NULL && at < uids_n && uids[at] < b->v[i].uid)
			at++;
		if (b->v[i].dead != 0 || (uids != NULL && (at == uids_n || uids[at] != b->v[i].uid)))
			continue;
		sorted = sorted && (f->n == 0 || f->emails[f->n - 1] < b->v[i].email);
		f->uids[f->n] = b->v[i].uid;
		f->emails[f->n++] = b->v[i].email;
	}
	f->emails_n = f->n;
	return sorted ? 0 : sort_emails(f);
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

struct looking {
	struct store_found *f;
	struct key *k;
	bool asked;      /* the index has been, and `maybe` is set */
	uint64_t *maybe; /* bits by place in emails[]: to be looked at */
	uint64_t *into;  /* maybe, or the key's hits */
	size_t at;       /* places below have been */
	struct sqltx *tx;
	struct text_reader *r;
	size_t place; /* near the last document's */
};

static bool
find_place(struct looking *g, uint64_t email)
{
	const uint64_t *v = g->f->emails;
	size_t low = 0, high = g->f->emails_n;

	/* Mostly the one behind the last. */
	if (g->place + 1 < high && v[g->place + 1] == email) {
		g->place++;
		return true;
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v[mid] < email)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == g->f->emails_n || v[low] != email)
		return false;
	g->place = low;
	return true;
}

static void
set_maybe(struct looking *g, uint64_t email)
{
	if (find_place(g, email))
		g->into[g->place / 64] |= (uint64_t)1 << (g->place % 64);
}

/* Documents first_doc … of which bits tell, or all from there on. */
static int
maybe_docs(struct looking *g, int64_t first_doc, size_t n, const uint64_t *bits)
{
	size_t many = 0;
	int err = 0;

	for (size_t i = 0; bits != NULL && i < (n + 63) / 64; i++)
		many += (size_t)__builtin_popcountll(bits[i]);
	if (bits == NULL || many > n / 8) {
		struct sql_rows SQL_ROWS_CLEANUP q = {0};

		err = SQL_QUERY(
		    g->tx, &q, &search_sql_doc_from, SQLI(first_doc), SQLI(bits == NULL ? INT64_MAX : (int64_t)n));
		while (err == 0 && (err = sql_next(&q)) == 1) {
			size_t i = (size_t)(sql_col_int(&q, 0) - first_doc);

			err = 0;
			if (bits == NULL || (i < n && (bits[i / 64] >> (i % 64) & 1) != 0))
				set_maybe(g, (uint64_t)sql_col_int(&q, 1));
		}
		return err;
	}
	for (size_t w = 0; w < (n + 63) / 64; w++)
		for (uint64_t left = bits[w]; left != 0 && err == 0; left &= left - 1) {
			struct sql_rows SQL_ROWS_CLEANUP q = {0};
			int64_t doc = first_doc + (int64_t)(w * 64 + (size_t)__builtin_ctzll(left));

			if ((err = SQL_QUERY(g->tx, &q, &search_sql_doc_get, SQLI(doc))) == 0 &&
			    (err = sql_next(&q)) == 1) {
				set_maybe(g, (uint64_t)sql_col_int(&q, 0));
				err = 0;
			}
		}
	return err;
}

static int
ask_segment(struct looking *g, const struct segment *s)
{
	size_t words = ((size_t)s->docs + 63) / 64;
	uint64_t *bits = malloc(words * 2 * sizeof(*bits));
	bool sure;
	int err;

	if (bits == NULL)
		return ERR_NOMEM;
	g->into = g->maybe;
	if ((err = segment_candidates(g->tx, s, g->k->grams, g->k->grams_n, bits, bits + words, &sure)) == 0) {
		if (sure && g->k->exact)
			g->into = g->k->hits;
		err = maybe_docs(g, s->first_doc, (size_t)s->docs, bits);
		g->into = g->maybe;
	}
	free(bits);
	return err;
}

/* Fills `maybe` for the key. */
static int
ask_index(struct looking *g)
{
	struct arena ARENA_CLEANUP mem;
	struct segment *v;
	size_t n, words = g->f->emails_n / 64 + 1;
	int64_t covered = 0;
	int err;

	memset(g->maybe, g->k->grams_n == 0 ? 0xff : 0, words * sizeof(*g->maybe));
	if (g->k->grams_n == 0)
		return 0;
	arena_init(&mem, 64u << 20);
	err = segments_list(g->tx, &mem, &v, &n);
	for (size_t i = 0; i < n && err == 0; i++) {
		if (v[i].state != SEGMENT_READY)
			continue;
		err = ask_segment(g, &v[i]);
		if (v[i].first_doc + v[i].docs > covered)
			covered = v[i].first_doc + v[i].docs;
	}
	return err != 0 ? err : maybe_docs(g, covered, 0, NULL);
}

static bool
has(const struct key *k, struct slice text, size_t header_n)
{
	struct slice header = slice_head(text, header_n), body = slice_from(text, header_n);

	switch (k->scope) {
	case STORE_SCOPE_FIELD: return text_field_has(header, k->field, k->text);
	case STORE_SCOPE_BODY: return text_has(body, k->text);
	default: return text_has(header, k->text) || text_has(body, k->text);
	}
}

/* One step of a key: some texts. */
static int
look_tx(struct sqltx *tx, void *arg)
{
	struct looking *g = arg;
	int err = 0;

	g->tx = tx;
	g->into = g->maybe;
	if (!g->asked && (err = ask_index(g)) != 0)
		return err;
	g->asked = true;
	for (size_t looked = 0; g->at < g->f->emails_n && looked < STEP_TEXTS; g->at++) {
		if (g->maybe[g->at / 64] == 0) {
			g->at |= 63;
			continue;
		}
		if ((g->maybe[g->at / 64] >> (g->at % 64) & 1) == 0)
			continue;
		looked++;
		if ((err = text_load(tx, g->r, g->f->emails[g->at])) < 0)
			return err;
		if (err == 1 && has(g->k, buf_slice(&g->r->text), g->r->header_n))
			g->k->hits[g->at / 64] |= (uint64_t)1 << (g->at % 64);
	}
	return 0;
}

static int
look_for(struct store_found *f, struct key *k, struct store_index *x, struct text_reader *r, uint64_t *maybe)
{
	struct looking g = {.f = f, .k = k, .r = r, .maybe = maybe};
	int err = 0;

	memset(k->hits, 0, (f->emails_n / 64 + 1) * sizeof(*k->hits));
	while (err == 0 && (!g.asked || g.at < f->emails_n))
		err = index_run(x, look_tx, &g, false, false);
	return err;
}

/* Everything asked for is indexed, then looked for. ERR_CONFLICT: the index was made anew meanwhile. */
static int
find_once(struct store_account *a, struct store_found *f)
{
	struct store_index *x;
	uint64_t from = 0, *maybe = malloc((f->emails_n / 64 + 1) * sizeof(*maybe));
	struct text_reader r;
	bool left = true;
	int err = text_reader_init(&r);

	if (maybe == NULL)
		err = ERR_NOMEM;

	while (left && err == 0)
		err = index_fill(a, f->emails, f->emails_n, &from, &left);
	if (err == 0 && (err = index_take(a, &x)) == 0) {
		for (size_t i = 0; i < f->keys_n && err == 0; i++)
			err = look_for(f, &f->keys[i], x, &r, maybe);
		index_give(x);
	}
	text_reader_free(&r);
	free(maybe);
	return err;
}

int
store_find_text(struct store_view *v, const uint32_t *uids, size_t uids_n, const struct store_text_key *keys, size_t n,
    struct store_found **out)
{
	struct store_found *f = calloc(1, sizeof(*f));
	struct store_account *a = v->box->account;
	int err;

	*out = NULL;
	if (f == NULL)
		return ERR_NOMEM;
	/* UIDs, emails, places, and a bit for each message and key. */
	arena_init(&f->mem, (v->box->n + 64) * (16 + n / 8 + 1) + n * (sizeof(struct key) + 256) + (4u << 20));
	err = v->box->gone ? ERR_NOTFOUND : note_messages(f, v->box, uids, uids_n);
	if (err == 0 && (f->keys = ARENA_ARRAY(&f->mem, struct key, n + 1)) == NULL)
		err = ERR_LIMIT;
	for (; f->keys_n < n && err == 0; f->keys_n++)
		err = add_key(f, &keys[f->keys_n], &f->keys[f->keys_n]);
	for (int tries = 0; err == 0 && tries < TRIES; tries++)
		if ((err = find_once(a, f)) != ERR_CONFLICT)
			break;
		else if (tries + 1 < TRIES)
			err = 0;
	if (err != 0) {
		store_found_free(&f);
		return err == ERR_CONFLICT ? ERR_UNAVAILABLE : err;
	}
	*out = f;
	return 0;
}

/* The place of the first UID of at least `uid`. */
static size_t
find_uid(struct store_found *f, uint32_t uid)
{
	size_t low = 0, high = f->n;

	/* Mostly the last one, or the next. */
	if (f->last < f->n && f->uids[f->last] <= uid) {
		low = f->last;
		if (f->uids[low] == uid || low + 1 == f->n || f->uids[low + 1] >= uid)
			high = f->uids[low] == uid ? low : low + 1;
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->uids[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	f->last = low < f->n ? low : f->last;
	return low;
}

static bool
hit_at(const struct store_found *f, size_t key, size_t at)
{
	size_t place = f->places == NULL ? at : f->places[at];

	return (f->keys[key].hits[place / 64] >> (place % 64) & 1) != 0;
}

bool
store_found_has(struct store_found *f, size_t key, uint32_t uid)
{
	size_t at = find_uid(f, uid);

	ASSERT(key < f->keys_n);
	return at < f->n && f->uids[at] == uid && hit_at(f, key, at);
}

uint32_t
store_found_next(struct store_found *f, size_t key, uint32_t uid)
{
	size_t at = find_uid(f, uid);

	ASSERT(key < f->keys_n);
	for (; at < f->n; at++) {
		if (f->places == NULL && at % 64 == 0 && f->keys[key].hits[at / 64] == 0) {
			at += 63;
			continue;
		}
		if (hit_at(f, key, at)) {
			f->last = at;
			return f->uids[at];
		}
	}
	return 0;
}

void
store_found_free(struct store_found **fp)
{
	struct store_found *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	arena_free(&f->mem);
	free(f);
}
