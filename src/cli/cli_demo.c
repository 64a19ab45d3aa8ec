/* cli_demo.c: `posthouse demo`: a house on loopback with three accounts, and the commands to try it. */
#include "cli/cli.h"

#include "role/keeper.h"
#include "rt/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>

#define DOMAIN "example.test"
#define PASSWORD "demo-password"
#define BASE_DEFAULT 2000
#define BASE_STEP 10000
#define BASE_MAX 60000
#define REPLY_LINE_BYTES 65536

struct demo {
	struct cli *c;
	const char *dir;
	unsigned base;
	bool temporary;
	int code;
};

struct port {
	const char *name;
	unsigned port;
};
static const struct port ports[] = {{"smtp", 25}, {"lmtp", 24}, {"submission", 587}, {"submissions", 465},
    {"imap", 143}, {"imaps", 993}, {"pop3", 110}, {"pop3s", 995}};

/* ---- its configuration --------------------------------------------------------------------------------- */

/* "DOMAIN=HOST:PORT" as a section. */
static int
put_route(struct cli *c, struct buf *out, const char *text)
{
	struct slice rest = slice_z(text), domain = slice_cut(&rest, '=');
	size_t colon = slice_rfind_byte(rest, ':');

	if (domain.n == 0 || colon == SLICE_NONE || colon == 0)
		return cli_fail(c, EX_USAGE, "--route %s is not DOMAIN=HOST:PORT", text);
	buf_printf(out, "\n[route %.*s]\nhost = %.*s\nport = %.*s\n", SLICE_ARG(domain),
	    SLICE_ARG(slice_head(rest, colon)), SLICE_ARG(slice_from(rest, colon + 1)));
	return 0;
}

static int
make_config(struct demo *d, struct buf *out)
{
	json_t *routes = json_object_get(d->c->args, "routes");
	int code = 0;

	buf_printf(out,
	    "# Made by `posthouse demo`: everything is on loopback.\n[house]\nhostname = mail." DOMAIN
	    "\ndata_dir = %s\nuser_prefix =\n"
	    "short_names = yes\ncleartext_sign_in = yes\ntest_clock = yes\n",
	    d->dir);
	for (size_t i = 0; i < COUNT_OF(ports); i++)
		buf_printf(out, "\n[listen %s]\nservice = %s\naddress = 127.0.0.1\nport = %u\n", ports[i].name,
		    ports[i].name, ports[i].port + d->base);
	for (size_t i = 0; i < json_array_size(routes) && code == 0; i++)
		code = put_route(d->c, out, json_string_value(json_array_get(routes, i)));
	return code == 0 && out->err != 0 ? EX_USAGE : code;
}

/* ---- its people ---------------------------------------------------------------------------------------- */

/* One request from a fiber of the keeper: 0, also when what it makes is there already. */
static int
request(struct stream *st, json_t *r, struct buf *detail)
{
	char *text = json_dumps(r, JSON_COMPACT);
	struct slice line;
	int err = text == NULL ? ERR_NOMEM : stream_write(st, slice_z(text));
	json_t *reply, *error;
	const char *code;

	if (err == 0)
		err = stream_write(st, SLICE("\n"));
	if (err == 0)
		err = stream_flush(st);
	if (err == 0)
		err = stream_read_line(st, SLICE("\n"), REPLY_LINE_BYTES, &line);
	if (err != 0)
		buf_printf(detail, "the house did not answer to %s: %s", text == NULL ? "" : text, err_text(err));
	free(text);
	if (err != 0)
		return err;
	reply = json_loadb((const char *)line.p, line.n, 0, NULL);
	error = json_object_get(reply, "error");
	code = json_string_value(json_object_get(error, "code"));
	if (reply == NULL || (error != NULL && (code == NULL || strcmp(code, err_name(ERR_EXISTS)) != 0))) {
		buf_printf(detail, "%.*s", SLICE_ARG(line));
		err = ERR_INVALID;
	}
	json_decref(reply);
	return err;
}

static int
request_account(struct stream *st, const char *address, bool admin, struct buf *detail)
{
	json_t *r = json_pack("{s:s, s:{s:s, s:s, s:b}}", "command", "account add", "args", "address", address,
	    "password", PASSWORD, "admin", (int)admin);
	int err = r == NULL ? ERR_NOMEM : request(st, r, detail);

	json_decref(r);
	return err;
}

static int
populate(struct demo *d, struct loop *l, struct buf *detail)
{
	struct stream *st STREAM_CLEANUP = NULL;
	char path[HOUSE_PATH_BYTES + 64];
	json_t *domain = json_pack("{s:s, s:{s:s, s:b}}", "command", "domain add", "args", "name", DOMAIN, "later", 1);
	int run, err;

	(void)snprintf(path, sizeof(path), "%s/run", d->dir);
	run = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/control", run);
	err = net_connect_unix(l, path, &st);
	if (run >= 0)
		(void)close(run);
	if (err == 0)
		err = domain == NULL ? ERR_NOMEM : request(st, domain, detail);
	if (err == 0)
		err = request_account(st, "admin@" DOMAIN, true, detail);
	if (err == 0)
		err = request_account(st, "alice@" DOMAIN, false, detail);
	if (err == 0)
		err = request_account(st, "bob@" DOMAIN, false, detail);
	json_decref(domain);
	return err;
}

/* ---- what to try --------------------------------------------------------------------------------------- */

