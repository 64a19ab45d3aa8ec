/* The keeper with small roles of this test: start, restart, links, reload, clock, refusal and end, in real processes
 * behind their real sandboxes. The test's clerk takes one-line commands on the control socket. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "role/keeper.h"
#include "role/role.h"
#include "rt/net.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>

/* ---- the roles --------------------------------------------------------------------------------------- */

static int
plain_start(struct role_context *c, struct buf *detail)
{
	if (slice_eq(c->settings->hostname, SLICE("refuse.test")) && c->role == ROLE_DESK) {
		buf_put_z(detail, "the desk does not like this name");
		return ERR_INVALID;
	}
	return 0;
}

static void
plain_status(struct role_context *c, json_t *into)
{
	(void)json_object_set_new(
	    into, "hostname", json_stringn((const char *)c->settings->hostname.p, c->settings->hostname.n));
	(void)json_object_set_new(into, "now", json_integer(house_now_us(c->house)));
	(void)json_object_set_new(into, "listeners", json_integer((json_int_t)c->listeners_count));
}

static int
courier_reload(struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	(void)c;
	if (!slice_eq(fresh->hostname, SLICE("refused.test")))
		return 0;
	buf_put_z(detail, "not with me");
	return ERR_INVALID;
}

static int
vault_forget(struct role_context *c, struct bus_peer *from, struct bus_vault_forget_request *q, struct arena *a,
    struct bus_vault_forget_reply *reply)
{
	(void)from;
	(void)a;
	(void)reply;
	if (slice_eq(q->account_id, SLICE("crash")))
		abort();
	(void)c;
	return 0;
}

