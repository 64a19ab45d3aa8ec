/* cli.c: the table of commands, its parser and its help. Options may stand anywhere behind the words of the command; --
 * ends them. */
#include "cli/cli.h"

#include "base/cursor.h"
#include "role/keeper.h"

#include <stdarg.h>
#include <termios.h>

#define STDIN_LINE_BYTES 4096
#define TEXT_FILE_BYTES ((size_t)256 << 10)

enum cli_place {
#define CLI_COMMAND(id, words, fn, style, help) CLI_PLACE_##id,
#define CLI_ARG(id, form, type, key, need, help)
#include "cli/commands.def"
#undef CLI_COMMAND
#undef CLI_ARG
};

const struct cli_command cli_commands[] = {
#define CLI_COMMAND(id, words, fn, style, help) {words, fn, CLI_##style, help},
#define CLI_ARG(id, form, type, key, need, help)
#include "cli/commands.def"
#undef CLI_COMMAND
#undef CLI_ARG
};
const size_t cli_commands_count = COUNT_OF(cli_commands);

const struct cli_arg cli_args[] = {
#define CLI_COMMAND(id, words, fn, style, help)
#define CLI_ARG(id, form, type, key, need, help) {CLI_PLACE_##id, form, CLI_##type, #key, CLI_##need, help},
#include "cli/commands.def"
#undef CLI_COMMAND
#undef CLI_ARG
};
const size_t cli_args_count = COUNT_OF(cli_args);

int
cli_fail(struct cli *c, int code, const char *fmt, ...)
{
	va_list ap;

	(void)fputs("posthouse: ", c->err);
	va_start(ap, fmt);
	(void)vfprintf(c->err, fmt, ap);
	va_end(ap);
	(void)fputs("\n", c->err);
	return code;
}

const char *
cli_text(const struct cli *c, const char *key)
{
	return json_string_value(json_object_get(c->args, key));
}

bool
cli_flag(const struct cli *c, const char *key)
{
	return json_is_true(json_object_get(c->args, key));
}

/* ---- values ------------------------------------------------------------------------------------------ */

struct unit {
	char letter;
	int64_t factor;
};

static int
with_unit(struct slice s, const struct unit *units, size_t n, int64_t *out)
{
	int64_t factor = 1;
	uint64_t number;

	for (size_t i = 0; s.n > 0 && i < n; i++)
		if (slice_at(s, s.n - 1) == (uint8_t)units[i].letter) {
			factor = units[i].factor;
			s = slice_head(s, s.n - 1);
			break;
		}
	if (slice_to_u64(s, INT64_MAX, &number) != 0 || __builtin_mul_overflow((int64_t)number, factor, out))
		return ERR_SYNTAX;
	return 0;
}

int
cli_seconds(struct slice s, int64_t *out)
{
	static const struct unit units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};

	return with_unit(s, units, COUNT_OF(units), out);
}

int
cli_bytes(struct slice s, int64_t *out)
{
	static const struct unit units[] = {{'K', 1 << 10}, {'M', 1 << 20}, {'G', 1 << 30}, {'T', (int64_t)1 << 40}};

	return with_unit(s, units, COUNT_OF(units), out);
}

/* A password that is typed is asked for, and not shown: what the terminal was set to before, or false when there is none. */
static bool
hide_typing(struct cli *c, struct termios *before)
{
	struct termios hidden;

	if (tcgetattr(fileno(c->in), before) != 0)
		return false;
	hidden = *before;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	hidden.c_lflag |= ECHONL;
	(void)fputs("Password: ", c->err);
	(void)fflush(c->err);
	return tcsetattr(fileno(c->in), TCSAFLUSH, &hidden) == 0;
}

/* The first line of standard input, without its end. */
static int
read_line(struct cli *c, json_t **out)
{
	char line[STDIN_LINE_BYTES];
	struct termios before;
	bool hidden = hide_typing(c, &before);
	size_t n = 0;
	int byte;

	while ((byte = fgetc(c->in)) != EOF && byte != '\n' && n < sizeof(line))
		line[n++] = (char)byte;
	if (hidden)
		(void)tcsetattr(fileno(c->in), TCSAFLUSH, &before);
	if (n == sizeof(line))
		return cli_fail(
		    c, EX_DATAERR, "the line on standard input is longer than %d bytes", STDIN_LINE_BYTES - 1);
	if (n == 0 && byte == EOF)
		return cli_fail(c, EX_NOINPUT, "nothing came on standard input");
	if (n > 0 && line[n - 1] == '\r')
		n--;
	*out = slice_is_utf8(slice_of(line, n), true) ? json_stringn(line, n) : NULL;
	explicit_bzero(line, sizeof(line));
	return *out == NULL ? cli_fail(c, EX_DATAERR, "standard input is not valid UTF-8 text") : 0;
}

