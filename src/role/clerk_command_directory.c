/* clerk_command_directory.c: `domain` and `alias` on the control socket, and listing accounts. */
#include "role/clerk_private.h"

#define PAGE_ROWS 200

/* What a transaction function of these commands works on. */
struct books {
	struct control_session *s;
	struct house *house;
	struct slice name;
	struct slice_list targets;
	struct slice after;
	struct arena *arena; /* of a page */
	struct directory_domain *domains;
	struct directory_alias *aliases;
	struct directory_account *accounts;
	size_t n;
};

static struct books
books_of(struct control_session *s, const char *key)
{
	return (struct books){.s = s, .house = s->k->c->house, .name = control_text(&s->request, key)};
}

static int
write_books(struct control_session *s, sql_fn *fn, struct books *b)
{
	return clerk_directory_write(s->k, fn, b);
}

/* ---- domains ----------------------------------------------------------------------------------------- */

static int
add_domain(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	buf_reset(&b->s->what);
	return directory_domain_add(tx, b->house, b->name, &b->s->what);
}

static int
remove_domain(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	buf_reset(&b->s->what);
	return directory_domain_remove(tx, b->name, &b->s->what);
}

static int
list_domains(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	return directory_domain_list(tx, b->arena, &b->domains, &b->n);
}

int
control_run_domain_add(struct control_session *s)
{
	struct books b = books_of(s, "name");

	return write_books(s, add_domain, &b);
}

int
control_run_domain_remove(struct control_session *s)
{
	struct books b = books_of(s, "name");

	return write_books(s, remove_domain, &b);
}

int
control_run_domain_list(struct control_session *s)
{
	struct books b = {.arena = &s->arena};
	int err = sql_read(s->k->directory_db, list_domains, &b);

	for (size_t i = 0; err == 0 && i < b.n; i++) {
		json_t *o = json_object();

		control_set_text(o, "name", b.domains[i].name);
		json_object_set_new(o, "accounts", json_integer(b.domains[i].accounts));
		json_object_set_new(o, "aliases", json_integer(b.domains[i].aliases));
		control_set_time(o, "created_at", b.domains[i].created_us);
		err = control_row(s, o);
		json_decref(o);
	}
	return err;
}

/* ---- aliases ------------------------------------------------------------------------------------------- */

static int
set_alias(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	buf_reset(&b->s->what);
	return directory_alias_set(tx, b->house, b->name, b->targets, &b->s->what);
}

static int
remove_alias(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	buf_reset(&b->s->what);
	return directory_alias_remove(tx, b->name, &b->s->what);
}

int
control_run_alias_add(struct control_session *s)
{
	const json_t *list = json_object_get(s->request.args, "targets");
	size_t n = json_array_size(list);
	struct books b = books_of(s, "address");
	struct slice *v = ARENA_ARRAY(&s->arena, struct slice, n + 1);

	if (v == NULL)
		return ERR_NOMEM;
	if (n == 0)
		return control_fail(s, ERR_INVALID, "Name at least one address.", "an alias needs a target");
	for (size_t i = 0; i < n; i++)
		v[i] = slice_of(
		    json_string_value(json_array_get(list, i)), json_string_length(json_array_get(list, i)));
	b.targets = (struct slice_list){v, n};
	return write_books(s, set_alias, &b);
}

int
control_run_alias_remove(struct control_session *s)
{
	struct books b = books_of(s, "address");

	return write_books(s, remove_alias, &b);
}

static int
list_aliases(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	arena_reset(b->arena);
	return directory_alias_list(tx, b->arena, b->after, PAGE_ROWS, &b->aliases, &b->n);
}

static int
alias_row(struct control_session *s, const struct directory_alias *a)
{
	json_t *o = json_object(), *targets = json_array();
	int err;

	for (size_t i = 0; i < a->targets.n; i++)
		json_array_append_new(targets, json_stringn((const char *)a->targets.v[i].p, a->targets.v[i].n));
	control_set_text(o, "address", a->address);
	json_object_set_new(o, "targets", targets);
	control_set_time(o, "created_at", a->created_us);
	err = control_row(s, o);
	json_decref(o);
	return err;
}

/* ---- lists, a page at a time ---------------------------------------------------------------------------- */

static int
list_accounts(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	arena_reset(b->arena);
	return directory_account_list(tx, b->arena, b->after, PAGE_ROWS, &b->accounts, &b->n);
}

static int
account_row(struct control_session *s, const struct directory_account *a)
{
	json_t *o = json_object();
	int err;

	control_set_text(o, "id", a->id);
	control_set_text(o, "address", a->address);
	control_set_text(o, "display_name", a->display_name);
	json_object_set_new(o, "quota_bytes", json_integer(a->quota_bytes));
	json_object_set_new(o, "enabled", json_boolean(a->enabled));
	json_object_set_new(o, "admin", json_boolean(a->admin));
	control_set_time(o, "created_at", a->created_us);
	err = control_row(s, o);
	json_decref(o);
	return err;
}

static int
page_rows(struct control_session *s, const struct books *b)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < b->n; i++)
		err = b->aliases != NULL ? alias_row(s, &b->aliases[i]) : account_row(s, &b->accounts[i]);
	return err;
}

static int
list_pages(struct control_session *s, sql_fn *fn)
{
	struct arena page ARENA_CLEANUP, last ARENA_CLEANUP;
	struct books b = {.arena = &page, .n = PAGE_ROWS};
	int err = 0;

	arena_init(&page, (size_t)64 << 20);
	arena_init(&last, 65536);
	while (err == 0 && b.n == PAGE_ROWS) {
		err = sql_read(s->k->directory_db, fn, &b);
		if (err == 0)
			err = page_rows(s, &b);
		if (err == 0 && b.n > 0) {
			/* The next page is read into the memory of this one. */
			arena_reset(&last);
			b.after = arena_copy(
			    &last, b.aliases != NULL ? b.aliases[b.n - 1].address : b.accounts[b.n - 1].address);
		}
	}
	return err;
}

int
control_run_alias_list(struct control_session *s)
{
	return list_pages(s, list_aliases);
}

int
control_run_account_list(struct control_session *s)
{
	return list_pages(s, list_accounts);
}
