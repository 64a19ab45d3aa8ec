#include "smtp/command.h"

const struct smtp_command_row smtp_commands[] = {
#define COMMAND(name, argument, where, help) \
	{SLICE_INIT(#name), SMTP_##name, SMTP_ARGUMENT_##argument, (where), SLICE_INIT(help)},
#include "smtp/commands.def"
#undef COMMAND
};
const size_t smtp_commands_count = COUNT_OF(smtp_commands);

/* First words of HTTP requests and header fields: a browser was tricked into talking to us. */
static bool
is_foreign(struct slice verb)
{
	static const struct slice words[] = {SLICE_INIT("GET"), SLICE_INIT("POST"), SLICE_INIT("PUT"),
	    SLICE_INIT("HEAD"), SLICE_INIT("DELETE"), SLICE_INIT("OPTIONS"), SLICE_INIT("CONNECT"), SLICE_INIT("PATCH"),
	    SLICE_INIT("TRACE"), SLICE_INIT("PRI"), SLICE_INIT("Host:"), SLICE_INIT("User-Agent:"),
	    SLICE_INIT("Content-Type:"), SLICE_INIT("Content-Length:")};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (slice_ieq(verb, words[i]))
			return true;
	return false;
}

struct smtp_command
smtp_command_parse(struct slice line)
{
	struct smtp_command c = {.verb = SMTP_VERB_UNKNOWN};
	struct slice rest = line;
	struct slice verb = slice_cut(&rest, ' ');

	c.argument = slice_trim(rest);
	verb = slice_trim(verb);
	for (size_t i = 0; i < smtp_commands_count; i++)
		if (slice_ieq(verb, smtp_commands[i].name)) {
			c.row = &smtp_commands[i];
			c.verb = c.row->verb;
			return c;
		}
	if (is_foreign(verb))
		c.verb = SMTP_VERB_FOREIGN;
	return c;
}

static int
parameter_parse(struct cursor *c, struct smtp_parameter *out)
{
	size_t from = c->pos;
	int b;

	for (b = cursor_peek(c); b >= 0 && (ascii_is_alnum((uint8_t)b) || (b == '-' && c->pos > from));
	     b = cursor_peek(c))
		cursor_skip(c, 1);
	out->name = slice_range(c->s, from, c->pos);
	out->value = SLICE_EMPTY;
	if (out->name.n == 0)
		return ERR_LIMIT;
	if (!cursor_accept_byte(c, '='))
		return 0;
	from = c->pos;
	for (b = cursor_peek(c); b > ' ' && b != 127 && b != '='; b = cursor_peek(c))
		cursor_skip(c, 1);
	out->value = slice_range(c->s, from, c->pos);
	return out->value.n == 0 || !slice_is_utf8(out->value, true) ? ERR_LIMIT : 0;
}

static int
parameters_parse(struct cursor *c, struct smtp_parameters *out)
{
	out->n = 0;
	for (;;) {
		struct smtp_parameter p;
		size_t before = c->pos;
		int e;

		cursor_skip_wsp(c);
		if (cursor_end(c))
			return 0;
		if (c->pos == before || out->n == SMTP_PARAMETERS_MAX)
			return ERR_LIMIT;
		e = parameter_parse(c, &p);
		if (e != 0)
			return e;
		for (size_t i = 0; i < out->n; i++)
			if (slice_ieq(out->v[i].name, p.name))
				return ERR_LIMIT;
		out->v[out->n++] = p;
	}
}

int
smtp_path_argument_parse(struct slice argument, struct slice keyword, struct arena *a, struct smtp_path *path,
    struct smtp_parameters *parameters)
{
	struct cursor c = cursor_of(argument);
	int e;

	*path = (struct smtp_path){0};
	parameters->n = 0;
	if (!cursor_iaccept(&c, keyword))
		return ERR_SYNTAX;
	cursor_skip_wsp(&c); /* "MAIL FROM :" */
	if (!cursor_accept_byte(&c, ':'))
		return ERR_SYNTAX;
	cursor_skip_wsp(&c);
	if (cursor_end(&c))
		return ERR_SYNTAX;
	e = smtp_path_parse(&c, a, path);
	if (e != 0)
		return e == ERR_NOMEM ? e : ERR_INVALID;
	return parameters_parse(&c, parameters);
}

int
smtp_bdat_argument_parse(struct slice argument, uint64_t *size, bool *last)
{
	struct slice word = argument, number = slice_cut(&word, ' ');

	word = slice_trim(word);
	*last = slice_ieq(word, SLICE("LAST"));
	if (number.n > 18 || slice_to_u64(number, INT64_MAX, size) != 0 || (word.n > 0 && !*last))
		return ERR_SYNTAX;
	return 0;
}

bool
smtp_helo_is_valid(struct slice name)
{
	if (name.n == 0 || name.n > SMTP_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = slice_at(name, i);

		if (c <= ' ' || c > 126 || strchr("()<>;,\"\\@", c) != NULL)
			return false;
	}
	return true;
}
