/* desk_copy.c: what the clerk asks of an account for a backup: descriptors for reading, of a copy of its database and of its large
 * messages, which go on to the process that writes the backup. It sees no folder of the house. And whether the account is sound. */
#include "role/desk_private.h"
#include "store/store_check.h"

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

static int
on_check(struct desk *d, struct bus_peer *from, struct bus_desk_check_request *q, struct arena *a,
    struct bus_desk_check_reply *rep)
{
	static const char *const words[] = {[STORE_FOUND] = "no", [STORE_MENDED] = "yes", [STORE_ASIDE] = "aside"};
	struct store_finding *v = NULL;
	struct slice *kinds, *details, *mended;
	size_t n = 0;
	int err = ERR_UNAVAILABLE;

	(void)from;
	d->requests++;
	if (!d->stopping)
		err = store_account_check(d->store, q->account_id, q->repair != 0, a, &v, &n);
	d->requests--;
	kinds = ARENA_ARRAY(a, struct slice, n + 1);
	details = ARENA_ARRAY(a, struct slice, n + 1);
	mended = ARENA_ARRAY(a, struct slice, n + 1);
	if (err != 0 || arena_failed(a))
		return err != 0 ? err : ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		kinds[i] = slice_z(v[i].kind);
		details[i] = slice_is_utf8(v[i].detail, true) ? v[i].detail : SLICE("(unprintable)");
		mended[i] = slice_z(words[v[i].mended]);
		LOG(d->c->house, WARN, "check_finding", LOG_S("account", q->account_id), LOG_Z("kind", v[i].kind),
		    LOG_S("detail", details[i]), LOG_S("mended", mended[i]));
	}
	rep->kinds = (struct slice_list){kinds, n};
	rep->details = (struct slice_list){details, n};
	rep->mended = (struct slice_list){mended, n};
	return 0;
}

void
desk_copy_handle(struct desk *d)
{
	struct bus *b = d->c->bus;

	BUS_HANDLE(b, desk_mark, on_mark, d);
	BUS_HANDLE(b, desk_copy, on_copy, d);
	BUS_HANDLE(b, desk_blob, on_blob, d);
	BUS_HANDLE(b, desk_check, on_check, d);
}
