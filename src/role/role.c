/* role.c: the life of one process of the house: it reads what it is started with, warms up, enters its sandbox, starts
 * its role on a fiber, tells the keeper that it is ready, and then answers the keeper until it is told to end. When
 * the keeper's link ends, so does the process. */
#include "role/role_start.h"

#include "base/log.h"
#include "role/crash.h"
#include "role/process_usage.h"
#include "role/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>

#define READY_TIMEOUT_MS 60000
#define DETAIL_BYTES 65536u
#define START_ARENA_BYTES (8u << 20)

struct runner {
	struct house house;
	struct loop *loop;
	struct bus *bus;
	const struct role_ops *ops;
	struct bus_role_start_request start;
	struct role_context context;
	struct settings *settings; /* what context.settings points at */
	struct arena arena;        /* of `start` */
	struct fiber_lock reload_lock;
	int exit_code;
	char data_dir[HOUSE_PATH_BYTES];     /* of the house */
	char own_dir[HOUSE_PATH_BYTES + 64]; /* of this role */
};

int
account_desk(struct slice account_id, int desks)
{
	ASSERT(desks > 0);
	/* Not keyed: every process must come to the same desk. Ids are random, and made here. */
	return (int)(slice_hash(account_id, 0) % (uint64_t)desks);
}

/* ---- the start-up message ---------------------------------------------------------------------------- */

/* "gate 0 17" as a link. */
bool
role_start_link(struct slice text, enum bus_role *role, int *index, int *fd)
{
	struct slice rest = text, name = slice_cut(&rest, ' '), at = slice_cut(&rest, ' ');
	uint64_t i, number;

	*role = role_by_name(name);
	if (*role == ROLE_ANY || slice_to_u64(at, INT32_MAX, &i) != 0 || slice_to_u64(rest, INT32_MAX, &number) != 0)
		return false;
	*index = (int)i;
	*fd = (int)number;
	return true;
}

enum bus_role
role_by_name(struct slice name)
{
	for (unsigned r = ROLE_KEEPER; r <= ROLE_READER; r <<= 1)
		if (slice_eq(name, slice_z(bus_role_name((enum bus_role)r))))
			return (enum bus_role)r;
	return ROLE_ANY;
}

static int
read_start(struct runner *r, int fd)
{
	struct stat st;
	void *map;
	struct slice text;
	int err;

	if (fstat(fd, &st) != 0 || st.st_size <= 0 || (size_t)st.st_size > START_ARENA_BYTES / 4)
		return ERR_INVALID;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_from_errno(errno);
	text = arena_copy(&r->arena, slice_of(map, (size_t)st.st_size));
	(void)munmap(map, (size_t)st.st_size);
	(void)close(fd);
	err = arena_failed(&r->arena) ? ERR_NOMEM
				      : bus_decode(BUS_role_start, false, text, NULL, 0, &r->arena, &r->start);
	if (err != 0)
		return err;
	return slice_to_z(r->start.data_dir, r->data_dir, sizeof(r->data_dir));
}

/* The house's settings as this start wants them. */
static int
settings_for(const struct runner *r, struct slice text, uint32_t generation, struct settings **out, struct buf *detail)
{
	int err = settings_parse(out, text, detail);

	if (err != 0)
		return err;
	settings_start(*out, r->start.flags, generation, r->start.hostname);
	return 0;
}

static int
take_listeners(struct runner *r)
{
	struct role_context *c = &r->context;

	if (r->start.listeners.n > r->settings->listeners_count)
		return ERR_INVALID;
	c->listeners = ARENA_ARRAY(&r->arena, struct role_listener, r->start.listeners.n);
	if (c->listeners == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->start.listeners.n; i++) {
		uint64_t fd;

		if (r->start.listeners.v[i].n == 0)
			continue;
		if (slice_to_u64(r->start.listeners.v[i], INT32_MAX, &fd) != 0 ||
		    fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0)
			return ERR_INVALID;
		c->listeners[c->listeners_count++] = (struct role_listener){&r->settings->listeners[i], (int)fd};
	}
	return 0;
}

