/* clerk_command_alias.c: `alias` and `group` on the control socket. */
#include "role/clerk_private.h"

#define PAGE_ROWS 50

/* What a transaction function of these commands works on. */
struct alias_work {
	struct control_session *s;
	struct house *house;
	struct directory_alias alias;
	struct slice_list members;
	bool join;
	struct slice after;
	struct arena *arena; /* of a page */
	struct directory_alias *v;
	size_t n;
};

static const char *const writers_names[] = {[DIRECTORY_ANYONE] = "anyone",
    [DIRECTORY_MEMBERS] = "members",
    [DIRECTORY_DOMAIN] = "domain",
    [DIRECTORY_LISTED] = "listed",
    [DIRECTORY_SIGNED_IN] = "signed-in"};

static struct alias_work
work_of(struct control_session *s, enum directory_alias_kind kind)
{
	return (struct alias_work){
	    .s = s, .house = s->k->c->house, .alias = {.kind = kind, .address = control_text(&s->request, "address")}};
}

/* ---- setting ---------------------------------------------------------------------------------------------- */

static int
set_alias(struct sqltx *tx, void *arg)
{
	struct alias_work *w = arg;

	buf_reset(&w->s->what);
	return directory_alias_set(tx, w->house, &w->alias, &w->s->what);
}

int
control_run_alias_add(struct control_session *s)
{
	struct alias_work w = work_of(s, DIRECTORY_IS_ALIAS);
	int err = control_list(&s->request, "targets", &s->arena, &w.alias.targets);

	if (err == 0 && w.alias.targets.n == 0)
		return control_fail(s, ERR_INVALID, "Name at least one address.", "an alias needs a target");
	return err == 0 ? clerk_directory_write(s->k, set_alias, &w) : err;
}

int
control_run_alias_block(struct control_session *s)
{
	struct alias_work w = work_of(s, DIRECTORY_IS_BLOCKED);

	return clerk_directory_write(s->k, set_alias, &w);
}

int
control_run_group_add(struct control_session *s)
{
	struct alias_work w = work_of(s, DIRECTORY_IS_GROUP);
	int err = control_list(&s->request, "members", &s->arena, &w.alias.targets);

	if (err == 0 && w.alias.targets.n == 0)
		return control_fail(s, ERR_INVALID, "Name at least one address.", "a group needs a member");
	w.alias.owner = control_text(&s->request, "owner");
	return err == 0 ? clerk_directory_write(s->k, set_alias, &w) : err;
}

static int
change_members(struct sqltx *tx, void *arg)
{
	struct alias_work *w = arg;

	buf_reset(&w->s->what);
	return (w->join ? directory_group_join : directory_group_leave)(
	    tx, w->house, w->alias.address, w->members, &w->s->what);
}

static int
run_members(struct control_session *s, bool join)
{
	struct alias_work w = work_of(s, DIRECTORY_IS_GROUP);
	int err = control_list(&s->request, "members", &s->arena, &w.members);

	w.join = join;
	return err == 0 ? clerk_directory_write(s->k, change_members, &w) : err;
}

int
control_run_group_join(struct control_session *s)
{
	return run_members(s, true);
}

int
control_run_group_leave(struct control_session *s)
{
	return run_members(s, false);
}

/* ---- removing --------------------------------------------------------------------------------------------- */

/* Is it a group, or not, as the command says? */
static int
check_kind(struct sqltx *tx, struct alias_work *w)
{
	struct directory_alias found;
	bool group = w->alias.kind == DIRECTORY_IS_GROUP;
	int err = directory_alias_get(tx, &w->s->arena, w->alias.address, &found);

	if (err != 0 && err != ERR_NOTFOUND)
		return err;
	if (err == ERR_NOTFOUND || (group && found.kind != DIRECTORY_IS_GROUP)) {
		buf_printf(&w->s->what, "there is no %s %.*s.", group ? "group" : "alias", SLICE_ARG(w->alias.address));
		return ERR_NOTFOUND;
	}
	if (!group && found.kind == DIRECTORY_IS_GROUP) {
		buf_printf(&w->s->what, "%.*s is a group.", SLICE_ARG(w->alias.address));
		return ERR_CONFLICT;
	}
	return 0;
}

static int
remove_alias(struct sqltx *tx, void *arg)
{
	struct alias_work *w = arg;
	int err;

	buf_reset(&w->s->what);
	err = check_kind(tx, w);
	return err == 0 ? directory_alias_remove(tx, w->alias.address, &w->s->what) : err;
}

