/* keeper_spawn.c: starting one process of the house: fork, then the binary again (from the descriptor opened at the
 * start), with a log pipe, a link to the keeper, links to everybody it talks to, and its start-up message in an
 * anonymous file. */
#include "role/keeper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define START_BYTES (4u << 20)

extern char **environ;

/* What one start hands to the child; all descriptors are ours until the end of child_spawn(). */
struct spawn {
	struct child *child;
	struct arena a;
	int start_fd;
	int keeper[2]; /* our end, the child's */
	int log[2];    /* our end, the child's */
	struct slice *listeners;
	struct slice *links;
	size_t links_n;
	int *ours, *theirs; /* links: the end for the peer, the child's end */
	struct child **peers;
	char **environment;
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void
spawn_free(struct spawn *s)
{
	close_fd(&s->start_fd);
	for (int i = 0; i < 2; i++) {
		close_fd(&s->keeper[i]);
		close_fd(&s->log[i]);
	}
	for (size_t i = 0; i < s->links_n; i++) {
		close_fd(&s->ours[i]);
		close_fd(&s->theirs[i]);
	}
	arena_free(&s->a);
}

static bool
listens(enum bus_role role, int index, enum listen_service service)
{
	switch (role) {
	case ROLE_GATE: return service == LISTEN_SMTP || service == LISTEN_LMTP;
	case ROLE_PORCH: return listen_service_is_porch(service) || (service == LISTEN_METRICS && index == 0);
	case ROLE_CLERK: return (service == LISTEN_CONTROL || service == LISTEN_LOCAL) && index == 0;
	default: return false;
	}
}

static int
list_listeners(struct spawn *s)
{
	struct keeper *k = s->child->k;
	size_t n = k->settings->listeners_count;

	s->listeners = ARENA_ARRAY(&s->a, struct slice, n);
	for (size_t i = 0; s->listeners != NULL && i < n; i++)
		if (k->listeners[i] >= 0 && listens(s->child->role, s->child->index, k->settings->listeners[i].service))
			s->listeners[i] = arena_printf(&s->a, "%d", k->listeners[i]);
	return arena_failed(&s->a) ? ERR_NOMEM : 0;
}

static int
make_link(struct spawn *s, struct child *peer)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return err_from_errno(errno);
	s->ours[s->links_n] = sv[0];
	s->theirs[s->links_n] = sv[1];
	s->peers[s->links_n] = peer;
	s->links[s->links_n] = arena_printf(&s->a, "%s %d %d", bus_role_name(peer->role), peer->index, sv[1]);
	s->links_n++;
	return arena_failed(&s->a) ? ERR_NOMEM : 0;
}

static int
make_links(struct spawn *s)
{
	struct keeper *k = s->child->k;
	int err = 0;

	s->links = ARENA_ARRAY(&s->a, struct slice, k->children_n);
	s->ours = ARENA_ARRAY(&s->a, int, k->children_n);
	s->theirs = ARENA_ARRAY(&s->a, int, k->children_n);
	s->peers = ARENA_ARRAY(&s->a, struct child *, k->children_n);
	if (arena_failed(&s->a))
		return ERR_NOMEM;
	for (size_t i = 0; i < k->children_n && err == 0; i++) {
		struct child *peer = &k->children[i];

		if (peer != s->child && peer->pid > 0 && keeper_roles_talk(peer->role, s->child->role))
			err = make_link(s, peer);
	}
	return err;
}

static int
write_start(struct spawn *s)
{
	struct child *c = s->child;
	struct keeper *k = c->k;
	const struct keeper_user *u = &k->users[keeper_role_place(c->role)];
	struct bus_role_start_request start = {.config = buf_slice(&k->text),
	    .hostname = slice_z(k->hostname),
	    .data_dir = slice_z(k->data_dir),
	    .index = c->index,
	    .count = keeper_count(k, c->role),
	    .desks = k->desks,
	    .flags = k->config->flags,
	    .clock_offset_us = atomic_load(&k->house.clock_offset_us),
	    .uid = u->uid,
	    .gid = u->gid,
	    .generation = k->settings->generation,
	    .listeners = {s->listeners, k->settings->listeners_count},
	    .links = {s->links, s->links_n}};
	struct buf out BUF_CLEANUP;
	size_t nfds;
	int err;

	buf_init(&out, START_BYTES);
	err = bus_encode(BUS_role_start, false, &start, &out, NULL, &nfds, 0);
	if (err != 0)
		return err;
	s->start_fd = memfd_create("posthouse-start", MFD_CLOEXEC);
	if (s->start_fd < 0)
		return err_from_errno(errno);
	/* A file in memory is written whole or there is no memory. */
	return write(s->start_fd, buf_slice(&out).p, out.n) == (ssize_t)out.n ? 0 : ERR_NOMEM;
}

/* Of the environment a role gets what libraries want to know of the machine, and no secrets of whoever started the house. A
 * name with '_' at its end stands for all that begin so. */
static const char *const environment_names[] = {"TZ", "LANG", "LC_", "LD_", "MALLOC_", "GLIBC_TUNABLES", "OPENSSL_CONF",
    "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LLVM_PROFILE_FILE"};