static int
vault_start(struct role_context *c, struct buf *detail)
{
	char path[4200];
	int fd;

	(void)detail;
	(void)snprintf(path, sizeof(path), "%s/secrets/key", c->data_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	close(fd);
	BUS_HANDLE(c->bus, vault_forget, vault_forget, c);
	return 0;
}

static void
answer_status(struct role_context *c, struct stream *st, enum bus_role role)
{
	struct bus_role_status_request req = {};
	struct bus_role_status_reply rep;
	struct arena a ARENA_CLEANUP;
	int err;

	arena_init(&a, 1 << 20);
	err = bus_call_again(c->bus, role, 0, BUS_role_status, &req, &a, &rep, 10000);
	(void)!stream_printf(st, "%.*s\n", SLICE_ARG(err == 0 ? rep.json : slice_z(err_name(err))));
}

static void
answer_keeper(struct role_context *c, struct stream *st, struct slice verb, struct slice argument)
{
	struct arena a ARENA_CLEANUP;
	int err = 0;

	arena_init(&a, 1 << 20);
	if (slice_eq(verb, SLICE("processes"))) {
		struct bus_keeper_status_request req = {};
		struct bus_keeper_status_reply rep;

		err = BUS_CALL(c->bus, ROLE_KEEPER, 0, keeper_status, &req, &a, &rep, 10000);
		(void)!stream_printf(st, "%.*s\n", SLICE_ARG(rep.json));
	} else if (slice_eq(verb, SLICE("clock"))) {
		struct bus_keeper_clock_request req = {.advance_us = 0};
		struct bus_keeper_clock_reply rep;
		uint64_t n = 0;

		(void)!slice_to_u64(argument, INT64_MAX, &n);
		req.advance_us = (int64_t)n;
		err = BUS_CALL(c->bus, ROLE_KEEPER, 0, keeper_clock, &req, &a, &rep, 10000);
		(void)!stream_printf(st, "%lld %.*s\n", (long long)rep.offset_us, SLICE_ARG(rep.detail));
	} else if (slice_eq(verb, SLICE("reload"))) {
		struct bus_keeper_reload_request req = {};
		struct bus_keeper_reload_reply rep;

		err = BUS_CALL(c->bus, ROLE_KEEPER, 0, keeper_reload, &req, &a, &rep, 10000);
		(void)!stream_printf(st, "(%.*s)\n", SLICE_ARG(slice_trim(rep.detail)));
	} else if (slice_eq(verb, SLICE("stop"))) {
		struct bus_keeper_stop_request req = {};
		struct bus_keeper_stop_reply rep;

		err = BUS_CALL(c->bus, ROLE_KEEPER, 0, keeper_stop, &req, &a, &rep, 10000);
		(void)!stream_printf(st, "stopping\n");
	} else if (slice_eq(verb, SLICE("forget"))) {
		struct bus_vault_forget_request req = {.account_id = argument};
		struct bus_vault_forget_reply rep;

		err = BUS_CALL(c->bus, ROLE_VAULT, 0, vault_forget, &req, &a, &rep, 10000);
		(void)!stream_printf(st, "%s\n", err == 0 ? "ok" : err_name(err));
		err = 0;
	}
	if (err != 0)
		(void)!stream_printf(st, "%s\n", err_name(err));
}

static void
control_session(struct net_session *s)
{
	struct stream *st STREAM_CLEANUP = s->stream;
	struct role_context *c = s->arg;
	struct slice line;

	while (stream_read_line(st, SLICE("\n"), 1000, &line) == 0) {
		struct arena a ARENA_CLEANUP;
		struct slice argument, verb;

		arena_init(&a, 4096);
		argument = arena_copy(&a, line);
		verb = slice_cut(&argument, ' ');
		if (slice_eq(verb, SLICE("gate")))
			answer_status(c, st, ROLE_GATE);
		else if (slice_eq(verb, SLICE("desk")))
			answer_status(c, st, ROLE_DESK);
		else if (slice_eq(verb, SLICE("courier")))
			answer_status(c, st, ROLE_COURIER);
		else
			answer_keeper(c, st, verb, argument);
		if (stream_flush(st) != 0)
			break;
	}
}

static int
clerk_start(struct role_context *c, struct buf *detail)
{
	struct net_acceptor *acceptor;

	(void)detail;
	ASSERT(c->listeners_count == 2 && c->listeners[0].settings->service == LISTEN_CONTROL);
	return net_accept_start(&acceptor, c->loop, c->listeners[0].fd, 10, control_session, c);
}

static void
slow_shutdown(struct role_context *c, int64_t grace_ms)
{
	(void)grace_ms;
	LOG(c->house, INFO, "shutdown_asked", LOG_Z("of", bus_role_name(c->role)));
}

static const struct role_ops vault_ops = {ROLE_VAULT, NULL, vault_start, plain_status, NULL, slow_shutdown};
static const struct role_ops reader_ops = {ROLE_READER, NULL, plain_start, plain_status, NULL, slow_shutdown};
static const struct role_ops clerk_ops = {ROLE_CLERK, NULL, clerk_start, plain_status, NULL, slow_shutdown};
static const struct role_ops desk_ops = {ROLE_DESK, NULL, plain_start, plain_status, NULL, slow_shutdown};
static const struct role_ops courier_ops = {ROLE_COURIER, NULL, plain_start, plain_status, courier_reload, NULL};
static const struct role_ops gate_ops = {ROLE_GATE, NULL, plain_start, plain_status, NULL, slow_shutdown};
static const struct role_ops porch_ops = {ROLE_PORCH, NULL, plain_start, plain_status, NULL, slow_shutdown};
static const struct role_ops *const all_ops[] = {
    &vault_ops, &reader_ops, &clerk_ops, &desk_ops, &courier_ops, &gate_ops, &porch_ops, NULL};

/* ---- the house under test ------------------------------------------------------------------------------ */

struct home {
	char dir[64], config[128], log[128];
	pid_t pid;
};

static uint16_t
free_port(void)
{
	struct net_address a;
	struct sockaddr_storage got;
	socklen_t n = sizeof(got);
	int fd;

	assert_int_equal(net_address_parse(SLICE("127.0.0.1"), 0, &a), 0);
	assert_int_equal(net_listen(&a, 1, &fd), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&got, &n), 0);
	memcpy(&a.sa, &got, n);
	a.n = n;
	close(fd);
	return net_address_port(&a);
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
write_config(struct home *h, const char *hostname, const char *more)
{
	char text[1024];

	(void)snprintf(text, sizeof(text),
	    "[house]\nhostname = %s\nuser_prefix =\ntest_clock = yes\n%s\n[listen smtp]\nservice = smtp\naddress = "
	    "127.0.0.1\nport = %u\n",
	    hostname, more, (unsigned)free_port());
	write_file(h->config, text);
}

static void
say_ready(void *ctx, struct loop *l, const struct settings *s)
{
	(void)l;
	(void)s;
	assert_int_equal(write(*(int *)ctx, "r", 1), 1);
}

/* Starts the keeper in a child; *code is its exit code when it did not become ready, else -1. */
static void
home_start(struct home *h, int *code)
{
	int ready[2];
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	h->pid = fork();
	if (h->pid == 0) {
		struct keeper_config k = {
		    .config_path = h->config, .data_dir = h->dir, .on_ready = say_ready, .on_ready_ctx = &ready[1]};
		struct buf text, detail;
		int fd = open(h->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), exit_with;

		dup2(fd, STDERR_FILENO);
		buf_init(&text, 65536);
		buf_init(&detail, 65536);
		if (house_read_file(h->config, 65536, &text, &detail) != 0)
			_exit(99);
		k.config = buf_slice(&text);
		exit_with = keeper_run(&k, &detail);
		(void)!write(STDERR_FILENO, detail.p, detail.n);
		_exit(exit_with);
	}
	close(ready[1]);
	*code = -1;
	if (read(ready[0], &c, 1) != 1) {
		int status;

		assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
		*code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
	}
	close(ready[0]);
}

static void
home_open(struct home *h)
{
	*h = (struct home){.dir = "/tmp/posthouse-keeper-XXXXXX"};
	assert_non_null(mkdtemp(h->dir));
	(void)snprintf(h->config, sizeof(h->config), "%s.conf", h->dir);
	(void)snprintf(h->log, sizeof(h->log), "%s.log", h->dir);
	write_config(h, "one.test", "");
}

static bool
log_has(struct home *h, const char *what)
{
	struct buf b BUF_CLEANUP, detail BUF_CLEANUP;

	buf_init(&b, 1 << 22);
	buf_init(&detail, 4096);
	assert_int_equal(house_read_file(h->log, 1 << 22, &b, &detail), 0);
	return slice_find(buf_slice(&b), slice_z(what)) != SLICE_NONE;
}

static void
home_close(struct home *h)
{
	const char *const folders[] = {
	    "secrets/key", "secrets", "books", "accounts", "run/posthouse.conf", "run", "lock", ""};
	char path[256];

	assert_false(log_has(h, "AddressSanitizer"));
	assert_false(log_has(h, "runtime error"));
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", h->dir, folders[i]);
		if (unlink(path) != 0)
			(void)rmdir(path);
	}
	(void)unlink(h->config);
	(void)unlink(h->log);
}

