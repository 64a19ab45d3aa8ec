/* clerk_watch.c: the clerk looks after the house: it answers who watches it (GET /metrics and /health by way of the porch, `posthouse
 * status`), notes jumps of the clock, and tells postmaster when the disk is too full for new mail, and when it has room again.
 *
 * That message is taken in spite of the full disk: the queue stops taking mail long before the last byte (limits.low_disk_bytes).
 * The beginning is told at most once an hour, so that a disk at the brink fills no mailbox; its end is always told. */
#include "role/clerk_private.h"

#include "guard/guard_moment.h"
#include "message/build.h"
#include "role/clerk_health.h"
#include "role/metrics.h"
#include "role/storage.h"

#define TICK_MS 1000
#define JUMP_US INT64_C(10000000) /* a step of the clock that is worth telling */
#define NOTICE_PAUSE_S 3600
#define METRICS_BYTES_MAX ((size_t)2 << 20)
#define SITES_MAX 10
#define MESSAGE_BYTES_MAX 16384

/* ---- for status ------------------------------------------------------------------------------------------- */

void
clerk_watch_status(struct clerk *k, json_t *into)
{
	static const char *const names[] = {"directory", "queue", "guard"};
	json_t *bytes = json_object(), *wal = json_object(), *version = json_object();
	struct histogram local, remote;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char file[64];

		(void)snprintf(file, sizeof(file), "%s.db", names[i]);
		(void)json_object_set_new(bytes, names[i], json_integer(storage_file_bytes(k->c->data_dir, file)));
		(void)snprintf(file, sizeof(file), "%s.db-wal", names[i]);
		(void)json_object_set_new(wal, names[i], json_integer(storage_file_bytes(k->c->data_dir, file)));
	}
	(void)json_object_set_new(version, POSTHOUSE_VERSION, json_integer(1));
	(void)json_object_set_new(into, "version", version);
	(void)json_object_set_new(into, "storage", storage_json(k->c->data_dir, "queue"));
	(void)json_object_set_new(into, "database_bytes", bytes);
	(void)json_object_set_new(into, "database_wal_bytes", wal);
	(void)json_object_set_new(into, "sites_deferred", queue_sites_deferred(k->queue, SITES_MAX));
	queue_times(k->queue, &local, &remote);
	(void)json_object_set_new(into, "local_delivery_times", metrics_times(&local));
	(void)json_object_set_new(into, "remote_delivery_times", metrics_times(&remote));
	(void)json_object_set_new(into, "clock_jumps", json_integer(k->watch.jumps));
	if (k->watch.backup_s > 0)
		(void)json_object_set_new(into, "backup_at", json_integer(k->watch.backup_s));
}

/* ---- who watches ------------------------------------------------------------------------------------------- */

json_t *
clerk_problems(struct clerk *k, const json_t *rows)
{
	struct health_facts f = {.limits = &k->c->house->limits,
	    .now_s = house_now_s(k->c->house),
	    .begin_s = k->watch.begin_s,
	    .backup_s = k->watch.backup_s,
	    .jump_s = k->watch.jump_s,
	    .jumped_at_s = k->watch.jumped_at_s};

	return health_judge(rows, &f);
}

/* What health makes of the rows, as counters of the clerk. */
static void
put_health(json_t *rows, const json_t *problems)
{
	json_t *row, *p, *kinds = json_object();
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)problems, i, p)
	{
		const char *kind = json_string_value(json_object_get(p, "problem"));

		(void)json_object_set_new(
		    kinds, kind, json_integer(json_integer_value(json_object_get(kinds, kind)) + 1));
	}
	json_array_foreach(rows, i, row)
	{
		json_t *counters = json_object_get(row, "counters");
		const char *role = json_string_value(json_object_get(row, "role"));

		if (counters == NULL || role == NULL || strcmp(role, "clerk") != 0)
			continue;
		(void)json_object_set_new(counters, "health", json_integer(health_level(problems)));
		(void)json_object_set(counters, "problems", kinds);
	}
	json_decref(kinds);
}

static int
on_metrics(struct clerk *k, struct bus_peer *from, struct bus_clerk_metrics_request *q, struct arena *a,
    struct bus_clerk_metrics_reply *rep)
{
	CLERK_ENTER(k);
	struct buf text BUF_CLEANUP;
	json_t *rows, *problems;
	int err = clerk_look(k, &rows);

