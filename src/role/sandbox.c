/* sandbox.c: giving up root, Landlock, seccomp, in this order, from the table in sandbox.def. Landlock is asked for by
 * number, since the headers of older systems know less of it than newer kernels do: every right that the kernel knows is
 * taken away, those of the table are given back. */
#include "role/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum where { DATA, SYSTEM };
enum rights { READ = 1, WRITE = 2 };
enum call_group {
	GROUP_base,
	GROUP_read,
	GROUP_write,
	GROUP_accept,
	GROUP_connect,
	GROUP_spawn,
	GROUP_pipe,
};

struct path_row {
	unsigned roles;
	enum where where;
	const char *path;
	unsigned rights;
};
struct calls_row {
	unsigned roles;
	enum call_group group;
};
struct call_row {
	enum call_group group;
	const char *name;
};

#define PATH(roles, where, path, rights)
#define CALLS(roles, group)
#define CALL(group, name)
#define KILL(name)

static const struct path_row paths[] = {
#undef PATH
#define PATH(roles, where, path, rights) {roles, where, path, rights},
#include "role/sandbox.def"
#undef PATH
#define PATH(roles, where, path, rights)
};
static const struct calls_row calls[] = {
#undef CALLS
#define CALLS(roles, group) {roles, GROUP_##group},
#include "role/sandbox.def"
#undef CALLS
#define CALLS(roles, group)
};
static const struct call_row call_rows[] = {
#undef CALL
#define CALL(group, name) {GROUP_##group, #name},
#include "role/sandbox.def"
#undef CALL
#define CALL(group, name)
};
static const char *const kill_rows[] = {
#undef KILL
#define KILL(name) #name,
#include "role/sandbox.def"
};

#ifdef POSTHOUSE_SANITIZED
/* Sanitizers read the process's own maps and binaries to tell of what they found, and the leak checker stops the others
 * of its threads from a process of its own. */
static const char *const sanitizer_paths[] = {"/proc", "/usr", "/lib", "/lib64", "/dev"};
static const char *const sanitizer_calls[] = {"clone", "ptrace", "wait4", "prctl", "prlimit64", "open", "openat",
    "readlink", "readlinkat", "newfstatat", "stat", "access", "getdents64", "kill", "tgkill", "mmap", "mprotect",
    "process_vm_readv", "gettid", "sched_getaffinity"};
#endif

#define FAIL(detail, err, ...) \
	do { \
		buf_printf((detail), __VA_ARGS__); \
		return (err); \
	} while (0)

/* ---- Landlock ---------------------------------------------------------------------------------------- */

/* As the kernel numbers them (linux/landlock.h of Linux 6.12); what the running one does not know is masked out. */
#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | 1ull << 15)
#define NET_BIND_TCP (1ull << 0)
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT_UNIX (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)
#define RULE_NET_PORT 2

struct ruleset_attr {
	uint64_t fs, net, scoped;
};
struct net_port_attr {
	uint64_t access, port;
};

static uint64_t
fs_known(long abi)
{
	return abi >= 5 ? (1ull << 16) - 1
	    : abi >= 3  ? (1ull << 15) - 1
	    : abi >= 2  ? (1ull << 14) - 1
			: (1ull << 13) - 1;
}

static int
allow_path(int ruleset, uint64_t known, const char *path, uint64_t access, struct buf *detail)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access & known};
	struct stat st;
	int err = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return 0; /* not there: not allowed either */
	if (fstat(rule.parent_fd, &st) != 0 || !S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILES;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
		buf_printf(detail, "Landlock refused a rule for %s: %s", path, strerror(errno));
		err = ERR_DENIED;
	}
	(void)close(rule.parent_fd);
	return err;
}

static uint64_t
path_access(unsigned rights)
{
	uint64_t access = 0;

	if ((rights & READ) != 0)
		access |= FS_READ_FILE | FS_READ_DIR;
	if ((rights & WRITE) != 0)
		access |= FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR |
		    FS_REFER;
	return access;
}

