/* probes.c: one small function for each thing that a role must not be able to do (and for the few that it must). */
#include "probes.h"

#include <asm/sockios.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define OUT(call) return (call) < 0 ? errno : 0
#define PROBE(name) static int try_##name(const struct doors *d)
#define UNUSED (void)d

static const char *
in(const char *folder, const char *name)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int
read_file(const char *path)
{
	char c;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &c, 1) < 0)
		return errno;
	close(fd);
	return 0;
}

static int
write_file(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);

	if (fd < 0 || write(fd, "x", 1) < 0)
		return errno;
	close(fd);
	return 0;
}

static int
list_folder(const char *path)
{
	char entries[4096];
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_getdents64, fd, entries, sizeof(entries)) < 0)
		return errno;
	close(fd);
	return 0;
}

/* ---- the house's files ----------------------------------------------------------------------------------- */

PROBE(secrets_read)
{
	return read_file(in(d->data, "secrets/key"));
}
PROBE(secrets_write)
{
	return write_file(in(d->data, "secrets/key"), 0);
}
PROBE(secrets_create)
{
	return write_file(in(d->data, "secrets/new"), O_CREAT);
}
PROBE(secrets_list)
{
	return list_folder(in(d->data, "secrets"));
}
PROBE(books_read)
{
	return read_file(in(d->data, "books/directory.db"));
}
PROBE(books_write)
{
	return write_file(in(d->data, "books/queue.db"), 0);
}
PROBE(books_create)
{
	return write_file(in(d->data, "books/new"), O_CREAT);
}
PROBE(books_list)
{
	return list_folder(in(d->data, "books"));
}
PROBE(accounts_read)
{
	return read_file(in(d->data, "accounts/00/mail.db"));
}
PROBE(accounts_write)
{
	return write_file(in(d->data, "accounts/00/mail.db"), 0);
}
PROBE(accounts_create)
{
	return write_file(in(d->data, "accounts/new"), O_CREAT);
}
PROBE(accounts_list)
{
	return list_folder(in(d->data, "accounts"));
}
PROBE(data_list)
{
	return list_folder(d->data);
}
PROBE(data_create)
{
	return write_file(in(d->data, "new"), O_CREAT);
}
PROBE(lock_read)
{
	return read_file(in(d->data, "lock"));
}
PROBE(lock_write)
{
	return write_file(in(d->data, "lock"), 0);
}
PROBE(config_read)
{
	return read_file(in(d->data, "posthouse.conf"));
}

/* ---- other files ----------------------------------------------------------------------------------------- */

PROBE(passwd_read)
{
	UNUSED;
	return read_file("/etc/passwd");
}
PROBE(shadow_read)
{
	UNUSED;
	return read_file("/etc/shadow");
}
PROBE(resolv_read)
{
	UNUSED;
	return read_file("/etc/resolv.conf");
}
PROBE(outside_read)
{
	return read_file(in(d->outside, "file"));
}
PROBE(outside_write)
{
	return write_file(in(d->outside, "file"), 0);
}
PROBE(outside_create)
{
	return write_file(in(d->outside, "new"), O_CREAT);
}
PROBE(outside_mkdir)
{
	OUT(mkdir(in(d->outside, "folder"), 0700));
}
PROBE(outside_unlink)
{
	OUT(unlink(in(d->outside, "doomed")));
}
PROBE(outside_truncate)
{
	OUT(truncate(in(d->outside, "file"), 0));
}
PROBE(outside_symlink)
{
	OUT(symlink("/etc/passwd", in(d->outside, "symlink")));
}
PROBE(outside_mknod)
{
	OUT(mknod(in(d->outside, "node"), S_IFIFO | 0600, 0));
}
PROBE(outside_chmod)
{
	OUT(chmod(in(d->outside, "file"), 0777));
}
PROBE(outside_chown)
{
	OUT(chown(in(d->outside, "file"), 1, 1));
}
PROBE(outside_times)
{
	OUT(utimensat(AT_FDCWD, in(d->outside, "file"), NULL, 0));
}
PROBE(outside_xattr)
{
	OUT(setxattr(in(d->outside, "file"), "user.x", "x", 1, 0));
}
PROBE(outside_link)
{
	char from[600];

	snprintf(from, sizeof(from), "%s", in(d->data, "secrets/key"));
	OUT(link(from, in(d->outside, "link")));
}
PROBE(outside_rename)
{
	char from[600];

	snprintf(from, sizeof(from), "%s", in(d->data, "accounts/00/mail.db"));
	OUT(rename(from, in(d->outside, "renamed")));
}
PROBE(proc_parent_environ)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", d->parent);
	return read_file(path);
}
PROBE(proc_self_mem)
{
	UNUSED;
	return write_file("/proc/self/mem", 0);
}
PROBE(device_read)
{
	UNUSED;
	return read_file("/dev/full"); /* which every container has too */
}
PROBE(chdir_root)
{
	UNUSED;
	OUT(chdir("/"));
}
PROBE(chroot_here)
{
	OUT(chroot(d->outside));
}

