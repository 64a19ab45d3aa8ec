/* directory_alias.c: aliases, groups and blocked addresses: adding, changing, listing, and who may write to them. */
#include "base/house.h"
#include "directory/directory_identity.h"
#include "directory/directory_private.h"

/* ---- reading -------------------------------------------------------------------------------------------------- */

void
directory_alias_row(struct sql_rows *r, struct arena *a, struct directory_alias *out)
{
	*out = (struct directory_alias){
	    .address = arena_copy(a, sql_col_bytes(r, 0)),
	    .kind = (enum directory_alias_kind)sql_col_int(r, 1),
	    .owner = arena_copy(a, sql_col_bytes(r, 2)),
	    .writers = (enum directory_writers)sql_col_int(r, 3),
	    .created_us = sql_col_int(r, 4),
	};
}

int
directory_alias_targets(struct sqltx *tx, struct arena *a, struct slice key, struct slice_list *out)
{
	return directory_text_list(tx, a, &directory_sql_target_list, key, out);
}

int
directory_alias_listed(struct sqltx *tx, struct arena *a, struct slice key, struct slice_list *out)
{
	return directory_text_list(tx, a, &directory_sql_writer_list, key, out);
}

int
directory_alias_get(struct sqltx *tx, struct arena *a, struct slice address, struct directory_alias *out)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct directory_address at;
	int err = directory_address_parse(address, true, a, &at);

	if (err == 0)
		err = SQL_QUERY(tx, &r, &directory_sql_alias_get, SQLT(at.key));
	if (err == 0)
		err = sql_next(&r);
	if (err != 1)
		return err == ERR_SYNTAX || err == 0 ? ERR_NOTFOUND : err;
	directory_alias_row(&r, a, out);
	err = directory_alias_targets(tx, a, at.key, &out->targets);
	return err == 0 ? directory_alias_listed(tx, a, at.key, &out->listed) : err;
}

int
directory_alias_list(
    struct sqltx *tx, struct arena *a, struct slice after, size_t max, struct directory_alias **v, size_t *n)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct directory_alias *one;
	size_t cap = 0;
	struct slice key;
	int err = directory_key_after(after, a, &key);

	*v = NULL;
	*n = 0;
	if (err == 0)
		err = SQL_QUERY(tx, &r, &directory_sql_alias_list, SQLT(key), SQLI(max));
	while (err == 0 && (err = sql_next(&r)) == 1) {
		*v = arena_grow(a, *v, *n, &cap, sizeof(**v), max);
		if (*v == NULL)
			return ERR_NOMEM;
		one = &(*v)[(*n)++];
		directory_alias_row(&r, a, one);
		key = arena_copy(a, sql_col_bytes(&r, 5));
		err = directory_alias_targets(tx, a, key, &one->targets);
		if (err == 0)
			err = directory_alias_listed(tx, a, key, &one->listed);
	}
	return err != 0 ? err : arena_failed(a) ? ERR_NOMEM : 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static const char *
kind_name(enum directory_alias_kind kind)
{
	switch (kind) {
	case DIRECTORY_IS_GROUP: return "a group";
	case DIRECTORY_IS_BLOCKED: return "a blocked address";
	case DIRECTORY_IS_ALIAS:
	default: return "an alias";
	}
}

static int
set_targets(struct sqltx *tx, struct slice key, struct slice_list targets)
{
	int err = SQL_EXEC(tx, &directory_sql_target_delete, SQLT(key));

	for (size_t i = 0; err == 0 && i < targets.n; i++)
		err = SQL_EXEC(tx, &directory_sql_target_insert, SQLT(key), SQLI(i), SQLT(targets.v[i]));
	return err;
}

static int
targets_count_is_right(const struct limits *l, const struct directory_alias *in, struct buf *detail)
{
	int64_t max = in->kind == DIRECTORY_IS_GROUP ? l->directory_group_members : l->directory_alias_targets;

	if (in->kind == DIRECTORY_IS_BLOCKED)
		return in->targets.n == 0 ? 0 : ERR_INVALID;
	if (in->targets.n > 0 && in->targets.n <= (size_t)max)
		return 0;
	SAY(detail, "%s has from 1 to %lld %s.", kind_name(in->kind), (long long)max,
	    in->kind == DIRECTORY_IS_GROUP ? "members" : "targets");
	return ERR_LIMIT;
}

/* What stands in the way of setting it at this address. */
static int
refuse_alias(struct sqltx *tx, struct arena *a, const struct directory_alias *in, const struct directory_address *at,
    struct buf *detail)
{
	struct directory_alias before;
	int err;

	if (in->kind == DIRECTORY_IS_BLOCKED && (directory_is_reserved(at->local) || at->local.n == 0)) {
		SAY(detail, "%.*s cannot be blocked%s.", SLICE_ARG(at->spelt),
		    at->local.n == 0 ? ": remove the catch-all instead" : ": every domain has to be reachable there");
		return ERR_CONFLICT;
	}
	if (in->kind == DIRECTORY_IS_GROUP && at->local.n == 0) {
		SAY(detail, "a catch-all is an alias, not a group.");
		return ERR_INVALID;
	}
	err = directory_alias_get(tx, a, at->spelt, &before);
	if (err == 0 && before.kind != in->kind) {
		SAY(detail, "%.*s is %s already.", SLICE_ARG(at->spelt), kind_name(before.kind));
		return ERR_EXISTS;
	}
	return err == ERR_NOTFOUND ? 0 : err;
}