/* The folder of a file that the configuration names: a renewed file has the same name there, but is another file. */
static int
allow_folder_of(int ruleset, uint64_t known, struct slice file, struct buf *detail)
{
	char path[HOUSE_PATH_BYTES + 64];
	size_t end = slice_rfind_byte(file, '/');

	if (end == SLICE_NONE || end == 0 || slice_to_z(slice_head(file, end), path, sizeof(path)) != 0)
		return 0;
	return allow_path(ruleset, known, path, path_access(READ), detail);
}

static int
allow_configured(int ruleset, uint64_t known, const struct sandbox_config *c, struct buf *detail)
{
	const struct settings *s = c->settings;
	int err = 0;

	if (c->role == ROLE_VAULT)
		for (size_t i = 0; i < s->tls_count && err == 0; i++) {
			err = allow_folder_of(ruleset, known, s->tls[i].certificate, detail);
			if (err == 0)
				err = allow_folder_of(ruleset, known, s->tls[i].key, detail);
		}
	if ((c->role & (ROLE_GATE | ROLE_COURIER)) != 0 && s->dns_resolv_conf.n > 0) {
		char path[HOUSE_PATH_BYTES + 64];

		if (err == 0 && slice_to_z(s->dns_resolv_conf, path, sizeof(path)) == 0)
			err = allow_path(ruleset, known, path, path_access(READ), detail);
	}
	return err;
}

static int
allow_paths(int ruleset, uint64_t known, const struct sandbox_config *c, struct buf *detail)
{
	char path[HOUSE_PATH_BYTES + 64];
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(paths) && err == 0; i++) {
		if ((paths[i].roles & c->role) == 0)
			continue;
		if (paths[i].where == DATA)
			(void)snprintf(path, sizeof(path), "%s/%s", c->data_dir, paths[i].path);
		else
			(void)snprintf(path, sizeof(path), "%s", paths[i].path);
		err = allow_path(ruleset, known, path, path_access(paths[i].rights), detail);
	}
#ifdef POSTHOUSE_SANITIZED
	for (size_t i = 0; i < COUNT_OF(sanitizer_paths) && err == 0; i++)
		err = allow_path(ruleset, known, sanitizer_paths[i], FS_READ_FILE | FS_READ_DIR | FS_EXECUTE, detail);
#endif
	if (err == 0 && c->path != NULL)
		err = allow_path(
		    ruleset, known, c->path, path_access(READ | (c->role == SANDBOX_MOVER_OUT ? WRITE : 0)), detail);
	return err == 0 && c->settings != NULL ? allow_configured(ruleset, known, c, detail) : err;
}

/* The port of "zone=address@port" or "address@port"; 53 without one. */
static uint64_t
dns_port(struct slice server)
{
	size_t at = slice_rfind_byte(server, '@');
	uint64_t port;

	return at == SLICE_NONE || slice_to_u64(slice_from(server, at + 1), 65535, &port) != 0 ? 53 : port;
}

static int
allow_port(int ruleset, uint64_t access, uint64_t port, struct buf *detail)
{
	struct net_port_attr rule = {.access = access, .port = port};

	if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) == 0)
		return 0;
	FAIL(
	    detail, ERR_DENIED, "Landlock refused a rule for port %llu: %s", (unsigned long long)port, strerror(errno));
}

/* A gate connects to name servers only. */
static int
allow_dns_ports(int ruleset, const struct settings *s, struct buf *detail)
{
	int err = allow_port(ruleset, NET_CONNECT_TCP, 53, detail);

	for (size_t i = 0; i < s->dns_forwarders.n && err == 0; i++)
		err = allow_port(ruleset, NET_CONNECT_TCP, dns_port(s->dns_forwarders.v[i]), detail);
	for (size_t i = 0; i < s->dns_stubs.n && err == 0; i++)
		err = allow_port(ruleset, NET_CONNECT_TCP, dns_port(s->dns_stubs.v[i]), detail);
	return err;
}