static void
print_instructions(const struct demo *d)
{
	FILE *out = d->c->out;
	unsigned b = d->base;

	(void)fprintf(out,
	    "A house for " DOMAIN " with the accounts alice, bob and admin.\n"
	    "The password of each is " PASSWORD ".\n"
	    "Its data is in %s%s.\n\n",
	    d->dir, d->temporary ? " and is removed at the end" : "");
	for (size_t i = 0; i < COUNT_OF(ports); i++)
		(void)fprintf(out, "  %-12s 127.0.0.1:%u\n", ports[i].name, ports[i].port + b);
	(void)fprintf(out,
	    "\nSend alice a message, as a stranger would:\n\n"
	    "  printf 'From: Stranger <stranger@elsewhere.test>\\r\\nTo: alice@" DOMAIN
	    "\\r\\nSubject: The first message\\r\\n\\r\\nHello, Alice.\\r\\n' |\n"
	    "    curl -sS smtp://127.0.0.1:%u --mail-from stranger@elsewhere.test --mail-rcpt alice@" DOMAIN " -T -\n"
	    "\nRead it over IMAP and over POP3:\n\n"
	    "  curl -sSk -u alice:" PASSWORD " 'imaps://127.0.0.1:%u/INBOX;MAILINDEX=1'\n"
	    "  curl -sSk -u alice:" PASSWORD " pop3s://127.0.0.1:%u/1\n"
	    "\nAsk the house where it went:\n\n"
	    "  %s trace alice@" DOMAIN " --dir %s\n\n"
	    "Ctrl-C ends it.\n\nready\n",
	    25 + b, 993 + b, 995 + b, program_invocation_name, d->dir);
	(void)fflush(out);
}

static void
demo_ready(void *ctx, struct loop *l, const struct settings *s)
{
	struct demo *d = ctx;
	struct buf detail BUF_CLEANUP;

	(void)s;
	buf_init(&detail, REPLY_LINE_BYTES * 2);
	if (populate(d, l, &detail) == 0) {
		print_instructions(d);
		return;
	}
	d->code = cli_fail(
	    d->c, EX_SOFTWARE, "the accounts of the demo cannot be made: %.*s", SLICE_ARG(buf_slice(&detail)));
	/* As an operator would end it. */
	(void)raise(SIGTERM);
}

/* ---- the folder ---------------------------------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static int
choose_folder(struct cli *c, char dir[HOUSE_PATH_BYTES], bool *temporary)
{
	const char *tmp = getenv("TMPDIR");
	char *absolute;

	*temporary = c->dir == NULL;
	if (*temporary) {
		(void)snprintf(
		    dir, HOUSE_PATH_BYTES, "%s/posthouse-demo-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
		return mkdtemp(dir) == NULL
		    ? cli_fail(c, EX_CANTCREAT, "no temporary folder %s: %s", dir, strerror(errno))
		    : 0;
	}
	if (mkdir(c->dir, 0700) != 0 && errno != EEXIST)
		return cli_fail(c, EX_CANTCREAT, "the folder %s cannot be made: %s", c->dir, strerror(errno));
	absolute = realpath(c->dir, NULL);
	if (absolute == NULL || strlen(absolute) >= HOUSE_PATH_BYTES) {
		free(absolute);
		return cli_fail(c, EX_CANTCREAT, "the folder %s cannot be used", c->dir);
	}
	(void)snprintf(dir, HOUSE_PATH_BYTES, "%s", absolute);
	free(absolute);
	return 0;
}

static int
run_demo(struct demo *d)
{
	struct keeper_config k = {.data_dir = d->dir, .on_ready = demo_ready, .on_ready_ctx = d};
	struct buf config BUF_CLEANUP, detail BUF_CLEANUP;
	int code;

	buf_init(&config, 65536);
	buf_init(&detail, 65536);
	code = make_config(d, &config);
	if (code != 0)
		return code;
	k.config = buf_slice(&config);
	k.flags = START_TEST_CLOCK | (cli_flag(d->c, "plain") ? START_PLAIN : 0) |
	    (cli_flag(d->c, "allow_unsandboxed") ? START_UNSANDBOXED : 0);
	code = keeper_run(&k, &detail);
	if (detail.n > 0)
		(void)cli_fail(d->c, code, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	return d->code != 0 ? d->code : code;
}

static bool
is_free(unsigned port)
{
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	bool yes = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

/* The first base whose ports nobody has; the usual one where there is none, so that the house says which is taken. */
static unsigned
choose_base(void)
{
	for (unsigned base = BASE_DEFAULT; base <= BASE_MAX; base += BASE_STEP) {
		size_t n = 0;

		while (n < COUNT_OF(ports) && is_free(base + ports[n].port))
			n++;
		if (n == COUNT_OF(ports))
			return base;
	}
	return BASE_DEFAULT;
}

int
cli_demo(struct cli *c)
{
	struct demo d = {.c = c};
	const char *base = cli_text(c, "base");
	char dir[HOUSE_PATH_BYTES];
	uint64_t n;
	int code;

	if (base != NULL) {
		if (slice_to_u64(slice_z(base), BASE_MAX, &n) != 0)
			return cli_fail(c, EX_USAGE, "--base %s is not a number up to %d", base, BASE_MAX);
		d.base = (unsigned)n;
	} else {
		d.base = choose_base();
	}
	code = choose_folder(c, dir, &d.temporary);
	if (code != 0)
		return code;
	d.dir = dir;
	code = run_demo(&d);
	if (d.temporary)
		(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return code;
}
