/* net.c: addresses in text and as keys, listening sockets, connecting. */
#include "rt/net.h"

#include "rt/stream_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

/* The sockaddr of another shape is copied, never cast: no aliasing, no alignment to think of. */
static struct sockaddr_in
as_v4(const struct net_address *a)
{
	struct sockaddr_in v;

	memcpy(&v, &a->sa, sizeof(v));
	return v;
}

static struct sockaddr_in6
as_v6(const struct net_address *a)
{
	struct sockaddr_in6 v;

	memcpy(&v, &a->sa, sizeof(v));
	return v;
}

int
net_address_parse(struct slice host, uint16_t port, struct net_address *out)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	char text[NET_ADDRESS_TEXT_MAX];

	memset(out, 0, sizeof(*out));
	if (slice_to_z(host, text, sizeof(text)) != 0)
		return ERR_SYNTAX;
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memcpy(&out->sa, &v4, sizeof(v4));
		out->n = sizeof(v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		memcpy(&out->sa, &v6, sizeof(v6));
		out->n = sizeof(v6);
		return 0;
	}
	return ERR_SYNTAX;
}

void
net_address_text(const struct net_address *a, char out[NET_ADDRESS_TEXT_MAX])
{
	struct sockaddr_in v4 = as_v4(a);
	struct sockaddr_in6 v6 = as_v6(a);

	*out = 0;
	if (a->sa.ss_family == AF_INET) {
		(void)inet_ntop(AF_INET, &v4.sin_addr, out, NET_ADDRESS_TEXT_MAX);
	} else if (a->sa.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
		memcpy(&v4.sin_addr, (uint8_t *)&v6.sin6_addr + 12, 4);
		(void)inet_ntop(AF_INET, &v4.sin_addr, out, NET_ADDRESS_TEXT_MAX);
	} else if (a->sa.ss_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &v6.sin6_addr, out, NET_ADDRESS_TEXT_MAX);
	}
}

void
net_address_literal(const struct net_address *a, char out[NET_ADDRESS_TEXT_MAX])
{
	char text[NET_ADDRESS_TEXT_MAX];

	net_address_text(a, text);
	/* The longest IPv6 text is 45 bytes, so this fits. */
	(void)snprintf(out, NET_ADDRESS_TEXT_MAX, strchr(text, ':') != NULL ? "[IPv6:%.45s]" : "[%.45s]", text);
}

uint16_t
net_address_port(const struct net_address *a)
{
	if (a->sa.ss_family == AF_INET)
		return ntohs(as_v4(a).sin_port);
	return a->sa.ss_family == AF_INET6 ? ntohs(as_v6(a).sin6_port) : 0;
}

bool
net_address_is_loopback(const struct net_address *a)
{
	struct sockaddr_in6 v6 = as_v6(a);

	if (a->sa.ss_family == AF_INET)
		return ntohl(as_v4(a).sin_addr.s_addr) >> 24 == 127;
	if (a->sa.ss_family != AF_INET6)
		return a->sa.ss_family == AF_UNIX;
	if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		return v6.sin6_addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

void
net_address_prefix_key(const struct net_address *a, uint8_t out[16])
{
	struct sockaddr_in v4 = as_v4(a);
	struct sockaddr_in6 v6 = as_v6(a);

	memset(out, 0, 16);
	if (a->sa.ss_family == AF_INET) {
		out[10] = out[11] = 0xff;
		memcpy(out + 12, &v4.sin_addr, 4);
	} else if (a->sa.ss_family == AF_INET6) {
		memcpy(out, &v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? 16 : 8);
	}
}

static int
listen_on(int fd, const struct sockaddr *sa, socklen_t n, int backlog, int *out)
{
	if (bind(fd, sa, n) != 0 || listen(fd, backlog) != 0) {
		int e = errno;

		(void)close(fd);
		return e == EADDRINUSE ? ERR_BUSY : e == EADDRNOTAVAIL ? ERR_UNAVAILABLE : err_from_errno(e);
	}
	*out = fd;
	return 0;
}

int
net_listen(const struct net_address *a, int backlog, int *out)
{
	int one = 1, fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*out = -1;
	if (fd < 0)
		return err_from_errno(errno);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->sa.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	return listen_on(fd, (const struct sockaddr *)&a->sa, a->n, backlog, out);
}

static int
unix_address(const char *path, struct sockaddr_un *un)
{
	size_t n = strlen(path);

	memset(un, 0, sizeof(*un));
	if (n == 0 || n >= sizeof(un->sun_path))
		return ERR_INVALID;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, n);
	return 0;
}

int
net_listen_unix(const char *path, int mode, int backlog, int *out)
{
	struct sockaddr_un un;
	struct stat st;
	int fd, r = unix_address(path, &un);

	*out = -1;
	if (r != 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_from_errno(errno);
	/* What a process that was killed left behind; never a file of another kind. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	/* bind() takes the mode of the socket less the umask, so that it is never wider than `mode`. */
	(void)fchmod(fd, (mode_t)mode);
	r = listen_on(fd, (const struct sockaddr *)&un, sizeof(un), backlog, out);
	if (r == 0 && chmod(path, (mode_t)mode) != 0) {
		r = err_from_errno(errno);
		(void)close(fd);
		*out = -1;
	}
	return r;
}

static int
connect_fd(struct loop *l, int fd, const struct sockaddr *sa, socklen_t n, int64_t deadline_ms, struct stream **out)
{
	int e = 0, r;
	socklen_t en = sizeof(e);

	r = stream_new(out, l, fd);
	if (r != 0) {
		(void)close(fd);
		return r;
	}
	/* EAGAIN: the backlog of a local socket is full. */
	if (connect(fd, sa, n) != 0 && errno != EINPROGRESS && errno != EINTR) {
		r = err_from_errno(errno);
	} else {
		r = stream_wait(*out, STREAM_WRITER, UV_WRITABLE, deadline_ms);
		if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &en) != 0)
			e = errno;
		if (r == 0)
			r = err_from_errno(e);
	}
	if (r != 0)
		stream_close(out);
	return r;
}

int
net_connect(struct loop *l, const struct net_address *to, const struct net_address *from, int64_t deadline_ms,
    struct stream **out)
{
	int one = 1, fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*out = NULL;
	if (fd < 0)
		return err_from_errno(errno);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (from != NULL) {
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(fd, (const struct sockaddr *)&from->sa, from->n) != 0) {
			int e = errno;

			(void)close(fd);
			return err_from_errno(e);
		}
	}
	return connect_fd(l, fd, (const struct sockaddr *)&to->sa, to->n, deadline_ms, out);
}

int
net_connect_unix(struct loop *l, const char *path, struct stream **out)
{
	struct sockaddr_un un;
	int fd, r = unix_address(path, &un);

	*out = NULL;
	if (r != 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_from_errno(errno);
	/* A local socket connects at once or not at all. */
	return connect_fd(l, fd, (const struct sockaddr *)&un, sizeof(un), loop_deadline(l, 5000), out);
}