static int
take_links(struct runner *r)
{
	for (size_t i = 0; i < r->start.links.n; i++) {
		enum bus_role role;
		int index, fd, err;

		if (!role_start_link(r->start.links.v[i], &role, &index, &fd))
			return ERR_INVALID;
		err = bus_add_peer(r->bus, role, index, fd);
		if (err != 0)
			return err;
	}
	return 0;
}

static void
fill_context(struct runner *r)
{
	struct role_context *c = &r->context;

	c->house = &r->house;
	c->loop = r->loop;
	c->bus = r->bus;
	c->settings = r->settings;
	c->role = r->ops->role;
	c->index = (int)r->start.index;
	c->count = (int)r->start.count;
	c->desks = (int)r->start.desks;
	c->quiet = (r->start.flags & START_QUIET) != 0;
	(void)snprintf(r->own_dir, sizeof(r->own_dir), "%s%s", r->data_dir, c->role == ROLE_CLERK ? "/books" : "");
	c->data_dir = r->own_dir;
}

static void
apply_settings(struct runner *r)
{
	r->house.limits = r->settings->limits;
	r->house.log_format = (enum log_format)r->settings->log_format;
	r->house.log_level = (enum log_level)r->settings->log_level;
	r->context.settings = r->settings;
}

void
process_status(json_t *into)
{
	int64_t max, n = process_open_files(&max);

	(void)json_object_set_new(into, "open_files", json_integer(n));
	(void)json_object_set_new(into, "open_files_max", json_integer(max));
}

/* ---- what the keeper and the clerk ask of every role --------------------------------------------------- */

static int
on_status(struct runner *r, struct bus_peer *from, struct bus_role_status_request *q, struct arena *a,
    struct bus_role_status_reply *reply)
{
	json_t *into = json_object();
	char *text;

	(void)from;
	(void)q;
	if (into == NULL)
		return ERR_NOMEM;
	if (r->ops->status != NULL)
		r->ops->status(&r->context, into);
	process_status(into);
	text = json_dumps(into, JSON_COMPACT);
	json_decref(into);
	if (text == NULL)
		return ERR_NOMEM;
	reply->json = arena_copy(a, slice_z(text));
	free(text);
	return 0;
}

static int
on_clock(struct runner *r, struct bus_peer *from, struct bus_role_clock_request *q, struct arena *a,
    struct bus_role_clock_reply *reply)
{
	(void)from;
	(void)a;
	(void)reply;
	atomic_store(&r->house.clock_offset_us, q->offset_us);
	return 0;
}

/* The role's own sessions may still use what they took from the old settings: those are kept until the process ends.
 * A reload is rare and a generation small. */
static int
reload(struct runner *r, struct slice text, struct buf *detail)
{
	struct settings *fresh, *old = r->settings;
	int err = settings_for(r, text, old->generation + 1, &fresh, detail);

	if (err == 0)
		err = settings_may_reload(old, fresh, detail);
	if (err == 0 && r->ops->reload != NULL)
		err = r->ops->reload(&r->context, fresh, detail);
	if (err != 0) {
		settings_free(&fresh);
		return err;
	}
	for (size_t i = 0; i < r->context.listeners_count; i++)
		r->context.listeners[i].settings = &fresh->listeners[r->context.listeners[i].settings - old->listeners];
	fresh->older = old;
	r->settings = fresh;
	apply_settings(r);
	return 0;
}

static int
on_reload(struct runner *r, struct bus_peer *from, struct bus_role_reload_request *q, struct arena *a,
    struct bus_role_reload_reply *reply)
{
	struct buf detail BUF_CLEANUP;
	int err = fiber_lock_take(r->loop, &r->reload_lock, DEADLINE_NEVER);

	(void)from;
	buf_init(&detail, DETAIL_BYTES);
	if (err != 0)
		return err;
	/* Refusals are told in the reply's text: an error would carry none. */
	err = reload(r, q->config, &detail);
	fiber_lock_drop(r->loop, &r->reload_lock);
	reply->detail = err == 0 ? SLICE_EMPTY
	    : detail.n > 0       ? arena_copy(a, buf_slice(&detail))
				 : slice_z(err_text(err));
	return 0;
}

static int
on_shutdown(struct runner *r, struct bus_peer *from, struct bus_role_shutdown_request *q, struct arena *a,
    struct bus_role_shutdown_reply *reply)
{
	(void)from;
	(void)a;
	(void)reply;
	if (r->ops->shutdown != NULL)
		r->ops->shutdown(&r->context, q->grace_ms);
	loop_stop(r->loop);
	return 0;
}

