/* directory_lookup.c: what an address of ours is, who signs in by a name, who may send as whom. */
#include "directory/directory_private.h"

/* RFC 5321 §4.5.1 and RFC 2142 §4: these are read in every domain, whatever else is set up. */
static const struct slice postmaster = SLICE_INIT("postmaster");
static const struct slice abuse = SLICE_INIT("abuse");

bool
directory_is_reserved(struct slice local)
{
	return slice_eq(local, postmaster) || slice_eq(local, abuse);
}

int
directory_domain_find(struct sqltx *tx, struct arena *a, struct slice name, bool *local, struct slice *canonical)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &directory_sql_domain_find, SQLT(name));

	*local = false;
	*canonical = name;
	if (err != 0)
		return err;
	err = sql_next(&r);
	*local = err == 1;
	if (err == 1)
		*canonical = arena_copy(a, sql_col_bytes(&r, 0));
	return err < 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
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

int
directory_canonical(struct sqltx *tx, struct arena *a, struct directory_address *at, bool *local)
{
	struct slice domain;
	int err;

	if (at->domain.n == 0) { /* a bare postmaster is that of the first domain, or nobody's */
		*local = true;
		err = directory_first_domain(tx, a, &domain);
		if (err != 0)
			return err == ERR_NOTFOUND ? 0 : err;
	} else {
		err = directory_domain_find(tx, a, at->domain, local, &domain);
		if (err != 0 || !*local || slice_eq(domain, at->domain))
			return err;
	}
	at->domain = domain;
	at->key = directory_key(a, at->local, domain);
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
directory_address_here(
    struct sqltx *tx, struct arena *a, struct slice address, struct directory_address *at, bool *local)
{
	int err = directory_address_parse(address, false, a, at);

	return err == 0 ? directory_canonical(tx, a, at, local) : err;
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
	if (err == 1)
		directory_alias_row(&r, a, &out->alias);
	return err < 0 ? err : 0;
}

int
directory_lookup_postmaster(struct sqltx *tx, struct arena *a, struct directory_entry *out)
{
	int err = directory_account_by(tx, a, &directory_sql_account_postmaster, NULL, &out->account);

	out->kind = err == 0 ? DIRECTORY_ACCOUNT : DIRECTORY_NOTHING;
	return err == ERR_NOTFOUND ? 0 : err;
}

/* What nobody has set up: abuse is read by who reads postmaster, and that by the house's first admin. */
static int
lookup_reserved(struct sqltx *tx, struct arena *a, struct slice user, struct slice domain, struct directory_entry *out)
{
	int err = 0;

	if (slice_eq(user, abuse))
		err = lookup_key(tx, a, directory_key(a, postmaster, domain), out);
	return err == 0 && out->kind == DIRECTORY_NOTHING ? directory_lookup_postmaster(tx, a, out) : err;
}

/* GROUP-bounces@, GROUP-owner@, GROUP-request@, owner-GROUP@: for the owner of the group (RFC 2142 §6). */
static int
lookup_owner(struct sqltx *tx, struct arena *a, struct slice local, struct slice domain, struct directory_entry *out)
{
	static const struct slice tails[] = {
	    SLICE_INIT("-bounces"), SLICE_INIT("-owner"), SLICE_INIT("-request"), SLICE_INIT("")};
	struct slice group = SLICE_EMPTY;
	int err;

	for (size_t i = 0; group.n == 0 && i < COUNT_OF(tails); i++)
		if (tails[i].n > 0 && slice_ends(local, tails[i]))
			group = slice_head(local, local.n - tails[i].n);
	if (group.n == 0 && slice_starts(local, SLICE("owner-")))
		group = slice_from(local, 6);
	if (group.n == 0)
		return 0;
	err = lookup_key(tx, a, directory_key(a, group, domain), out);
	if (err == 0 && out->kind == DIRECTORY_ALIAS && out->alias.owner.n > 0)
		out->kind = DIRECTORY_OWNER;
	else
		out->kind = DIRECTORY_NOTHING;
	return err;
}

int
directory_lookup(struct sqltx *tx, struct arena *a, const struct directory_address *at, struct directory_entry *out)
{
	struct slice user = at->local, tag, domain = at->domain;
	int err;

	*out = (struct directory_entry){0};
	if (domain.n == 0) /* there is no domain yet */
		return 0;
	err = lookup_key(tx, a, directory_key(a, user, domain), out);
	if (err == 0 && out->kind == DIRECTORY_NOTHING && directory_split_tag(at->local, &user, &tag)) {
		out->detail = tag;
		err = lookup_key(tx, a, directory_key(a, user, domain), out);
	}
	if (err == 0 && out->kind == DIRECTORY_NOTHING)
		err = lookup_owner(tx, a, at->local, domain, out);
	out->reserved = directory_is_reserved(user);
	if (err == 0 && out->kind == DIRECTORY_NOTHING && out->reserved)
		err = lookup_reserved(tx, a, user, domain, out);
	if (err == 0 && out->kind == DIRECTORY_NOTHING) {
		out->fallback = true;
		out->detail = SLICE_EMPTY;
		err = lookup_key(tx, a, directory_key(a, SLICE_EMPTY, domain), out);
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- people ------------------------------------------------------------------------------------------------- */

int
directory_login(struct sqltx *tx, struct arena *a, struct slice name, bool short_names, struct directory_account *out)
{
	struct directory_address at;
	struct slice full = name, domain;
	bool local, parsed;
	int err = 0;

	if (slice_find_byte(name, '@') == SLICE_NONE) {
		err = short_names ? directory_first_domain(tx, a, &domain) : ERR_NOTFOUND;
		if (err == 0)
			full = directory_key(a, name, domain);
	}
	if (err == 0)
		err = directory_address_here(tx, a, full, &at, &local);
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
	bool local;
	int err = directory_alias_targets(tx, a, key, &targets);

	for (size_t i = 0; err == 0 && !*leads && i < targets.n; i++) {
		err = directory_address_here(tx, a, targets.v[i], &at, &local);
		if (err == ERR_SYNTAX || (err == 0 && !local)) {
			err = 0;
			continue;
		}
		if (err == 0)
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
	struct directory_entry e = {0};
	bool local = false;
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
		err = directory_canonical(tx, &a, &at, &local);
	if (err == 0 && local)
		err = directory_lookup(tx, &a, &at, &e);
	if (err == 0 && e.kind == DIRECTORY_ACCOUNT)
		*allowed = slice_eq(e.account.id, account_id);
	else if (err == 0 && e.kind == DIRECTORY_ALIAS && e.alias.kind == DIRECTORY_IS_ALIAS && !e.fallback)
		err = alias_leads_to(tx, &a, e.alias_key, account_id, allowed);
	return err == ERR_SYNTAX || err == ERR_NOTFOUND ? 0 : err;
}

int
directory_is_own(struct sqltx *tx, struct arena *a, struct slice account_id, struct slice address, bool *own)
{
	struct directory_address at;
	struct directory_entry e;
	struct slice_list targets;
	bool local;
	int err = directory_address_here(tx, a, address, &at, &local);

	*own = false;
	if (err != 0 || !local)
		return err == ERR_SYNTAX ? 0 : err;
	err = directory_lookup(tx, a, &at, &e);
	if (err != 0 || e.fallback)
		return err;
	if (e.kind == DIRECTORY_ACCOUNT)
		*own = slice_eq(e.account.id, account_id) && !e.reserved;
	if (e.kind != DIRECTORY_ALIAS || e.alias.kind != DIRECTORY_IS_ALIAS)
		return 0;
	err = directory_alias_targets(tx, a, e.alias_key, &targets);
	return err == 0 && targets.n == 1 ? alias_leads_to(tx, a, e.alias_key, account_id, own) : err;
}
