/* directory.c: the open directory of the clerk: statements, schema, and a cache of answers to RCPT, so that a busy
 * gate does not cost a query for each recipient. The cache holds answers for addresses as they were spelt; any
 * change of the directory forgets all of it, and so does reaching its size. */
#include "directory/directory.h"

#include "base/map.h"
#include "directory/directory_private.h"

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
};

/* What the map points to. */
static const struct directory_rcpt answers[] = {
    {RCPT_OK, true},
    {RCPT_REMOTE, false},
    {RCPT_UNKNOWN, true},
    {RCPT_DISABLED, true},
};

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
	return 0;
}

void
directory_free(struct directory **dp)
{
	struct directory *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	map_free(&d->cache);
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
	const struct limits *limits;
	struct slice address;
	struct directory_rcpt *out;
};

static int
resolve(struct sqltx *tx, void *arg)
{
	struct rcpt_call *c = arg;

	return directory_resolve(tx, c->limits, c->address, c->out);
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
directory_check_rcpt(struct directory *d, struct slice address, struct directory_rcpt *out)
{
	struct rcpt_call c = {.limits = &d->house->limits, .address = address, .out = out};
	const struct directory_rcpt *known = map_get(&d->cache, address);
	uint64_t generation = d->generation;
	int err;

	if (known != NULL) {
		*out = *known;
		return 0;
	}
	err = sql_read(d->db, resolve, &c);
	if (err == 0 && generation == d->generation) /* nothing changed while we read */
		remember(d, address, out);
	return err;
}
