/* directory_lookup.c: where mail to an address goes, who signs in by a name, who may send as whom. */
#include "base/map.h"
#include "directory/directory_private.h"

static const struct slice postmaster = SLICE_INIT("postmaster");

int
directory_domain_is_local(struct sqltx *tx, struct slice name, bool *local)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_domain_get, SQLT(name));

	*local = false;
	if (err != 0)
		return err;
	err = sql_next(&r);
	*local = err == 1;
	return err < 0 ? err : 0;
}

int
directory_first_domain(struct sqltx *tx, struct arena *a, struct slice *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = sql_query(tx, &r, &directory_sql_domain_first, NULL, 0);

	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err < 0 ? err : ERR_NOTFOUND;
	*out = arena_copy(a, sql_col_bytes(&r, 0));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

/* Account or alias of exactly this key. */
static int
lookup_key(struct sqltx *tx, struct arena *a, struct slice key, struct directory_entry *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = directory_account_by(tx, a, &directory_sql_account_by_key, &key, &out->account);

	if (err != ERR_NOTFOUND) {
		out->kind = err == 0 ? DIRECTORY_ACCOUNT : DIRECTORY_NOTHING;
		return err;
	}
	err = SQL_QUERY(tx, &r, &directory_sql_alias_get, SQLT(key));
	if (err == 0)
		err = sql_next(&r);
	out->kind = err == 1 ? DIRECTORY_ALIAS : DIRECTORY_NOTHING;
	out->alias_key = key;
	return err < 0 ? err : 0;
}

/* RFC 5321 §4.5.1: mail to postmaster is always accepted: the house's first admin gets it. */
static int
lookup_postmaster(struct sqltx *tx, struct arena *a, struct directory_entry *out)
{
	int err = directory_account_by(tx, a, &directory_sql_account_postmaster, NULL, &out->account);

	if (err == 0)
		out->kind = DIRECTORY_ACCOUNT;
	return err == ERR_NOTFOUND ? 0 : err;
}

int
directory_lookup(struct sqltx *tx, struct arena *a, const struct directory_address *at, struct directory_entry *out)
{
	struct slice user = at->local, tag, domain = at->domain;
	int err = 0;

	*out = (struct directory_entry){0};
	if (domain.n == 0) { /* a bare postmaster is that of the first domain */
		err = directory_first_domain(tx, a, &domain);
		if (err != 0)
			return err == ERR_NOTFOUND ? 0 : err;
	}
	err = lookup_key(tx, a, directory_key(a, user, domain), out);
	if (err == 0 && out->kind == DIRECTORY_NOTHING && directory_split_tag(at->local, &user, &tag)) {
		out->detail = tag;
		err = lookup_key(tx, a, directory_key(a, user, domain), out);
	}
	if (err == 0 && out->kind == DIRECTORY_NOTHING && slice_eq(user, postmaster))
		err = lookup_postmaster(tx, a, out);
	if (err == 0 && out->kind == DIRECTORY_NOTHING) {
		out->fallback = true;
		out->detail = SLICE_EMPTY;
		err = lookup_key(tx, a, directory_key(a, SLICE_EMPTY, domain), out);
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- following aliases ---------------------------------------------------------------------------------- */

struct expansion {
	struct sqltx *tx;
	const struct limits *limits;
	struct arena *a;
	struct directory_targets *out;
	size_t cap, problems_cap;
	struct map seen; /* keys of addresses, ids of accounts */
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

static int
add_problem(struct expansion *x, struct slice address, enum bus_rcpt result)
{
	struct directory_problem *v = arena_grow(
	    x->a, x->out->problems, x->out->problems_n, &x->problems_cap, sizeof(*v), SIZE_MAX / sizeof(*v));

	if (v == NULL)
		return ERR_NOMEM;
	x->out->problems = v;
	v[x->out->problems_n++] = (struct directory_problem){arena_copy(x->a, address), result};
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

static int expand_address(struct expansion *x, struct slice address, struct slice via, int64_t depth);

static int
expand_alias(struct expansion *x, struct slice address, struct slice key, int64_t depth)
{
	struct slice_list targets;
	int err;

	if (depth >= x->limits->directory_alias_depth)
		return add_problem(x, address, RCPT_TEMPFAIL);
	err = directory_alias_targets(x->tx, x->a, key, &targets);
	for (size_t i = 0; err == 0 && i < targets.n; i++)
		err = expand_address(x, targets.v[i], address, depth + 1);
	return err;
}

/* `depth` is bounded by the limit that expand_alias() looks at. */
static int
expand_address(struct expansion *x, struct slice address, struct slice via, int64_t depth)
{
	struct directory_address at;
	struct directory_entry e;
	bool fresh, local = true;
	int err = directory_address_parse(address, false, x->a, &at);

	if (err == ERR_SYNTAX)
		return add_problem(x, address, RCPT_SYNTAX);
	if (err == 0)
		err = see(x, at.key, &fresh);
	if (err == ERR_LIMIT)
		return add_problem(x, address, RCPT_TEMPFAIL);
	if (err != 0 || !fresh)
		return err;
	if (at.domain.n > 0)
		err = directory_domain_is_local(x->tx, at.domain, &local);
	if (err == 0 && !local)
		return add_target(x, (struct directory_target){.address = at.spelt, .via = via});
	if (err == 0)
		err = directory_lookup(x->tx, x->a, &at, &e);
	if (err != 0)
		return err;
	if (e.kind == DIRECTORY_ALIAS)
		return expand_alias(x, address, e.alias_key, depth);
	if (e.kind == DIRECTORY_NOTHING)
		return add_problem(x, address, RCPT_UNKNOWN);
	if (!e.account.enabled)
		return add_problem(x, address, RCPT_DISABLED);
	return add_target(x,
	    (struct directory_target){.local = true,
		.account_id = e.account.id,
		.address = e.account.address,
		.detail = arena_copy(x->a, e.detail),
		.via = via});
}

/* When what postmaster is set up to be leads nowhere. */
static int
rescue_postmaster(struct expansion *x, struct slice address)
{
	struct directory_entry e = {0};
	struct directory_address at;
	struct slice user, tag;
	int err = directory_address_parse(address, false, x->a, &at);
	bool local = true;

	if (err != 0)
		return err == ERR_SYNTAX ? 0 : err;
	user = at.local;
	(void)directory_split_tag(at.local, &user, &tag);
	if (at.domain.n > 0)
		err = directory_domain_is_local(x->tx, at.domain, &local);
	if (err != 0 || !local || !slice_eq(user, postmaster))
		return err;
	err = lookup_postmaster(x->tx, x->a, &e);
	if (err != 0 || e.kind == DIRECTORY_NOTHING)
		return err;
	return add_target(
	    x, (struct directory_target){.local = true, .account_id = e.account.id, .address = e.account.address});
}

int
directory_expand(
    struct sqltx *tx, const struct limits *limits, struct arena *a, struct slice address, struct directory_targets *out)
{
	struct expansion x = {.tx = tx, .limits = limits, .a = a, .out = out};
	struct slice copy = arena_copy(a, address);
	int err;

	*out = (struct directory_targets){0};
	if (arena_failed(a))
		return ERR_NOMEM;
	map_init(&x.seen, (size_t)limits->directory_expansion, slice_hash(copy, (uintptr_t)tx));
	err = expand_address(&x, copy, SLICE_EMPTY, 0);
	if (err == ERR_LIMIT)
		err = add_problem(&x, copy, RCPT_TEMPFAIL);
	if (err == 0 && out->n == 0)
		err = rescue_postmaster(&x, copy);
	map_free(&x.seen);
	return err;
}

int
directory_resolve(struct sqltx *tx, const struct limits *limits, struct slice address, struct directory_rcpt *out)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	struct directory_targets t;
	int err;

	*out = (struct directory_rcpt){RCPT_SYNTAX, false};
	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_address_parse(address, false, &a, &at);
	if (err != 0)
		return err == ERR_SYNTAX ? 0 : err;
	out->local = true;
	if (at.domain.n > 0)
		err = directory_domain_is_local(tx, at.domain, &out->local);
	if (err == 0 && !out->local)
		out->result = RCPT_REMOTE;
	if (err != 0 || !out->local)
		return err;
	err = directory_expand(tx, limits, &a, address, &t);
	if (err == 0)
		out->result = t.n > 0                                         ? RCPT_OK
		    : t.problems_n > 0 && t.problems[0].result != RCPT_SYNTAX ? t.problems[0].result
									      : RCPT_UNKNOWN;
	return err;
}

/* ---- people ------------------------------------------------------------------------------------------------- */

int
directory_login(struct sqltx *tx, struct arena *a, struct slice name, bool short_names, struct directory_account *out)
{
	struct directory_address at;
	struct slice full = name, domain;
	bool parsed;
	int err = 0;

	if (slice_find_byte(name, '@') == SLICE_NONE) {
		err = short_names ? directory_first_domain(tx, a, &domain) : ERR_NOTFOUND;
		if (err == 0)
			full = directory_key(a, name, domain);
	}
	if (err == 0)
		err = directory_address_parse(full, false, a, &at);
	parsed = err == 0;
	if (err == 0)
		err = directory_account_by(tx, a, &directory_sql_account_by_key, &at.key, out);
	if (err == 0 && !out->enabled)
		return ERR_NOTFOUND;
	if (err == ERR_SYNTAX || err == ERR_NOTFOUND) {
		*out = (struct directory_account){.address = parsed ? at.key : name};
		err = ERR_NOTFOUND;
	}
	return err;
}

static int
alias_leads_to(struct sqltx *tx, struct arena *a, struct slice key, struct slice account_id, bool *leads)
{
	struct directory_address at;
	struct directory_entry e;
	struct slice_list targets;
	int err = directory_alias_targets(tx, a, key, &targets);

	for (size_t i = 0; err == 0 && !*leads && i < targets.n; i++) {
		if (directory_address_parse(targets.v[i], false, a, &at) != 0)
			continue;
		err = directory_lookup(tx, a, &at, &e);
		*leads = err == 0 && e.kind == DIRECTORY_ACCOUNT && slice_eq(e.account.id, account_id);
	}
	return err;
}

int
directory_may_send_as(struct sqltx *tx, struct slice account_id, struct slice address, bool *allowed)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	struct directory_account self;
	struct directory_entry e;
	int err;

	*allowed = false;
	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_address_parse(address, false, &a, &at);
	if (err == 0 && at.domain.n == 0)
		err = ERR_SYNTAX; /* a bare postmaster is a recipient only */
	if (err == 0)
		err = directory_account_get(tx, &a, account_id, &self);
	if (err == 0 && !self.enabled)
		err = ERR_NOTFOUND;
	if (err == 0)
		err = directory_lookup(tx, &a, &at, &e);
	if (err == 0 && e.kind == DIRECTORY_ACCOUNT)
		*allowed = slice_eq(e.account.id, account_id);
	else if (err == 0 && e.kind == DIRECTORY_ALIAS && !e.fallback)
		err = alias_leads_to(tx, &a, e.alias_key, account_id, allowed);
	return err == ERR_SYNTAX || err == ERR_NOTFOUND ? 0 : err;
}