int
control_run_alias_remove(struct control_session *s)
{
	struct alias_work w = work_of(s, DIRECTORY_IS_ALIAS);

	return clerk_directory_write(s->k, remove_alias, &w);
}

int
control_run_group_remove(struct control_session *s)
{
	struct alias_work w = work_of(s, DIRECTORY_IS_GROUP);

	return clerk_directory_write(s->k, remove_alias, &w);
}

/* ---- who may write ------------------------------------------------------------------------------------------ */

static int
set_writers(struct sqltx *tx, void *arg)
{
	struct alias_work *w = arg;
	int err;

	buf_reset(&w->s->what);
	err = w->alias.kind == DIRECTORY_IS_GROUP ? check_kind(tx, w) : 0;
	return err == 0 ? directory_alias_writers_set(
			      tx, &w->house->limits, w->alias.address, w->alias.writers, w->alias.listed, &w->s->what)
			: err;
}

static int
run_who(struct control_session *s, enum directory_alias_kind kind)
{
	struct alias_work w = work_of(s, kind);
	struct slice who = control_text(&s->request, "who");
	int err = control_list(&s->request, "senders", &s->arena, &w.alias.listed);

	for (size_t i = DIRECTORY_ANYONE; i < COUNT_OF(writers_names); i++)
		if (slice_ieq(who, slice_z(writers_names[i])))
			w.alias.writers = (enum directory_writers)i;
	if (err == 0 && w.alias.writers == 0)
		return control_fail(s, ERR_INVALID, "Say anyone, members, domain, listed or signed-in.",
		    "\"%.*s\" is not a rule of who may write", SLICE_ARG(who));
	return err == 0 ? clerk_directory_write(s->k, set_writers, &w) : err;
}

int
control_run_alias_who(struct control_session *s)
{
	return run_who(s, DIRECTORY_IS_ALIAS);
}

int
control_run_group_who(struct control_session *s)
{
	return run_who(s, DIRECTORY_IS_GROUP);
}

/* ---- lists, a page at a time ---------------------------------------------------------------------------------- */

static int
list_aliases(struct sqltx *tx, void *arg)
{
	struct alias_work *w = arg;

	arena_reset(w->arena);
	return directory_alias_list(tx, w->arena, w->after, PAGE_ROWS, &w->v, &w->n);
}

static json_t *
text_list(struct slice_list list)
{
	json_t *out = json_array();

	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(out, json_stringn((const char *)list.v[i].p, list.v[i].n));
	return out;
}

static int
alias_row(struct control_session *s, const struct directory_alias *a)
{
	bool group = a->kind == DIRECTORY_IS_GROUP;
	json_t *o = json_object();
	int err;

	control_set_text(o, "address", a->address);
	if (!group)
		json_object_set_new(o, "blocked", json_boolean(a->kind == DIRECTORY_IS_BLOCKED));
	json_object_set_new(o, group ? "members" : "targets", text_list(a->targets));
	if (group)
		control_set_text(o, "owner", a->owner);
	json_object_set_new(o, "who",
	    json_string(
		(size_t)a->writers < COUNT_OF(writers_names) && a->writers > 0 ? writers_names[a->writers] : "anyone"));
	json_object_set_new(o, "senders", text_list(a->listed));
	control_set_time(o, "created_at", a->created_us);
	err = control_row(s, o);
	json_decref(o);
	return err;
}

static int
run_list(struct control_session *s, bool groups)
{
	struct arena page ARENA_CLEANUP, last ARENA_CLEANUP;
	struct alias_work w = {.s = s, .arena = &page, .n = PAGE_ROWS};
	int err = 0;

	arena_init(&page, (size_t)256 << 20);
	arena_init(&last, 65536);
	while (err == 0 && w.n == PAGE_ROWS) {
		err = sql_read(s->k->directory_db, list_aliases, &w);
		for (size_t i = 0; err == 0 && i < w.n; i++)
			if ((w.v[i].kind == DIRECTORY_IS_GROUP) == groups)
				err = alias_row(s, &w.v[i]);
		if (err == 0 && w.n > 0) {
			/* The next page is read into the memory of this one. */
			arena_reset(&last);
			w.after = arena_copy(&last, w.v[w.n - 1].address);
		}
	}
	return err;
}

int
control_run_alias_list(struct control_session *s)
{
	return run_list(s, false);
}

int
control_run_group_list(struct control_session *s)
{
	return run_list(s, true);
}
