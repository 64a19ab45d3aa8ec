/* keeper.c: the life of the house: prepare, start in order, serve the clerk and the signals, end in order. */
#include "role/keeper_private.h"

#include "base/ini.h"
#include "role/crash.h"
#include "role/process_usage.h"

#include <errno.h>
#include <pwd.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>

#define GRACE_SESSIONS_MS 5000 /* gate and porch: sessions end politely */
#define GRACE_WORK_MS 5000     /* everybody else: finish and sync */
#define GRACE_EXTRA_MS 2000    /* until what has not ended is killed */
#define RELOAD_TIMEOUT_MS 30000

/* ---- children ---------------------------------------------------------------------------------------- */

static int
default_count(void)
{
	cpu_set_t set;
	int cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return cores < 4 ? 1 : cores / 2 > 64 ? 64 : cores / 2;
}

static int
wanted_count(const struct keeper *k, enum bus_role role)
{
	const struct settings *s = k->settings;
	int set = role == ROLE_GATE ? s->gates
	    : role == ROLE_PORCH    ? s->porches
	    : role == ROLE_DESK     ? s->desks
	    : role == ROLE_COURIER  ? s->couriers
				    : 1;

	if (k->config->roles != 0 && (k->config->roles & role) == 0)
		return 0;
	if ((k->config->flags & START_QUIET) != 0)
		return 1;
	return set == 0 ? default_count() : set;
}

static int
make_children(struct keeper *k)
{
	size_t n = 0;

	for (size_t i = 0; i < KEEPER_ROLES_COUNT; i++)
		n += (size_t)wanted_count(k, keeper_order[i]);
	k->children = calloc(n, sizeof(*k->children));
	if (k->children == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < KEEPER_ROLES_COUNT; i++)
		for (int index = 0; index < wanted_count(k, keeper_order[i]); index++) {
			int err = child_init(&k->children[k->children_n], k, keeper_order[i], index);

			if (err != 0)
				return err;
			k->children_n++;
		}
	k->desks = keeper_count(k, ROLE_DESK);
	return 0;
}

/* All processes of a role, at once: 0 when all are ready. */
static int
start_role(struct keeper *k, enum bus_role role)
{
	int err = 0;

	for (size_t i = 0; i < k->children_n && err == 0; i++)
		if (k->children[i].role == role)
			err = child_supervise(&k->children[i]);
	for (size_t i = 0; i < k->children_n && err == 0; i++) {
		struct child *c = &k->children[i];

		while (c->role == role && !c->proved && !c->ended && !(c->reported && c->result != 0) && err == 0)
			err = k->stopping ? ERR_CANCELLED : waitq_wait(k->loop, &c->changed, DEADLINE_NEVER);
		if (c->role == role && !c->ready && !c->proved && err == 0) {
			buf_printf(k->detail, "the %s cannot start: %.*s\n", bus_role_name(role),
			    SLICE_ARG(buf_slice(&c->detail)));
			err = c->result != 0 ? c->result : ERR_UNAVAILABLE;
		}
	}
	return err;
}

static int
start_all(struct keeper *k)
{
	for (size_t i = 0; i < KEEPER_ROLES_COUNT; i++) {
		int err = start_role(k, keeper_order[i]);

		if (err != 0)
			return err;
	}
	return 0;
}

/* ---- ending ------------------------------------------------------------------------------------------ */

static bool
any_alive(const struct keeper *k, unsigned roles)
{
	for (size_t i = 0; i < k->children_n; i++)
		if ((k->children[i].role & roles) != 0 && k->children[i].pid > 0)
			return true;
	return false;
}

static void
kill_rest(struct keeper *k, unsigned roles)
{
	for (size_t i = 0; i < k->children_n; i++) {
		struct child *c = &k->children[i];

		if ((c->role & roles) == 0 || c->pid <= 0)
			continue;
		LOG(&k->house, WARN, "role_killed", LOG_Z("of", bus_role_name(c->role)), LOG_I("of_index", c->index),
		    LOG_I("pid", c->pid));
		c->killed = true;
		(void)kill(c->pid, SIGKILL);
	}
}