static int
on_peer(struct runner *r, struct bus_peer *from, struct bus_role_peer_request *q, struct arena *a,
    struct bus_role_peer_reply *reply)
{
	int fd = (int)q->socket;

	(void)from;
	(void)a;
	(void)reply;
	if (fd < 0)
		return ERR_INVALID;
	q->socket = -1;
	return bus_add_peer(r->bus, (enum bus_role)q->role, (int)q->index, fd);
}

static void
on_peer_closed(void *ctx, enum bus_role role, int index)
{
	struct runner *r = ctx;

	if (role == ROLE_KEEPER) {
		LOG(&r->house, ERROR, "keeper_gone", LOG_I("index", r->house.index));
		_exit(EX_UNAVAILABLE);
	}
	LOG(&r->house, INFO, "peer_gone", LOG_Z("peer", bus_role_name(role)), LOG_I("peer_index", index));
}

static void
handle_keeper(struct runner *r)
{
	BUS_HANDLE(r->bus, role_status, on_status, r);
	BUS_HANDLE(r->bus, role_clock, on_clock, r);
	BUS_HANDLE(r->bus, role_reload, on_reload, r);
	BUS_HANDLE(r->bus, role_shutdown, on_shutdown, r);
	BUS_HANDLE(r->bus, role_peer, on_peer, r);
	bus_on_peer_closed(r->bus, on_peer_closed, r);
}

/* ---- starting ---------------------------------------------------------------------------------------- */

/* Text of a failure for the keeper: whatever was said, as UTF-8. */
static struct slice
tellable(const struct buf *detail, int err)
{
	if (detail->n == 0)
		return err == 0 ? SLICE_EMPTY : slice_z(err_text(err));
	return slice_is_utf8(buf_slice(detail), true) ? buf_slice(detail) : SLICE("(unprintable)");
}

static void
tell_keeper(struct runner *r, int result, const struct buf *detail)
{
	struct bus_keeper_ready_request req = {.result = result, .detail = tellable(detail, result)};
	struct bus_keeper_ready_reply reply;
	struct arena a ARENA_CLEANUP;
	int err;

	arena_init(&a, 65536);
	err = BUS_CALL(r->bus, ROLE_KEEPER, 0, keeper_ready, &req, &a, &reply, READY_TIMEOUT_MS);
	if (err != 0)
		LOG(&r->house, ERROR, "keeper_not_told", LOG_E(err));
}

static void
start_fiber(void *arg)
{
	struct runner *r = arg;
	struct buf detail BUF_CLEANUP;
	int err;

	buf_init(&detail, DETAIL_BYTES);
	err = r->ops->start(&r->context, &detail);
	if (err != 0) {
		LOG(&r->house, ERROR, "start_failed", LOG_E(err), LOG_S("detail", buf_slice(&detail)));
		r->exit_code = EX_CONFIG;
	}
	tell_keeper(r, err, &detail);
	if (err != 0)
		loop_stop(r->loop);
}

/* Failed before there were fibers: the keeper hears of it from one all the same. */
struct early_failure {
	struct runner *r;
	struct buf *detail;
	int err;
};

static void
early_failure_fiber(void *arg)
{
	struct early_failure *f = arg;

	tell_keeper(f->r, f->err, f->detail);
	loop_stop(f->r->loop);
}

static void
raise_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int
enter_sandbox(struct runner *r, struct buf *detail)
{
	struct sandbox_config c = {.role = r->ops->role,
	    .data_dir = r->data_dir,
	    .settings = r->settings,
	    .allow_unsandboxed = r->settings->allow_unsandboxed};
	int err = sandbox_enter(&c, detail);

	if (err == 0 && detail->n > 0)
		LOG(&r->house, WARN, "sandbox_incomplete", LOG_S("detail", buf_slice(detail)));
	if (err == 0)
		buf_reset(detail);
	return err;
}