static int
enter_landlock(const struct sandbox_config *c, struct buf *detail)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset_attr attr = {0, 0, 0};
	int ruleset, err;

	if (abi < 1)
		FAIL(detail, ERR_UNSUPPORTED,
		    "this kernel has no Landlock (%s): boot with lsm=landlock,... or accept weaker walls with "
		    "--allow-unsandboxed",
		    strerror(errno));
	attr.fs = fs_known(abi);
	/* A courier connects to any port of any server, and binds none, or any that the kernel chooses where the settings name
	 * addresses to send from. */
	if (abi >= 4)
		attr.net = c->role == ROLE_COURIER ? NET_BIND_TCP : NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 6)
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, abi >= 6 ? sizeof(attr) : abi >= 4 ? 16 : 8, 0);
	if (ruleset < 0)
		FAIL(detail, ERR_DENIED, "Landlock refused its rules: %s", strerror(errno));
	err = allow_paths(ruleset, attr.fs, c, detail);
	if (err == 0 && abi >= 4 && c->role == ROLE_GATE)
		err = allow_dns_ports(ruleset, c->settings, detail);
	if (err == 0 && abi >= 4 && c->role == ROLE_COURIER && settings_has_sources(c->settings))
		err = allow_port(ruleset, NET_BIND_TCP, 0, detail);
	if (err == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
		buf_printf(detail, "Landlock could not be entered: %s", strerror(errno));
		err = ERR_DENIED;
	}
	(void)close(ruleset);
	return err;
}

/* ---- seccomp ----------------------------------------------------------------------------------------- */

/* Adds a rule; a name that this library or architecture does not know cannot be called either. */
static int
rule(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned n, const struct scmp_arg_cmp args[])
{
	int nr = seccomp_syscall_resolve_name(name);
	int r;

	if (nr == __NR_SCMP_ERROR || nr < 0)
		return 0;
	r = seccomp_rule_add_array(ctx, action, nr, n, args);
	/* The default action as a rule, and a rule twice, are refused but harmless. */
	return r == 0 || r == -EACCES || r == -EEXIST ? 0 : r;
}

/* The bits of `mask` of an argument are `value`. */
static struct scmp_arg_cmp
bits(unsigned arg, uint64_t mask, uint64_t value)
{
	return (struct scmp_arg_cmp){.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/* An argument of 32 bits, as the kernel looks at it. */
static struct scmp_arg_cmp
word(unsigned arg, int value)
{
	return bits(arg, UINT32_MAX, (uint32_t)value);
}

#define RULE1(ctx, action, name, cmp) rule((ctx), (action), (name), 1, (const struct scmp_arg_cmp[]){cmp})

static bool
role_has(unsigned role, enum call_group g)
{
	for (size_t i = 0; i < COUNT_OF(calls); i++)
		if (calls[i].group == g && (calls[i].roles & role) != 0)
			return true;
	return false;
}

static int
add_rows(scmp_filter_ctx ctx, unsigned role)
{
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(call_rows) && r == 0; i++)
		if (role_has(role, call_rows[i].group))
			r = rule(ctx, SCMP_ACT_ALLOW, call_rows[i].name, 0, NULL);
	return r;
}

#ifndef POSTHOUSE_SANITIZED
static int
add_memory_rules(scmp_filter_ctx ctx)
{
	/* No memory that can be written and run: nothing is loaded after the start. */
	int r = RULE1(ctx, SCMP_ACT_ALLOW, "mmap", bits(2, PROT_EXEC, 0));

	if (r == 0)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "mprotect", bits(2, PROT_EXEC, 0));
	return r;
}

/* A thread, or of the reader a process as fork() makes it. */
#define CLONE_FORK (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

static int
add_thread_rules(scmp_filter_ctx ctx, unsigned role)
{
	static const int options[] = {
	    PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, 0x53564d41 /* PR_SET_VMA: names for malloc's maps */};
	int r = RULE1(ctx, SCMP_ACT_ALLOW, "clone", bits(0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));

	/* What is no thread is a process. */
	if (r == 0 && role_has(role, GROUP_spawn))
		r = RULE1(ctx, SCMP_ACT_ALLOW, "clone", bits(0, UINT64_MAX, CLONE_FORK));
	else if (r == 0)
		r = RULE1(ctx, SCMP_ACT_KILL_PROCESS, "clone", bits(0, CLONE_THREAD, 0));
	/* Its flags lie in memory, where a filter cannot look; libraries then use clone. */
	if (r == 0)
		r = rule(ctx, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
	for (size_t i = 0; i < COUNT_OF(options) && r == 0; i++)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "prctl", word(0, options[i]));
	/* abort() */
	if (r == 0)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "tgkill", word(0, getpid()));
	/* Of oneself, which a reader that is being made lowers. */
	if (r == 0 && role_has(role, GROUP_spawn))
		r = RULE1(ctx, SCMP_ACT_ALLOW, "prlimit64", word(0, 0));
	/* Reading one's own limits. */
	if (r == 0)
		r = rule(ctx, SCMP_ACT_ALLOW, "prlimit64", 2,
		    (const struct scmp_arg_cmp[]){word(0, 0), bits(2, UINT64_MAX, 0)});
	return r;
}