/* Asks all processes of these roles to end, and sees to it that they do. */
static void
stop_roles(struct keeper *k, unsigned roles, int64_t grace_ms)
{
	int64_t deadline = loop_deadline(k->loop, grace_ms + GRACE_EXTRA_MS);
	bool killed = false;

	for (size_t i = 0; i < k->children_n; i++) {
		struct child *c = &k->children[i];
		struct bus_role_shutdown_request req = {.grace_ms = grace_ms};
		struct bus_role_shutdown_reply reply;
		struct arena a ARENA_CLEANUP;

		arena_init(&a, 4096);
		/* Their end is the answer. One that has not come up yet has nothing to finish. */
		if ((c->role & roles) != 0 && c->pid > 0 && !c->ready)
			(void)kill(c->pid, SIGKILL);
		else if ((c->role & roles) != 0 && c->pid > 0 &&
		    BUS_CALL(k->bus, c->role, c->index, role_shutdown, &req, &a, &reply, 0) != ERR_TIMEOUT)
			(void)kill(c->pid, SIGKILL);
	}
	while (any_alive(k, roles)) {
		if (!killed && (loop_now_ms(k->loop) >= deadline || k->signals > 1)) {
			kill_rest(k, roles);
			killed = true;
		}
		if (fiber_sleep(k->loop, 5) != 0)
			return;
	}
}

static void
stop_all(struct keeper *k)
{
	k->stopping = true;
	stop_roles(k, ROLE_GATE | ROLE_PORCH, GRACE_SESSIONS_MS);
	stop_roles(k, ROLE_DESK, GRACE_WORK_MS);
	stop_roles(k, ROLE_COURIER, GRACE_WORK_MS);
	stop_roles(k, ROLE_CLERK, GRACE_WORK_MS);
	stop_roles(k, ROLE_VAULT | ROLE_READER, GRACE_WORK_MS);
	for (size_t i = 0; i < k->children_n; i++)
		if (k->children[i].supervisor != NULL) {
			/* Ends a pause before a restart. */
			fiber_cancel(k->children[i].supervisor);
			fiber_join(k->loop, &k->children[i].supervisor);
		}
}

/* ---- reload ------------------------------------------------------------------------------------------ */

static int
reload_role(struct keeper *k, struct child *c, struct slice text, struct buf *detail)
{
	struct bus_role_reload_request req = {.config = text};
	struct bus_role_reload_reply reply;
	struct arena a ARENA_CLEANUP;
	int err;

	arena_init(&a, 1 << 20);
	err = BUS_CALL(k->bus, c->role, c->index, role_reload, &req, &a, &reply, RELOAD_TIMEOUT_MS);
	/* One that is down takes the text in force when it starts. */
	if (err == ERR_CLOSED)
		return 0;
	if (err == 0 && reply.detail.n == 0)
		return 0;
	buf_printf(detail, "the %s keeps the old configuration: %.*s\n", bus_role_name(c->role),
	    SLICE_ARG(err == 0 ? reply.detail : slice_z(err_text(err))));
	return err == 0 ? ERR_INVALID : err;
}

/* All roles take the text over, or those that have go back to the old one. */
static int
reload_all(struct keeper *k, struct slice text, struct buf *detail)
{
	struct buf ignored BUF_CLEANUP;
	int err = 0;
	size_t done = 0;

	buf_init(&ignored, 65536);
	for (; done < k->children_n && err == 0; done++)
		err = reload_role(k, &k->children[done], text, detail);
	if (err == 0)
		return 0;
	while (done-- > 0)
		if (reload_role(k, &k->children[done], buf_slice(&k->text), &ignored) != 0)
			LOG(&k->house, ERROR, "reload_not_undone", LOG_Z("of", bus_role_name(k->children[done].role)),
			    LOG_S("detail", buf_slice(&ignored)));
	return err;
}

static int
read_config(struct keeper *k, struct buf *text, struct buf *detail)
{
	if (k->config->config_path != NULL)
		return house_read_file(k->config->config_path, INI_FILE_BYTES, text, detail);
	buf_put(text, buf_slice(&k->text));
	return text->err;
}

static void
take_settings(struct keeper *k, struct settings *fresh)
{
	settings_free(&k->settings);
	k->settings = fresh;
	k->house.limits = fresh->limits;
	k->house.log_format = (enum log_format)fresh->log_format;
	k->house.log_level = (enum log_level)fresh->log_level;
}

