/* clerk.c: the role that keeps the books: the directory, the queue with its schedule, the story of each message; it answers
 * the control socket. It has no network beyond that socket, no mailbox and no key.
 *
 * Its databases are the only place where accepted mail lives until its desk or another server has it. When their
 * storage fails in a way that leaves unknown what is durable, the process ends: the next one starts from
 * what the disk really has. */
#include "role/clerk_private.h"

#include <sysexits.h>

/* Most messages have left again when the log is written back. */
#define QUEUE_CACHE_KIB 8000
#define QUEUE_WAL_KIB 64000
#define WORK_THREADS 4
#define WORK_QUEUE 10000
#define SHUTDOWN_RESERVE_MS 500

/* Before the sandbox, with the rights of the keeper: remembers whose they are. */
static int
warm(struct role_context *c, struct buf *detail)
{
	struct clerk *k = calloc(1, sizeof(*k));

	(void)detail;
	if (k == NULL)
		return ERR_NOMEM;
	k->c = c;
	k->keeper_uid = geteuid();
	c->state = k;
	return 0;
}

static int
open_db(struct clerk *k, const char *name, enum sql_durability durability, const struct sql_migration *migrations,
    size_t n, int cache_kib, int wal_kib, struct sqldb **out, struct buf *detail)
{
	char path[4096 + 64];
	struct sqldb_config config = {.loop = k->c->loop,
	    .path = path,
	    .durability = durability,
	    .migrations = migrations,
	    .migrations_count = n,
	    .cache_kib = cache_kib,
	    .wal_kib = wal_kib};
	int err;

	(void)snprintf(path, sizeof(path), "%s/%s", k->c->data_dir, name);
	err = sqldb_open(out, k->c->house, &config, detail);
	return err == 0 ? sqldb_start(*out) : err;
}

static void
on_peer_closed(void *ctx, enum bus_role role, int index)
{
	struct clerk *k = ctx;

	if (role == ROLE_KEEPER) {
		LOG(k->c->house, ERROR, "keeper_gone", LOG_I("index", k->c->index));
		_exit(EX_UNAVAILABLE);
	}
	LOG(k->c->house, INFO, "peer_gone", LOG_Z("peer", bus_role_name(role)), LOG_I("peer_index", index));
	clerk_peer_gone(k, role, index);
}

static int
open_queue(struct clerk *k, struct buf *detail)
{
	struct role_context *c = k->c;
	char dir[4096 + 64];
	int couriers = bus_peer_count(c->bus, ROLE_COURIER);
	struct queue_config config = {.house = c->house,
	    .loop = c->loop,
	    .db = k->queue_db,
	    .workers = k->workers,
	    .dir = dir,
	    .hostname = c->settings->hostname,
	    .couriers = couriers,
	    .ops = clerk_queue_ops(k)};

	(void)snprintf(dir, sizeof(dir), "%s/queue", c->data_dir);
	return queue_open(&k->queue, &config, detail);
}

static int
start(struct role_context *c, struct buf *detail)
{
	struct clerk *k = c->state;
	int err;

	clerk_targets_init(k);
	clerk_backup_clean(k);
	err = workers_new(&k->workers, c->loop, "clerk-file", WORK_THREADS, WORK_QUEUE);
	if (err == 0)
		err = workers_start(k->workers);
	if (err == 0)
		err = open_db(k, "directory.db", SQL_FULL, directory_migrations, directory_migrations_count, 0, 0,
		    &k->directory_db, detail);
	if (err == 0)
		err = open_db(k, "queue.db", SQL_FULL, queue_migrations, queue_migrations_count, QUEUE_CACHE_KIB,
		    QUEUE_WAL_KIB, &k->queue_db, detail);
	if (err == 0)
		err = open_db(
		    k, "guard.db", SQL_NORMAL, guard_migrations, guard_migrations_count, 0, 0, &k->guard_db, detail);
	if (err == 0)
		err = guard_open(&k->guard, c->house, c->loop, k->guard_db);
	if (err == 0)
		err = directory_new(&k->directory, c->house, k->directory_db);
	if (err == 0)
		err = open_queue(k, detail);
	if (err != 0)
		return err;
	clerk_directory_handle(k);
	clerk_share_handle(k);
	clerk_sending_handle(k);
	clerk_queue_handle(k);
	clerk_full_handle(k);
	clerk_tls_handle(k);
	clerk_received_handle(k);
	bus_on_peer_closed(c->bus, on_peer_closed, k);
	if (!c->quiet)
		err = queue_start(k->queue);
	if (err == 0)
		err = clerk_reports_start(k);
	if (err == 0)
		err = clerk_tls_reports_start(k);
	if (err == 0)
		err = clerk_watch_start(k);
	if (err == 0)
		err = clerk_failure_reports_start(k);
	if (err == 0)
		err = clerk_program_start(k, detail);
	return err == 0 ? clerk_control_start(k, detail) : err;
}