/* A catch-all has no address of its own to begin with: what it leads to is looked at. */
static int
refuse_loops(struct sqltx *tx, struct house *h, struct arena *a, const struct directory_address *at,
    struct slice_list targets, struct buf *detail)
{
	int err = 0;

	if (at->local.n > 0)
		return directory_refuse_loop(tx, h, a, at->spelt, detail);
	for (size_t i = 0; err == 0 && i < targets.n; i++)
		err = directory_refuse_loop(tx, h, a, targets.v[i], detail);
	return err;
}

static int
spell_owner(struct arena *a, struct slice in, struct slice *out, struct buf *detail)
{
	struct slice_list one = {0};
	int err;

	*out = SLICE("");
	if (in.n == 0)
		return 0;
	err = directory_targets_spell(a, (struct slice_list){&in, 1}, &one, detail);
	if (err == 0)
		*out = *one.v;
	return err;
}

int
directory_alias_set(struct sqltx *tx, struct house *h, const struct directory_alias *in, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	struct slice_list targets;
	struct slice owner;
	int err = targets_count_is_right(&h->limits, in, detail);

	if (err != 0)
		return err;
	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_own_address(tx, &a, in->address, true, &at, detail);
	if (err == 0)
		err = refuse_alias(tx, &a, in, &at, detail);
	if (err == 0)
		err = directory_targets_spell(&a, in->targets, &targets, detail);
	if (err == 0)
		err = spell_owner(&a, in->owner, &owner, detail);
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_alias_insert, SQLT(at.key), SQLT(at.spelt), SQLT(at.domain),
		    SQLI(house_now_us(h)), SQLI(in->kind), SQLT(owner));
	if (err == 0)
		err = set_targets(tx, at.key, targets);
	return err == 0 && in->kind != DIRECTORY_IS_BLOCKED ? refuse_loops(tx, h, &a, &at, targets, detail) : err;
}

int
directory_alias_remove(struct sqltx *tx, struct slice address, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_address at;
	int err;

	arena_init(&a, DIRECTORY_SCRATCH_BYTES);
	err = directory_address_parse(address, true, &a, &at);
	if (err == 0)
		err = at.local.n > 0 ? directory_identity_forget(tx, at.key) : 0;
	if (err == 0)
		err = SQL_EXEC(tx, &directory_sql_alias_delete, SQLT(at.key));
	if (err == ERR_SYNTAX || (err == 0 && sql_changes(tx) == 0)) {
		SAY(detail, "there is no alias or group %.*s.", SLICE_ARG(address));
		err = ERR_NOTFOUND;
	}
	return err;
}

/* ---- members ---------------------------------------------------------------------------------------------------- */

static int
find_group(struct sqltx *tx, struct arena *a, struct slice address, struct directory_alias *out, struct buf *detail)
{
	int err = directory_alias_get(tx, a, address, out);

	if (err != ERR_NOTFOUND && (err != 0 || out->kind == DIRECTORY_IS_GROUP))
		return err;
	SAY(detail, "there is no group %.*s.", SLICE_ARG(address));
	return ERR_NOTFOUND;
}

/* Where the address stands in the list, compared by their keys; SLICE_NONE: nowhere. */
static size_t
place_of(struct arena *a, struct slice_list list, struct slice address)
{
	struct directory_address one, other;

	if (directory_address_parse(address, false, a, &one) != 0)
		return SLICE_NONE;
	for (size_t i = 0; i < list.n; i++)
		if (directory_address_parse(list.v[i], false, a, &other) == 0 && slice_eq(one.key, other.key))
			return i;
	return SLICE_NONE;
}

int
directory_group_join(
    struct sqltx *tx, struct house *h, struct slice address, struct slice_list members, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_alias group;
	struct slice *v;
	int err;

	arena_init(&a, 4 * DIRECTORY_SCRATCH_BYTES);
	err = find_group(tx, &a, address, &group, detail);
	if (err != 0)
		return err;
	v = ARENA_ARRAY(&a, struct slice, group.targets.n + members.n + 1);
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < group.targets.n; i++)
		v[i] = group.targets.v[i];
	for (size_t i = 0; i < members.n; i++) {
		struct slice_list now = {v, group.targets.n};

		if (place_of(&a, now, members.v[i]) != SLICE_NONE) {
			SAY(detail, "%.*s is a member of %.*s already.", SLICE_ARG(members.v[i]),
			    SLICE_ARG(group.address));
			return ERR_EXISTS;
		}
		v[group.targets.n++] = members.v[i];
	}
	group.targets.v = v;
	return directory_alias_set(tx, h, &group, detail);
}

int
directory_group_leave(
    struct sqltx *tx, struct house *h, struct slice address, struct slice_list members, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct directory_alias group;
	struct slice *v;
	int err;

	arena_init(&a, 4 * DIRECTORY_SCRATCH_BYTES);
	err = find_group(tx, &a, address, &group, detail);
	if (err != 0)
		return err;
	v = ARENA_ARRAY(&a, struct slice, group.targets.n + 1);
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < group.targets.n; i++)
		v[i] = group.targets.v[i];
	group.targets.v = v;
	for (size_t i = 0; i < members.n; i++) {
		size_t place = place_of(&a, group.targets, members.v[i]);

		if (place == SLICE_NONE) {
			SAY(detail, "%.*s is not a member of %.*s.", SLICE_ARG(members.v[i]), SLICE_ARG(group.address));
			return ERR_NOTFOUND;
		}
		group.targets.n--;
		memmove(v + place, v + place + 1, (group.targets.n - place) * sizeof(*v));
	}
	return directory_alias_set(tx, h, &group, detail);
}
