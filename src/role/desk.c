/* desk.c: the role that owns accounts: it takes deliveries from the clerk and signed-in sessions from the porch, and
 * keeps the mailboxes of those accounts that hash to it (store/). It has no network and no keys.
 *
 * A delivery is answered when it is committed, and reported to the clerk (desk_report.c) when it is durable. After a
 * failed sync nobody knows what is on the disk: the process ends at once, without writing anything more, and its
 * successor reads what is there. */
#include "role/desk_private.h"
#include "role/metrics.h"
#include "role/storage.h"

#include <sysexits.h>

#define STORE_THREADS 3
#define SESSION_THREADS 2
#define SESSION_QUEUE 10000

/* ---- what the clerk asks ---------------------------------------------------------------------------------------- */

static const char *
deliver_detail(int err)
{
	switch (err) {
	case ERR_QUOTA: return "the mailbox is full";
	case ERR_NOTFOUND: return "there is no such account";
	case ERR_FULL: return "the disk is full";
	case ERR_DAMAGED: return "the account's data is damaged";
	default: return err_text(err);
	}
}

static int64_t
deliver_result(int err, enum store_delivered how)
{
	switch (err) {
	case 0: return how == STORE_DUPLICATE ? DELIVER_DUPLICATE : DELIVER_OK;
	case ERR_QUOTA: return DELIVER_OVER_QUOTA;
	case ERR_NOTFOUND: return DELIVER_NO_ACCOUNT;
	default: return DELIVER_TEMPFAIL;
	}
}

/* The trace fields of the message as it lies in a mailbox: final delivery puts the reverse-path on top (RFC 5321 §4.4). */
static struct slice
delivered_head(const struct bus_desk_deliver_request *q, struct arena *a)
{
	struct buf BUF_CLEANUP head;

	buf_init(&head, q->head.n + q->reverse_path.n + 32);
	buf_put_z(&head, "Return-Path: <");
	for (size_t i = 0; i < q->reverse_path.n; i++)
		if (slice_at(q->reverse_path, i) > ' ')
			buf_put_u8(&head, slice_at(q->reverse_path, i));
	buf_put_z(&head, ">\r\n");
	buf_put(&head, q->head);
	return head.err != 0 ? SLICE_EMPTY : arena_copy(a, buf_slice(&head));
}

static int
deliver(struct desk *d, const struct bus_desk_deliver_request *q, struct arena *a, enum store_delivered *how)
{
	struct store_account STORE_ACCOUNT_CLEANUP *account = NULL;
	struct store_delivery one = {.mailbox = q->mailbox,
	    .head = delivered_head(q, a),
	    .body = q->body,
	    .file = (int)q->file,
	    .size = (uint64_t)q->size_bytes,
	    .received_s = q->received_us / 1000000};
	int err;

	if (q->delivery_id.n != STORE_ID_BYTES || q->size_bytes < 0)
		return ERR_INVALID;
	if (one.head.n == 0)
		return ERR_NOMEM;
	memcpy(one.delivery_id, q->delivery_id.p, STORE_ID_BYTES);
	if ((err = desk_account_open(d, q->account_id, true, &account)) != 0)
		return err;
	err = store_deliver(account, &one, how);
	if (err == 0)
		desk_vacation(d, account, q);
	return err;
}

static int
on_deliver(struct desk *d, struct bus_peer *from, struct bus_desk_deliver_request *q, struct arena *a,
    struct bus_desk_deliver_reply *rep)
{
	enum store_delivered how = STORE_DELIVERED;
	int err = ERR_UNAVAILABLE;

	(void)from;
	if (!d->stopping) {
		d->requests++;
		err = deliver(d, q, a, &how);
		d->requests--;
	}
	if (err == 0)
		desk_received(d, q);
	rep->result = deliver_result(err, how);
	if (err == ERR_QUOTA && desk_room_none(d, q->account_id))
		rep->result = DELIVER_FULL;
	if (err == 0)
		return 0;
	rep->detail = arena_copy(a, slice_z(deliver_detail(err)));
	LOG(d->c->house, WARN, "delivery_failed", LOG_S("id", q->message_id), LOG_S("account", q->account_id),
	    LOG_E(err));
	return 0;
}