/* A text of a person, as long as the control socket takes. */
static int
read_text(struct cli *c, const char *path, json_t **out)
{
	struct buf text BUF_CLEANUP, detail BUF_CLEANUP;
	struct slice s;

	buf_init(&text, TEXT_FILE_BYTES);
	buf_init(&detail, 4096);
	if (house_read_file(strcmp(path, "-") == 0 ? "/dev/stdin" : path, TEXT_FILE_BYTES, &text, &detail) != 0)
		return cli_fail(c, EX_NOINPUT, "%.*s", SLICE_ARG(buf_slice(&detail)));
	s = buf_slice(&text);
	if (slice_starts(s, SLICE("\xef\xbb\xbf"))) /* what some editors begin UTF-8 with */
		s = slice_from(s, 3);
	*out = slice_is_utf8(s, true) ? json_stringn(s.n == 0 ? "" : (const char *)s.p, s.n) : NULL;
	return *out == NULL ? cli_fail(c, EX_DATAERR, "%s is not valid UTF-8 text", path) : 0;
}

static int
take_value(struct cli *c, const struct cli_arg *a, const char *value)
{
	struct slice s = slice_z(value);
	const char *key = a->key;
	json_t *v = NULL;
	uint64_t number;
	int64_t n;
	int err;

	switch (a->type) {
	case CLI_FLAG: v = json_true(); break;
	case CLI_STDIN:
		err = read_line(c, &v);
		if (err != 0)
			return err;
		break;
	case CLI_BYTES:
		if (cli_bytes(s, &n) != 0)
			return cli_fail(c, EX_USAGE, "%s is not a number of bytes, as 1048576, 20M or 5G", value);
		v = json_integer(n);
		break;
	case CLI_NUMBER:
		if (slice_to_u64(s, INT64_MAX, &number) != 0)
			return cli_fail(c, EX_USAGE, "%s is not a number", value);
		v = json_integer((json_int_t)number);
		break;
	case CLI_SECONDS:
		if (cli_seconds(s, &n) != 0)
			return cli_fail(c, EX_USAGE, "%s is not a duration, as 90, 30m, 1h or 5d", value);
		v = json_integer(n);
		break;
	case CLI_SELECT:
		key = ulid_is_valid(s) ? "id" : "address";
		v = json_string(value);
		break;
	case CLI_TEXT: v = json_string(value); break;
	case CLI_FILE:
		err = read_text(c, value, &v);
		if (err != 0)
			return err;
		break;
	case CLI_RAW: return EX_SOFTWARE; /* never a value: cli_parse() */
	case CLI_REST:
	case CLI_MANY:
		v = json_string(value);
		if (v != NULL && json_object_get(c->args, key) == NULL)
			(void)json_object_set_new(c->args, key, json_array());
		if (v != NULL)
			return json_array_append_new(json_object_get(c->args, key), v) == 0 ? 0 : EX_OSERR;
		break;
	}
	if (v == NULL)
		return cli_fail(c, EX_DATAERR, "an argument is not valid UTF-8");
	if (json_object_get(c->args, key) != NULL) {
		json_decref(v);
		return cli_fail(c, EX_USAGE, "%s is given twice", a->form);
	}
	return json_object_set_new(c->args, key, v) == 0 ? 0 : EX_OSERR;
}

static bool
begins_with(const char *words, const char *with)
{
	struct slice w = slice_z(words), p = slice_z(with);

	return p.n == 0 || (slice_starts(w, p) && (w.n == p.n || slice_at(w, p.n) == ' '));
}

/* ---- parsing ----------------------------------------------------------------------------------------- */

/* How many of the words of the command stand at the front of argv, or 0 when they do not all. */
static int
words_match(const char *words, int argc, char **argv)
{
	struct slice rest = slice_z(words);
	int n = 0;

	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ' ');

		if (n >= argc || !slice_eq(word, slice_z(argv[n])))
			return 0;
		n++;
	}
	return n;
}

