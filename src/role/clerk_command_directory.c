/* clerk_command_directory.c: `domain` on the control socket, and listing accounts. */
#include "message/mailbox.h"
#include "role/clerk_private.h"

#define PAGE_ROWS 200

/* What a transaction function of these commands works on. */
struct books {
	struct control_session *s;
	struct house *house;
	struct slice name, other;
	bool in, out;
	struct slice after;
	struct arena *arena; /* of a page */
	struct directory_domain *domains;
	struct directory_domain_alias *domain_aliases;
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
	struct slice domain;
	int err = write_books(s, add_domain, &b);

	if (err == 0)
		err = domain_normalise(&s->arena, b.name, &domain);
	return err != 0 || control_bool(&s->request, "later") ? err : clerk_dkim_show(s, domain);
}

int
control_run_domain_remove(struct control_session *s)
{
	struct books b = books_of(s, "name");
	struct slice domain;
	int err = write_books(s, remove_domain, &b);

	if (err == 0)
		err = domain_normalise(&s->arena, b.name, &domain);
	return err != 0 ? err : clerk_dkim_forget(s, domain);
}

int
control_run_domain_list(struct control_session *s)
{
	struct books b = {.arena = &s->arena};
	int err = sql_read(s->k->directory_db, list_domains, &b);

	for (size_t i = 0; err == 0 && i < b.n; i++) {
		json_t *o = json_object();

		control_set_text(o, "name", b.domains[i].name);
		control_set_text(o, "unicode", domain_display(&s->arena, b.domains[i].name));
		json_object_set_new(o, "accounts", json_integer(b.domains[i].accounts));
		json_object_set_new(o, "aliases", json_integer(b.domains[i].aliases));
		control_set_text(o, "bcc", b.domains[i].bcc);
		json_object_set_new(o, "bcc_in", json_boolean(b.domains[i].bcc_in));
		json_object_set_new(o, "bcc_out", json_boolean(b.domains[i].bcc_out));
		control_set_time(o, "created_at", b.domains[i].created_us);
		err = control_row(s, o);
		json_decref(o);
	}
	return err;
}

/* ---- names that stand for domains --------------------------------------------------------------------- */

static int
add_domain_alias(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	buf_reset(&b->s->what);
	return directory_domain_alias_add(tx, b->house, b->name, b->other, &b->s->what);
}

static int
remove_domain_alias(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	buf_reset(&b->s->what);
	return directory_domain_alias_remove(tx, b->name, &b->s->what);
}

static int
list_domain_aliases(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	return directory_domain_alias_list(tx, b->arena, &b->domain_aliases, &b->n);
}

int
control_run_domain_alias(struct control_session *s)
{
	struct books b = books_of(s, "name");

	b.other = control_text(&s->request, "domain");
	return write_books(s, add_domain_alias, &b);
}

int
control_run_domain_alias_remove(struct control_session *s)
{
	struct books b = books_of(s, "name");

	return write_books(s, remove_domain_alias, &b);
}

int
control_run_domain_alias_list(struct control_session *s)
{
	struct books b = {.arena = &s->arena};
	int err = sql_read(s->k->directory_db, list_domain_aliases, &b);

	for (size_t i = 0; err == 0 && i < b.n; i++) {
		json_t *o = json_object();

		control_set_text(o, "name", b.domain_aliases[i].name);
		control_set_text(o, "unicode", domain_display(&s->arena, b.domain_aliases[i].name));
		control_set_text(o, "domain", b.domain_aliases[i].target);
		control_set_time(o, "created_at", b.domain_aliases[i].created_us);
		err = control_row(s, o);
		json_decref(o);
	}
	return err;
}

/* ---- archives -------------------------------------------------------------------------------------------- */

static int
set_bcc(struct sqltx *tx, void *arg)
{
	struct books *b = arg;

	buf_reset(&b->s->what);
	return directory_domain_bcc_set(tx, b->name, b->other, b->in, b->out, &b->s->what);
}

int
control_run_domain_bcc(struct control_session *s)
{
	struct books b = books_of(s, "name");

	b.other = control_text(&s->request, "address");
	b.in = control_bool(&s->request, "in");
	b.out = control_bool(&s->request, "out");
	if (!b.in && !b.out)
		b.in = b.out = true;
	if (b.other.n == 0)
		return control_fail(s, ERR_INVALID, "Name the archive's address.", "the address is empty");
	return write_books(s, set_bcc, &b);
}

int
control_run_domain_bcc_off(struct control_session *s)
{
	struct books b = books_of(s, "name");

	return write_books(s, set_bcc, &b);
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

int
control_run_account_list(struct control_session *s)
{
	struct arena page ARENA_CLEANUP, last ARENA_CLEANUP;
	struct books b = {.arena = &page, .n = PAGE_ROWS};
	int err = 0;

	arena_init(&page, (size_t)64 << 20);
	arena_init(&last, 65536);
	while (err == 0 && b.n == PAGE_ROWS) {
		err = sql_read(s->k->directory_db, list_accounts, &b);
		for (size_t i = 0; err == 0 && i < b.n; i++)
			err = account_row(s, &b.accounts[i]);
		if (err == 0 && b.n > 0) {
			/* The next page is read into the memory of this one. */
			arena_reset(&last);
			b.after = arena_copy(&last, b.accounts[b.n - 1].address);
		}
	}
	return err;
}
