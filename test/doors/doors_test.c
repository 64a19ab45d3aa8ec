/* doors_test.c: for each role, what somebody who runs code in it could reach. This program is started again as each role, by
 * the same role_main() as the house's own, with its real sandbox; instead of serving mail the role tries one door and tells
 * whether it opened. A process for each role and door, since some end the process that tries them.
 *
 *   doors_test EXPECTED    compares with the reviewed table; prints the difference; exit code 1
 *   doors_test             prints the table
 *
 * open: it went through, or failed for another reason than permission. shut: it was refused. kill: the process was ended. */
#include "probes.h"

#include "base/log.h"
#include "role/keeper.h"
#include "role/role.h"
#include "role/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SKIPPED 77
#define ROLES 10

static const enum bus_role roles[ROLES] = {ROLE_VAULT, ROLE_CLERK, ROLE_DESK, ROLE_COURIER, ROLE_GATE, ROLE_PORCH,
    ROLE_READER, ROLE_READER, ROLE_ANY, ROLE_ANY};
/* The second of the readers is one that the first has made. Behind them what moves mail in, and what moves it out; both are shown the folder
 * `outside`, as that of their mail. */
enum { CHILD = 7, MOVER, MOVER_OUT };

/* ---- as a role ------------------------------------------------------------------------------------------- */

static struct sandbox_program *
child_walls(struct role_context *c)
{
	return c->state;
}

/* What readers are left with is made ready before the sandbox. */
static int
warm(struct role_context *c, struct buf *detail)
{
	struct sandbox_program *p = NULL;
	int err = getenv("DOORS_CHILD") == NULL ? 0 : sandbox_child_build(&p, detail);

	c->state = p;
	return err;
}

/* Handed down in the environment: a role is given nothing else. */
static void
find_doors(struct doors *d, uint64_t *probe)
{
	uint64_t port = 0;

	ASSERT(slice_to_u64(slice_z(getenv("DOORS_PROBE")), 1000, probe) == 0 &&
	    slice_to_u64(slice_z(getenv("DOORS_PORT")), 65535, &port) == 0);
	(void)snprintf(d->data, sizeof(d->data), "%s", getenv("DOORS_DATA"));
	(void)snprintf(d->outside, sizeof(d->outside), "%s", getenv("DOORS_OUTSIDE"));
	(void)snprintf(d->abstract, sizeof(d->abstract), "%s", getenv("DOORS_ABSTRACT"));
	d->port = (int)port;
	d->parent = getppid();
}

static _Noreturn void
knock_once(uint64_t probe, const struct doors *d)
{
	int result = probes[probe].try(d);
	/* Any other error comes from behind the door: the kernel has looked at what was asked. */
	bool shut = result == EPERM || result == EACCES || result == ENOSYS || result == EXDEV || result == EPIPE;

	(void)!write(STDERR_FILENO, shut ? "SHUT" : "OPEN", 4);
	_exit(0);
}

static int
try_door(struct role_context *c, struct buf *detail)
{
	struct doors d;
	uint64_t probe = 0;

	(void)detail;
	find_doors(&d, &probe);
	ASSERT(sandbox_child_enter(child_walls(c)) == 0);
	knock_once(probe, &d);
}

/* As `posthouse import` and `export` start it: by fork() alone. */
static _Noreturn void
try_as_mover(bool out, int said, pid_t parent)
{
	struct sandbox_config walls = {.role = out ? SANDBOX_MOVER_OUT : SANDBOX_MOVER};
	struct buf detail BUF_CLEANUP;
	struct doors d;
	uint64_t probe = 0;

	find_doors(&d, &probe);
	walls.data_dir = d.data;
	walls.path = d.outside;
	buf_init(&detail, 4096);
	(void)dup2(said, STDERR_FILENO);
	(void)close_range(STDERR_FILENO + 1, ~0u, 0);
	if (sandbox_prepare(parent) != 0 || sandbox_enter(&walls, &detail) != 0)
		_exit(1);
	knock_once(probe, &d);
}

#define OPS(r) \
	{ \
		.role = (r), .warm = warm, .start = try_door \
	}
static const struct role_ops vault = OPS(ROLE_VAULT), clerk = OPS(ROLE_CLERK), desk = OPS(ROLE_DESK),
			     courier = OPS(ROLE_COURIER), gate = OPS(ROLE_GATE), porch = OPS(ROLE_PORCH),
			     reader = OPS(ROLE_READER);
static const struct role_ops *const table[] = {&vault, &clerk, &desk, &courier, &gate, &porch, &reader, NULL};