static int
find_command(struct cli *c, int argc, char **argv)
{
	int best = 0;

	for (size_t i = 0; i < cli_commands_count; i++) {
		int n = words_match(cli_commands[i].words, argc, argv);

		if (n > best) {
			best = n;
			c->command = &cli_commands[i];
		}
	}
	return best;
}

static struct slice
option_word(const struct cli_arg *a)
{
	struct slice rest = slice_z(a->form);

	return slice_cut(&rest, ' ');
}

static bool
is_option(const struct cli_arg *a)
{
	return a->form[0] == '-';
}

static const struct cli_arg *
find_option(const struct cli *c, struct slice word)
{
	for (size_t i = 0; i < cli_args_count; i++)
		if (&cli_commands[cli_args[i].command] == c->command && is_option(&cli_args[i]) &&
		    slice_eq(option_word(&cli_args[i]), word))
			return &cli_args[i];
	return NULL;
}

/* The n-th positional argument; the last is for all further ones when it takes the rest. */
static const struct cli_arg *
find_positional(const struct cli *c, size_t n)
{
	for (size_t i = 0; i < cli_args_count; i++)
		if (&cli_commands[cli_args[i].command] == c->command && !is_option(&cli_args[i]))
			if (n-- == 0 || cli_args[i].type == CLI_REST)
				return &cli_args[i];
	return NULL;
}

/* Options that every command has. */
static int
take_common(struct cli *c, struct slice word, const char *value, bool *known, bool *used)
{
	*known = true;
	if (slice_eq(word, SLICE("--json"))) {
		c->json = true;
	} else if (slice_eq(word, SLICE("--help")) || slice_eq(word, SLICE("-h"))) {
		c->help = true;
	} else if (slice_eq(word, SLICE("--dir")) || slice_eq(word, SLICE("--config"))) {
		if (value == NULL)
			return cli_fail(c, EX_USAGE, "%.*s needs a value", SLICE_ARG(word));
		*(slice_eq(word, SLICE("--dir")) ? &c->dir : &c->config) = value;
		*used = true;
	} else {
		*known = false;
	}
	return 0;
}

/* One option at argv[0], its value behind a = or in argv[1]; *taken: how many of argv it is. */
static int
take_option(struct cli *c, int argc, char **argv, int *taken)
{
	struct slice rest = slice_z(argv[0]), word = slice_cut(&rest, '=');
	const char *inside = rest.p == NULL ? NULL : argv[0] + word.n + 1,
		   *value = inside != NULL ? inside
	    : argc > 1                     ? argv[1]
					   : NULL;
	bool known, used = false, wants;
	const struct cli_arg *a;
	int code = take_common(c, word, value, &known, &used);

	*taken = used && inside == NULL ? 2 : 1;
	if (known || code != 0)
		return code;
	a = find_option(c, word);
	if (a == NULL)
		return cli_fail(c, EX_USAGE, "%s has no option %.*s; see `posthouse help %s`", c->command->words,
		    SLICE_ARG(word), c->command->words);
	wants = a->type != CLI_FLAG && a->type != CLI_STDIN;
	if (wants && value == NULL)
		return cli_fail(c, EX_USAGE, "%.*s needs a value", SLICE_ARG(word));
	if (!wants && inside != NULL)
		return cli_fail(c, EX_USAGE, "%.*s takes no value", SLICE_ARG(word));
	*taken = wants && inside == NULL ? 2 : 1;
	return take_value(c, a, value);
}

static int
check_required(struct cli *c)
{
	for (size_t i = 0; i < cli_args_count; i++) {
		const struct cli_arg *a = &cli_args[i];

		if (&cli_commands[a->command] == c->command && a->need == CLI_REQUIRED &&
		    json_object_get(c->args, a->key) == NULL)
			return cli_fail(c, EX_USAGE, "%s needs %s; see `posthouse help %s`", c->command->words, a->form,
			    c->command->words);
	}
	return 0;
}

/* ---- what was meant ---------------------------------------------------------------------------------- */

#define WORDS_BYTES 64
#define WORDS_MAX 3