/* Everything before the loop runs, in the order of the sandbox: read, warm up, lock the door. */
static int
prepare(struct runner *r, struct buf *detail)
{
	int err = settings_for(r, r->start.config, (uint32_t)r->start.generation, &r->settings, detail);

	if (err == 0) {
		apply_settings(r);
		fill_context(r);
		err = take_listeners(r);
	}
	if (err == 0)
		err = take_links(r);
	if (err == 0) {
		raise_descriptors();
		crash_warm_up();
		err = sandbox_drop_root((uid_t)r->start.uid, (gid_t)r->start.gid, detail);
	}
	if (err == 0 && r->ops->warm != NULL)
		err = r->ops->warm(&r->context, detail);
	return err == 0 ? enter_sandbox(r, detail) : err;
}

static int
run(struct runner *r)
{
	struct buf detail BUF_CLEANUP;
	struct early_failure failure = {r, &detail, 0};
	int err;

	buf_init(&detail, DETAIL_BYTES);
	handle_keeper(r);
	failure.err = prepare(r, &detail);
	if (failure.err != 0) {
		LOG(&r->house, ERROR, "start_failed", LOG_E(failure.err), LOG_S("detail", buf_slice(&detail)));
		r->exit_code = EX_CONFIG;
	}
	err = failure.err == 0 ? fiber_start(r->loop, "start", start_fiber, r, NULL)
			       : fiber_start(r->loop, "start", early_failure_fiber, &failure, NULL);
	if (err != 0)
		return EX_OSERR;
	loop_run(r->loop);
	bus_free(&r->bus); /* sends what is queued */
	return r->exit_code;
}

static int
runner_new(struct runner *r, const struct role_ops *ops, int start_fd, int keeper_fd)
{
	int err;

	r->ops = ops;
	arena_init(&r->arena, START_ARENA_BYTES);
	err = read_start(r, start_fd);
	if (err != 0)
		return err;
	r->house.index = (int)r->start.index;
	atomic_store(&r->house.clock_offset_us, r->start.clock_offset_us);
	fiber_lock_init(&r->reload_lock);
	err = loop_new(&r->loop, &r->house);
	if (err == 0)
		err = bus_new(&r->bus, r->loop, ops->role, (int)r->start.index);
	return err == 0 ? bus_add_peer(r->bus, ROLE_KEEPER, 0, keeper_fd) : err;
}

bool
role_is_asked(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "--role") == 0;
}

static const struct role_ops *
find_ops(role_table roles, enum bus_role role)
{
	for (size_t i = 0; roles[i] != NULL; i++)
		if (roles[i]->role == role)
			return roles[i];
	return NULL;
}

/* One heap for all threads, which does not give back and fetch again a few pages at each message; what a burst has left
 * the loop gives back in the next pause. */
static void
set_up_heap(void)
{
	(void)mallopt(M_ARENA_MAX, 16);
	(void)mallopt(M_TOP_PAD, 256 << 10);
	(void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

int
role_main(int argc, char **argv, role_table roles)
{
	const struct role_ops *ops = argc == 8 ? find_ops(roles, role_by_name(slice_z(argv[2]))) : NULL;
	uint64_t start_fd, keeper_fd, parent;
	struct runner *r;
	int err;

	if (ops == NULL || strcmp(argv[3], "--start") != 0 || strcmp(argv[5], "--keeper") != 0 ||
	    slice_to_u64(slice_z(argv[4]), INT32_MAX, &start_fd) != 0 ||
	    slice_to_u64(slice_z(argv[6]), INT32_MAX, &keeper_fd) != 0 ||
	    slice_to_u64(slice_z(argv[7]), INT32_MAX, &parent) != 0) {
		(void)fprintf(
		    stderr, "posthouse: --role is for the keeper only; start a house with `posthouse serve`\n");
		return EX_USAGE;
	}
	set_up_heap();
	/* The keeper decides when the house ends, not the terminal. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	/* What a role makes is for itself alone; SQLite would make databases that everybody may read. */
	(void)umask(0077);
	if (sandbox_prepare((pid_t)parent) != 0)
		return EX_OSERR;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return EX_OSERR;
	house_init(&r->house, bus_role_name(ops->role));
	crash_handle(&r->house);
	err = runner_new(r, ops, (int)start_fd, (int)keeper_fd);
	if (err != 0) {
		LOG(&r->house, ERROR, "start_failed", LOG_E(err));
		return EX_OSERR;
	}
	/* What the role has left open goes with the process. */
	_exit(run(r));
}