	(void)from;
	(void)q;
	if (err != 0)
		return err;
	buf_init(&text, METRICS_BYTES_MAX);
	problems = clerk_problems(k, rows);
	put_health(rows, problems);
	metrics_put(rows, &text);
	json_decref(problems);
	json_decref(rows);
	rep->text = arena_copy(a, buf_slice(&text));
	return text.err;
}

static int
on_health(struct clerk *k, struct bus_peer *from, struct bus_clerk_health_request *q, struct arena *a,
    struct bus_clerk_health_reply *rep)
{
	CLERK_ENTER(k);
	struct buf line BUF_CLEANUP;
	json_t *rows, *problems;
	int err = clerk_look(k, &rows);

	(void)from;
	(void)q;
	if (err != 0)
		return err;
	buf_init(&line, 65536);
	problems = clerk_problems(k, rows);
	rep->level = health_level(problems);
	health_line(problems, &line);
	json_decref(problems);
	json_decref(rows);
	rep->line = arena_copy(a, buf_slice(&line));
	return line.err;
}

/* ---- the clock --------------------------------------------------------------------------------------------- */

/* A house with a test clock is advanced on purpose: that is not looked at. */
static void
watch_clock(struct clerk *k)
{
	struct house *h = k->c->house;
	int64_t base_us = house_now_us(h) - atomic_load(&h->clock_offset_us) - house_mono_us(h);
	int64_t by_us = base_us - k->watch.clock_base_us;
	bool first = k->watch.clock_base_us == 0;

	k->watch.clock_base_us = base_us;
	if (first || (by_us < JUMP_US && by_us > -JUMP_US))
		return;
	k->watch.jumps++;
	k->watch.jump_s = by_us / 1000000;
	k->watch.jumped_at_s = house_now_s(h);
	LOG(h, WARN, "clock_jumped", LOG_I("seconds", k->watch.jump_s),
	    LOG_Z("do", "look whether the time of this machine is right"));
}

/* ---- the disk ---------------------------------------------------------------------------------------------- */

