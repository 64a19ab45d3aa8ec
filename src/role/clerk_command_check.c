/* clerk_command_check.c: `fsck` on the control socket: the clerk's own books, then each account, by its desk. */
#include "role/clerk_private.h"

#define CHECK_MS 3600000

struct counts {
	int64_t accounts, findings, mended, aside;
};

/* {"where","kind","detail","mended"}: mended is "no", "yes" or "aside". */
static int
finding_row(struct control_session *s, struct counts *n, struct slice where, struct slice kind, struct slice detail,
    struct slice mended)
{
	json_t *o = json_object();
	int err;

	n->findings++;
	n->mended += slice_eq(mended, SLICE("yes"));
	n->aside += slice_eq(mended, SLICE("aside"));
	control_set_text(o, "where", where);
	control_set_text(o, "kind", kind);
	/* It may have come out of a damaged file. */
	control_set_text(o, "detail", slice_is_utf8(detail, true) ? detail : SLICE("(unprintable)"));
	control_set_text(o, "mended", mended);
	err = control_row(s, o);
	json_decref(o);
	return err;
}

/* ---- the books -------------------------------------------------------------------------------------------- */

static int
integrity_tx(struct sqltx *tx, void *arg)
{
	buf_reset(arg);
	return sql_integrity(tx, arg);
}

static int
check_database(struct control_session *s, struct counts *n, struct sqldb *db, const char *name)
{
	struct buf words BUF_CLEANUP;
	struct slice rest, line;
	int err;

	buf_init(&words, 65536);
	err = sql_read(db, integrity_tx, &words);
	if (err == 0)
		return 0;
	if (err != ERR_DAMAGED)
		return control_fail(s, err, "Look at the log.", "%s cannot be read: %s", name, err_text(err));
	rest = buf_slice(&words);
	line = slice_cut(&rest, '\n');
	return finding_row(s, n, slice_z(name), SLICE("database_damaged"),
	    line.n > 0 ? line : SLICE("it cannot be read: restore the house from a backup"), SLICE("no"));
}

static int
check_queue(struct control_session *s, struct counts *n)
{
	struct queue_flaw *v;
	size_t count;
	int err = queue_check(s->k->queue, &s->arena, &v, &count);

	for (size_t i = 0; i < count && err == 0; i++)
		err = finding_row(s, n, SLICE("queue"), slice_z(v[i].kind), v[i].detail, SLICE("no"));
	return err;
}

/* ---- accounts ------------------------------------------------------------------------------------------------ */

static int
check_account(struct control_session *s, struct counts *n, const struct directory_account *a, bool repair)
{
	struct bus_desk_check_request q = {.account_id = a->id, .repair = repair};
	struct bus_desk_check_reply rep;
	struct arena mem ARENA_CLEANUP;
	int err;

	arena_init(&mem, (size_t)64 << 20);
	n->accounts++;
	err = BUS_CALL(
	    s->k->c->bus, ROLE_DESK, account_desk(a->id, s->k->c->desks), desk_check, &q, &mem, &rep, CHECK_MS);
	if (err == ERR_CLOSED || err == ERR_TIMEOUT)
		return control_fail_role(s, "desk", err, SLICE_EMPTY);
	if (err == ERR_NOTFOUND)
		return finding_row(s, n, a->address, SLICE("account_without_folder"),
		    SLICE("there is no folder of the account: one is made when mail comes, or the account is restored"),
		    SLICE("no"));
	if (err != 0)
		return finding_row(s, n, a->address, SLICE("not_checked"), slice_z(err_text(err)), SLICE("no"));
	for (size_t i = 0; err == 0 && i < rep.kinds.n && i < rep.details.n && i < rep.mended.n; i++)
		err = finding_row(s, n, a->address, rep.kinds.v[i], rep.details.v[i], rep.mended.v[i]);
	return err;
}

#define PAGE_ROWS 200

struct page {
	struct arena *arena;
	struct slice after;
	struct directory_account *v;
	size_t n;
};

static int
list_page(struct sqltx *tx, void *arg)
{
	struct page *p = arg;

	arena_reset(p->arena);
	return directory_account_list(tx, p->arena, p->after, PAGE_ROWS, &p->v, &p->n);
}

static int
check_accounts(struct control_session *s, struct counts *n, bool repair)
{
	struct arena page ARENA_CLEANUP, last ARENA_CLEANUP;
	struct page p = {.arena = &page, .n = PAGE_ROWS};
	int err = 0;

	arena_init(&page, (size_t)16 << 20);
	arena_init(&last, 65536);
	while (err == 0 && p.n == PAGE_ROWS) {
		err = sql_read(s->k->directory_db, list_page, &p);
		for (size_t i = 0; err == 0 && i < p.n; i++)
			err = check_account(s, n, &p.v[i], repair);
		if (err == 0 && p.n > 0) {
			arena_reset(&last);
			p.after = arena_copy(&last, p.v[p.n - 1].address);
		}
	}
	return err;
}

int
control_run_fsck(struct control_session *s)
{
	bool repair = control_bool(&s->request, "repair");
	struct directory_account one;
	struct counts n = {0};
	int err = 0;

	if (control_text(&s->request, "address").n > 0) {
		err = control_account(s, &one);
		if (err == 0)
			err = check_account(s, &n, &one, repair);
	} else {
		err = check_database(s, &n, s->k->directory_db, "directory.db");
		if (err == 0)
			err = check_database(s, &n, s->k->queue_db, "queue.db");
		if (err == 0)
			err = check_database(s, &n, s->k->guard_db, "guard.db");
		if (err == 0)
			err = check_queue(s, &n);
		if (err == 0)
			err = check_accounts(s, &n, repair);
	}
	json_object_set_new(s->done, "accounts", json_integer(n.accounts));
	json_object_set_new(s->done, "findings", json_integer(n.findings));
	json_object_set_new(s->done, "mended", json_integer(n.mended));
	json_object_set_new(s->done, "aside", json_integer(n.aside));
	return err;
}