#endif

/* Descriptors are copied, marked and locked. A descriptor's owner is not chosen: whoever may choose it sends any signal to
 * any process of the user. */
static int
add_fcntl_rules(scmp_filter_ctx ctx, unsigned role)
{
	static const int commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK,
	    F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(commands) && r == 0; i++)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "fcntl", word(1, commands[i]));
	/* The clerk asks with a lease whether anybody else still has a file open for writing. */
	if (r == 0 && role == ROLE_CLERK)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "fcntl", word(1, F_SETLEASE));
	return r;
}

/* Sending, but no connection along with the first data: Landlock looks at connect() alone. Options of sockets, and of
 * TCP those that tune it. */
static int
add_send_rules(scmp_filter_ctx ctx, unsigned role)
{
	static const int levels[] = {SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6};
	static const int options[] = {TCP_NODELAY, TCP_CORK, TCP_MAXSEG, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT,
	    TCP_USER_TIMEOUT, TCP_QUICKACK};
	static const struct {
		const char *name;
		unsigned flags;
		bool of_connect;
	} sends[] = {{"sendto", 3, false}, {"sendmsg", 2, false}, {"sendmmsg", 3, true}};
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(sends) && r == 0; i++) {
		if (sends[i].of_connect && !role_has(role, GROUP_connect))
			continue;
		r = RULE1(ctx, SCMP_ACT_ALLOW, sends[i].name, bits(sends[i].flags, MSG_FASTOPEN, 0));
		/* libunbound then connects like everybody else. */
		if (r == 0)
			r = RULE1(ctx, SCMP_ACT_ERRNO(EPIPE), sends[i].name,
			    bits(sends[i].flags, MSG_FASTOPEN, MSG_FASTOPEN));
	}
	for (size_t i = 0; i < COUNT_OF(levels) && r == 0; i++)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "setsockopt", word(1, levels[i]));
	for (size_t i = 0; i < COUNT_OF(options) && r == 0; i++)
		r = rule(ctx, SCMP_ACT_ALLOW, "setsockopt", 2,
		    (const struct scmp_arg_cmp[]){word(1, IPPROTO_TCP), word(2, options[i])});
	return r;
}

static int
add_descriptor_rules(scmp_filter_ctx ctx)
{
	static const unsigned long requests[] = {FIONBIO, FIONREAD, FIOCLEX};
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(requests) && r == 0; i++)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "ioctl", word(1, (int)requests[i]));
	/* Not datagrams: their sockets reach every other one that has a name, connected or not. */
	if (r == 0)
		r = rule(ctx, SCMP_ACT_ALLOW, "socketpair", 2,
		    (const struct scmp_arg_cmp[]){word(0, AF_UNIX), bits(1, 0xf, SOCK_STREAM)});
	return r;
}

/* UDP and TCP over IPv4 and IPv6, nothing raw and nothing else: not MPTCP either, which Landlock does not take for TCP. */
static int
add_socket_rules(scmp_filter_ctx ctx)
{
	static const int families[] = {AF_INET, AF_INET6};
	static const struct {
		int type, protocol;
	} kinds[] = {{SOCK_STREAM, 0}, {SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, 0}, {SOCK_DGRAM, IPPROTO_UDP}};
	int r = 0;

	for (size_t f = 0; f < COUNT_OF(families); f++)
		for (size_t k = 0; k < COUNT_OF(kinds) && r == 0; k++)
			r = rule(ctx, SCMP_ACT_ALLOW, "socket", 3,
			    (const struct scmp_arg_cmp[]){word(0, families[f]), bits(1, 0xf, (uint64_t)kinds[k].type),
				word(2, kinds[k].protocol)});
	return r;
}