/* One command on the control socket, as a fresh connection; retried while the clerk is away. */
static const char *
ask(struct home *h, const char *command, char out[4096])
{
	for (int i = 0; i < 100; i++) {
		struct sockaddr_un un = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ssize_t n = 0, got = 0;

		(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/run/control", h->dir);
		if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && dprintf(fd, "%s\n", command) > 0)
			while (n < 4095 && (got = read(fd, out + n, (size_t)(4095 - n))) > 0) {
				n += got;
				if (out[n - 1] == '\n')
					break;
			}
		close(fd);
		out[n] = '\0';
		if (n > 0)
			return out;
		usleep(50000);
	}
	fail_msg("no answer to %s", command);
	return "";
}

static int64_t
json_of(const char *text, const char *role, const char *key)
{
	json_t *v = json_loads(text, 0, NULL);
	int64_t found = -1;
	size_t i;
	json_t *e;

	assert_non_null(v);
	if (json_is_object(v))
		found = json_integer_value(json_object_get(v, key));
	else
		json_array_foreach(v, i, e) if (strcmp(json_string_value(json_object_get(e, "role")), role) == 0)
		    found = json_integer_value(json_object_get(e, key));
	json_decref(v);
	return found;
}

static int
home_stop(struct home *h, int number)
{
	int status;

	if (number != 0)
		assert_int_equal(kill(h->pid, number), 0);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* No process holds what belongs to another: every descriptor is a socket, a pipe, the loop's own, or /dev/null. */
static void
assert_descriptors(pid_t pid)
{
	char folder[64];
	struct dirent *e;
	DIR *dir;

	(void)snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)pid);
	dir = opendir(folder);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		char to[512] = "";

		if (readlinkat(dirfd(dir), e->d_name, to, sizeof(to) - 1) < 0)
			continue;
		if (strncmp(to, "socket:", 7) != 0 && strncmp(to, "pipe:", 5) != 0 &&
		    strncmp(to, "anon_inode:", 11) != 0 && strcmp(to, "/dev/null") != 0)
			fail_msg("process %d holds %s", (int)pid, to);
	}
	closedir(dir);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void