static bool
is_for_roles(const char *variable)
{
	size_t n = strcspn(variable, "=");

	for (size_t i = 0; i < COUNT_OF(environment_names); i++) {
		const char *name = environment_names[i];
		size_t name_n = strlen(name);

		if (strncmp(variable, name, name_n) == 0 && (n == name_n || name[name_n - 1] == '_'))
			return true;
	}
	return false;
}

static int
make_environment(struct spawn *s)
{
	size_t n = 0, kept = 0;

	while (environ[n] != NULL)
		n++;
	s->environment = ARENA_ARRAY(&s->a, char *, n + 1);
	for (size_t i = 0; s->environment != NULL && i < n; i++)
		if (is_for_roles(environ[i]))
			s->environment[kept++] = environ[i];
	return s->environment == NULL ? ERR_NOMEM : 0;
}

/* ---- the child, between fork and exec: system calls only ---------------------------------------------- */

static void
keep(int fd)
{
	(void)fcntl(fd, F_SETFD, 0);
}

static void
keep_all(const struct spawn *s)
{
	const struct keeper *k = s->child->k;

	/* What the keeper itself was started with is nobody's: a descriptor of a shell, of a service manager. */
	(void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	keep(s->start_fd);
	keep(s->keeper[1]);
	for (size_t i = 0; i < s->links_n; i++)
		keep(s->theirs[i]);
	for (size_t i = 0; i < k->settings->listeners_count; i++)
		if (s->listeners[i].n > 0)
			keep(k->listeners[i]);
}

static _Noreturn void
child_exec(const struct spawn *s, char *const argv[])
{
	const struct keeper *k = s->child->k;
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)dup2(k->null_fd, STDIN_FILENO);
	(void)dup2(k->null_fd, STDOUT_FILENO);
	(void)dup2(s->log[1], STDERR_FILENO);
	keep_all(s);
	(void)syscall(SYS_execveat, k->self_fd, "", argv, s->environment, AT_EMPTY_PATH);
	_exit(127);
}

/* ---- the parent ---------------------------------------------------------------------------------------- */

static int
fork_child(struct spawn *s)
{
	struct child *c = s->child;
	char name[32], start[16], keeper[16], parent[16];
	char *argv[] = {name, (char[]){"--role"}, (char[16]){""}, (char[]){"--start"}, start, (char[]){"--keeper"},
	    keeper, parent, NULL};
	pid_t pid;

	(void)snprintf(name, sizeof(name), "posthouse-%s", bus_role_name(c->role));
	(void)snprintf(argv[2], 16, "%s", bus_role_name(c->role));
	(void)snprintf(start, sizeof(start), "%d", s->start_fd);
	(void)snprintf(keeper, sizeof(keeper), "%d", s->keeper[1]);
	(void)snprintf(parent, sizeof(parent), "%ld", (long)getpid());
	pid = fork();
	if (pid == 0)
		child_exec(s, argv);
	if (pid < 0)
		return err_from_errno(errno);
	c->pid = pid;
	return 0;
}

/* Everybody who talks to the new process gets the other end of its link; nobody is waited for. */
static void
send_links(struct spawn *s)
{
	struct keeper *k = s->child->k;

	for (size_t i = 0; i < s->links_n; i++) {
		struct bus_role_peer_request req = {
		    .role = s->child->role, .index = s->child->index, .socket = s->ours[i]};
		struct bus_role_peer_reply reply;
		struct arena a ARENA_CLEANUP;
		int err;

		arena_init(&a, 4096);
		err = BUS_CALL(k->bus, s->peers[i]->role, s->peers[i]->index, role_peer, &req, &a, &reply, 0);
		/* Without waiting the answer is always late. A peer that has ended gets a new link when it starts again. */
		if (err != ERR_TIMEOUT && err != ERR_CLOSED)
			LOG(&k->house, ERROR, "link_not_sent", LOG_Z("to", bus_role_name(s->peers[i]->role)),
			    LOG_E(err));
	}
}

static int
open_pipes(struct spawn *s)
{
	if (pipe2(s->log, O_CLOEXEC) != 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->keeper) != 0)
		return err_from_errno(errno);
	return 0;
}

int
child_spawn(struct child *c)
{
	struct keeper *k = c->k;
	struct spawn s = {.child = c, .start_fd = -1, .keeper = {-1, -1}, .log = {-1, -1}};
	int err;

	arena_init(&s.a, 1 << 20);
	err = open_pipes(&s);
	if (err == 0)
		err = list_listeners(&s);
	if (err == 0)
		err = make_links(&s);
	if (err == 0)
		err = write_start(&s);
	if (err == 0)
		err = make_environment(&s);
	if (err == 0)
		err = fork_child(&s);
	if (err == 0) {
		int ours = s.keeper[0], log = s.log[0];

		s.keeper[0] = s.log[0] = -1;
		err = bus_add_peer(k->bus, c->role, c->index, ours);
		if (keeper_log_copy(k, log) != 0)
			LOG(&k->house, ERROR, "log_lost", LOG_Z("of", bus_role_name(c->role)));
		send_links(&s);
		if (err != 0)
			(void)kill(c->pid, SIGKILL);
	}
	spawn_free(&s);
	return err;
}
