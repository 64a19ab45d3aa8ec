/* directory.c: the open directory of the clerk: statements, schema, and a cache of answers to RCPT, so that a busy
 * gate does not cost a query for each recipient. The cache holds answers for addresses as they were spelt; any
 * change of the directory forgets all of it, and so does reaching its size. */
#include "directory/directory.h"

#include "base/map.h"
#include "directory/directory_private.h"
#include "directory/srs.h"

#define SQL_STATEMENT(name, text) const struct sql_text directory_sql_##name = {"directory_" #name, text};
#include "directory/directory_sql.def"
#undef SQL_STATEMENT

const struct sql_migration directory_migrations[] = {
#define SQL_MIGRATION(number, name, sql) {number, name, sql},
#include "directory/directory_migrations.def"
#undef SQL_MIGRATION
};
const size_t directory_migrations_count = COUNT_OF(directory_migrations);

#define CACHE_MAX 20000
#define CACHE_KEY_MAX 320

struct directory {
	struct house *house;
	struct sqldb *db;
	struct map cache; /* spelt address → one of `answers` */
	uint64_t generation;
	uint8_t key[SRS_KEY_BYTES];
};

/* What the map points to. */
static const struct directory_rcpt answers[] = {
    {RCPT_OK, true},
    {RCPT_REMOTE, false},
    {RCPT_UNKNOWN, true},
    {RCPT_DISABLED, true},
    {RCPT_LOOP, true},
};

/* ---- the house's key ----------------------------------------------------------------------------------------- */

static int
make_key(struct sqltx *tx, void *arg)
{
	struct directory *d = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_house_key_get, SQLT(SLICE("return")));

	if (err == 0)
		err = sql_next(&r);
	if (err < 0)
		return err;
	if (err == 0) {
		house_random(d->house, d->key, sizeof(d->key));
		return SQL_EXEC(
		    tx, &directory_sql_house_key_insert, SQLT(SLICE("return")), SQLB(slice_of(d->key, sizeof(d->key))));
	}
	if (sql_col_bytes(&r, 0).n != sizeof(d->key))
		return ERR_DAMAGED;
	memcpy(d->key, sql_col_bytes(&r, 0).p, sizeof(d->key));
	return 0;
}

struct slice
directory_house_key(const struct directory *d)
{
	return slice_of(d->key, sizeof(d->key));
}

int
directory_new(struct directory **out, struct house *h, struct sqldb *db)
{
	struct directory *d = calloc(1, sizeof(*d));

	*out = d;
	if (d == NULL)
		return ERR_NOMEM;
	d->house = h;
	d->db = db;
	map_init(&d->cache, CACHE_MAX, house_random_u64(h));
	return sql_write(db, make_key, d);
}

void
directory_free(struct directory **dp)
{
	struct directory *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	map_free(&d->cache);
	explicit_bzero(d->key, sizeof(d->key));
	free(d);
}

static void
forget(struct directory *d)
{
	uint64_t key = d->cache.key;

	map_free(&d->cache);
	map_init(&d->cache, CACHE_MAX, key);
}

void
directory_changed(struct directory *d)
{
	d->generation++;
	forget(d);
}

int
directory_write(struct directory *d, sql_fn *fn, void *arg)
{
	int err = sql_write(d->db, fn, arg);

	directory_changed(d);
	return err;
}

struct rcpt_call {
	struct directory_ask ask;
	struct slice address;
	struct directory_rcpt *out;
	bool sender_matters;
};

static int
resolve(struct sqltx *tx, void *arg)
{
	struct rcpt_call *c = arg;

	return directory_resolve(tx, &c->ask, c->address, c->out, &c->sender_matters);
}

static void
remember(struct directory *d, struct slice address, const struct directory_rcpt *answer)
{
	if (address.n > CACHE_KEY_MAX)
		return;
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		if (answers[i].result != answer->result || answers[i].local != answer->local)
			continue;
		if (map_put(&d->cache, address, (void *)(uintptr_t)&answers[i]) == ERR_LIMIT)
			forget(d);
	}
}

int
directory_check_rcpt(
    struct directory *d, struct slice address, const struct directory_writer *from, struct directory_rcpt *out)
{
	struct rcpt_call c = {.ask = {.limits = &d->house->limits,
				  .from = *from,
				  .key = directory_house_key(d),
				  .now_us = house_now_us(d->house)},
	    .address = address,
	    .out = out};
	const struct directory_rcpt *known = map_get(&d->cache, address);
	uint64_t generation = d->generation;
	int err;

	if (known != NULL) {
		*out = *known;
		return 0;
	}
	err = sql_read(d->db, resolve, &c);
	if (err == 0 && !c.sender_matters && generation == d->generation) /* nothing changed while we read */
		remember(d, address, out);
	return err;
}