/* ---- sockets --------------------------------------------------------------------------------------------- */

static int
make_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

PROBE(socket_tcp)
{
	UNUSED;
	return make_socket(AF_INET, SOCK_STREAM, 0);
}
PROBE(socket_udp)
{
	UNUSED;
	return make_socket(AF_INET, SOCK_DGRAM, 0);
}
PROBE(socket_tcp6)
{
	UNUSED;
	return make_socket(AF_INET6, SOCK_STREAM, 0);
}
PROBE(socket_raw)
{
	UNUSED;
	return make_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}
PROBE(socket_packet)
{
	UNUSED;
	return make_socket(AF_PACKET, SOCK_RAW, 0);
}
PROBE(socket_netlink)
{
	UNUSED;
	return make_socket(AF_NETLINK, SOCK_RAW, 0);
}
PROBE(socket_unix)
{
	UNUSED;
	return make_socket(AF_UNIX, SOCK_STREAM, 0);
}
PROBE(socket_alg)
{
	UNUSED;
	return make_socket(AF_ALG, SOCK_SEQPACKET, 0);
}
PROBE(socket_vsock)
{
	UNUSED;
	return make_socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int
connect_to(int port)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	/* Refused by nobody but the other side: the way was free. */
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == ECONNREFUSED ? 0 : errno;
}

PROBE(connect_tcp_any)
{
	return connect_to(d->port);
}
PROBE(connect_tcp_dns)
{
	UNUSED;
	return connect_to(53);
}
PROBE(send_udp)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	UNUSED;
	if (fd < 0)
		return errno;
	OUT(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)));
}

static int
bind_to(int type)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	OUT(bind(fd, (struct sockaddr *)&a, sizeof(a)));
}

PROBE(bind_tcp)
{
	UNUSED;
	return bind_to(SOCK_STREAM);
}
PROBE(bind_udp)
{
	UNUSED;
	return bind_to(SOCK_DGRAM);
}
PROBE(listen_tcp)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	UNUSED;
	if (fd < 0)
		return errno;
	OUT(listen(fd, 1));
}
PROBE(connect_control)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%.80s/run/control", d->data);
	if (fd < 0)
		return errno;
	OUT(connect(fd, (struct sockaddr *)&un, sizeof(un)));
}
/* Over a socket of a pair, which every role may make. */
PROBE(connect_abstract)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int sv[2];

	memcpy(un.sun_path + 1, d->abstract, strlen(d->abstract));
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv) != 0)
		return errno;
	OUT(sendto(sv[0], "x", 1, 0, (struct sockaddr *)&un,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(d->abstract))));
}
/* What Landlock's rule for connect() does not see on every kernel: data in the SYN, and TCP by another name. */
PROBE(connect_fast_open)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)d->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	OUT(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof(a)));
}
PROBE(send_fast_open)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)d->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct iovec v = {(char[]){"x"}, 1};
	struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof(a), .msg_iov = &v, .msg_iovlen = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	OUT(sendmsg(fd, &m, MSG_FASTOPEN));
}
PROBE(send_many_fast_open)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)d->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct iovec v = {(char[]){"x"}, 1};
	struct mmsghdr m = {.msg_hdr = {.msg_name = &a, .msg_namelen = sizeof(a), .msg_iov = &v, .msg_iovlen = 1}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	OUT(sendmmsg(fd, &m, 1, MSG_FASTOPEN));
}
PROBE(option_fast_open)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	UNUSED;
	if (fd < 0)
		return errno;
	OUT(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)));
}
PROBE(socket_mptcp)
{
	UNUSED;
	return make_socket(AF_INET, SOCK_STREAM, 262);
}
PROBE(socket_udplite)
{
	UNUSED;
	return make_socket(AF_INET, SOCK_DGRAM, 136);
}
PROBE(datagram_to_path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int sv[2];

	snprintf(un.sun_path, sizeof(un.sun_path), "%.80s/run/datagram", d->data);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv) != 0)
		return errno;
	OUT(sendto(sv[0], "x", 1, 0, (struct sockaddr *)&un, sizeof(un)));
}
PROBE(socketpair_unix)
{
	int sv[2];

	UNUSED;
	OUT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
}