static int
on_account_changed(struct desk *d, struct bus_peer *from, struct bus_desk_account_changed_request *q, struct arena *a,
    struct bus_desk_account_changed_reply *rep)
{
	int err;

	(void)from;
	(void)a;
	(void)rep;
	if (d->stopping)
		return ERR_UNAVAILABLE;
	d->requests++;
	err = desk_account_changed(d, q->account_id);
	d->requests--;
	return err;
}

static int
on_forget(struct desk *d, struct bus_peer *from, struct bus_desk_forget_request *q, struct arena *a,
    struct bus_desk_forget_reply *rep)
{
	struct store_account *account = NULL;
	int err;

	(void)from;
	(void)a;
	(void)rep;
	if (d->stopping)
		return ERR_UNAVAILABLE;
	d->requests++;
	err = store_account_get(d->store, q->account_id, &account);
	if (err == 0)
		err = store_forget(account, q->delivery_ids);
	store_account_put(&account);
	d->requests--;
	return err == ERR_NOTFOUND ? 0 : err;
}

static int
on_create(struct desk *d, struct bus_peer *from, struct bus_desk_account_create_request *q, struct arena *a,
    struct bus_desk_account_create_reply *rep)
{
	int err = ERR_INVALID;

	(void)from;
	if (d->stopping)
		return ERR_UNAVAILABLE;
	d->requests++;
	if (account_desk(q->account_id, d->c->desks) == d->c->index)
		err = store_account_create(d->store, q->account_id);
	d->requests--;
	if (err != 0)
		rep->detail = arena_printf(a, "the account's folder cannot be made: %s", err_text(err));
	return err;
}

static int
on_remove(struct desk *d, struct bus_peer *from, struct bus_desk_account_remove_request *q, struct arena *a,
    struct bus_desk_account_remove_reply *rep)
{
	int err;

	(void)from;
	if (d->stopping)
		return ERR_UNAVAILABLE;
	d->requests++;
	err = store_account_remove(d->store, q->account_id);
	desk_account_forget(d, q->account_id);
	d->requests--;
	if (err != 0)
		rep->detail = arena_printf(a, "the account's folder cannot be removed: %s", err_text(err));
	return err;
}

/* ---- status ------------------------------------------------------------------------------------------------------ */

static void
set_int(json_t *o, const char *key, int64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *
mailbox_json(const struct store_mailbox *m)
{
	static const char *const roles[] = {"", "inbox", "drafts", "sent", "junk", "trash", "archive"};
	json_t *o = json_object();

	json_object_set_new(o, "name", json_stringn((const char *)m->name.p, m->name.n));
	json_object_set_new(o, "role", json_string((size_t)m->role < COUNT_OF(roles) ? roles[m->role] : ""));
	set_int(o, "messages", m->messages);
	set_int(o, "unseen", m->unseen);
	return o;
}

static int
account_json(struct store_account *account, struct arena *a, struct slice *out)
{
	struct store_usage u;
	struct store_mailbox *v;
	size_t n;
	json_t *o, *list;
	char *text;
	int err;

	if ((err = store_account_usage(account, &u)) != 0 || (err = store_mailboxes(account, a, &v, &n)) != 0)
		return err;
	o = json_object();
	list = json_array();
	set_int(o, "messages", u.messages);
	set_int(o, "bytes", u.bytes);
	set_int(o, "quota_bytes", u.quota_bytes);
	for (size_t i = 0; i < n; i++)
		if (v[i].selectable)
			json_array_append_new(list, mailbox_json(&v[i]));
	json_object_set_new(o, "mailboxes", list);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text == NULL)
		return ERR_NOMEM;
	*out = arena_copy(a, slice_z(text));
	free(text);
	return arena_failed(a) ? ERR_LIMIT : 0;
}

