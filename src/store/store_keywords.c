/* store_keywords.c: keywords. The account has one dictionary (name ↔ small number), kept for good; a message has a set
 * of numbers. In memory equal sets are one object with a count of the messages that have it, and a message holds
 * its 32-bit handle. All of it is loaded when a mailbox is selected and lives as long as the account in memory. */
#include "store/store_private.h"

bool
store_keyword_valid(const struct limits *l, struct slice k)
{
	if (k.n == 0 || k.n > (size_t)l->keyword_bytes)
		return false;
	for (size_t i = 0; i < k.n; i++) {
		uint8_t c = slice_at(k, i);

		if (c <= ' ' || c >= 0x7f || memchr("(){%*\"\\]", c, 8) != NULL)
			return false;
	}
	return true;
}

/* ---- the dictionary ------------------------------------------------------------------------------------- */

void
keywords_free(struct store_keywords **kp)
{
	struct store_keywords *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->names_n; i++)
		free(k->names[i]);
	for (size_t i = 0; i < k->sets_n; i++)
		free(k->sets[i]);
	free(k->names);
	free(k->sets);
	map_free(&k->by_content);
	free(k);
}

int
keywords_find(const struct store_keywords *k, struct slice name)
{
	for (size_t i = 0; k != NULL && i < k->names_n; i++)
		if (slice_ieq(slice_z(k->names[i]), name))
			return (int)i;
	return -1;
}

static int
append_name(struct store_keywords *k, struct slice name)
{
	char *z;

	if (k->names_n == k->names_cap) {
		size_t cap = k->names_cap == 0 ? 8 : k->names_cap * 2;
		char **v = realloc(k->names, cap * sizeof(*v));

		if (v == NULL)
			return ERR_NOMEM;
		k->names = v;
		k->names_cap = cap;
	}
	if ((z = malloc(name.n + 1)) == NULL)
		return ERR_NOMEM;
	memcpy(z, name.p, name.n);
	z[name.n] = '\0';
	k->names[k->names_n++] = z;
	return 0;
}

int
keywords_read(struct sqltx *tx, struct store_account *a, struct store_keywords **out)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	struct store_keywords *k = calloc(1, sizeof(*k));
	int err;

	*out = NULL;
	if (k == NULL)
		return ERR_NOMEM;
	map_init(&k->by_content, 1u << 24, house_random_u64(a->store->house));
	err = SQL_QUERY(tx, &q, &store_sql_keyword_list, ACC(a));
	while (err == 0 && (err = sql_next(&q)) == 1)
		err = sql_col_int(&q, 0) != (int64_t)k->names_n || sql_col_bytes(&q, 1).n == 0
		    ? ERR_DAMAGED
		    : append_name(k, sql_col_bytes(&q, 1));
	if (err != 0)
		keywords_free(&k);
	*out = k;
	return err;
}

struct load_op {
	struct store_account *a;
	struct store_keywords *k;
};

static int
load_prepare(void *arg)
{
	struct load_op *o = arg;

	return o->a->keywords != NULL;
}

static int
load_tx(struct sqltx *tx, void *arg)
{
	struct load_op *o = arg;

	keywords_free(&o->k);
	return keywords_read(tx, o->a, &o->k);
}

static void
load_finish(void *arg, int err)
{
	struct load_op *o = arg;

	if (err == 0)
		o->a->keywords = o->k;
	else
		keywords_free(&o->k);
}

int
keywords_load(struct store_account *a)
{
	struct load_op o = {.a = a};
	struct store_op op = {.prepare = load_prepare, .tx = load_tx, .finish = load_finish, .arg = &o, .apart = true};

	return a->keywords != NULL ? 0 : store_run(a, &op);
}

int
keywords_add(struct store_account *a, struct slice name, uint16_t *id)
{
	struct store_keywords *k = a->keywords;
	int at = keywords_find(k, name), err;

	if (at < 0) {
		if (!store_keyword_valid(&a->store->house->limits, name))
			return ERR_INVALID;
		if (k->names_n >= (size_t)a->store->house->limits.mailbox_keywords || k->names_n >= UINT16_MAX)
			return ERR_LIMIT;
		if ((err = append_name(k, name)) != 0)
			return err;
		at = (int)k->names_n - 1;
	}
	*id = (uint16_t)at;
	return 0;
}

int
keywords_save(struct sqltx *tx, struct store_account *a, size_t from)
{
	int err = 0;

	for (size_t i = from; a->keywords != NULL && i < a->keywords->names_n && err == 0; i++)
		err = SQL_EXEC(tx, &store_sql_keyword_insert, ACC(a), SQLI(i), SQLT(slice_z(a->keywords->names[i])));
	return err;
}

void
keywords_forget_from(struct store_keywords *k, size_t from)
{
	while (k != NULL && k->names_n > from)
		free(k->names[--k->names_n]);
}

static int
compare_ids(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

int
keywords_ids(struct store_account *a, struct slice_list names, bool add, uint16_t *out, size_t *n)
{
	size_t unique = 0;
	int err;

	*n = 0;
	for (size_t i = 0; i < names.n; i++) {
		int at = keywords_find(a->keywords, names.v[i]);

		if (at >= 0)
			out[*n] = (uint16_t)at;
		else if (!add)
			continue;
		else if ((err = keywords_add(a, names.v[i], &out[*n])) != 0)
			return err;
		++*n;
	}
	if (*n == 0)
		return 0;
	qsort(out, *n, sizeof(*out), compare_ids);
	for (size_t i = 0; i < *n; i++)
		if (i == 0 || out[i] != out[unique - 1])
			out[unique++] = out[i];
	*n = unique;
	return 0;
}

/* ---- sets -------------------------------------------------------------------------------------------------- */

const struct keyword_set *
keywords_set(const struct store_keywords *k, uint32_t handle)
{
	if (handle == 0)
		return NULL;
	ASSERT(k != NULL && handle <= k->sets_n && k->sets[handle - 1] != NULL);
	return k->sets[handle - 1];
}

void
keywords_ref(struct store_keywords *k, uint32_t handle)
{
	if (handle != 0) {
		ASSERT(k != NULL && handle <= k->sets_n && k->sets[handle - 1] != NULL);
		k->sets[handle - 1]->refs++;
	}
}

static void
encode_ids(const uint16_t *ids, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = (uint8_t)(ids[i] >> 8);
		out[2 * i + 1] = (uint8_t)ids[i];
	}
}