static bool
killed(const char *name)
{
#ifdef POSTHOUSE_SANITIZED
	for (size_t i = 0; i < COUNT_OF(sanitizer_calls); i++)
		if (strcmp(name, sanitizer_calls[i]) == 0)
			return false;
#endif
	return name != NULL;
}

static int
add_rules(scmp_filter_ctx ctx, unsigned role)
{
	int r = 0;

#ifdef POSTHOUSE_SANITIZED
	for (size_t i = 0; i < COUNT_OF(sanitizer_calls) && r == 0; i++)
		r = rule(ctx, SCMP_ACT_ALLOW, sanitizer_calls[i], 0, NULL);
	if (r == 0)
		r = rule(ctx, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
#else
	r = add_memory_rules(ctx);
	if (r == 0)
		r = add_thread_rules(ctx, role);
#endif
	if (r == 0)
		r = add_descriptor_rules(ctx);
	if (r == 0)
		r = add_fcntl_rules(ctx, role);
	if (r == 0)
		r = add_send_rules(ctx, role);
	/* All of a Maildir at once; the times of a file that is open. */
	if (r == 0 && role == SANDBOX_MOVER_OUT)
		r = rule(ctx, SCMP_ACT_ALLOW, "syncfs", 0, NULL);
	if (r == 0 && role == SANDBOX_MOVER_OUT)
		r = RULE1(ctx, SCMP_ACT_ALLOW, "utimensat", bits(1, UINT64_MAX, 0));
	/* A file's mode, but nobody becomes somebody else by it. */
	if (r == 0 && role_has(role, GROUP_write))
		r = RULE1(ctx, SCMP_ACT_ALLOW, "fchmod", bits(1, S_ISUID | S_ISGID | S_ISVTX, 0));
	if (r == 0 && role_has(role, GROUP_connect))
		r = add_socket_rules(ctx);
	if (r == 0)
		r = add_rows(ctx, role);
	for (size_t i = 0; i < COUNT_OF(kill_rows) && r == 0; i++)
		if (killed(kill_rows[i]))
			r = rule(ctx, SCMP_ACT_KILL_PROCESS, kill_rows[i], 0, NULL);
	return r;
}

static int
enter_seccomp(unsigned role, struct buf *detail)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (ctx == NULL)
		FAIL(detail, ERR_NOMEM, "no memory for the system call filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A binary tree of the numbers instead of a list: some 300 rules are looked through at every call. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_rules(ctx, role);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r == 0)
		return 0;
	FAIL(detail, ERR_UNSUPPORTED, "the system call filter could not be entered: %s", strerror(-r));
}

/* ---- readers ------------------------------------------------------------------------------------------ */

struct sandbox_program {
	struct sock_fprog prog;
	struct sock_filter code[];
};

static int
add_child_rules(scmp_filter_ctx ctx)
{
	int r = add_rows(ctx, SANDBOX_READER_CHILD);

#ifdef POSTHOUSE_SANITIZED
	for (size_t i = 0; i < COUNT_OF(sanitizer_calls) && r == 0; i++)
		r = rule(ctx, SCMP_ACT_ALLOW, sanitizer_calls[i], 0, NULL);
	if (r == 0)
		r = add_rows(ctx, ROLE_ANY); /* what its run-time needs beyond */
#else
	if (r == 0)
		r = add_memory_rules(ctx);
	/* abort(); which process it will be is not known yet, and Landlock lets signals go no further than its own. */
	if (r == 0)
		r = rule(ctx, SCMP_ACT_ALLOW, "tgkill", 0, NULL);
#endif
	for (size_t i = 0; i < COUNT_OF(kill_rows) && r == 0; i++)
		if (killed(kill_rows[i]))
			r = rule(ctx, SCMP_ACT_KILL_PROCESS, kill_rows[i], 0, NULL);
	return r;
}

/* The filter as the kernel wants it, through a file in memory. */
static int
export_program(scmp_filter_ctx ctx, struct sandbox_program **out)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), r = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
	off_t n = r == 0 ? lseek(fd, 0, SEEK_END) : 0;
	struct sandbox_program *p = NULL;

	if (r == 0 && (n <= 0 || n % (off_t)sizeof(p->code[0]) != 0 || n / (off_t)sizeof(p->code[0]) > BPF_MAXINSNS))
		r = -EINVAL;
	if (r == 0 && (p = calloc(1, sizeof(*p) + (size_t)n)) == NULL)
		r = -ENOMEM;
	if (r == 0 && pread(fd, p->code, (size_t)n, 0) != n)
		r = -EIO;
	if (fd >= 0)
		(void)close(fd);
	if (r != 0) {
		free(p);
		return r;
	}
	p->prog = (struct sock_fprog){.len = (unsigned short)((size_t)n / sizeof(p->code[0])), .filter = p->code};
	*out = p;
	return 0;
}

