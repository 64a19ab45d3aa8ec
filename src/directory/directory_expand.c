/* directory_expand.c: where mail to an address ends up: aliases, groups and forwarding accounts are followed to the end.
 *
 * Loops. Every address is looked at once in an expansion. One that comes again on its own way is a loop; it ends there.
 * A loop over other houses is found by marks: mail that we forward away bears one for each forwarding address, and what
 * comes back with it is not forwarded by that address again. */
#include "base/map.h"
#include "directory/directory_private.h"
#include "directory/srs.h"

#define US_PER_S 1000000

struct expansion {
	struct sqltx *tx;
	const struct directory_ask *ask;
	struct arena *a;
	struct directory_targets *out;
	size_t cap, problems_cap;
	struct map seen;                  /* keys of addresses, ids of accounts */
	int sender_is_far;                /* the sender's domain is not ours; -1: not looked at yet */
	struct directory_problem too_far; /* a limit was reached: result is RCPT_TEMPFAIL */
};

/* An address on the way; in a list from the last to the first. */
struct step {
	const struct step *up;
	struct slice address, key, domain;
	struct slice bounces; /* of the last group that has an owner */
	bool expanded;
	bool personal; /* behind an account's own forwarding: what fails there is nobody else's matter */
	bool keeps;    /* an account that keeps a copy: to come back to it is no loop */
	int64_t depth;
};

/* *fresh: it was not met before. */
static int
see(struct expansion *x, struct slice key, bool *fresh)
{
	int err = 0;

	*fresh = map_get(&x->seen, key) == NULL;
	if (*fresh)
		err = map_put(&x->seen, key, x);
	return err;
}

/* `from`: the step that led to the address. */
static int
add_problem(struct expansion *x, const struct step *from, struct slice address, enum bus_rcpt result)
{
	struct directory_problem p = {.address = arena_copy(x->a, address), .result = result};
	struct directory_problem *v = arena_grow(
	    x->a, x->out->problems, x->out->problems_n, &x->problems_cap, sizeof(*v), SIZE_MAX / sizeof(*v));

	if (v == NULL)
		return ERR_NOMEM;
	x->out->problems = v;
	if (from != NULL && !from->personal) {
		p.told = result != RCPT_LOOP && result != RCPT_TEMPFAIL;
		p.via = from->address;
		p.reverse_path_set = from->bounces.n > 0 && x->ask->from.path.n > 0;
		p.reverse_path = p.reverse_path_set ? from->bounces : SLICE_EMPTY;
	}
	if (result == RCPT_TEMPFAIL && (from == NULL || !from->personal))
		x->too_far = p;
	v[x->out->problems_n++] = p;
	return arena_failed(x->a) ? ERR_NOMEM : 0;
}