void
keywords_unref(struct store_keywords *k, uint32_t handle)
{
	struct keyword_set *s;
	uint8_t *bytes;

	if (handle == 0)
		return;
	ASSERT(k != NULL && handle <= k->sets_n && (s = k->sets[handle - 1]) != NULL && s->refs > 0);
	if (--s->refs > 0)
		return;
	bytes = malloc(2u * s->n);
	if (bytes == NULL)
		return; /* stays known, unused */
	encode_ids(s->ids, s->n, bytes);
	map_remove(&k->by_content, slice_of(bytes, 2u * s->n));
	free(bytes);
	free(s);
	k->sets[handle - 1] = NULL;
	k->sets_free++;
}

static int
set_place(struct store_keywords *k, size_t *at)
{
	if (k->sets_free > 0) {
		for (*at = 0; k->sets[*at] != NULL;)
			++*at;
		return 0;
	}
	if (k->sets_n == k->sets_cap) {
		size_t cap = k->sets_cap == 0 ? 8 : k->sets_cap * 2;
		struct keyword_set **v = realloc(k->sets, cap * sizeof(struct keyword_set *));

		if (v == NULL)
			return ERR_NOMEM;
		k->sets = v;
		k->sets_cap = cap;
	}
	*at = k->sets_n;
	return 0;
}

int
keywords_intern_bytes(struct store_account *a, struct slice be16, uint32_t *handle)
{
	struct store_keywords *k = a->keywords;
	struct keyword_set *s;
	size_t at = 0, n = be16.n / 2;
	int err;

	*handle = 0;
	if (n == 0)
		return 0;
	if ((s = map_get(&k->by_content, be16)) != NULL) {
		s->refs++;
		*handle = s->handle;
		return 0;
	}
	if (n > UINT16_MAX || be16.n % 2 != 0)
		return ERR_DAMAGED;
	for (size_t i = 0; i < n; i++)
		if ((size_t)(slice_at(be16, 2 * i) << 8 | slice_at(be16, 2 * i + 1)) >= k->names_n)
			return ERR_DAMAGED;
	if ((err = set_place(k, &at)) != 0)
		return err;
	if ((s = malloc(sizeof(*s) + n * sizeof(s->ids[0]))) == NULL)
		return ERR_NOMEM;
	s->refs = 1;
	s->handle = (uint32_t)at + 1;
	s->n = (uint16_t)n;
	for (size_t i = 0; i < n; i++)
		s->ids[i] = (uint16_t)(slice_at(be16, 2 * i) << 8 | slice_at(be16, 2 * i + 1));
	if ((err = map_put(&k->by_content, be16, s)) != 0) {
		free(s);
		return err;
	}
	if (at == k->sets_n)
		k->sets_n++;
	else
		k->sets_free--;
	k->sets[at] = s;
	*handle = s->handle;
	return 0;
}

int
keywords_intern(struct store_account *a, const uint16_t *ids, size_t n, uint32_t *handle)
{
	uint8_t *bytes = malloc(2 * n + 1);
	int err;

	*handle = 0;
	if (bytes == NULL)
		return ERR_NOMEM;
	encode_ids(ids, n, bytes);
	err = keywords_intern_bytes(a, slice_of(bytes, 2 * n), handle);
	free(bytes);
	return err;
}

struct slice
keywords_bytes(const struct store_keywords *k, uint32_t handle, struct arena *mem)
{
	const struct keyword_set *s = keywords_set(k, handle);
	uint8_t *out;

	if (s == NULL || (out = arena_alloc(mem, 2u * s->n)) == NULL)
		return SLICE_EMPTY;
	encode_ids(s->ids, s->n, out);
	return slice_of(out, 2u * s->n);
}

int
keywords_change(
    struct store_account *a, uint32_t from, enum store_flag_op op, const uint16_t *ids, size_t n, uint32_t *to)
{
	const struct keyword_set *s = keywords_set(a->keywords, from);
	size_t have = s == NULL ? 0 : s->n, i = 0, j = 0, out_n = 0;
	uint16_t *out;
	int err;

	if (op == STORE_FLAGS_REPLACE)
		return keywords_intern(a, ids, n, to);
	if (n == 0 || (have == 0 && op == STORE_FLAGS_REMOVE)) {
		keywords_ref(a->keywords, from);
		*to = from;
		return 0;
	}
	if ((out = malloc((have + n) * sizeof(*out))) == NULL)
		return ERR_NOMEM;
	while (i < have || (op == STORE_FLAGS_ADD && j < n)) {
		if (j >= n || (i < have && s->ids[i] < ids[j]))
			out[out_n++] = s->ids[i++];
		else if (i < have && s->ids[i] == ids[j]) {
			if (op == STORE_FLAGS_ADD)
				out[out_n++] = s->ids[i];
			i++;
			j++;
		} else if (op == STORE_FLAGS_ADD)
			out[out_n++] = ids[j++];
		else
			j++;
	}
	err = keywords_intern(a, out, out_n, to);
	free(out);
	return err;
}
