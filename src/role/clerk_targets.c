/* clerk_targets.c: recipients of an envelope to where their mail ends up. Most addresses lead to one mailbox: those
 * are remembered until the directory changes. */
#include "role/clerk_private.h"

#define CACHE_MAX 20000
#define KEY_BYTES_MAX 320

struct target_cached {
	size_t id_n, address_n;
	char bytes[]; /* the account's id and address */
};

void
clerk_targets_init(struct clerk *k)
{
	map_init(&k->targets, CACHE_MAX, house_random_u64(k->c->house));
	k->archives = -1;
	k->generation++;
}

void
clerk_targets_forget(struct clerk *k)
{
	size_t at = 0;
	struct slice key;
	void *v;

	while (map_next(&k->targets, &at, &key, &v))
		free(v);
	map_free(&k->targets);
	clerk_targets_init(k);
}

static void
remember(struct clerk *k, struct slice address, const struct directory_target *t)
{
	struct target_cached *c;

	if (address.n > KEY_BYTES_MAX || t->via.n > 0 || map_get(&k->targets, address) != NULL)
		return;
	if (k->targets.n >= CACHE_MAX)
		clerk_targets_forget(k);
	c = malloc(sizeof(*c) + t->account_id.n + t->address.n);
	if (c == NULL)
		return;
	c->id_n = t->account_id.n;
	c->address_n = t->address.n;
	memcpy(c->bytes, t->account_id.p, t->account_id.n);
	memcpy(c->bytes + c->id_n, t->address.p, t->address.n);
	if (map_put(&k->targets, address, c) != 0)
		free(c);
}

/* One address and what it led to. */
struct expansion {
	struct slice address;
	struct directory_targets found;
	bool known;
};

struct expand {
	struct directory_ask ask;
	struct arena *a;
	struct expansion *v;
	size_t n;
};

static int
read_targets(struct sqltx *tx, void *arg)
{
	struct expand *e = arg;
	int err = 0;

	for (size_t i = 0; err == 0 && i < e->n; i++)
		if (!e->v[i].known)
			err = directory_expand(tx, &e->ask, e->a, e->v[i].address, &e->v[i].found);
	return err;
}

static bool
from_cache(struct clerk *k, struct arena *a, struct expansion *x)
{
	const struct target_cached *c = map_get(&k->targets, x->address);
	struct slice bytes;

	if (c == NULL)
		return false;
	bytes = arena_copy(a, slice_of(c->bytes, c->id_n + c->address_n));
	x->found.v = ARENA_NEW(a, struct directory_target);
	if (x->found.v == NULL || bytes.n == 0)
		return false;
	*x->found.v = (struct directory_target){
	    .local = true, .account_id = slice_head(bytes, c->id_n), .address = slice_from(bytes, c->id_n)};
	x->found.n = 1;
	return true;
}

/* Why mail to an address of ours reaches nobody. */
static const struct {
	enum bus_rcpt why;
	struct slice status, reason;
} problems[] = {
    {RCPT_DISABLED, SLICE_INIT("5.2.1"), SLICE_INIT("this mailbox is closed")},
    {RCPT_SYNTAX, SLICE_INIT("5.1.3"), SLICE_INIT("this is not a valid address")},
    {RCPT_TEMPFAIL, SLICE_INIT("5.4.6"), SLICE_INIT("this address leads to too many others")},
    {RCPT_LOOP, SLICE_INIT("5.4.6"), SLICE_INIT("this address leads only to itself")},
    {RCPT_NOT_ALLOWED, SLICE_INIT("5.7.1"), SLICE_INIT("this address takes mail of certain senders only")},
    {RCPT_BAD_RETURN, SLICE_INIT("5.7.1"), SLICE_INIT("this return address is forged or too old")},
    {RCPT_UNKNOWN, SLICE_INIT("5.1.1"), SLICE_INIT("there is no such mailbox here")},
};

static void
explain_problem(struct queue_target *t, enum bus_rcpt why)
{
	size_t i = 0;

	while (i + 1 < COUNT_OF(problems) && problems[i].why != why)
		i++;
	t->kind = QUEUE_TARGET_NONE;
	t->status = problems[i].status;
	t->reason = problems[i].reason;
}

/* Was the key met before? */
static bool
seen(struct map *m, struct slice key)
{
	if (map_get(m, key) != NULL)
		return true;
	(void)!map_put(m, key, m);
	return false;
}

