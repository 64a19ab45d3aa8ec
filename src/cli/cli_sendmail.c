/* cli_sendmail.c: the sendmail command (and mailq, newaliases) for local programs and cron: its arguments, which are those that
 * sendmail and its successors have taken for forty years. Options that said how a mail system should do its work mean
 * nothing here and are taken without a word, since programs pass them; those that ask for another kind of work are
 * refused. */
#include "cli/sendmail.h"

#include <errno.h>

#define ARENA_BYTES ((size_t)64 << 20)
#define HEADER_MAX (4u << 20)

/* ---- arguments -------------------------------------------------------------------------------------------------------------- */

/* Letters whose value is the rest of the word, or the next word. */
#define WITH_VALUE "BCFLNORVXfhopr"
/* Letters with a value in the same word, or none. */
#define WITH_REST "AabdeqG"

static int
set_mode(struct sendmail *s, const char *value)
{
	static const struct {
		char letter;
		enum sendmail_mode mode;
	} v[] = {{'m', SENDMAIL_DELIVER}, {'s', SENDMAIL_SMTP}, {'p', SENDMAIL_QUEUE}, {'i', SENDMAIL_ALIASES},
	    {'v', SENDMAIL_VERIFY}, {'d', SENDMAIL_IMPOSSIBLE}, {'D', SENDMAIL_IMPOSSIBLE}, {'l', SENDMAIL_IMPOSSIBLE}};

	for (size_t i = 0; i < COUNT_OF(v); i++)
		if (value[0] == v[i].letter && value[1] == '\0') {
			s->mode = v[i].mode;
			return EX_OK;
		}
	return cli_fail(s->c, EX_USAGE, "sendmail: there is no mode -b%s here", value);
}

static int
take_letter(struct sendmail *s, char letter, const char *value)
{
	switch (letter) {
	case 'b': return set_mode(s, value);
	case 'f':
	case 'r': s->from = value; break;
	case 'F': s->full_name = value; break;
	case 'N': s->notify = value; break;
	case 'R': s->ret = value; break;
	case 'V': s->envid = value; break;
	case 'i': s->dot_ends = false; break;
	case 't': s->from_header = true; break;
	case 'v': s->verbose = true; break;
	case 'o':
		if (strcmp(value, "i") == 0)
			s->dot_ends = false;
		break;
	case 'O':
		if (strncasecmp(value, "IgnoreDots", 10) == 0)
			s->dot_ends = false;
		break;
	case 'q': /* -q30m says how often a daemon runs the queue */
		s->mode = value[0] == '\0' ? SENDMAIL_FLUSH : SENDMAIL_IMPOSSIBLE;
		break;
	case 'A':
	case 'B':
	case 'C':
	case 'G':
	case 'L':
	case 'X':
	case 'U':
	case 'a':
	case 'd':
	case 'e':
	case 'h':
	case 'm':
	case 'n':
	case 'p': break;
	default: return cli_fail(s->c, EX_USAGE, "sendmail: there is no option -%c here", letter);
	}
	return EX_OK;
}

/* A word of letters, as -ti or -oi; *taken: how many words. */
static int
take_word(struct sendmail *s, int argc, char **argv, int *taken)
{
	const char *word = argv[0] + 1;
	int code = EX_OK;

	*taken = 1;
	for (; *word != '\0' && code == EX_OK; word++) {
		const char *value = word + 1;

		if (strchr(WITH_VALUE, *word) == NULL && strchr(WITH_REST, *word) == NULL) {
			code = take_letter(s, *word, "");
			continue;
		}
		if (*value == '\0' && strchr(WITH_VALUE, *word) != NULL) {
			if (argc < 2)
				return cli_fail(s->c, EX_USAGE, "sendmail: -%c needs a value", *word);
			value = argv[1];
			*taken = 2;
		}
		return take_letter(s, *word, value);
	}
	return code;
}

/* Words up to the recipients; how many. */
static int
take_options(struct sendmail *s, int argc, char **argv, int *used)
{
	int code = EX_OK, n = 0, taken;

	while (n < argc && argv[n][0] == '-' && argv[n][1] != '\0' && code == EX_OK) {
		const char *word = argv[n],
			   **into = strcmp(word, "--dir") == 0 ? &s->c->dir
		    : strcmp(word, "--config") == 0            ? &s->c->config
							       : NULL;

		if (strcmp(word, "--") == 0) {
			n++;
			break;
		}
		taken = 2;
		if (into != NULL && n + 1 < argc)
			*into = argv[n + 1];
		else if (word[1] == '-')
			code = cli_fail(s->c, EX_USAGE, "sendmail: there is no option %s here", word);
		else
			code = take_word(s, argc - n, argv + n, &taken);
		n += taken;
	}
	*used = n;
	return code;
}

/* ---- sending ---------------------------------------------------------------------------------------------------------------- */

static int
take_addresses(struct sendmail *s, int argc, char **argv)
{
	if (s->from != NULL && sendmail_address(s, slice_z(s->from), &s->sender) != 0)
		return cli_fail(s->c, EX_DATAERR, "sendmail: \"%s\" is no address", s->from);
	if (s->from == NULL)
		s->sender = s->own_address;
	for (int i = 0; i < argc; i++)
		if (sendmail_recipients_add(s, slice_z(argv[i])) != 0)
			return cli_fail(s->c, EX_DATAERR, "sendmail: \"%s\" is no address", argv[i]);
	return EX_OK;
}

