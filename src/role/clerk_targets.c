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
	const struct limits *limits;
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
			err = directory_expand(tx, e->limits, e->a, e->v[i].address, &e->v[i].found);
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
explain_problem(struct queue_target *t, const struct directory_targets *found)
{
	enum bus_rcpt why = found->problems_n > 0 ? found->problems[0].result : RCPT_LOOP;
	size_t i = 0;

	while (i + 1 < COUNT_OF(problems) && problems[i].why != why)
		i++;
	t->kind = QUEUE_TARGET_NONE;
	t->status = problems[i].status;
	t->reason = problems[i].reason;
}

/* Same mailbox or same remote address: once. */
static bool
seen(struct map *m, struct arena *a, const struct queue_target *t)
{
	struct slice key = t->kind == QUEUE_TARGET_LOCAL ? arena_printf(a, "#%.*s", SLICE_ARG(t->account_id))
							 : arena_printf(a, "@%.*s", SLICE_ARG(t->address));

	if (map_get(m, key) != NULL)
		return true;
	(void)!map_put(m, key, m);
	return false;
}

static int
add_targets(struct expand *e, struct expansion *x, struct slice envelope, struct map *once, struct queue_rcpt **v,
    size_t *n, size_t *cap)
{
	size_t count = x->found.n > 0 ? x->found.n : 1;

	for (size_t i = 0; i < count; i++) {
		struct queue_rcpt r = {.original = x->address, .envelope = envelope};

		if (x->found.n == 0) {
			r.target.address = x->address;
			explain_problem(&r.target, &x->found);
		} else {
			const struct directory_target *t = &x->found.v[i];

			r.target = (struct queue_target){.kind = t->local ? QUEUE_TARGET_LOCAL : QUEUE_TARGET_REMOTE,
			    .account_id = t->account_id,
			    .address = t->address,
			    .via = t->via};
		}
		if (seen(once, e->a, &r.target))
			continue;
		*v = arena_grow(e->a, *v, *n, cap, sizeof(**v), (size_t)e->limits->queue_targets + 1);
		if (*v == NULL)
			return ERR_LIMIT;
		(*v)[(*n)++] = r;
	}
	return arena_failed(e->a) ? ERR_LIMIT : 0;
}

int
clerk_targets_expand(struct clerk *k, struct slice_list addresses, struct slice_list envelopes, struct arena *a,
    struct queue_rcpt **v, size_t *n)
{
	struct expand e = {.limits = &k->c->house->limits, .a = a, .n = addresses.n};
	struct map once;
	size_t cap = 0, unknown = 0;
	int err = 0;

	*v = NULL;
	*n = 0;
	e.v = ARENA_ARRAY(a, struct expansion, addresses.n + 1);
	if (e.v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < addresses.n; i++) {
		e.v[i].address = addresses.v[i];
		e.v[i].known = from_cache(k, a, &e.v[i]);
		unknown += !e.v[i].known;
	}
	if (unknown > 0)
		err = sql_read(k->directory_db, read_targets, &e);
	if (err != 0)
		return err;
	map_init(&once, SIZE_MAX, house_random_u64(k->c->house));
	for (size_t i = 0; err == 0 && i < e.n; i++) {
		struct expansion *x = &e.v[i];

		if (!x->known && x->found.n == 1 && x->found.problems_n == 0 && x->found.v[0].local)
			remember(k, x->address, &x->found.v[0]);
		err = add_targets(&e, x, i < envelopes.n ? envelopes.v[i] : SLICE_EMPTY, &once, v, n, &cap);
	}
	map_free(&once);
	return err;
}