static int
reload_locked(struct keeper *k, struct buf *detail)
{
	struct settings *fresh = NULL;
	struct buf text;
	int err;

	buf_init(&text, INI_FILE_BYTES + 4096);
	err = read_config(k, &text, detail);
	if (err == 0)
		err = settings_parse(&fresh, buf_slice(&text), detail);
	if (err == 0) {
		settings_start(fresh, k->config->flags, k->settings->generation + 1, slice_z(k->hostname));
		err = settings_may_reload(k->settings, fresh, detail);
	}
	if (err == 0)
		err = reload_all(k, buf_slice(&text), detail);
	if (err != 0) {
		settings_free(&fresh);
		buf_free(&text);
		LOG(&k->house, ERROR, "reload_refused", LOG_E(err), LOG_S("detail", buf_slice(detail)));
		return err;
	}
	take_settings(k, fresh);
	buf_free(&k->text);
	k->text = text;
	keeper_note_config(k);
	LOG(&k->house, INFO, "reloaded", LOG_I("generation", k->settings->generation));
	return 0;
}

static int
reload(struct keeper *k, struct buf *detail)
{
	int err = fiber_lock_take(k->loop, &k->reload_lock, DEADLINE_NEVER);

	if (err != 0)
		return err;
	keeper_notify_reloading(k);
	err = reload_locked(k, detail);
	keeper_notify_ready(k);
	fiber_lock_drop(k->loop, &k->reload_lock);
	return err;
}

static void
reload_fiber(void *arg)
{
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, 65536);
	/* What went wrong is in the log. */
	(void)!reload(arg, &detail);
}

/* ---- what roles ask ------------------------------------------------------------------------------------ */

static int
on_ready(struct keeper *k, struct bus_peer *from, struct bus_keeper_ready_request *q, struct arena *a,
    struct bus_keeper_ready_reply *reply)
{
	struct child *c = keeper_child(k, bus_peer_role(from), bus_peer_index(from));

	(void)a;
	(void)reply;
	if (c == NULL || c->reported)
		return ERR_INVALID;
	c->result = q->result < 0 && q->result > -(int)ERRN_COUNT ? (int)q->result : q->result == 0 ? 0 : ERR_INVALID;
	buf_put(&c->detail, q->detail);
	c->reported = true;
	waitq_wake_all(&c->changed);
	return 0;
}

static void
tell_clock(struct keeper *k, int64_t offset_us)
{
	for (size_t i = 0; i < k->children_n; i++) {
		struct child *c = &k->children[i];
		struct bus_role_clock_request req = {.offset_us = offset_us};
		struct bus_role_clock_reply reply;
		struct arena a ARENA_CLEANUP;
		int err;

		arena_init(&a, 4096);
		err = BUS_CALL(k->bus, c->role, c->index, role_clock, &req, &a, &reply, 5000);
		if (err != 0 && err != ERR_CLOSED)
			LOG(&k->house, ERROR, "clock_not_told", LOG_Z("to", bus_role_name(c->role)), LOG_E(err));
	}
}

static int
on_clock(struct keeper *k, struct bus_peer *from, struct bus_keeper_clock_request *q, struct arena *a,
    struct bus_keeper_clock_reply *reply)
{
	int64_t now = atomic_load(&k->house.clock_offset_us), next;

	(void)from;
	if (q->advance_us == 0) {
		reply->offset_us = now;
		return 0;
	}
	if (!k->settings->test_clock) {
		reply->detail = SLICE("this house keeps real time: only one started with test_clock = yes (or "
				      "--test-clock) can be advanced");
		reply->offset_us = now;
		return 0;
	}
	if (q->advance_us < 0 || __builtin_add_overflow(now, q->advance_us, &next)) {
		reply->detail = SLICE("the clock goes forward only");
		reply->offset_us = now;
		return 0;
	}
	atomic_store(&k->house.clock_offset_us, next);
	tell_clock(k, next);
	LOG(&k->house, INFO, "clock_advanced", LOG_I("offset_us", next));
	reply->offset_us = next;
	(void)a;
	return 0;
}