static int
read_and_send(struct sendmail *s, struct sendmail_input *in)
{
	struct buf header BUF_CLEANUP, finished BUF_CLEANUP, first BUF_CLEANUP;
	int err;

	buf_init(&header, HEADER_MAX);
	buf_init(&finished, 2 * HEADER_MAX);
	buf_init(&first, HEADER_MAX);
	err = sendmail_header_read(in, &header, &first);
	if (err < 0)
		return cli_fail(s->c, err == ERR_IO ? EX_IOERR : EX_DATAERR, "sendmail: the header cannot be read: %s",
		    err == ERR_LIMIT ? "it is longer than a megabyte" : err_text(err));
	err = sendmail_header_finish(s, buf_slice(&header), &finished);
	if (err != 0)
		return cli_fail(
		    s->c, EX_DATAERR, "sendmail: the addresses in the header cannot be read: %s", err_text(err));
	if (s->recipients_n == 0)
		return cli_fail(s->c, EX_USAGE, "sendmail: there are no recipients%s",
		    s->from_header ? " in To, Cc and Bcc" : "; name them, or use -t");
	return sendmail_send(s, buf_slice(&finished), buf_slice(&first), in);
}

static int
deliver(struct sendmail *s, int argc, char **argv)
{
	struct sendmail_input in;
	int code;

	if (argc == 0 && !s->from_header)
		return cli_fail(s->c, EX_USAGE, "sendmail: there are no recipients; name them, or use -t");
	code = take_addresses(s, argc, argv);
	sendmail_input_init(&in, s->c->in, s->dot_ends);
	if (code == EX_OK)
		code = s->mode == SENDMAIL_VERIFY ? sendmail_send(s, SLICE_EMPTY, SLICE_EMPTY, &in)
						  : read_and_send(s, &in);
	sendmail_input_free(&in);
	return code;
}

/* Another command of ours, on the same house. */
static int
run_command(struct sendmail *s, int argc, const char *const words[])
{
	struct cli c = {.in = s->c->in, .out = s->c->out, .err = s->c->err};
	char *argv[8];
	int code;

	for (int i = 0; i < argc; i++)
		argv[i] = (char *)(uintptr_t)words[i];
	code = cli_parse(&c, argc, argv);
	c.dir = s->c->dir;
	c.config = s->c->config;
	if (code == 0)
		code = c.command->fn(&c);
	json_decref(c.args);
	return code;
}

/* The queue is the operator's. */
static int
run_queue(struct sendmail *s)
{
	char dir[HOUSE_PATH_BYTES], path[HOUSE_PATH_BYTES + 64];
	int code = cli_find_folder(s->c, dir);

	if (code != EX_OK)
		return code;
	(void)snprintf(path, sizeof(path), "%s/run/control", dir);
	if (access(path, R_OK | W_OK) != 0 && errno == EACCES)
		return cli_fail(
		    s->c, EX_NOPERM, "%s: only root sees the queue, and the user who runs the house", s->c->called);
	return s->mode == SENDMAIL_QUEUE ? run_command(s, 2, (const char *const[]){"queue", "list"})
					 : run_command(s, 3, (const char *const[]){"queue", "retry", "--all"});
}

static int
run(struct sendmail *s, int argc, char **argv)
{
	char dir[HOUSE_PATH_BYTES];
	int code;

	switch (s->mode) {
	case SENDMAIL_QUEUE:
	case SENDMAIL_FLUSH: return run_queue(s);
	case SENDMAIL_ALIASES:
		(void)fputs("Aliases take effect when they are made; `posthouse alias list` shows them.\n", s->c->out);
		return EX_OK;
	case SENDMAIL_IMPOSSIBLE:
		return cli_fail(s->c, EX_USAGE,
		    "sendmail: `posthouse serve` runs the house, which looks after its queue by itself");
	case SENDMAIL_DELIVER:
	case SENDMAIL_SMTP:
	case SENDMAIL_VERIFY: break;
	}
	code = cli_find_folder(s->c, dir);
	if (code == EX_OK)
		code = sendmail_connect(s, dir);
	if (code == EX_OK)
		code = s->mode == SENDMAIL_SMTP ? sendmail_join(s) : deliver(s, argc, argv);
	return code;
}

int
cli_sendmail(struct cli *c)
{
	struct sendmail s = {.c = c, .dot_ends = true, .fd = -1};
	int code, used;

	if (strcmp(c->called, "mailq") == 0)
		s.mode = SENDMAIL_QUEUE;
	else if (strcmp(c->called, "newaliases") == 0)
		s.mode = SENDMAIL_ALIASES;
	arena_init(&s.arena, ARENA_BYTES);
	code = take_options(&s, c->raw_count, c->raw, &used);
	if (code == EX_OK)
		code = run(&s, c->raw_count - used, c->raw + used);
	if (s.fd >= 0)
		(void)close(s.fd);
	arena_free(&s.arena);
	return code;
}