static int
on_account_status(struct desk *d, struct bus_peer *from, struct bus_desk_account_status_request *q, struct arena *a,
    struct bus_desk_account_status_reply *rep)
{
	struct store_account *account = NULL;
	int err;

	(void)from;
	if (d->stopping)
		return ERR_UNAVAILABLE;
	d->requests++;
	err = store_account_get(d->store, q->account_id, &account);
	if (err == 0)
		err = account_json(account, a, &rep->json);
	store_account_put(&account);
	d->requests--;
	return err;
}

static void
status(struct role_context *c, json_t *into)
{
	const struct desk *d = c->state;
	struct store_counters n;

	store_counters(d->store, &n);
	set_int(into, "sessions", (int64_t)d->sessions_count);
	set_int(into, "sessions_total", (int64_t)d->sessions_total);
	set_int(into, "sessions_refused", (int64_t)d->sessions_refused);
	set_int(into, "imap_sessions", d->imap.sessions_open);
	set_int(into, "imap_commands", d->imap.commands);
	set_int(into, "imap_idling", d->imap.idling);
	set_int(into, "pop3_sessions", d->pop3.sessions_open);
	set_int(into, "pop3_commands", d->pop3.commands);
	set_int(into, "submission_sessions", (int64_t)d->smtp.count);
	set_int(into, "submitted", (int64_t)d->smtp.messages);
	set_int(into, "deliveries", n.deliveries);
	set_int(into, "duplicates", n.duplicates);
	set_int(into, "over_quota", n.over_quota);
	set_int(into, "reported", (int64_t)d->reported);
	set_int(into, "reports_waiting", (int64_t)d->reports_count);
	set_int(into, "appends", n.appends);
	set_int(into, "copies", n.copies);
	set_int(into, "expunges", n.expunges);
	set_int(into, "transactions", n.transactions);
	set_int(into, "syncs", n.syncs);
	set_int(into, "accounts_in_memory", n.accounts);
	set_int(into, "accounts_dirty", n.dirty_accounts);
	set_int(into, "handles", n.handles);
	set_int(into, "handles_opened", n.handles_opened);
	set_int(into, "views", n.views);
	set_int(into, "messages_in_views", n.messages_in_views);
	set_int(into, "body_bytes", n.body_bytes);
	set_int(into, "indexed", n.indexed);
	set_int(into, "indexes_behind", n.indexes_behind);
	json_object_set_new(into, "imap_times", metrics_times(&d->imap.times));
	json_object_set_new(into, "pop3_times", metrics_times(&d->pop3.times));
	json_object_set_new(into, "submission_times", metrics_times(&d->smtp.times));
	json_object_set_new(into, "submission_message_times", metrics_times(&d->smtp.message_times));
	json_object_set_new(into, "storage", storage_json(d->c->data_dir, "accounts"));
	desk_readers_status(d->readers, into);
}

/* ---- what the porch asks ------------------------------------------------------------------------------------------ */

static int
on_session(struct desk *d, struct bus_peer *from, struct bus_desk_session_request *q, struct arena *a,
    struct bus_desk_session_reply *rep)
{
	int err;

	(void)a;
	d->requests++;
	err = desk_session_take(d, bus_peer_index(from), q);
	d->requests--;
	rep->result = err == 0;
	return err;
}

static int
on_operator(struct desk *d, struct bus_peer *from, struct bus_desk_operator_request *q, struct arena *a,
    struct bus_desk_operator_reply *rep)
{
	int err;

	(void)from;
	(void)a;
	(void)rep;
	d->requests++;
	err = desk_session_take_operator(d, q);
	d->requests--;
	return err;
}

/* ---- the role ------------------------------------------------------------------------------------------------------ */

static void
on_failed(void *arg, struct slice account_id)
{
	(void)arg;
	(void)account_id;
	_exit(EX_IOERR);
}