static int
add_target(struct expansion *x, struct directory_target t)
{
	struct directory_target *v;
	bool fresh = true;
	int err = t.local ? see(x, t.account_id, &fresh) : 0; /* a remote address was looked at by its key */

	if (err != 0 || !fresh)
		return err;
	v = arena_grow(x->a, x->out->v, x->out->n, &x->cap, sizeof(*v), SIZE_MAX / sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	x->out->v = v;
	v[x->out->n++] = t;
	return 0;
}

/* ---- marks ------------------------------------------------------------------------------------------------ */

static struct slice
mark_of(const struct directory_ask *ask, struct arena *a, struct slice what)
{
	return srs_digest(ask->key, arena_printf(a, "mark %.*s", SLICE_ARG(what)), DIRECTORY_MARK_CHARS, a);
}

struct slice
directory_archive_mark(const struct directory_ask *ask, struct arena *a, struct slice domain, struct slice message_id)
{
	return mark_of(ask, a, arena_printf(a, "archive @%.*s %.*s", SLICE_ARG(domain), SLICE_ARG(message_id)));
}

/* Was the message here before, and went on from this address? */
static bool
was_here(struct expansion *x, struct slice key)
{
	struct slice mark;

	if (x->ask->passed.n == 0)
		return false;
	mark = mark_of(x->ask, x->a, key);
	for (size_t i = 0; i < x->ask->passed.n; i++)
		if (slice_ieq(x->ask->passed.v[i], mark))
			return true;
	return false;
}

/* ---- the sender of what goes away --------------------------------------------------------------------------- */

static int
look_at_sender(struct expansion *x)
{
	struct slice path = x->ask->from.path, domain;
	size_t at = slice_rfind_byte(path, '@');
	bool local;
	int err;

	if (x->sender_is_far >= 0)
		return 0;
	x->sender_is_far = 0;
	if (x->ask->key.n == 0 || at == SLICE_NONE)
		return 0;
	err = directory_domain_normalise(slice_from(path, at + 1), x->a, &domain);
	if (err == 0)
		err = directory_domain_find(x->tx, x->a, domain, &local, &domain);
	if (err == 0)
		x->sender_is_far = !local;
	return err == ERR_SYNTAX ? 0 : err;
}

/* A group with an owner sends in its own name (RFC 5321 §3.9.2). Others' mail that leaves us again gets a return address of
 * ours, since the next server would not believe that we send for their domain. The null sender stays what it is. */
static int
set_sender(struct expansion *x, const struct step *from, struct directory_target *t)
{
	struct slice path = x->ask->from.path;
	int err = 0;

	if (path.n == 0 || from == NULL)
		return 0;
	if (from->bounces.n > 0) {
		t->reverse_path_set = true;
		t->reverse_path = from->bounces;
		return 0;
	}
	if (!t->local)
		err = look_at_sender(x);
	if (err != 0 || t->local || x->sender_is_far <= 0)
		return err;
	err = srs_forward(x->ask->key, x->ask->now_us / US_PER_S, path, from->domain, x->a, &t->reverse_path);
	t->reverse_path_set = err == 0;
	/* Too long to be rewritten: it goes with its own sender rather than not at all. */
	return err == ERR_LIMIT || err == ERR_SYNTAX ? 0 : err;
}

static int
reach(struct expansion *x, const struct step *from, struct directory_target t)
{
	int err;

	if (from != NULL) {
		t.via = from->address;
		t.expanded = from->expanded;
		if (!t.local && x->ask->key.n > 0)
			t.mark = mark_of(x->ask, x->a, from->key);
	}
	err = set_sender(x, from, &t);
	return err == 0 ? add_target(x, t) : err;
}

/* ---- following --------------------------------------------------------------------------------------------- */

static int expand_address(struct expansion *x, struct slice address, const struct step *from);

static int
expand_targets(struct expansion *x, struct slice_list targets, const struct step *at)
{
	int err = 0;

	if (at->depth > x->ask->limits->directory_alias_depth)
		return add_problem(x, at, at->address, RCPT_TEMPFAIL);
	for (size_t i = 0; err == 0 && i < targets.n; i++)
		err = expand_address(x, targets.v[i], at);
	return err;
}

static struct step
step_of(const struct step *from, struct slice address, const struct directory_address *at)
{
	return (struct step){.up = from,
	    .address = address,
	    .key = at->key,
	    .domain = at->domain,
	    .bounces = from == NULL ? SLICE_EMPTY : from->bounces,
	    .expanded = from != NULL && from->expanded,
	    .personal = from != NULL && from->personal,
	    .depth = from == NULL ? 1 : from->depth + 1};
}

static int
expand_alias(struct expansion *x, const struct directory_entry *e, const struct step *from, struct step *here)
{
	struct slice_list targets;
	bool may = true;
	int err = 0;

	if (e->alias.kind == DIRECTORY_IS_BLOCKED)
		return add_problem(x, from, here->address, RCPT_UNKNOWN);
	if (!e->reserved && e->alias.writers != DIRECTORY_ANYONE && !x->ask->from.anybody) {
		x->out->sender_matters = true;
		err = directory_may_write(x->tx, x->a, x->ask, e, &may);
	}
	if (err == 0 && !may)
		return add_problem(x, from, here->address, RCPT_NOT_ALLOWED);
	if (err == 0 && was_here(x, here->key))
		return add_problem(x, from, here->address, RCPT_LOOP);
	if (err == 0)
		err = directory_alias_targets(x->tx, x->a, e->alias_key, &targets);
	if (err != 0)
		return err;
	if (e->alias.kind == DIRECTORY_IS_GROUP || targets.n > 1)
		here->expanded = true;
	if (e->alias.owner.n > 0)
		here->bounces = arena_printf(x->a, "%.*s-bounces@%.*s",
		    SLICE_ARG(slice_head(e->alias_key, slice_rfind_byte(e->alias_key, '@'))), SLICE_ARG(here->domain));
	return arena_failed(x->a) ? ERR_NOMEM : expand_targets(x, targets, here);
}

static int
expand_account(struct expansion *x, const struct directory_entry *e, const struct step *from, struct step *here)
{
	struct directory_target self = {.local = true,
	    .account_id = e->account.id,
	    .address = e->account.address,
	    .detail = arena_copy(x->a, e->detail)};
	struct directory_forward f;
	size_t before = x->out->n;
	int err;

	if (!e->account.enabled)
		return add_problem(x, from, here->address, RCPT_DISABLED);
	err = directory_forward_get(x->tx, x->a, e->account.id, &f);
	if (err == 0 && f.targets.n > 0 && !was_here(x, here->key)) {
		here->keeps = f.keep;
		here->personal = true;
		here->expanded = here->expanded || f.keep || f.targets.n > 1;
		err = expand_targets(x, f.targets, here);
	}
	/* What cannot be forwarded stays: a person's mail is not lost by a forwarding that leads nowhere. */
	if (err == 0 && (f.keep || x->out->n == before))
		err = reach(x, from, self);
	return err;
}

static int
expand_return(struct expansion *x, const struct step *from, struct slice address, struct slice local)
{
	const struct directory_ask *ask = x->ask;
	struct directory_address at;
	struct slice sender;
	int err;

	x->out->sender_matters = true;
	if (!ask->from.anybody && ask->from.path.n > 0)
		return add_problem(x, from, address, RCPT_BAD_RETURN);
	err = srs_reverse(ask->key, ask->now_us / US_PER_S, ask->limits->srs_days, local, x->a, &sender);
	if (err == 0)
		err = directory_address_parse(sender, false, x->a, &at);
	if (err == ERR_NOMEM)
		return err;
	if (err != 0)
		return add_problem(x, from, address, RCPT_BAD_RETURN);
	return add_target(x, (struct directory_target){.address = sender, .via = address});
}

static int
expand_local(struct expansion *x, struct slice address, const struct directory_address *at, const struct step *from)
{
	struct step here = step_of(from, address, at);
	struct directory_entry e;
	int err = directory_lookup(x->tx, x->a, at, &e);

	if (err != 0)
		return err;
	if ((e.kind == DIRECTORY_NOTHING || e.fallback) && x->ask->key.n > 0 && srs_is(at->local)) {
		size_t end = slice_rfind_byte(address, '@');

		return expand_return(x, from, address, slice_head(address, end == SLICE_NONE ? 0 : end));
	}
	switch (e.kind) {
	case DIRECTORY_ALIAS: return expand_alias(x, &e, from, &here);
	case DIRECTORY_ACCOUNT: return expand_account(x, &e, from, &here);
	case DIRECTORY_OWNER: return expand_targets(x, (struct slice_list){&e.alias.owner, 1}, &here);
	case DIRECTORY_NOTHING:
	default: return add_problem(x, from, address, RCPT_UNKNOWN);
	}
}

/* Has the way come back to itself by nothing but aliases? */
static bool
is_loop(const struct step *from, struct slice key)
{
	for (const struct step *s = from; s != NULL; s = s->up) {
		if (s->keeps)
			return false;
		if (slice_eq(s->key, key))
			return true;
	}
	return false;
}

/* The depth is bounded by the limit that expand_targets() looks at. */
static int
expand_address(struct expansion *x, struct slice address, const struct step *from)
{
	struct directory_address at;
	bool fresh, local;
	int err = directory_address_parse(address, false, x->a, &at);

	if (err == 0)
		err = directory_canonical(x->tx, x->a, &at, &local);
	if (err == ERR_SYNTAX)
		return add_problem(x, from, address, RCPT_SYNTAX);
	if (err == 0)
		err = see(x, at.key, &fresh);
	if (err == ERR_LIMIT)
		return add_problem(x, from, address, RCPT_TEMPFAIL);
	if (err != 0)
		return err;
	if (!fresh) {
		x->out->looped = x->out->looped || is_loop(from, at.key);
		return 0;
	}
	if (!local)
		return reach(x, from, (struct directory_target){.address = at.spelt});
	return expand_local(x, address, &at, from);
}

/* When what postmaster or abuse is set up to be leads nowhere. */
static int
rescue_reserved(struct expansion *x, struct slice address)
{
	struct directory_entry e = {0};
	struct directory_address at;
	struct slice user, tag;
	bool local;
	int err = directory_address_here(x->tx, x->a, address, &at, &local);

	if (err != 0)
		return err == ERR_SYNTAX ? 0 : err;
	user = at.local;
	(void)directory_split_tag(at.local, &user, &tag);
	if (!local || !directory_is_reserved(user))
		return 0;
	err = directory_lookup_postmaster(x->tx, x->a, &e);
	if (err != 0 || e.kind == DIRECTORY_NOTHING)
		return err;
	return add_target(
	    x, (struct directory_target){.local = true, .account_id = e.account.id, .address = e.account.address});
}

int
directory_expand(struct sqltx *tx, const struct directory_ask *ask, struct arena *a, struct slice address,
    struct directory_targets *out)
{
	struct expansion x = {.tx = tx, .ask = ask, .a = a, .out = out, .sender_is_far = -1};
	struct slice copy = arena_copy(a, address);
	int err;

	*out = (struct directory_targets){0};
	if (arena_failed(a))
		return ERR_NOMEM;
	map_init(&x.seen, (size_t)ask->limits->directory_expansion, slice_hash(copy, (uintptr_t)tx));
	err = expand_address(&x, copy, NULL);
	if (err == ERR_LIMIT)
		err = add_problem(&x, NULL, copy, RCPT_TEMPFAIL);
	/* A part of a group would get the message, and nobody hear of the others: it waits until a person has mended that. */
	if (err == 0 && x.too_far.result != 0) {
		out->n = 0;
		out->problems[0] = x.too_far;
		out->problems_n = 1;
	}
	if (err == 0 && out->n == 0)
		err = rescue_reserved(&x, copy);
	map_free(&x.seen);
	return err;
}

int
directory_resolve(struct sqltx *tx, const struct directory_ask *ask, struct slice address, struct directory_rcpt *out,
    bool *sender_matters)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	struct directory_targets t;
	int err;

	*out = (struct directory_rcpt){RCPT_SYNTAX, false};
	*sender_matters = false;
	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_address_here(tx, &a, address, &at, &out->local);
	if (err != 0)
		return err == ERR_SYNTAX ? 0 : err;
	if (!out->local) {
		out->result = RCPT_REMOTE;
		return 0;
	}
	err = directory_expand(tx, ask, &a, address, &t);
	if (err != 0)
		return err;
	*sender_matters = t.sender_matters;
	if (t.n > 0)
		out->result = RCPT_OK;
	else if (t.problems_n == 0)
		out->result = RCPT_LOOP;
	else
		out->result = t.problems[0].result == RCPT_SYNTAX ? RCPT_UNKNOWN : t.problems[0].result;
	return 0;
}