/* Letters to change, add, leave out or swap with their neighbour to make one text of the other. */
static size_t
distance(struct slice a, struct slice b)
{
	size_t rows[3][WORDS_BYTES + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b.n; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *spare = before;

		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool same = slice_at(a, i - 1) == slice_at(b, j - 1);
			size_t best = last[j - 1] + (same ? 0 : 1);

			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && slice_at(a, i - 1) == slice_at(b, j - 2) &&
			    slice_at(a, i - 2) == slice_at(b, j - 1) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.n];
}

/* The words of the command line up to the first option, at most `max`, joined by spaces. */
static void
join_words(struct buf *out, int argc, char **argv, int max)
{
	for (int i = 0; i < argc && i < max && argv[i][0] != '-'; i++)
		buf_printf(out, i == 0 ? "%s" : " %s", argv[i]);
}

/* The command whose words are nearly those of the command line, or NULL. */
static const char *
meant(int argc, char **argv)
{
	const char *best = NULL;
	size_t best_distance = 3;

	for (size_t i = 0; i < cli_commands_count; i++) {
		struct slice words = slice_z(cli_commands[i].words), rest = words;
		struct buf typed BUF_CLEANUP;
		int n = 0;

		for (; rest.p != NULL; n++)
			(void)slice_cut(&rest, ' ');
		buf_init(&typed, WORDS_BYTES);
		join_words(&typed, argc, argv, n);
		if (typed.err == 0 && typed.n > 0 && words.n <= WORDS_BYTES) {
			size_t d = distance(buf_slice(&typed), words);

			/* Two wrong letters of five are another word. */
			if (d < best_distance && d * 3 <= words.n) {
				best = cli_commands[i].words;
				best_distance = d;
			}
		}
	}
	return best;
}

static int
unknown_command(struct cli *c, int argc, char **argv)
{
	const char *word = argc > 0 ? argv[0] : "", *best = meant(argc, argv);
	struct buf typed BUF_CLEANUP;

	buf_init(&typed, 4096);
	join_words(&typed, argc, argv, WORDS_MAX - 1);
	if (best != NULL)
		return cli_fail(c, EX_USAGE, "there is no command %.*s; did you mean `posthouse %s`?",
		    SLICE_ARG(buf_slice(&typed)), best);
	(void)cli_fail(c, EX_USAGE, "there is no command %.*s; `posthouse help` lists all",
	    SLICE_ARG(typed.n > 0 ? buf_slice(&typed) : slice_z(word)));
	/* "queue" alone: those that begin so. */
	for (size_t i = 0; i < cli_commands_count; i++)
		if (begins_with(cli_commands[i].words, word)) {
			cli_print_help(c->err, word);
			break;
		}
	return EX_USAGE;
}

static bool
takes_raw(const struct cli *c)
{
	for (size_t i = 0; i < cli_args_count; i++)
		if (&cli_commands[cli_args[i].command] == c->command && cli_args[i].type == CLI_RAW)
			return true;
	return false;
}

int
cli_parse(struct cli *c, int argc, char **argv)
{
	size_t positionals = 0;
	bool options = true;
	int n, code = 0;

	c->args = json_object();
	n = find_command(c, argc, argv);
	if (n == 0)
		return unknown_command(c, argc, argv);
	if (takes_raw(c)) {
		c->called = argv[n - 1];
		c->raw = argv + n;
		c->raw_count = argc - n;
		return 0;
	}
	while (n < argc && code == 0) {
		int taken = 1;

		if (options && strcmp(argv[n], "--") == 0) {
			options = false;
		} else if (options && argv[n][0] == '-' && argv[n][1] != '\0') {
			code = take_option(c, argc - n, argv + n, &taken);
		} else {
			const struct cli_arg *a = find_positional(c, positionals++);

			code = a == NULL ? cli_fail(c, EX_USAGE, "%s does not take \"%s\"; see `posthouse help %s`",
					       c->command->words, argv[n], c->command->words)
					 : take_value(c, a, argv[n]);
		}
		n += taken;
	}
	return code == 0 && !c->help ? check_required(c) : code;
}

/* ---- help -------------------------------------------------------------------------------------------- */