test_life(void **state)
{
	char out[4096];
	struct home h, second;
	struct stat st;
	int code;

	(void)state;
	home_open(&h);
	home_start(&h, &code);
	assert_int_equal(code, -1);
	assert_int_equal(json_of(ask(&h, "processes", out), "gate", "restarts"), 0);
	assert_true(json_of(out, "porch", "pid") > 0);
	assert_int_equal(json_of(ask(&h, "gate", out), "", "listeners"), 1);
	assert_int_equal(json_of(ask(&h, "desk", out), "", "listeners"), 0);
	{
		const char *roles[] = {"gate", "porch", "desk", "courier", "clerk", "reader", "vault"};

		ask(&h, "processes", out);
		for (size_t i = 0; i < COUNT_OF(roles); i++)
			assert_descriptors((pid_t)json_of(out, roles[i], "pid"));
	}
	/* Modes, and the lock. */
	assert_int_equal(stat(h.dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	(void)snprintf(out, sizeof(out), "%s/run/control", h.dir);
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	second = h;
	(void)snprintf(second.log, sizeof(second.log), "%s.second", h.dir);
	home_start(&second, &code);
	assert_int_equal(code, EX_TEMPFAIL);
	assert_true(log_has(&second, "another house is running on"));
	(void)unlink(second.log);
	assert_int_equal(home_stop(&h, SIGTERM), 0);
	assert_true(log_has(&h, "shutdown_asked"));
	assert_false(log_has(&h, "role_killed"));
	assert_int_equal(stat(out, &st), -1);
	home_close(&h);
}

static void
test_restarts(void **state)
{
	char out[4096];
	struct home h;
	int64_t pid;
	int code;

	(void)state;
	home_open(&h);
	home_start(&h, &code);
	assert_int_equal(code, -1);
	/* A role that crashes on a request: the asker hears of it, and asks the next one. */
	assert_string_equal(ask(&h, "forget me", out), "ok\n");
	assert_string_equal(ask(&h, "forget crash", out), "closed\n");
	for (int i = 0; i < 100 && strcmp(ask(&h, "forget me", out), "ok\n") != 0; i++)
		usleep(20000);
	assert_string_equal(out, "ok\n");
	assert_int_equal(json_of(ask(&h, "processes", out), "vault", "restarts"), 1);
	/* Every role in turn, the clerk itself too. */
	for (int i = 0; i < 6; i++) {
		const char *roles[] = {"gate", "porch", "desk", "courier", "clerk", "reader", "vault"};

		pid = json_of(ask(&h, "processes", out), roles[i], "pid");
		assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	}
	for (int i = 0; i < 200; i++) {
		int64_t restarts = 0;
		json_t *v = json_loads(ask(&h, "processes", out), 0, NULL), *e;
		size_t at;
		bool ready = true;

		json_array_foreach(v, at, e)
		{
			restarts += json_integer_value(json_object_get(e, "restarts"));
			ready = ready && json_is_true(json_object_get(e, "ready"));
		}
		json_decref(v);
		if (restarts >= 7 && ready)
			break;
		usleep(20000);
		assert_int_not_equal(i, 199);
	}
	assert_string_equal(ask(&h, "forget me", out), "ok\n");
	assert_int_equal(json_of(ask(&h, "gate", out), "", "listeners"), 1);
	assert_int_equal(home_stop(&h, SIGINT), 0);
	home_close(&h);
}

static void
test_clock_and_reload(void **state)
{
	char out[4096], text[1024];
	struct home h;
	int64_t before, pid;
	int code;

	(void)state;
	home_open(&h);
	home_start(&h, &code);
	assert_int_equal(code, -1);
	before = json_of(ask(&h, "gate", out), "", "now");
	assert_string_equal(ask(&h, "clock 86400000000", out), "86400000000 \n");
	assert_true(json_of(ask(&h, "gate", out), "", "now") >= before + 86400000000);
	/* A process that starts later knows it too. */
	pid = json_of(ask(&h, "processes", out), "gate", "pid");
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	usleep(20000);
	assert_true(json_of(ask(&h, "gate", out), "", "now") >= before + 86400000000);
	/* A reload that one refuses changes nothing anywhere. */
	{
		struct buf b BUF_CLEANUP, detail BUF_CLEANUP;
		const char *at;

		buf_init(&b, 65536);
		buf_init(&detail, 65536);
		assert_int_equal(house_read_file(h.config, 65536, &b, &detail), 0);
		buf_put_u8(&b, 0);
		at = strstr((const char *)b.p, "one.test") + strlen("one.test");
		(void)snprintf(text, sizeof(text), "[house]\nhostname = refused.test%s", at);
		write_file(h.config, text);
		assert_non_null(strstr(ask(&h, "reload", out), "not with me"));
		assert_non_null(strstr(ask(&h, "desk", out), "one.test"));
		assert_non_null(strstr(ask(&h, "gate", out), "one.test"));
		(void)snprintf(text, sizeof(text), "[house]\nhostname = two.test\nnonsense = 1%s", at);
		write_file(h.config, text);
		assert_non_null(strstr(ask(&h, "reload", out), "line 3"));
		(void)snprintf(text, sizeof(text), "[house]\nhostname = two.test\ndesks = 3%s", at);
		write_file(h.config, text);
		assert_non_null(strstr(ask(&h, "reload", out), "restart the house"));
		assert_non_null(strstr(ask(&h, "gate", out), "one.test"));
		(void)snprintf(text, sizeof(text), "[house]\nhostname = two.test%s", at);
		write_file(h.config, text);
		assert_int_equal(kill(h.pid, SIGHUP), 0);
		for (int i = 0; i < 100 && strstr(ask(&h, "courier", out), "two.test") == NULL; i++)
			usleep(20000);
		assert_non_null(strstr(ask(&h, "desk", out), "two.test"));
	}
	assert_string_equal(ask(&h, "stop", out), "stopping\n");
	assert_int_equal(home_stop(&h, 0), 0);
	home_close(&h);
}

static void
test_refusals(void **state)
{
	struct home h;
	int code;

	(void)state;
	home_open(&h);
	write_config(&h, "refuse.test", "");
	home_start(&h, &code);
	assert_int_equal(code, EX_UNAVAILABLE);
	assert_true(log_has(&h, "the desk cannot start: the desk does not like this name"));
	write_config(&h, "one.test", "colour = red\n");
	home_start(&h, &code);
	assert_int_equal(code, EX_CONFIG);
	assert_true(log_has(&h, "line 5: [house] has no setting colour"));
	if (geteuid() == 0) {
		write_config(&h, "one.test", "");
		{
			char text[1024];

			(void)snprintf(text, sizeof(text),
			    "[house]\nuser_prefix = posthouse-nobody-has-this-\n[listen a]\nservice = smtp\naddress = "
			    "127.0.0.1\nport = %u\n",
			    (unsigned)free_port());
			write_file(h.config, text);
		}
		home_start(&h, &code);
		assert_int_equal(code, EX_NOUSER);
		assert_true(log_has(&h, "there is no user posthouse-nobody-has-this-vault"));
	}
	home_close(&h);
}

/* When the keeper is killed, all end. */
static void
test_keeper_killed(void **state)
{
	const char *roles[] = {"gate", "porch", "desk", "courier", "clerk", "reader", "vault"};
	char out[4096];
	struct home h;
	pid_t pids[6];
	int code;

	(void)state;
	home_open(&h);
	home_start(&h, &code);
	assert_int_equal(code, -1);
	ask(&h, "processes", out);
	for (int i = 0; i < 6; i++)
		pids[i] = (pid_t)json_of(out, roles[i], "pid");
	assert_int_equal(home_stop(&h, SIGKILL), 1000 + SIGKILL);
	for (int i = 0; i < 6; i++) {
		int tries = 0;

		/* They are nobody's children now: gone, or waiting for init. */
		while (kill(pids[i], 0) == 0 && tries++ < 100) {
			char path[64], line[256] = "";
			FILE *f;

			(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pids[i]);
			f = fopen(path, "re");
			if (f == NULL || fgets(line, sizeof(line), f) == NULL || strstr(line, ") Z ") != NULL)
				tries = 100;
			if (f != NULL)
				fclose(f);
			if (tries < 100)
				usleep(20000);
			assert_int_not_equal(tries, 99);
		}
	}
	home_start(&h, &code);
	assert_int_equal(code, -1);
	assert_int_equal(home_stop(&h, SIGTERM), 0);
	home_close(&h);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_life),
	    cmocka_unit_test(test_restarts),
	    cmocka_unit_test(test_clock_and_reload),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_keeper_killed),
	};

	if (role_is_asked(argc, argv))
		return role_main(argc, argv, all_ops);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
