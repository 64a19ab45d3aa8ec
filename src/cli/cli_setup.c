/* cli_setup.c: `posthouse setup`: a new house: folder, configuration, first domain, first account, and what its owner
 * has to publish in the DNS. */
#include "cli/cli.h"

#include "role/keeper.h"

#include <errno.h>
#include <sys/stat.h>

#define PASSWORD_GROUPS 4
#define PASSWORD_GROUP_CHARS 5

struct setup {
	struct cli *c;
	char hostname[300];
	char address[600];
	char password[64]; /* made up; "" when one was given */
	json_t *keys;      /* rows of `dkim show` */
};

/* 100 bits in letters that are not mistaken for each other. */
static void
make_password(char out[64])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	struct house h;
	size_t n = 0;

	house_init(&h, "cli");
	for (int g = 0; g < PASSWORD_GROUPS; g++) {
		if (g > 0)
			out[n++] = '-';
		for (int i = 0; i < PASSWORD_GROUP_CHARS; i++)
			out[n++] = letters[house_random_below(&h, sizeof(letters) - 1)];
	}
	out[n] = '\0';
}

static int
write_config(struct setup *s, const struct cli_where *w)
{
	struct buf text BUF_CLEANUP, detail BUF_CLEANUP;
	char path[HOUSE_PATH_BYTES + 64];
	struct settings *parsed;

	buf_init(&text, 65536);
	buf_init(&detail, 65536);
	buf_printf(&text,
	    "# The configuration of this mail server. `posthouse config default` shows all that can be "
	    "set.\n[house]\nhostname = %s\ndata_dir = %s\n",
	    s->hostname, w->dir);
	if (geteuid() != 0)
		buf_put_z(&text, "user_prefix =\n");
	if (settings_parse(&parsed, buf_slice(&text), &detail) != 0)
		return cli_fail(s->c, EX_USAGE, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	settings_free(&parsed);
	if (house_make_folder(w->dir, 0700, &detail) != 0)
		return cli_fail(s->c, EX_CANTCREAT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	(void)snprintf(path, sizeof(path), "%s/posthouse.conf", w->dir);
	if (house_write_new_file(path, buf_slice(&text), &detail) != 0)
		return cli_fail(s->c, EX_CANTCREAT,
		    "%.*s\n  There is a house already, or part of one: nothing was changed.",
		    SLICE_ARG(slice_trim(buf_slice(&detail))));
	return 0;
}

/* One command to the quiet house; takes `args`. The rows of the answer go to *rows, unless that is NULL. */
static int
command(struct setup *s, const char *dir, const char *words, json_t *args, json_t **rows)
{
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	int fd = cli_connect(dir),
	    err = args == NULL ? ERR_NOMEM
	    : fd < 0           ? ERR_UNAVAILABLE
			       : cli_ask(fd, words, args, &reply);

	json_decref(args);
	if (fd >= 0)
		(void)close(fd);
	if (err == 0 && rows != NULL)
		*rows = json_incref(reply.rows);
	return err != 0 ? cli_fail(s->c, EX_UNAVAILABLE, "%s: %s", words, err_text(err)) : cli_reply_code(s->c, &reply);
}

static int
populate(struct setup *s, const char *dir)
{
	const char *given = cli_text(s->c, "password");
	int code = command(s, dir, "domain add", json_pack("{s:s}", "name", cli_text(s->c, "domain")), &s->keys);

	if (code != 0)
		return code;
	if (given == NULL)
		make_password(s->password);
	return command(s, dir, "account add",
	    json_pack(
		"{s:s, s:s, s:b}", "address", s->address, "password", given == NULL ? s->password : given, "admin", 1),
	    NULL);
}

static void
print_next(const struct setup *s, const struct cli_where *w)
{
	const char *domain = cli_text(s->c, "domain");
	FILE *out = s->c->out;
	json_t *key;
	size_t i;

	(void)fprintf(out, "The house in %s is made.\nIts first account is %s", w->dir, s->address);
	(void)fprintf(out, s->password[0] == '\0' ? ".\n" : "; its password, shown this once:\n\n  %s\n", s->password);
	(void)fprintf(out,
	    "\nPublish in the DNS:\n\n"
	    "  %s.  MX   10 %s.\n"
	    "  %s.  TXT  \"v=spf1 mx -all\"\n"
	    "  %s.  A    the IPv4 address of this machine\n"
	    "  %s.  AAAA the IPv6 address of this machine, if it has one\n"
	    "\nThe reverse name (PTR) of each address must be\n  %s\n"
	    "The provider of the address sets it.\n",
	    domain, s->hostname, domain, s->hostname, s->hostname, s->hostname);
	(void)fputs("\nMail is signed from the start (DKIM); others can check it when these are in the DNS, each in "
		    "one line:\n\n",
	    out);
	json_array_foreach(s->keys, i, key)(void)
	    fprintf(out, "  %s\n", json_string_value(json_object_get(key, "record")));
	(void)fprintf(out,
	    "\nThen start it:\n  posthouse serve --dir %s\n"
	    "\nMore people:\n  posthouse account add NAME@%s --password-stdin --dir %s\n"
	    "\nThe certificate is self-signed until a [tls NAME] section names another, in\n  %s/posthouse.conf\n",
	    w->dir, domain, w->dir, w->dir);
}

int
cli_setup(struct cli *c)
{
	struct setup s = {.c = c};
	struct cli_where w CLI_WHERE_CLEANUP;
	struct cli_quiet quiet = {0};
	const char *domain = cli_text(c, "domain"), *hostname = cli_text(c, "hostname"), *admin = cli_text(c, "admin");
	int code = c->config != NULL ? cli_fail(c, EX_USAGE, "setup makes the configuration itself: give --dir DIR")
				     : 0,
	    ended;

	buf_init(&w.config, 0);
	if (code != 0)
		return code;
	code = cli_find_house(c, &w);
	if (code == 0 && w.config_path[0] != '\0')
		code = cli_fail(c, EX_CANTCREAT, "there is a house already: %s", w.config_path);
	if (code != 0)
		return code;
	(void)snprintf(
	    s.hostname, sizeof(s.hostname), hostname == NULL ? "mail.%s" : "%s", hostname == NULL ? domain : hostname);
	(void)snprintf(s.address, sizeof(s.address), "%s@%s", admin == NULL ? "admin" : admin, domain);
	code = write_config(&s, &w);
	if (code != 0)
		return code;
	cli_where_free(&w);
	code = cli_find_house(c, &w);
	if (code == 0)
		code = cli_quiet_start(c, &w, &quiet);
	if (code == 0)
		code = populate(&s, w.dir);
	ended = cli_quiet_stop(&quiet);
	if (code == 0)
		code = ended;
	if (code == 0)
		print_next(&s, &w);
	else
		(void)unlink(w.config_path); /* so that setup can be tried again */
	json_decref(s.keys);
	return code;
}