static int
warm(struct role_context *c, struct buf *detail)
{
	struct desk *d = calloc(1, sizeof(*d));
	size_t opened;

	if (d == NULL)
		return ERR_NOMEM;
	c->state = d;
	d->c = c;
	if ((d->charsets = charset_warm(&opened)) == NULL) {
		buf_put_z(detail, "cannot open the charset converters");
		return ERR_NOMEM;
	}
	return 0;
}

static int
open_store(struct desk *d, struct buf *detail)
{
	struct role_context *c = d->c;
	struct store_config config = {.loop = c->loop,
	    .index = c->index,
	    .threads = STORE_THREADS,
	    .hooks = {.durable = desk_report_durable,
		.failed = on_failed,
		.removed = desk_room_freed,
		.arg = d,
		.texts = desk_readers_texts,
		.texts_arg = d->readers,
		.describe = imap_describe}};
	char dir[4096];
	int n = snprintf(dir, sizeof(dir), "%s/accounts", c->data_dir), err;

	if (n < 0 || (size_t)n >= sizeof(dir))
		return ERR_LIMIT;
	config.dir = dir;
	if ((err = store_open(&d->store, &config, detail)) != 0)
		return err;
	return store_start(d->store);
}

static int
start(struct role_context *c, struct buf *detail)
{
	struct desk *d = c->state;
	int err;

	list_init(&d->sessions);
	smtp_sessions_init(&d->smtp);
	desk_received_start(d);
	map_init(&d->settings, SIZE_MAX, house_random_u64(c->house));
	map_init(&d->full, SIZE_MAX, house_random_u64(c->house));
	map_init(&d->pop3_times, SIZE_MAX, house_random_u64(c->house));
	err = workers_new(&d->workers, c->loop, "desk", SESSION_THREADS, SESSION_QUEUE);
	if (err == 0)
		err = workers_start(d->workers);
	if (err == 0)
		err = desk_readers_new(&d->readers, c);
	if (err == 0)
		err = open_store(d, detail);
	if (err == 0)
		err = desk_report_start(d);
	if (err != 0)
		return err;
	BUS_HANDLE(c->bus, desk_deliver, on_deliver, d);
	BUS_HANDLE(c->bus, desk_forget, on_forget, d);
	BUS_HANDLE(c->bus, desk_account_create, on_create, d);
	BUS_HANDLE(c->bus, desk_account_remove, on_remove, d);
	BUS_HANDLE(c->bus, desk_account_status, on_account_status, d);
	BUS_HANDLE(c->bus, desk_account_changed, on_account_changed, d);
	BUS_HANDLE(c->bus, desk_session, on_session, d);
	desk_copy_handle(d);
	BUS_HANDLE(c->bus, desk_operator, on_operator, d);
	desk_share_handle(d);
	return 0;
}

static void
shut_down(struct role_context *c, int64_t grace_ms)
{
	struct desk *d = c->state;
	int64_t end_ms = loop_deadline(c->loop, grace_ms);

	desk_sessions_end(d, end_ms - grace_ms / 4);
	desk_received_end(d, end_ms - grace_ms / 4);
	while (d->requests > 0 && loop_now_ms(c->loop) < end_ms)
		if (fiber_sleep(c->loop, 5) != 0)
			break;
	if (d->sessions_count > 0 || d->requests > 0) {
		/* Somebody still holds an account: sync what is there, but leave no mark of a clean end. */
		LOG(c->house, WARN, "shutdown_unclean", LOG_I("sessions", d->sessions_count),
		    LOG_I("requests", d->requests));
		if (store_sync(d->store) != 0)
			LOG(c->house, ERROR, "sync_failed", LOG_Z("detail", "mail may have to be delivered again"));
	} else {
		int err = store_close(&d->store);

		if (err != 0)
			LOG(c->house, ERROR, "close_failed", LOG_E(err));
	}
	desk_report_end(d, end_ms);
	desk_readers_free(&d->readers);
	desk_account_free(d);
	map_free(&d->full);
	charset_cool(d->charsets);
	d->charsets = NULL;
}

const struct role_ops role_desk_ops = {
    .role = ROLE_DESK, .warm = warm, .start = start, .status = status, .shutdown = shut_down};
