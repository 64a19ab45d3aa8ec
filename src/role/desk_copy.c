/* desk_copy.c: what the clerk asks of an account for a backup: descriptors for reading, of a copy of its database and of its large
 * messages, which go on to the process that writes the backup. It sees no folder of the house. */
#include "role/desk_private.h"

/* Runs while a handler holds an account. */
static int
take(struct desk *d, struct slice account_id, struct store_account **account)
{
	if (d->stopping)
		return ERR_UNAVAILABLE;
	return store_account_get(d->store, account_id, account);
}

static int
on_mark(struct desk *d, struct bus_peer *from, struct bus_desk_mark_request *q, struct arena *a,
    struct bus_desk_mark_reply *rep)
{
	struct store_account *account = NULL;
	char mark[STORE_MARK_MAX];
	int err;

	(void)from;
	d->requests++;
	err = take(d, q->account_id, &account);
	if (err == 0)
		err = store_account_mark(account, mark);
	if (err == 0)
		rep->mark = arena_copy(a, slice_z(mark));
	store_account_put(&account);
	d->requests--;
	return err;
}

static int
on_copy(struct desk *d, struct bus_peer *from, struct bus_desk_copy_request *q, struct arena *a,
    struct bus_desk_copy_reply *rep)
{
	struct store_account *account = NULL;
	int database = -1, names = -1, err;

	(void)from;
	(void)a;
	d->requests++;
	err = take(d, q->account_id, &account);
	if (err == 0)
		err = store_account_copy(account, &database, &names);
	store_account_put(&account);
	d->requests--;
	rep->database = database;
	rep->names = names;
	return err;
}

static int
on_blob(struct desk *d, struct bus_peer *from, struct bus_desk_blob_request *q, struct arena *a,
    struct bus_desk_blob_reply *rep)
{
	struct store_account *account = NULL;
	int fd = -1, err;

	(void)from;
	(void)a;
	d->requests++;
	err = take(d, q->account_id, &account);
	if (err == 0)
		err = store_blob_open(account, q->name, &fd);
	store_account_put(&account);
	d->requests--;
	rep->file = fd;
	return err;
}

void
desk_copy_handle(struct desk *d)
{
	struct bus *b = d->c->bus;

	BUS_HANDLE(b, desk_mark, on_mark, d);
	BUS_HANDLE(b, desk_copy, on_copy, d);
	BUS_HANDLE(b, desk_blob, on_blob, d);
}