static void
write_notice(struct clerk *k, bool low, struct arena *a, struct buf *out)
{
	const struct settings *s = k->c->settings;
	json_t *storage = storage_json(k->c->data_dir, "queue");
	long long mb = json_integer_value(json_object_get(storage, "bytes_free")) >> 20,
		  files = json_integer_value(json_object_get(storage, "files_free"));
	char id[BUILD_MESSAGE_ID_MAX];

	json_decref(storage);
	build_field_raw(out, SLICE("From"),
	    arena_printf(a, "Posthouse on %.*s <MAILER-DAEMON@%.*s>", SLICE_ARG(s->hostname), SLICE_ARG(s->hostname)));
	build_field_raw(out, SLICE("To"), SLICE("postmaster"));
	build_field_raw(out, SLICE("Subject"),
	    arena_printf(a, low ? "%.*s: the disk is full, new mail has to wait" : "%.*s: the disk has room again",
		SLICE_ARG(s->hostname)));
	build_field_date(out, SLICE("Date"), house_now_s(k->c->house));
	build_field_message_id(out, k->c->house, s->hostname, id);
	buf_put_z(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
	build_text_body(out,
	    low ? arena_printf(a,
		      "There is too little space left where this house keeps its mail: %lld MB, and %lld files.\r\n\r\n"
		      "New mail is asked to come again later (452 4.3.1). Nothing is lost: other servers keep trying "
		      "for "
		      "days, and what\r\nwas accepted is still delivered. But it comes late until there is "
		      "room.\r\n\r\n"
		      "What to do: free space on the disk with %.*s, or make it larger (`df -h` and `df -i` show it). "
		      "The\r\n"
		      "limits are low_disk_bytes and low_disk_files in [limits]. `posthouse status` tells how it "
		      "is.\r\n\r\n"
		      "When there is room again another message comes. This one comes at most once an hour.\r\n",
		      mb, files, SLICE_ARG(slice_z(k->c->data_dir)))
		: arena_printf(
		      a, "There is room again where this house keeps its mail: %lld MB. New mail is taken.\r\n", mb));
}

/* To postmaster, into the queue. */
static int
tell_postmaster(struct clerk *k, bool low)
{
	struct queue_ops ops = clerk_queue_ops(k);
	struct slice to = SLICE("postmaster");
	char id[ULID_LEN + 1];
	struct buf text BUF_CLEANUP, detail BUF_CLEANUP;
	struct arena a ARENA_CLEANUP;
	struct queue_submission s = {.origin = ORIGIN_SYSTEM, .despite_low_disk = true};
	struct queue_target *targets;
	struct queue_rcpt *rcpts;
	size_t n = 0;
	int err;

	arena_init(&a, 1u << 20);
	buf_init(&text, MESSAGE_BYTES_MAX);
	buf_init(&detail, 4096);
	write_notice(k, low, &a, &text);
	err = text.err != 0 ? text.err : ops.expand(ops.ctx, to, &a, &targets, &n);
	if (err != 0 || n == 0)
		return err;
	rcpts = ARENA_ARRAY(&a, struct queue_rcpt, n);
	if (rcpts == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		rcpts[i] = (struct queue_rcpt){.original = to, .target = targets[i]};
	house_ulid(k->c->house, id);
	s.id = slice_z(id);
	s.body = buf_slice(&text);
	s.size_bytes = (int64_t)text.n;
	s.rcpts = rcpts;
	s.rcpts_n = n;
	return queue_submit(k->queue, &s, &detail) == SUBMIT_OK ? 0 : ERR_UNAVAILABLE;
}

/* Remembers the notice, so that a restart neither repeats it nor forgets to tell the end. */
static void
watch_disk(struct clerk *k)
{
	bool low = queue_disk_low(k->queue);
	int64_t now_s = house_now_s(k->c->house);
	int err;

	if (low == k->watch.told_low ||
	    (low && k->watch.told_s > 0 && now_s >= k->watch.told_s && now_s - k->watch.told_s < NOTICE_PAUSE_S))
		return;
	err = tell_postmaster(k, low);
	/* What cannot be told now is tried again with the next look. */
	if (err != 0)
		return;
	k->watch.told_low = low;
	if (low)
		k->watch.told_s = now_s;
	LOG(k->c->house, INFO, "postmaster_told", LOG_Z("of", low ? "disk_low" : "disk_has_room"));
	err = guard_moment_put(k->guard_db, low ? GUARD_MOMENT_DISK_NOTICE : GUARD_MOMENT_DISK_END, now_s);
	if (err != 0)
		LOG(k->c->house, WARN, "moment_not_noted", LOG_E(err));
}

/* ---- the fiber ----------------------------------------------------------------------------------------------- */

static void
look_once(struct clerk *k)
{
	struct clerk *entered __attribute__((cleanup(clerk_leave))) = clerk_enter(k);

	if (entered == NULL)
		return;
	watch_clock(k);
	watch_disk(k);
}

static void
watch_always(void *arg)
{
	struct clerk *k = arg;

	while (fiber_sleep(k->c->loop, TICK_MS) == 0)
		look_once(k);
}

void
clerk_backup_ended(struct clerk *k)
{
	int err;

	k->watch.backup_s = house_now_s(k->c->house);
	err = guard_moment_put(k->guard_db, GUARD_MOMENT_BACKUP, k->watch.backup_s);
	if (err != 0)
		LOG(k->c->house, WARN, "moment_not_noted", LOG_E(err));
}

static int
read_moments(struct clerk *k)
{
	int64_t ended_s = 0;
	int err = guard_moment_get(k->guard_db, GUARD_MOMENT_BACKUP, &k->watch.backup_s);

	if (err == 0)
		err = guard_moment_get(k->guard_db, GUARD_MOMENT_DISK_NOTICE, &k->watch.told_s);
	if (err == 0)
		err = guard_moment_get(k->guard_db, GUARD_MOMENT_DISK_END, &ended_s);
	if (err == 0)
		err = guard_moment_get(k->guard_db, GUARD_MOMENT_BEGIN, &k->watch.begin_s);
	k->watch.told_low = k->watch.told_s > ended_s;
	if (err != 0 || k->watch.begin_s > 0)
		return err;
	k->watch.begin_s = house_now_s(k->c->house);
	return guard_moment_put(k->guard_db, GUARD_MOMENT_BEGIN, k->watch.begin_s);
}

int
clerk_watch_start(struct clerk *k)
{
	int err = read_moments(k);

	/* A house with a full disk still starts. */
	if (err != 0)
		LOG(k->c->house, WARN, "moments_not_read", LOG_E(err));
	BUS_HANDLE(k->c->bus, clerk_metrics, on_metrics, k);
	BUS_HANDLE(k->c->bus, clerk_health, on_health, k);
	return k->c->quiet ? 0 : fiber_start(k->c->loop, "watch", watch_always, k, &k->watch.fiber);
}

void
clerk_watch_stop(struct clerk *k)
{
	if (k->watch.fiber == NULL)
		return;
	fiber_cancel(k->watch.fiber);
	fiber_join(k->c->loop, &k->watch.fiber);
}
