/* directory_writers.c: who may write to an alias or group. */
#include "base/house.h"
#include "directory/directory_private.h"

/* ---- setting ---------------------------------------------------------------------------------------------------- */

/* An address, or "@domain". */
static int
spell_writer(struct arena *a, struct slice in, struct slice *out, struct buf *detail)
{
	struct directory_address at;
	int err = directory_address_parse(in, true, a, &at);

	if (err == ERR_SYNTAX || (err == 0 && at.domain.n == 0)) {
		SAY(detail, "\"%.*s\" is neither an address nor of the form @domain.", SLICE_ARG(in));
		return ERR_SYNTAX;
	}
	*out = at.spelt;
	return err;
}

static int
refuse_writers(const struct limits *limits, const struct directory_address *at, enum directory_writers writers,
    struct slice_list listed, struct buf *detail)
{
	if (writers != DIRECTORY_ANYONE && directory_is_reserved(at->local)) {
		SAY(detail, "anyone may write to %.*s: every domain has to be reachable there.", SLICE_ARG(at->spelt));
		return ERR_CONFLICT;
	}
	if (writers == DIRECTORY_LISTED && listed.n == 0) {
		SAY(detail, "nobody is listed who may write to %.*s.", SLICE_ARG(at->spelt));
		return ERR_INVALID;
	}
	if (writers != DIRECTORY_LISTED && listed.n > 0) {
		SAY(detail, "senders are listed, but the rule is another one.");
		return ERR_INVALID;
	}
	if (listed.n > (size_t)limits->directory_writers) {
		SAY(detail, "at most %lld senders can be listed.", (long long)limits->directory_writers);
		return ERR_LIMIT;
	}
	return 0;
}

int
directory_alias_writers_set(struct sqltx *tx, const struct limits *limits, struct slice address,
    enum directory_writers writers, struct slice_list listed, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	struct slice spelt = SLICE_EMPTY;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_address_parse(address, true, &a, &at);
	if (err == 0)
		err = refuse_writers(limits, &at, writers, listed, detail);
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_alias_writers_set, SQLT(at.key), SQLI(writers));
	if ((err == ERR_SYNTAX && detail->n == 0) || (err == 0 && sql_changes(tx) == 0)) {
		SAY(detail, "there is no alias or group %.*s.", SLICE_ARG(address));
		return ERR_NOTFOUND;
	}
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_writer_delete, SQLT(at.key));
	for (size_t i = 0; err == 0 && i < listed.n; i++) {
		err = spell_writer(&a, listed.v[i], &spelt, detail);
		if (err == 0)
			err = SQL_EXEC(tx, &directory_sql_writer_insert, SQLT(at.key), SQLI(i), SQLT(spelt));
	}
	return err;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

/* A sender as far as it can be known by its address. */
struct writer {
	struct sqltx *tx;
	struct arena *a;
	struct directory_address at;
	struct slice account_id; /* whose address it is, or empty */
	int64_t budget;          /* addresses that are still looked at */
	int64_t depth_max;
};

static int
account_of(struct writer *w, const struct directory_entry *e)
{
	struct directory_address at;
	struct directory_entry target;
	struct slice_list targets;
	bool local;
	int err;

	if (e->kind == DIRECTORY_ACCOUNT)
		w->account_id = e->account.id;
	if (e->kind != DIRECTORY_ALIAS || e->alias.kind != DIRECTORY_IS_ALIAS)
		return 0;
	err = directory_alias_targets(w->tx, w->a, e->alias_key, &targets);
	if (err != 0 || targets.n != 1)
		return err;
	err = directory_address_here(w->tx, w->a, *targets.v, &at, &local);
	if (err != 0 || !local)
		return err == ERR_SYNTAX ? 0 : err;
	err = directory_lookup(w->tx, w->a, &at, &target);
	if (err == 0 && target.kind == DIRECTORY_ACCOUNT)
		w->account_id = target.account.id;
	return err;
}

static int
know_writer(struct writer *w, struct slice path)
{
	struct directory_entry e;
	bool local;
	int err = directory_address_here(w->tx, w->a, path, &w->at, &local);

	if (err != 0 || !local)
		return err;
	err = directory_lookup(w->tx, w->a, &w->at, &e);
	return err == 0 && !e.fallback ? account_of(w, &e) : err;
}

static int
is_listed(const struct writer *w, struct slice_list listed, bool *found)
{
	struct slice user = w->at.local, tag, bare;

	(void)directory_split_tag(w->at.local, &user, &tag);
	bare = directory_key(w->a, user, w->at.domain);
	*found = false;
	for (size_t i = 0; !*found && i < listed.n; i++) {
		struct directory_address at;
		struct slice domain;
		bool local;
		int err = directory_address_parse(listed.v[i], true, w->a, &at);

		if (err == 0)
			err = directory_domain_find(w->tx, w->a, at.domain, &local, &domain);
		if (err != 0)
			return err;
		at.key = directory_key(w->a, at.local, domain);
		*found = at.local.n == 0 ? slice_eq(domain, w->at.domain)
					 : slice_eq(at.key, w->at.key) || slice_eq(at.key, bare);
	}
	return 0;
}

/* Among the targets, also those of groups among them. The depth is bounded by the limit. */
static int
is_member(struct writer *w, struct slice key, int64_t depth, bool *found)
{
	struct slice_list targets;
	int err = directory_alias_targets(w->tx, w->a, key, &targets);

	for (size_t i = 0; err == 0 && !*found && i < targets.n && w->budget > 0; i++) {
		struct directory_address at;
		struct directory_entry e = {0};
		bool local = false;

		w->budget--;
		err = directory_address_here(w->tx, w->a, targets.v[i], &at, &local);
		if (err == 0 && local)
			err = directory_lookup(w->tx, w->a, &at, &e);
		if (err != 0)
			break;
		*found = slice_eq(at.key, w->at.key) ||
		    (e.kind == DIRECTORY_ACCOUNT && slice_eq(e.account.id, w->account_id));
		if (!*found && e.kind == DIRECTORY_ALIAS && depth < w->depth_max)
			err = is_member(w, e.alias_key, depth + 1, found);
	}
	return err;
}

int
directory_may_write(
    struct sqltx *tx, struct arena *a, const struct directory_ask *ask, const struct directory_entry *e, bool *may)
{
	struct writer w = {.tx = tx,
	    .a = a,
	    .budget = ask->limits->directory_expansion,
	    .depth_max = ask->limits->directory_alias_depth};
	struct slice_list listed;
	int err = 0;

	*may = e->alias.writers == DIRECTORY_ANYONE || (e->alias.writers == DIRECTORY_SIGNED_IN && ask->from.signed_in);
	if (*may || e->alias.writers == DIRECTORY_SIGNED_IN || ask->from.path.n == 0)
		return 0;
	err = know_writer(&w, ask->from.path);
	if (err != 0)
		return err == ERR_SYNTAX ? 0 : err;
	switch (e->alias.writers) {
	case DIRECTORY_DOMAIN:
		*may = slice_ends(e->alias_key, w.at.domain) &&
		    slice_at(e->alias_key, e->alias_key.n - w.at.domain.n - 1) == '@';
		return 0;
	case DIRECTORY_LISTED:
		err = directory_alias_listed(tx, a, e->alias_key, &listed);
		return err == 0 ? is_listed(&w, listed, may) : err;
	case DIRECTORY_MEMBERS: return is_member(&w, e->alias_key, 1, may);
	case DIRECTORY_ANYONE:
	case DIRECTORY_SIGNED_IN:
	default: return 0;
	}
}