static void
status(struct role_context *c, json_t *into)
{
	struct clerk *k = c->state;
	json_t *queue;

	if (k->closed)
		return;
	k->busy++;
	queue = json_object();
	queue_status(k->queue, queue);
	json_object_set_new(into, "queue", queue);
	json_object_set_new(into, "recipients_checked", json_integer(k->counters.rcpt));
	json_object_set_new(into, "sign_ins_looked_up", json_integer(k->counters.login));
	json_object_set_new(into, "accounts_looked_up", json_integer(k->counters.account));
	json_object_set_new(into, "senders_checked", json_integer(k->counters.sender));
	json_object_set_new(into, "submissions_over_rate", json_integer(k->counters.over_rate));
	json_object_set_new(into, "senders_stopped", json_integer((json_int_t)guard_stopped(k->guard)));
	json_object_set_new(into, "submissions", json_integer(k->counters.submit));
	json_object_set_new(into, "dkim_signed", json_integer(k->counters.dkim_signed));
	json_object_set_new(into, "arc_sealed", json_integer(k->counters.arc_sealed));
	json_object_set_new(into, "control_requests", json_integer(k->counters.control));
	clerk_watch_status(k, into);
	k->busy--;
}

static int
reload(struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	struct clerk *k = c->state;
	int err = k->closed ? ERR_UNAVAILABLE : queue_set_hostname(k->queue, fresh->hostname);

	if (err != 0) {
		buf_put_z(detail, k->closed ? "the house is ending" : "the hostname is too long");
		return err;
	}
	/* Routes and short names are read from the present settings at each use; what sites like, once. */
	queue_sites_changed(k->queue);
	return 0;
}

static void
shut_down(struct role_context *c, int64_t grace_ms)
{
	struct clerk *k = c->state;
	int64_t reserve = grace_ms < SHUTDOWN_RESERVE_MS * 2 ? grace_ms / 2 : SHUTDOWN_RESERVE_MS;

	clerk_control_stop(k);
	clerk_program_stop(k);
	clerk_reports_stop(k);
	clerk_tls_reports_stop(k);
	clerk_watch_stop(k);
	clerk_failure_reports_stop(k);
	/* Submissions are from here on told to come again; those whose commit is under way get their answer. */
	queue_stop(k->queue, loop_deadline(c->loop, grace_ms - reserve));
	for (int64_t i = 0; i < reserve && k->busy > 0; i++)
		if (fiber_sleep(c->loop, 1) != 0)
			break;
	/* A clean end leaves databases with empty journals. Where something is still at work they are left to the next
	 * start, which loses nothing. */
	if (k->busy > 0)
		return;
	k->closed = true;
	queue_close(&k->queue);
	directory_free(&k->directory);
	guard_close(&k->guard);
	sqldb_close(&k->guard_db);
	sqldb_close(&k->queue_db);
	sqldb_close(&k->directory_db);
}

const struct role_ops role_clerk_ops = {
    .role = ROLE_CLERK, .warm = warm, .start = start, .status = status, .reload = reload, .shutdown = shut_down};
