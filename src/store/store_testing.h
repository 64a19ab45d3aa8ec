/* store_testing.h: what the tests of the store share: a house, a loop and a store in a folder of its own, and a way to run
 * a test's body in a fiber. Only tests include it. */
#ifndef STORE_STORE_TESTING_H
#define STORE_STORE_TESTING_H

#include "store/store_private.h"

#include <ftw.h>
#include <sys/stat.h>

#define HELPER static __attribute__((unused))

struct place {
	struct house house;
	struct loop *loop;
	struct store *store;
	char dir[64];
	const char *vfs;
	struct buf durable; /* ids that were reported, 16 bytes each */
	size_t durable_calls;
	bool failed;
	void (*body)(struct place *p);
	void *extra;
};

HELPER int
place_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

HELPER void
place_durable(void *arg, struct slice account_id, struct slice_list ids)
{
	struct place *p = arg;

	(void)account_id;
	p->durable_calls++;
	for (size_t i = 0; i < ids.n; i++)
		buf_put(&p->durable, ids.v[i]);
}

HELPER void
place_failed(void *arg, struct slice account_id)
{
	struct place *p = arg;

	(void)account_id;
	p->failed = true;
}

HELPER void
place_open(struct place *p)
{
	struct buf BUF_CLEANUP detail;
	struct store_config c = {.loop = p->loop,
	    .dir = p->dir,
	    .threads = 2,
	    .vfs = p->vfs,
	    .hooks = {.durable = place_durable, .failed = place_failed, .arg = p}};

	buf_init(&detail, 4096);
	assert_int_equal(store_open(&p->store, &c, &detail), 0);
	assert_int_equal(store_start(p->store), 0);
}

/* Ends without leaving the mark of a clean end, and begins again. */
HELPER void
place_crash(struct place *p)
{
	store_abandon(&p->store);
	place_open(p);
}

HELPER void
place_restart(struct place *p)
{
	assert_int_equal(store_close(&p->store), 0);
	place_open(p);
}

HELPER void
place_fiber(void *arg)
{
	struct place *p = arg;

	place_open(p);
	p->body(p);
	if (p->store != NULL && store_has_failed(p->store))
		store_abandon(&p->store);
	else if (p->store != NULL)
		assert_int_equal(store_close(&p->store), 0);
}

HELPER void
place_init(struct place *p)
{
	*p = (struct place){0};
	house_init(&p->house, "test");
	p->house.log_level = LOG_ERROR + 1;
	p->house.limits.store_sync_ms = 20;
	p->house.limits.delivery_gather_ms = 1;
	buf_init(&p->durable, 1u << 24);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/ph-store-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
}

HELPER void
place_free(struct place *p)
{
	buf_free(&p->durable);
	(void)nftw(p->dir, place_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Runs the body in a fiber of a fresh loop, with a fresh store; limits may be set in `p` before. */
HELPER void
place_run(struct place *p, void (*body)(struct place *p))
{
	p->body = body;
	assert_int_equal(loop_new(&p->loop, &p->house), 0);
	assert_int_equal(fiber_start(p->loop, "test", place_fiber, p, NULL), 0);
	loop_run(p->loop);
	loop_free(&p->loop);
}

HELPER void
with_place(void (*body)(struct place *p))
{
	struct place p;

	place_init(&p);
	place_run(&p, body);
	place_free(&p);
}

/* ---- shorthands ------------------------------------------------------------------------------------------- */

HELPER struct store_account *
make_account(struct place *p, const char *id)
{
	struct store_account *a = NULL;

	assert_int_equal(store_account_create(p->store, slice_z(id)), 0);
	assert_int_equal(store_account_get(p->store, slice_z(id), &a), 0);
	return a;
}

HELPER struct store_account *
get_account(struct place *p, const char *id)
{
	struct store_account *a = NULL;

	assert_int_equal(store_account_get(p->store, slice_z(id), &a), 0);
	return a;
}

HELPER int
deliver_to(struct store_account *a, uint64_t number, const char *mailbox, struct slice body, enum store_delivered *how)
{
	struct store_delivery d = {.mailbox = slice_z(mailbox),
	    .head = SLICE("Return-Path: <>\r\n"),
	    .body = body,
	    .file = -1,
	    .size = body.n,
	    .received_s = 1700000000};

	memcpy(d.delivery_id, &number, sizeof(number));
	return store_deliver(a, &d, how);
}

HELPER void
deliver_ok(struct store_account *a, uint64_t number, const char *text)
{
	enum store_delivered how;

	assert_int_equal(deliver_to(a, number, "", slice_z(text), &how), 0);
	assert_int_equal(how, STORE_DELIVERED);
}

HELPER struct store_view *
open_view(struct store_account *a, const char *name)
{
	struct store_view *v = NULL;

	assert_int_equal(store_view_open(a, slice_z(name), false, &v), 0);
	return v;
}

HELPER uint32_t
append_ok(struct store_account *a, const char *mailbox, const char *text, uint8_t flags)
{
	struct store_upload *u;
	struct store_copied c;
	struct store_append one = {.flags = flags, .internal_s = 1600000000};
	struct arena ARENA_CLEANUP mem;

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_upload_new(a, 1u << 30, &u), 0);
	assert_int_equal(store_upload_write(u, slice_z(text)), 0);
	one.upload = u;
	assert_int_equal(store_append(a, NULL, slice_z(mailbox), &one, 1, &mem, &c), 0);
	store_upload_free(&u);
	assert_int_equal(c.n, 1);
	return c.target[0];
}

#endif