static int
on_reload(struct keeper *k, struct bus_peer *from, struct bus_keeper_reload_request *q, struct arena *a,
    struct bus_keeper_reload_reply *reply)
{
	struct buf detail BUF_CLEANUP;
	int err;

	(void)from;
	(void)q;
	buf_init(&detail, 65536);
	err = reload(k, &detail);
	if (err != 0)
		reply->detail = detail.n > 0 && slice_is_utf8(buf_slice(&detail), true)
		    ? arena_copy(a, buf_slice(&detail))
		    : slice_z(err_text(err));
	return 0;
}

static int
on_stop(struct keeper *k, struct bus_peer *from, struct bus_keeper_stop_request *q, struct arena *a,
    struct bus_keeper_stop_reply *reply)
{
	(void)from;
	(void)q;
	(void)a;
	(void)reply;
	k->signals = k->signals == 0 ? 1 : k->signals;
	waitq_wake_all(&k->stop_asked);
	return 0;
}

/* Who a user of this machine is only the keeper can ask: the others see no file of the system. Where the answer comes over a
 * network (LDAP), the keeper waits for it. */
static int
on_user(struct keeper *k, struct bus_peer *from, struct bus_keeper_user_request *q, struct arena *a,
    struct bus_keeper_user_reply *reply)
{
	char text[4096];
	struct passwd pw, *found = NULL;

	(void)k;
	(void)from;
	if (q->uid < 0 || q->uid > UINT32_MAX)
		return ERR_INVALID;
	if (getpwuid_r((uid_t)q->uid, &pw, text, sizeof(text), &found) == 0 && found != NULL &&
	    slice_is_utf8(slice_z(found->pw_name), true))
		reply->name = arena_copy(a, slice_z(found->pw_name));
	return 0;
}

static void
put_usage(json_t *o, pid_t pid)
{
	struct process_usage u;

	if (process_usage(pid, &u) != 0)
		return;
	(void)json_object_set_new(o, "cpu_ms", json_integer(u.cpu_ms));
	(void)json_object_set_new(o, "memory_bytes", json_integer(u.memory_bytes));
}

static json_t *
child_json(const struct child *c)
{
	char since[RFC3339_MAX];

	json_t *o;

	time_rfc3339(c->since_us, since);
	o = json_pack("{s:s, s:i, s:I, s:i, s:s, s:b}", "role", bus_role_name(c->role), "index", c->index, "pid",
	    (json_int_t)c->pid, "restarts", (int)c->restarts, "since", since, "ready", (int)c->ready);
	if (c->pid > 0) {
		(void)json_object_set_new(
		    o, "up_seconds", json_integer((house_mono_ms(&c->k->house) - c->started_ms) / 1000));
		put_usage(o, c->pid);
	}
	return o;
}

static json_t *
own_json(void)
{
	json_t *o = json_pack("{s:s, s:i, s:I, s:i, s:b}", "role", "keeper", "index", 0, "pid", (json_int_t)getpid(),
		   "restarts", 0, "ready", 1),
	       *counters = json_object();

	put_usage(o, getpid());
	process_status(counters);
	(void)json_object_set_new(o, "counters", counters);
	return o;
}

static int
on_status(struct keeper *k, struct bus_peer *from, struct bus_keeper_status_request *q, struct arena *a,
    struct bus_keeper_status_reply *reply)
{
	json_t *all = json_array();
	char *text;

	(void)from;
	(void)q;
	(void)json_array_append_new(all, own_json());
	for (size_t i = 0; i < k->children_n; i++)
		(void)json_array_append_new(all, child_json(&k->children[i]));
	text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	if (text == NULL)
		return ERR_NOMEM;
	reply->json = arena_copy(a, slice_z(text));
	free(text);
	return 0;
}

/* ---- signals ----------------------------------------------------------------------------------------- */

static void
got_stop(uv_signal_t *s, int number)
{
	struct keeper *k = s->data;

	LOG(&k->house, INFO, "stopping", LOG_I("signal", number));
	k->signals++;
	waitq_wake_all(&k->stop_asked);
}

static void
got_hup(uv_signal_t *s, int number)
{
	struct keeper *k = s->data;

	(void)number;
	if (k->started && !k->stopping && fiber_start(k->loop, "reload", reload_fiber, k, NULL) != 0)
		LOG(&k->house, ERROR, "reload_refused", LOG_Z("detail", "out of memory"));
}

