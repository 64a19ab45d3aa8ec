/* cli_move_server.c: another mail server as the import and export commands name it: where it is, and how it is known to be it. */
#include "cli/cli_move.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>

#define CONNECT_MS 20000

/* "HOST", "HOST:PORT", "[::1]:PORT". */
static int
split_host(struct slice s, uint16_t port, struct slice *host, uint16_t *out)
{
	size_t colon = slice_rfind_byte(s, ':');
	uint64_t n = port;

	if (s.n > 0 && slice_at(s, 0) == '[') {
		size_t end = slice_find_byte(s, ']');

		if (end == SLICE_NONE)
			return ERR_SYNTAX;
		*host = slice_range(s, 1, end);
		s = slice_from(s, end + 1);
		colon = s.n == 0 ? SLICE_NONE : 0;
	} else {
		*host = colon == SLICE_NONE ? s : slice_head(s, colon);
	}
	if (colon != SLICE_NONE &&
	    (slice_at(s, colon) != ':' || slice_to_u64(slice_from(s, colon + 1), 65535, &n) != 0))
		return ERR_SYNTAX;
	*out = (uint16_t)n;
	return host->n == 0 || n == 0 ? ERR_SYNTAX : 0;
}

static int
parse_url(struct cli *c, struct slice url, struct move_server *s)
{
	uint16_t port = 993;
	int err;

	if (slice_istarts(url, SLICE("imaps://"))) {
		s->tls = MOVE_TLS_IMPLICIT;
		url = slice_from(url, 8);
	} else if (slice_istarts(url, SLICE("imap://"))) {
		s->tls = cli_flag(c, "no_tls") ? MOVE_TLS_NONE : MOVE_TLS_START;
		port = 143;
		url = slice_from(url, 7);
	} else {
		return cli_fail(
		    c, EX_USAGE, "\"%.*s\" is no server; write imaps://HOST or imap://HOST", SLICE_ARG(url));
	}
	if (url.n > 0 && slice_at(url, url.n - 1) == '/')
		url = slice_head(url, url.n - 1);
	err = split_host(url, port, &s->host, &s->port);
	if (err != 0)
		return cli_fail(c, EX_USAGE, "\"%.*s\" is no host with a port", SLICE_ARG(url));
	return 0;
}

static int
resolve(struct cli *c, struct cli_server *out)
{
	struct move_server *s = &out->s;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
	char host[256], port[8];
	int err;

	if (net_address_parse(s->host, s->port, &out->addresses[0]) == 0) {
		out->addresses_n = 1;
		return 0;
	}
	if (slice_to_z(s->host, host, sizeof(host)) != 0)
		return cli_fail(c, EX_USAGE, "the name of the server is too long");
	(void)snprintf(port, sizeof(port), "%u", s->port);
	err = getaddrinfo(host, port, &hints, &list);
	if (err != 0)
		return cli_fail(c, EX_NOHOST, "%s has no address: %s", host, gai_strerror(err));
	for (const struct addrinfo *i = list; i != NULL && out->addresses_n < CLI_SERVER_ADDRESSES; i = i->ai_next) {
		struct net_address *a = &out->addresses[out->addresses_n++];

		memcpy(&a->sa, i->ai_addr, i->ai_addrlen);
		a->n = i->ai_addrlen;
	}
	freeaddrinfo(list);
	return 0;
}

/* ---- connecting ------------------------------------------------------------------------------------------------- */

static int
connect_address(const struct net_address *a, int *out)
{
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	socklen_t n = sizeof(error);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (fd < 0)
		return err_from_errno(errno);
	if (connect(fd, (const struct sockaddr *)&a->sa, a->n) != 0)
		error = errno;
	if (error == EINPROGRESS) {
		int ready;

		do
			ready = poll(&p, 1, CONNECT_MS);
		while (ready < 0 && errno == EINTR);
		if (ready <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
			error = ETIMEDOUT;
	}
	if (error != 0) {
		(void)close(fd);
		return err_from_errno(error);
	}
	*out = fd;
	return 0;
}

int
cli_server_connect(const struct cli_server *s, int *fd)
{
	int err = ERR_NOTFOUND;

	for (size_t i = 0; i < s->addresses_n && err != 0; i++)
		err = connect_address(&s->addresses[i], fd);
	return err;
}

/* ---- whom to believe -------------------------------------------------------------------------------------------- */

/* "AB:CD:…" or "abcd…": as programs show it. */
static int
parse_fingerprint(struct cli *c, const char *text, struct cli_server *out)
{
	struct slice s = slice_trim(slice_z(text));
	size_t n = 0;

	if (slice_istarts(s, SLICE("sha256:")))
		s = slice_from(s, 7);
	if (sodium_hex2bin(out->fingerprint, sizeof(out->fingerprint), (const char *)s.p, s.n, ": ", &n, NULL) != 0 ||
	    n != sizeof(out->fingerprint))
		return cli_fail(c, EX_USAGE,
		    "\"%s\" is no fingerprint: the SHA-256 of the certificate, 64 hexadecimal digits, as `openssl x509 "
		    "-fingerprint -sha256` shows it",
		    text);
	out->s.fingerprint = out->fingerprint;
	return 0;
}

/* On the mover's loop, before its walls: the system's roots are read here. */
int
cli_server_start_tls(struct cli_move *m, struct cli_server *s)
{
	const char *ca = cli_text(m->c, "ca");
	struct tls_client_config config = {
	    .verify = s->s.verify, .no_roots = s->s.fingerprint != NULL, .ca_pem = slice_z(ca)};
	struct buf BUF_CLEANUP detail;

	buf_init(&detail, 4096);
	if (s->s.tls == MOVE_TLS_NONE)
		return 0;
	if (tls_client_new(&s->tls, m->loop, &config, &detail) != 0)
		return cli_fail(m->c, ca != NULL ? EX_DATAERR : EX_SOFTWARE, "TLS cannot be used: %.*s",
		    SLICE_ARG(buf_slice(&detail)));
	s->s.tls_client = s->tls;
	return 0;
}

int
cli_server_open(struct cli_move *m, const char *url, const char *user, struct cli_server *out)
{
	struct cli *c = m->c;
	const char *pin = cli_text(c, "fingerprint");
	int code;

	*out = (struct cli_server){.tls = NULL};
	if ((code = parse_url(c, slice_z(url), &out->s)) != 0 || (code = resolve(c, out)) != 0)
		return code;
	out->s.user = slice_z(user);
	out->s.master = slice_z(cli_text(c, "master"));
	out->s.password = slice_z(cli_text(c, "password"));
	out->s.verify = !cli_flag(c, "no_verify");
	if ((pin != NULL) + (cli_text(c, "ca") != NULL) + !out->s.verify > 1)
		return cli_fail(
		    c, EX_USAGE, "--fingerprint, --ca and --no-verify each say whom to believe: give one of them");
	if (out->s.tls == MOVE_TLS_NONE && (pin != NULL || cli_text(c, "ca") != NULL))
		return cli_fail(c, EX_USAGE, "with --no-tls no certificate is shown: leave --fingerprint and --ca out");
	m->server = out;
	return pin == NULL ? 0 : parse_fingerprint(c, pin, out);
}

void
cli_server_close(struct cli_server *s)
{
	tls_client_free(&s->tls);
}