/* ---- processes ------------------------------------------------------------------------------------------- */

static void *
nothing(void *arg)
{
	return arg;
}

PROBE(thread)
{
	pthread_t t;

	UNUSED;
	errno = pthread_create(&t, NULL, nothing, NULL);
	return errno == 0 ? pthread_join(t, NULL) : errno;
}
PROBE(fork_child)
{
	pid_t pid = fork();

	UNUSED;
	if (pid == 0)
		_exit(0);
	OUT(pid);
}
PROBE(clone3_child)
{
	UNUSED;
	OUT(syscall(SYS_clone3, NULL, 0));
}
PROBE(exec_true)
{
	char *argv[] = {(char[]){"true"}, NULL};

	UNUSED;
	OUT(execve("/bin/true", argv, argv + 1));
}
PROBE(kill_parent)
{
	OUT(kill(d->parent, 0));
}
PROBE(tgkill_parent)
{
	OUT(syscall(SYS_tgkill, d->parent, d->parent, 0));
}
/* A signal of one's choice when a socket becomes readable. */
PROBE(signal_by_owner)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return errno;
	OUT(fcntl(sv[0], F_SETOWN, d->parent));
}
PROBE(signal_by_owner_ex)
{
	struct f_owner_ex owner = {F_OWNER_PID, d->parent};
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return errno;
	OUT(fcntl(sv[0], F_SETOWN_EX, &owner));
}
PROBE(signal_by_ioctl)
{
	int sv[2], pid = d->parent;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return errno;
	OUT(ioctl(sv[0], FIOSETOWN, &pid));
}
PROBE(pidfd_signal_parent)
{
	OUT(syscall(SYS_pidfd_send_signal, d->parent, 0, NULL, 0));
}
PROBE(queue_signal_parent)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	OUT(syscall(SYS_rt_sigqueueinfo, d->parent, SIGCONT, &info));
}
PROBE(setuid_file)
{
	int fd = open(in(d->data, "accounts/00/mail.db"), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno;
	OUT(fchmod(fd, 06755));
}
PROBE(ptrace_parent)
{
	OUT(ptrace(PTRACE_ATTACH, d->parent, NULL, NULL));
}
PROBE(vm_read_parent)
{
	char c;
	struct iovec local = {&c, 1}, remote = {(void *)nothing, 1};

	OUT(process_vm_readv(d->parent, &local, 1, &remote, 1, 0));
}
PROBE(pidfd_open_parent)
{
	OUT(syscall(SYS_pidfd_open, d->parent, 0));
}
PROBE(pidfd_getfd_parent)
{
	UNUSED;
	OUT(syscall(SYS_pidfd_getfd, 0, 0, 0));
}
PROBE(prlimit_parent)
{
	struct rlimit l;

	OUT(prlimit(d->parent, RLIMIT_NOFILE, NULL, &l));
}
PROBE(setpriority_self)
{
	UNUSED;
	OUT(setpriority(PRIO_PROCESS, 0, 5));
}
PROBE(setuid_other)
{
	UNUSED;
	OUT(setuid(65534));
}
PROBE(capset_self)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct c[2] = {{0}};

	UNUSED;
	OUT(syscall(SYS_capset, &h, c));
}

/* ---- the kernel ------------------------------------------------------------------------------------------ */