static void
got_child(uv_signal_t *s, int number)
{
	struct keeper *k = s->data;

	(void)number;
	for (size_t i = 0; i < k->children_n; i++) {
		struct child *c = &k->children[i];
		int status;

		if (c->pid > 0 && waitpid(c->pid, &status, WNOHANG) == c->pid)
			child_reap(c, status);
	}
}

static int
watch_signals(struct keeper *k)
{
	struct {
		uv_signal_t *handle;
		uv_signal_cb fn;
		int number;
	} v[] = {{&k->on_term, got_stop, SIGTERM}, {&k->on_int, got_stop, SIGINT}, {&k->on_hup, got_hup, SIGHUP},
	    {&k->on_chld, got_child, SIGCHLD}};

	for (size_t i = 0; i < COUNT_OF(v); i++) {
		if (uv_signal_init(loop_uv(k->loop), v[i].handle) != 0)
			return ERR_IO;
		k->handles++;
		v[i].handle->data = k;
		if (uv_signal_start(v[i].handle, v[i].fn, v[i].number) != 0)
			return ERR_IO;
	}
	return 0;
}

static void
unwatch_signals(struct keeper *k)
{
	uv_signal_t *v[] = {&k->on_term, &k->on_int, &k->on_hup, &k->on_chld};

	for (int i = 0; i < k->handles; i++)
		uv_close((uv_handle_t *)v[i], NULL);
	k->handles = 0;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static void
log_peer_closed(void *ctx, enum bus_role role, int index)
{
	struct keeper *k = ctx;
	struct child *c = keeper_child(k, role, index);

	/* It lives without a link to us, or broke the rules on it: it is of no use any more. */
	if (c != NULL && c->pid > 0 && !k->stopping)
		(void)kill(c->pid, SIGKILL);
}

static void
wait_for_stop(struct keeper *k)
{
	while (k->signals == 0)
		if (waitq_wait(k->loop, &k->stop_asked, DEADLINE_NEVER) != 0)
			return;
}

/* A signal during the start ends the start. */
static void
start_watch_fiber(void *arg)
{
	struct keeper *k = arg;

	wait_for_stop(k);
	if (!k->started) {
		k->stopping = true;
		for (size_t i = 0; i < k->children_n; i++)
			waitq_wake_all(&k->children[i].changed);
	}
}

static void
main_fiber(void *arg)
{
	struct keeper *k = arg;
	struct fiber *watch = NULL;
	int err = fiber_start(k->loop, "watch", start_watch_fiber, k, &watch);

	if (err == 0)
		err = start_all(k);
	if (err == 0) {
		k->started = true;
		LOG(&k->house, INFO, "ready", LOG_Z("hostname", k->hostname), LOG_I("processes", k->children_n));
		if (k->config->on_ready != NULL)
			k->config->on_ready(k->config->on_ready_ctx, k->loop, k->settings);
		keeper_notify_ready(k);
		wait_for_stop(k);
	} else if (k->signals == 0) {
		k->failed = true;
		if (k->detail->n == 0)
			buf_printf(k->detail, "the house cannot start: %s\n", err_text(err));
	}
	keeper_notify_stopping(k);
	stop_all(k);
	keeper_notify_end(k);
	if (watch != NULL) {
		fiber_cancel(watch);
		fiber_join(k->loop, &watch);
	}
	LOG(&k->house, INFO, "stopped", LOG_I("log_dropped", k->log_dropped));
	loop_stop(k->loop);
}

static int
take_data_dir(struct keeper *k)
{
	struct slice dir = k->config->data_dir != NULL ? slice_z(k->config->data_dir) : k->settings->data_dir;

	while (dir.n > 1 && slice_ends(dir, SLICE("/")))
		dir = slice_head(dir, dir.n - 1);
	if (slice_to_z(dir, k->data_dir, sizeof(k->data_dir)) == 0 && k->data_dir[0] == '/')
		return 0;
	buf_printf(k->detail, "the data folder %.*s is not an absolute path of up to %u bytes\n", SLICE_ARG(dir),
	    HOUSE_PATH_BYTES - 1);
	return ERR_INVALID;
}

static int
open_descriptors(struct keeper *k)
{
	struct rlimit files;

	k->self_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	k->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (k->self_fd < 0 || k->null_fd < 0) {
		buf_printf(k->detail, "/proc/self/exe or /dev/null cannot be opened: %s\n", strerror(errno));
		return ERR_IO;
	}
	/* Roles inherit it and raise it for themselves. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < 4096)
		LOG(&k->house, WARN, "few_descriptors", LOG_I("limit", files.rlim_max),
		    LOG_Z("do", "raise LimitNOFILE"));
	return 0;
}

static int
prepare(struct keeper *k)
{
	int err;

	buf_put(&k->text, k->config->config);
	err = k->text.err != 0 ? k->text.err : settings_parse(&k->settings, k->config->config, k->detail);
	if (err != 0)
		return err;
	settings_start(k->settings, k->config->flags, 1, SLICE_EMPTY);
	k->house.limits = k->settings->limits;
	k->house.log_format = (enum log_format)k->settings->log_format;
	k->house.log_level = (enum log_level)k->settings->log_level;
	err = take_data_dir(k);
	if (err == 0)
		err = open_descriptors(k);
	if (err == 0)
		err = keeper_find_users(k);
	if (err == 0)
		err = keeper_open_data(k);
	if (err == 0)
		err = keeper_open_listeners(k);
	if (err == 0) {
		keeper_find_hostname(k);
		keeper_note_config(k);
	}
	return err == 0 ? make_children(k) : err;
}

static int
run(struct keeper *k)
{
	int err = loop_new(&k->loop, &k->house);

	if (err == 0)
		err = bus_new(&k->bus, k->loop, ROLE_KEEPER, 0);
	if (err == 0)
		err = watch_signals(k);
	if (err == 0) {
		BUS_HANDLE(k->bus, keeper_ready, on_ready, k);
		BUS_HANDLE(k->bus, keeper_clock, on_clock, k);
		BUS_HANDLE(k->bus, keeper_reload, on_reload, k);
		BUS_HANDLE(k->bus, keeper_stop, on_stop, k);
		BUS_HANDLE(k->bus, keeper_status, on_status, k);
		BUS_HANDLE(k->bus, keeper_user, on_user, k);
		bus_on_peer_closed(k->bus, log_peer_closed, k);
		err = fiber_start(k->loop, "keeper", main_fiber, k, NULL);
	}
	if (err == 0)
		loop_run(k->loop);
	if (k->loop != NULL) {
		unwatch_signals(k);
		bus_free(&k->bus);
		loop_free(&k->loop);
	}
	return err;
}

static int
exit_code(int err)
{
	switch (err) {
	case 0: return EX_OK;
	case ERR_SYNTAX:
	case ERR_INVALID: return EX_CONFIG;
	case ERR_BUSY: return EX_TEMPFAIL;
	case ERR_DENIED: return EX_NOPERM;
	case ERR_NOTFOUND: return EX_NOUSER;
	default: return EX_OSERR;
	}
}

int
keeper_run(const struct keeper_config *c, struct buf *detail)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int err;

	if (k == NULL)
		return EX_OSERR;
	house_init(&k->house, "keeper");
	k->config = c;
	k->detail = detail;
	k->self_fd = k->null_fd = k->lock_fd = -1;
	buf_init(&k->text, INI_FILE_BYTES + 4096);
	waitq_init(&k->stop_asked);
	fiber_lock_init(&k->reload_lock);
	crash_handle(&k->house);
	err = prepare(k);
	if (err == 0)
		err = run(k);
	else if (detail->n == 0)
		buf_printf(detail, "the house cannot start: %s\n", err_text(err));
	keeper_close_files(k);
	for (size_t i = 0; i < k->children_n; i++)
		child_free(&k->children[i]);
	free(k->children);
	if (k->self_fd >= 0)
		(void)close(k->self_fd);
	if (k->null_fd >= 0)
		(void)close(k->null_fd);
	settings_free(&k->settings);
	buf_free(&k->text);
	err = err == 0 && k->failed ? ERR_UNAVAILABLE : err;
	free(k);
	return err == ERR_UNAVAILABLE ? EX_UNAVAILABLE : exit_code(err);
}