/* ---- the world that the doors lead to -------------------------------------------------------------------- */

struct world {
	char top[64];
	struct doors d;
	int listener, abstract, control, datagram;
};

static void
make_file(const char *folder, const char *name)
{
	char path[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	ASSERT(f != NULL && fputs("x", f) >= 0 && fclose(f) == 0);
}

static void
make_folder(const char *folder, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	ASSERT(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static void
fill(struct world *w)
{
	static const char *const folders[] = {"", "secrets", "books", "accounts", "accounts/00", "run"};
	static const char *const files[] = {
	    "secrets/key", "books/directory.db", "books/queue.db", "accounts/00/mail.db", "lock", "posthouse.conf"};

	for (size_t i = 0; i < COUNT_OF(folders); i++)
		make_folder(w->d.data, folders[i]);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		make_file(w->d.data, files[i]);
	make_folder(w->d.outside, "");
	make_file(w->d.outside, "file");
	make_file(w->d.outside, "doomed");
}

static void
open_sockets(struct world *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t n = sizeof(a);
	char path[512];

	w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT(bind(w->listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(w->listener, 1024) == 0);
	ASSERT(getsockname(w->listener, (struct sockaddr *)&a, &n) == 0);
	w->d.port = ntohs(a.sin_port);
	(void)snprintf(w->d.abstract, sizeof(w->d.abstract), "posthouse-doors-%d", (int)getpid());
	memcpy(un.sun_path + 1, w->d.abstract, strlen(w->d.abstract));
	w->abstract = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT(bind(w->abstract, (struct sockaddr *)&un,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(w->d.abstract))) == 0);
	un = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(path, sizeof(path), "%s/run/control", w->d.data);
	ASSERT(slice_to_z(slice_z(path), un.sun_path, sizeof(un.sun_path)) == 0);
	w->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT(bind(w->control, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(w->control, 1024) == 0);
	un = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(path, sizeof(path), "%s/run/datagram", w->d.data);
	ASSERT(slice_to_z(slice_z(path), un.sun_path, sizeof(un.sun_path)) == 0);
	w->datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT(bind(w->datagram, (struct sockaddr *)&un, sizeof(un)) == 0);
}

static void
world_open(struct world *w)
{
	char port[16];

	*w = (struct world){.top = "/tmp/posthouse-doors-XXXXXX"};
	ASSERT(mkdtemp(w->top) != NULL);
	(void)snprintf(w->d.data, sizeof(w->d.data), "%s/data", w->top);
	(void)snprintf(w->d.outside, sizeof(w->d.outside), "%s/outside", w->top);
	fill(w);
	open_sockets(w);
	(void)snprintf(port, sizeof(port), "%d", w->d.port);
	(void)setenv("DOORS_DATA", w->d.data, 1);
	(void)setenv("DOORS_OUTSIDE", w->d.outside, 1);
	(void)setenv("DOORS_ABSTRACT", w->d.abstract, 1);
	(void)setenv("DOORS_PORT", port, 1);
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static void
empty_outside(struct world *w)
{
	(void)nftw(w->d.outside, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	fill(w);
}

static void
world_close(struct world *w)
{
	(void)close(w->listener);
	(void)close(w->abstract);
	(void)close(w->control);
	(void)close(w->datagram);
	(void)nftw(w->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- as the keeper --------------------------------------------------------------------------------------- */

static int
start_file(const struct world *w)
{
	struct bus_role_start_request start = {.config = SLICE("[house]\nhostname = doors.test\nlog_level = error\n"),
	    .hostname = SLICE("doors.test"),
	    .data_dir = slice_z(w->d.data),
	    .count = 1,
	    .desks = 1,
	    .generation = 1};
	struct buf out BUF_CLEANUP;
	size_t nfds;
	int fd = memfd_create("doors", 0);

	buf_init(&out, 65536);
	ASSERT(bus_encode(BUS_role_start, false, &start, &out, NULL, &nfds, 0) == 0);
	ASSERT(fd >= 0 && write(fd, out.p, out.n) == (ssize_t)out.n);
	return fd;
}

static _Noreturn void
become(enum bus_role role, int start, int keeper, int said, pid_t parent)
{
	char name[16], start_text[16], keeper_text[16], parent_text[16];
	char *argv[] = {name, (char[]){"--role"}, name, (char[]){"--start"}, start_text, (char[]){"--keeper"},
	    keeper_text, parent_text, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)snprintf(name, sizeof(name), "%s", bus_role_name(role));
	(void)snprintf(start_text, sizeof(start_text), "%d", start);
	(void)snprintf(keeper_text, sizeof(keeper_text), "%d", keeper);
	(void)snprintf(parent_text, sizeof(parent_text), "%d", (int)parent);
	(void)dup2(null, 0);
	(void)dup2(null, 1);
	(void)dup2(said, 2);
	(void)execv("/proc/self/exe", argv);
	_exit(127);
}

static const char *
column_name(size_t column)
{
	return column == CHILD    ? "reading"
	    : column == MOVER     ? "import"
	    : column == MOVER_OUT ? "export"
				  : bus_role_name(roles[column]);
}

static const char *
knock(struct world *w, size_t column, int probe)
{
	enum bus_role role = roles[column];
	char text[4096] = "", number[16];
	int said[2], link[2], start = start_file(w), status;
	ssize_t n, total = 0;
	pid_t pid, parent = getpid();

	(void)snprintf(number, sizeof(number), "%d", probe);
	(void)setenv("DOORS_PROBE", number, 1);
	if (column == CHILD)
		(void)setenv("DOORS_CHILD", "1", 1);
	else
		(void)unsetenv("DOORS_CHILD");
	ASSERT(pipe2(said, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, link) == 0);
	ASSERT(fcntl(link[0], F_SETFD, FD_CLOEXEC) == 0);
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0 && column >= MOVER)
		try_as_mover(column == MOVER_OUT, said[1], parent);
	if (pid == 0)
		become(role, start, link[1], said[1], getppid());
	(void)close(said[1]);
	(void)close(link[1]);
	(void)close(start);
	while ((n = read(said[0], text + total, sizeof(text) - 1 - (size_t)total)) > 0)
		total += n;
	ASSERT(waitpid(pid, &status, 0) == pid);
	(void)close(said[0]);
	(void)close(link[0]);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return "kill";
	/* exec leaves no word of ours behind when it goes through. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && total == 0)
		return "open";
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && total >= 4)
		return memcmp(text + total - 4, "OPEN", 4) == 0 ? "open" : "shut";
	(void)fprintf(
	    stderr, "%s %s: status %x: %s\n", column_name(column), probes[probe].name, (unsigned)status, text);
	return "fail";
}

static void
print_table(struct world *w, FILE *out)
{
	(void)fprintf(out,
	    "# What each role can reach when it runs somebody else's code; reviewed by hand. Written by "
	    "doors_test.\n%-20s",
	    "door");
	for (size_t r = 0; r < ROLES; r++)
		(void)fprintf(out, " %-7s", column_name(r));
	(void)fputs("\n", out);
	for (int p = 0; p < probes_count; p++) {
		(void)fprintf(out, "%-20s", probes[p].name);
		for (size_t r = 0; r < ROLES; r++) {
			(void)fprintf(out, " %-7s", knock(w, r, p));
			empty_outside(w);
		}
		(void)fputs("\n", out);
	}
}

/* Lines that are in one and not in the other. */
static int
compare(struct slice expected, struct slice found)
{
	int different = 0;

	while (expected.p != NULL || found.p != NULL) {
		struct slice e = slice_cut(&expected, '\n'), f = slice_cut(&found, '\n');

		if (slice_eq(e, f))
			continue;
		(void)printf("expected: %.*s\nfound:    %.*s\n", SLICE_ARG(e), SLICE_ARG(f));
		different = 1;
	}
	return different;
}

int
main(int argc, char **argv)
{
	struct buf expected BUF_CLEANUP, detail BUF_CLEANUP;
	struct world w;
	char *text = NULL;
	size_t n;
	FILE *out;
	int code;

	if (role_is_asked(argc, argv))
		return role_main(argc, argv, table);
#ifdef POSTHOUSE_SANITIZED
	(void)printf("sanitizers need doors of their own: nothing is checked in this build\n");
	return SKIPPED;
#endif
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 6) {
		(void)printf(
		    "this kernel's Landlock is older than the table was reviewed with (6): nothing is checked\n");
		return SKIPPED;
	}
	world_open(&w);
	out = open_memstream(&text, &n);
	print_table(&w, out);
	(void)fclose(out);
	world_close(&w);
	if (argc < 2) {
		(void)fputs(text, stdout);
		free(text);
		return 0;
	}
	buf_init(&expected, 1 << 20);
	buf_init(&detail, 4096);
	if (house_read_file(argv[1], 1 << 20, &expected, &detail) != 0)
		return 2;
	code = compare(buf_slice(&expected), slice_of(text, n));
	free(text);
	return code;
}