static void
print_usage(FILE *out, size_t i)
{
	size_t at = (size_t)fprintf(out, "posthouse %s", cli_commands[i].words);

	for (size_t j = 0; j < cli_args_count; j++) {
		bool required = cli_args[j].need == CLI_REQUIRED;

		if (cli_args[j].command != i)
			continue;
		if (at + strlen(cli_args[j].form) + 3 > CLI_LINE_WIDTH)
			at = (size_t)fprintf(out, "\n   ") - 1;
		at += (size_t)fprintf(out, required ? " %s" : " [%s]", cli_args[j].form);
	}
	(void)fputs("\n", out);
}

/* A name and what it is, the texts in a column of their own. */
static void
print_entry(FILE *out, const char *name, const char *text, size_t column)
{
	size_t at = (size_t)fprintf(out, "  %-*s", (int)column - 4, name);

	if (at + 2 > column)
		(void)fprintf(out, "\n%*s", (int)column, "");
	else
		(void)fprintf(out, "%*s", (int)(column - at), "");
	cli_print_wrapped(out, text, column, column, CLI_LINE_WIDTH);
	(void)fputc('\n', out);
}

static void
print_command(FILE *out, size_t i)
{
	print_usage(out, i);
	(void)fputs("\n  ", out);
	cli_print_wrapped(out, cli_commands[i].help, 2, 2, CLI_LINE_WIDTH);
	(void)fputs("\n", out);
	for (size_t j = 0, n = 0; j < cli_args_count; j++)
		if (cli_args[j].command == i) {
			(void)fputs(n++ == 0 ? "\n" : "", out);
			print_entry(out, cli_args[j].form, cli_args[j].help, 30);
		}
}

static const char common_help[] = "Every command that concerns a house takes --dir DIR or --config FILE, which say\n"
				  "which one; without them it is the one of /etc/posthouse/posthouse.conf, else of\n"
				  "/var/lib/posthouse. --json prints one JSON object a line.\n";

void
cli_print_help(FILE *out, const char *words)
{
	size_t found = 0, last = 0;

	for (size_t i = 0; i < cli_commands_count; i++)
		if (begins_with(cli_commands[i].words, words)) {
			found++;
			last = i;
		}
	if (found == 1) {
		print_command(out, last);
		return;
	}
	(void)fputs("Usage: posthouse COMMAND ...\n\n", out);
	for (size_t i = 0; i < cli_commands_count; i++)
		if (found == 0 || begins_with(cli_commands[i].words, words))
			print_entry(out, cli_commands[i].words, cli_commands[i].help, 31);
	(void)fprintf(out, "\n%s", common_help);
	(void)fputs("`posthouse help COMMAND` shows the arguments of one.\n", out);
}

int
cli_help(struct cli *c)
{
	struct buf words BUF_CLEANUP;
	json_t *list = json_object_get(c->args, "command");

	buf_init(&words, 4096);
	for (size_t i = 0; i < json_array_size(list); i++)
		buf_printf(&words, i == 0 ? "%s" : " %s", json_string_value(json_array_get(list, i)));
	buf_put_u8(&words, 0);
	cli_print_help(c->out, words.err != 0 ? "" : (const char *)buf_slice(&words).p);
	return EX_OK;
}

int
cli_version(struct cli *c)
{
	(void)fprintf(c->out, c->json ? "{\"version\":\"%s\"}\n" : "posthouse %s\n", POSTHOUSE_VERSION);
	return EX_OK;
}

/* Called by a name that programs look for in /usr/sbin and /usr/bin. */
static bool
is_sendmail(const char *path)
{
	static const char *const names[] = {"sendmail", "mailq", "newaliases"};
	const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

int
cli_main(int argc, char **argv)
{
	struct cli c = {.in = stdin, .out = stdout, .err = stderr};
	int code;

	if (is_sendmail(argv[0])) {
		c.called = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1;
		c.raw = argv + 1;
		c.raw_count = argc - 1;
		return cli_sendmail(&c);
	}
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		cli_print_help(stdout, "");
		return argc < 2 ? EX_USAGE : EX_OK;
	}
	if (strcmp(argv[1], "--version") == 0)
		return cli_version(&c);
	code = cli_parse(&c, argc - 1, argv + 1);
	if (code == 0 && c.help)
		cli_print_help(c.out, c.command->words);
	else if (code == 0)
		code = c.command->fn(&c);
	json_decref(c.args);
	if (fflush(stdout) != 0 && code == 0)
		code = EX_IOERR;
	return code;
}
