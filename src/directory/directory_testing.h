/* directory_testing.h: a directory of three accounts for tests, and short words for what they ask of it. */
#ifndef DIRECTORY_DIRECTORY_TESTING_H
#define DIRECTORY_DIRECTORY_TESTING_H

#include "directory/directory.h"

#include <ftw.h>

struct place {
	struct house house;
	char dir[64];
	char path[128];
	struct sqldb *db;
	struct arena arena;
	struct buf detail;
};

__attribute__((unused)) static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* What a test does inside a transaction. */
typedef void body(struct sqltx *tx, struct place *p);
struct call {
	struct place *p;
	body *fn;
};

__attribute__((unused)) static int
run_body(struct sqltx *tx, void *arg)
{
	struct call *c = arg;

	c->fn(tx, c->p);
	return 0;
}

__attribute__((unused)) static void
in_transaction(void **state, body *fn)
{
	struct call c = {*state, fn};

	assert_int_equal(sql_write_blocking(c.p->db, run_body, &c), 0);
}

__attribute__((unused)) static struct directory_account
add_account(struct sqltx *tx, struct place *p, const char *address, bool admin)
{
	struct directory_account in = {.address = slice_z(address), .enabled = true, .admin = admin}, out;

	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), 0);
	return out;
}

__attribute__((unused)) static void
fill(struct sqltx *tx, struct place *p)
{
	assert_int_equal(directory_domain_add(tx, &p->house, SLICE("Example.TEST."), &p->detail), 0);
	assert_int_equal(directory_domain_add(tx, &p->house,
			     SLICE("b\xc3\xbc"
				   "cher.test"),
			     &p->detail),
	    0);
	(void)add_account(tx, p, "Alice@example.test", false);
	(void)add_account(tx, p, "bob@example.test", false);
	(void)add_account(tx, p, "admin@example.test", true);
}

__attribute__((unused)) static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct sqldb_config c = {.migrations = directory_migrations, .migrations_count = directory_migrations_count};

	house_init(&p->house, "test");
	buf_init(&p->detail, 4096);
	arena_init(&p->arena, 64 << 20);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/ph-directory-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/directory.db", p->dir);
	c.path = p->path;
	assert_int_equal(sqldb_open(&p->db, &p->house, &c, &p->detail), 0);
	*state = p;
	in_transaction(state, fill);
	return 0;
}

__attribute__((unused)) static int
teardown(void **state)
{
	struct place *p = *state;

	sqldb_close(&p->db);
	buf_free(&p->detail);
	arena_free(&p->arena);
	nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static const struct slice house_key = SLICE_INIT("0123456789abcdef0123456789abcdef");

/* As if a message came from this sender. */
__attribute__((unused)) static struct directory_ask
ask_from(struct place *p, const char *sender)
{
	return (struct directory_ask){.limits = &p->house.limits,
	    .from = {.anybody = sender == NULL, .path = slice_z(sender)},
	    .key = house_key,
	    .now_us = house_now_us(&p->house)};
}

__attribute__((unused)) static enum bus_rcpt
rcpt_from(struct sqltx *tx, struct place *p, const char *address, const char *sender)
{
	struct directory_ask ask = ask_from(p, sender);
	struct directory_rcpt r;
	bool matters;

	assert_int_equal(directory_resolve(tx, &ask, slice_z(address), &r, &matters), 0);
	return r.result;
}

__attribute__((unused)) static enum bus_rcpt
rcpt(struct sqltx *tx, struct place *p, const char *address)
{
	struct directory_ask ask = ask_from(p, "someone@far.test");
	struct directory_rcpt r;
	bool matters;

	assert_int_equal(directory_resolve(tx, &ask, slice_z(address), &r, &matters), 0);
	assert_int_equal(r.local, r.result != RCPT_REMOTE && r.result != RCPT_SYNTAX);
	return r.result;
}

/* The targets as "alice@example.test+tag far@remote.test ", problems as "!address". */
__attribute__((unused)) static const char *
targets(struct sqltx *tx, struct place *p, const char *address)
{
	struct directory_ask ask = ask_from(p, "someone@far.test");
	struct directory_targets t;
	struct buf b BUF_CLEANUP;

	buf_init(&b, 1 << 20);
	assert_int_equal(directory_expand(tx, &ask, &p->arena, slice_z(address), &t), 0);
	for (size_t i = 0; i < t.n; i++) {
		assert_int_equal(t.v[i].local, t.v[i].account_id.n == ULID_LEN);
		buf_printf(&b, "%s%.*s%s%.*s", i == 0 ? "" : " ", SLICE_ARG(t.v[i].address),
		    t.v[i].detail.n > 0 ? "+" : "", SLICE_ARG(t.v[i].detail));
	}
	for (size_t i = 0; i < t.problems_n; i++)
		buf_printf(&b, " !%.*s", SLICE_ARG(t.problems[i].address));
	return arena_z(&p->arena, buf_slice(&b));
}

__attribute__((unused)) static int
set_alias(struct sqltx *tx, struct place *p, const char *address, const char *a, const char *b)
{
	struct slice v[2] = {slice_z(a), slice_z(b)};
	struct directory_alias in = {
	    .kind = DIRECTORY_IS_ALIAS, .address = slice_z(address), .targets = {v, b == NULL ? 1 : 2}};

	return directory_alias_set(tx, &p->house, &in, &p->detail);
}

#endif
