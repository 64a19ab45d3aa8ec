/* cli_move_server.c: another mail server as the import and export commands name it. */
#include "cli/cli_move.h"

#include <netdb.h>
#include <netinet/in.h>

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
resolve(struct cli *c, struct move_server *s)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
	char host[256], port[8];
	int err;

	if (net_address_parse(s->host, s->port, &s->address) == 0)
		return 0;
	if (slice_to_z(s->host, host, sizeof(host)) != 0)
		return cli_fail(c, EX_USAGE, "the name of the server is too long");
	(void)snprintf(port, sizeof(port), "%u", s->port);
	err = getaddrinfo(host, port, &hints, &list);
	if (err != 0)
		return cli_fail(c, EX_NOHOST, "%s has no address: %s", host, gai_strerror(err));
	memcpy(&s->address.sa, list->ai_addr, list->ai_addrlen);
	s->address.n = list->ai_addrlen;
	freeaddrinfo(list);
	return 0;
}

int
cli_server_open(struct cli_move *m, const char *url, const char *user, struct cli_server *out)
{
	struct cli *c = m->c;
	struct buf BUF_CLEANUP detail;
	const char *password = cli_text(c, "password"), *master = cli_text(c, "master");
	int code;

	*out = (struct cli_server){.tls = NULL};
	arena_init(&out->mem, 1u << 20);
	buf_init(&detail, 4096);
	if ((code = parse_url(c, slice_z(url), &out->s)) != 0 || (code = resolve(c, &out->s)) != 0)
		return code;
	out->s.user = slice_z(user);
	out->s.master = slice_z(master);
	out->s.password = slice_z(password);
	if (out->s.tls == MOVE_TLS_NONE)
		return 0;
	if (tls_client_new(
		&out->tls, m->loop, &(struct tls_client_config){.verify = !cli_flag(c, "no_verify")}, &detail) != 0)
		return cli_fail(c, EX_SOFTWARE, "TLS cannot be used: %.*s", SLICE_ARG(buf_slice(&detail)));
	out->s.tls_client = out->tls;
	return 0;
}

void
cli_server_close(struct cli_server *s)
{
	tls_client_free(&s->tls);
	arena_free(&s->mem);
}