/* Adds a recipient, unless its mailbox or remote address is there already. */
static int
add_rcpt(struct clerk *k, struct clerk_expansion *x, const struct queue_rcpt *r, struct map *once, struct arena *a)
{
	const struct queue_target *t = &r->target;
	struct slice key = t->kind == QUEUE_TARGET_LOCAL ? arena_printf(a, "#%.*s", SLICE_ARG(t->account_id))
							 : arena_printf(a, "@%.*s", SLICE_ARG(t->address));

	if (seen(once, key))
		return 0;
	x->v = arena_grow(a, x->v, x->n, &x->cap, sizeof(*x->v), (size_t)k->c->house->limits.queue_targets + 1);
	if (x->v == NULL)
		return ERR_LIMIT;
	x->v[x->n++] = *r;
	return 0;
}

static int
add_mark(struct clerk_expansion *x, struct slice mark, struct map *once, struct arena *a)
{
	if (mark.n == 0 || seen(once, arena_printf(a, "!%.*s", SLICE_ARG(mark))))
		return 0;
	x->marks = arena_grow(a, x->marks, x->marks_n, &x->marks_cap, sizeof(*x->marks), SIZE_MAX / sizeof(*x->marks));
	if (x->marks == NULL)
		return ERR_LIMIT;
	x->marks[x->marks_n++] = mark;
	return 0;
}

static int
add_found(struct clerk *k, struct clerk_expansion *x, const struct expansion *from, struct slice envelope,
    struct map *once, struct arena *a)
{
	struct queue_rcpt r = {.original = from->address, .envelope = envelope};
	int err = 0;

	if (from->found.n == 0) {
		r.target.address = from->address;
		explain_problem(&r.target, from->found.problems_n > 0 ? from->found.problems[0].result : RCPT_LOOP);
		return add_rcpt(k, x, &r, once, a);
	}
	for (size_t i = 0; err == 0 && i < from->found.problems_n; i++) {
		const struct directory_problem *p = &from->found.problems[i];

		r.target = (struct queue_target){.address = p->address,
		    .via = p->via,
		    .reverse_path_set = p->reverse_path_set,
		    .reverse_path = p->reverse_path,
		    .expanded = true};
		explain_problem(&r.target, p->result);
		if (p->told)
			err = add_rcpt(k, x, &r, once, a);
	}
	for (size_t i = 0; err == 0 && i < from->found.n; i++) {
		const struct directory_target *t = &from->found.v[i];

		r.target = (struct queue_target){.kind = t->local ? QUEUE_TARGET_LOCAL : QUEUE_TARGET_REMOTE,
		    .account_id = t->account_id,
		    .address = t->address,
		    .via = t->via,
		    .reverse_path_set = t->reverse_path_set,
		    .reverse_path = t->reverse_path,
		    .expanded = t->expanded};
		err = add_rcpt(k, x, &r, once, a);
		if (err == 0)
			err = add_mark(x, t->mark, once, a);
	}
	return err;
}

int
clerk_targets_expand(struct clerk *k, struct clerk_expansion *x, struct arena *a)
{
	struct expand e = {.ask = {.limits = &k->c->house->limits,
			       .from = x->from,
			       .key = directory_house_key(k->directory),
			       .now_us = house_now_us(k->c->house),
			       .passed = x->passed},
	    .a = a,
	    .n = x->addresses.n};
	uint64_t generation = k->generation;
	struct map once;
	size_t unknown = 0;
	int err = 0;

	x->v = NULL;
	x->marks = NULL;
	x->n = x->cap = x->marks_n = x->marks_cap = 0;
	e.v = ARENA_ARRAY(a, struct expansion, e.n + 1);
	if (e.v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < e.n; i++) {
		e.v[i].address = x->addresses.v[i];
		e.v[i].known = from_cache(k, a, &e.v[i]);
		unknown += !e.v[i].known;
	}
	if (unknown > 0)
		err = sql_read(k->directory_db, read_targets, &e);
	if (err != 0)
		return err;
	map_init(&once, SIZE_MAX, house_random_u64(k->c->house));
	for (size_t i = 0; err == 0 && i < e.n; i++) {
		const struct directory_targets *t = &e.v[i].found;

		if (!e.v[i].known && generation == k->generation && x->passed.n == 0 && t->n == 1 &&
		    t->problems_n == 0 && !t->sender_matters && t->v->local)
			remember(k, e.v[i].address, t->v);
		err = add_found(k, x, &e.v[i], i < x->envelopes.n ? x->envelopes.v[i] : SLICE_EMPTY, &once, a);
	}
	map_free(&once);
	return err != 0 ? err : arena_failed(a) ? ERR_LIMIT : 0;
}