PROBE(map_run)
{
	UNUSED;
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
	    ? errno
	    : 0;
}
PROBE(protect_run)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	UNUSED;
	OUT(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
PROBE(memfd)
{
	UNUSED;
	OUT(memfd_create("x", 0));
}
PROBE(mount_tmp)
{
	OUT(mount("none", d->outside, "tmpfs", 0, NULL));
}
PROBE(unshare_user)
{
	UNUSED;
	OUT(unshare(CLONE_NEWUSER));
}
PROBE(setns_nowhere)
{
	UNUSED;
	OUT(setns(-1, 0));
}
PROBE(bpf_map)
{
	UNUSED;
	OUT(syscall(SYS_bpf, 0, NULL, 0));
}
PROBE(perf)
{
	UNUSED;
	OUT(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}
PROBE(io_uring)
{
	UNUSED;
	OUT(syscall(SYS_io_uring_setup, 1, NULL));
}
PROBE(userfaultfd)
{
	UNUSED;
	OUT(syscall(SYS_userfaultfd, 0));
}
PROBE(keyctl)
{
	UNUSED;
	OUT(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}
PROBE(init_module)
{
	UNUSED;
	OUT(syscall(SYS_init_module, NULL, 0, ""));
}
PROBE(by_handle)
{
	UNUSED;
	OUT(syscall(SYS_open_by_handle_at, -1, NULL, 0));
}
PROBE(reboot_not)
{
	UNUSED;
	OUT(syscall(SYS_reboot, 0, 0, 0, NULL));
}
PROBE(swap)
{
	UNUSED;
	OUT(syscall(SYS_swapoff, "/nothing"));
}
PROBE(personality)
{
	UNUSED;
	OUT(syscall(SYS_personality, 0x0040000));
}
PROBE(sethostname)
{
	UNUSED;
	OUT(syscall(SYS_sethostname, "x", -1));
}
PROBE(settime)
{
	UNUSED;
	OUT(syscall(SYS_clock_settime, -1, NULL));
}
PROBE(seccomp_again)
{
	UNUSED;
	OUT(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL));
}
PROBE(prctl_dumpable)
{
	UNUSED;
	OUT(prctl(PR_SET_DUMPABLE, 1));
}
PROBE(tty_inject)
{
	UNUSED;
	OUT(ioctl(0, TIOCSTI, "x"));
}
PROBE(shm)
{
	UNUSED;
	OUT(syscall(SYS_shmget, 0, 4096, 0600));
}
PROBE(syslog_read)
{
	UNUSED;
	OUT(syscall(SYS_syslog, 10, NULL, 0));
}

#define P(name) \
	{ \
#name, try_##name \
	}
const struct probe probes[] = {
    P(secrets_read),
    P(secrets_write),
    P(secrets_create),
    P(secrets_list),
    P(books_read),
    P(books_write),
    P(books_create),
    P(books_list),
    P(accounts_read),
    P(accounts_write),
    P(accounts_create),
    P(accounts_list),
    P(data_list),
    P(data_create),
    P(lock_read),
    P(lock_write),
    P(config_read),
    P(passwd_read),
    P(shadow_read),
    P(resolv_read),
    P(outside_read),
    P(outside_write),
    P(outside_create),
    P(outside_mkdir),
    P(outside_unlink),
    P(outside_truncate),
    P(outside_symlink),
    P(outside_mknod),
    P(outside_chmod),
    P(outside_chown),
    P(outside_times),
    P(setuid_file),
    P(outside_xattr),
    P(outside_link),
    P(outside_rename),
    P(proc_parent_environ),
    P(proc_self_mem),
    P(device_read),
    P(chdir_root),
    P(chroot_here),
    P(socket_tcp),
    P(socket_udp),
    P(socket_tcp6),
    P(socket_raw),
    P(socket_packet),
    P(socket_netlink),
    P(socket_unix),
    P(socket_alg),
    P(socket_vsock),
    P(connect_tcp_any),
    P(connect_tcp_dns),
    P(send_udp),
    P(bind_tcp),
    P(bind_udp),
    P(listen_tcp),
    P(connect_control),
    P(connect_abstract),
    P(connect_fast_open),
    P(send_fast_open),
    P(send_many_fast_open),
    P(option_fast_open),
    P(socket_mptcp),
    P(socket_udplite),
    P(datagram_to_path),
    P(socketpair_unix),
    P(thread),
    P(fork_child),
    P(clone3_child),
    P(exec_true),
    P(kill_parent),
    P(tgkill_parent),
    P(signal_by_owner),
    P(signal_by_owner_ex),
    P(signal_by_ioctl),
    P(pidfd_signal_parent),
    P(queue_signal_parent),
    P(ptrace_parent),
    P(vm_read_parent),
    P(pidfd_open_parent),
    P(pidfd_getfd_parent),
    P(prlimit_parent),
    P(setpriority_self),
    P(setuid_other),
    P(capset_self),
    P(map_run),
    P(protect_run),
    P(memfd),
    P(mount_tmp),
    P(unshare_user),
    P(setns_nowhere),
    P(bpf_map),
    P(perf),
    P(io_uring),
    P(userfaultfd),
    P(keyctl),
    P(init_module),
    P(by_handle),
    P(reboot_not),
    P(swap),
    P(personality),
    P(sethostname),
    P(settime),
    P(seccomp_again),
    P(prctl_dumpable),
    P(tty_inject),
    P(shm),
    P(syslog_read),
};
const int probes_count = sizeof(probes) / sizeof(*probes);