int
sandbox_child_build(struct sandbox_program **out, struct buf *detail)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	*out = NULL;
	if (ctx == NULL)
		FAIL(detail, ERR_NOMEM, "no memory for the system call filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = add_child_rules(ctx);
	if (r == 0)
		r = export_program(ctx, out);
	seccomp_release(ctx);
	if (r == 0)
		return 0;
	FAIL(detail, ERR_UNSUPPORTED, "the system call filter of readers could not be made: %s", strerror(-r));
}

int
sandbox_child_enter(const struct sandbox_program *p)
{
	if (p == NULL || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p->prog) == 0)
		return 0;
	return err_from_errno(errno);
}

/* ---- the whole --------------------------------------------------------------------------------------- */

int
sandbox_prepare(pid_t parent_pid)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    setrlimit(RLIMIT_CORE, &none) != 0)
		return err_from_errno(errno);
#ifndef POSTHOUSE_SANITIZED
	/* No other process of the same user reads this one's memory. */
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return err_from_errno(errno);
#endif
	return getppid() == parent_pid ? 0 : ERR_CLOSED;
}

static int
set_capabilities(uint32_t low)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{.effective = low, .permitted = low}, {.effective = 0}};

	return syscall(SYS_capset, &head, sets) == 0 ? 0 : err_from_errno(errno);
}

int
sandbox_drop_root(uid_t uid, gid_t gid, struct buf *detail)
{
	if (uid == 0)
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		FAIL(detail, ERR_DENIED, "cannot become user %u: %s", (unsigned)uid, strerror(errno));
	if (set_capabilities(1u << CAP_DAC_READ_SEARCH) != 0)
		FAIL(detail, ERR_DENIED, "cannot give up the rights of root: %s", strerror(errno));
	/* Both are forgotten when the user changes. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		FAIL(detail, ERR_DENIED, "cannot tie the process to its parent: %s", strerror(errno));
#ifndef POSTHOUSE_SANITIZED
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	return 0;
}

static int
thread_count(void)
{
	struct stat st;

	/* A folder has one link more for each folder in it. */
	return stat("/proc/self/task", &st) == 0 ? (int)st.st_nlink - 2 : 1;
}

static int
missing_allowed(const struct sandbox_config *c, int err, struct buf *detail)
{
	if (err == ERR_UNSUPPORTED && c->allow_unsandboxed) {
		buf_put_z(detail, "; going on without\n");
		return 0;
	}
	return err;
}

int
sandbox_enter(const struct sandbox_config *c, struct buf *detail)
{
	int err;

	if (thread_count() != 1)
		FAIL(detail, ERR_INVALID, "the process has %d threads before its sandbox", thread_count());
	/* Root without users of its own still owns the files, whoever had made them; it is root of nothing else. */
	if (set_capabilities(geteuid() == 0 ? 1u << CAP_DAC_OVERRIDE : 0) != 0)
		FAIL(detail, ERR_DENIED, "cannot give up capabilities: %s", strerror(errno));
	err = missing_allowed(c, enter_landlock(c, detail), detail);
	if (err == 0)
		err = missing_allowed(c, enter_seccomp(c->role, detail), detail);
	return err;
}
