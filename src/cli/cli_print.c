/* cli_print.c: rows of JSON for people: tables, records, the queue, the story of a message. What a stranger has written cannot move the
 * cursor or colour the terminal: control characters are shown as ?. */
#include "cli/cli.h"

#include <sys/ioctl.h>

#define COLUMNS_MAX 32
#define CELL_WIDTH_MAX 60

/* How many bytes there are no letter but steer a terminal, or turn the direction of writing so that a name reads as another: controls of
 * C0 and C1, and the marks of Unicode's UAX 9. 0: a letter. */
static size_t
steers(struct slice s)
{
	static const char *const marks[] = {"\xd8\x9c", "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xaa", "\xe2\x80\xab",
	    "\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa7", "\xe2\x81\xa8",
	    "\xe2\x81\xa9"};
	uint8_t c = slice_at(s, 0);

	if (c < 0x20 || c == 0x7f)
		return 1;
	if (c == 0xc2 && s.n > 1 && slice_at(s, 1) < 0xa0)
		return 2;
	for (size_t i = 0; i < COUNT_OF(marks); i++)
		if (slice_starts(s, slice_z(marks[i])))
			return strlen(marks[i]);
	return 0;
}

void
cli_print_clean(FILE *out, struct slice text)
{
	while (text.n > 0) {
		size_t n = steers(text);

		(void)fputc(n > 0 ? '?' : slice_at(text, 0), out);
		text = slice_from(text, n > 0 ? n : 1);
	}
}

static void
put_text(FILE *out, const char *text)
{
	cli_print_clean(out, slice_z(text));
}

void
cli_print_wrapped(FILE *out, const char *text, size_t at, size_t indent, size_t width_max)
{
	struct slice rest = slice_z(text);
	bool first = true;

	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ' ');
		size_t w = 0;

		for (size_t i = 0; i < word.n; i++)
			w += (slice_at(word, i) & 0xc0) != 0x80;
		if (word.n == 0)
			continue;
		if (!first && at + 1 + w > width_max) {
			(void)fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (!first) {
			(void)fputc(' ', out);
			at++;
		}
		cli_print_clean(out, word);
		at += w;
		first = false;
	}
}

/* A value in one line; owned by the caller. */
static char *
cell(const json_t *v)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, 1 << 20);
	if (json_is_string(v)) {
		buf_put_z(&b, json_string_value(v));
	} else if (json_is_integer(v)) {
		buf_printf(&b, "%lld", (long long)json_integer_value(v));
	} else if (json_is_boolean(v)) {
		buf_put_z(&b, json_is_true(v) ? "yes" : "no");
	} else if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			char *part = cell(json_array_get(v, i));

			buf_printf(&b, i == 0 ? "%s" : ", %s", part == NULL ? "" : part);
			free(part);
		}
	} else if (json_is_object(v)) {
		const char *key;
		json_t *inner;

		json_object_foreach((json_t *)(uintptr_t)v, key, inner)
		{
			char *part = cell(inner);

			buf_printf(&b, b.n == 0 ? "%s=%s" : " %s=%s", key, part == NULL ? "" : part);
			free(part);
		}
	} else if (json_is_real(v)) {
		buf_printf(&b, "%g", json_real_value(v));
	}
	buf_put_u8(&b, 0);
	return b.err != 0 ? NULL : strdup((const char *)buf_slice(&b).p);
}

/* Columns a terminal shows for UTF-8 text, to good approximation: one for each character. */
static size_t
width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

struct columns {
	const char *keys[COLUMNS_MAX];
	size_t widths[COLUMNS_MAX];
	size_t n;
};

static void
add_columns(struct columns *cols, const json_t *row)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		char *text = json_is_object(v) ? NULL : cell(v);
		size_t i = 0, w = text == NULL ? 0 : width(text);

		/* Objects are told below the table. */
		if (json_is_object(v))
			continue;
		while (i < cols->n && strcmp(cols->keys[i], key) != 0)
			i++;
		if (i == cols->n && cols->n < COLUMNS_MAX) {
			cols->keys[cols->n++] = key;
			cols->widths[i] = width(key);
		}
		if (i < cols->n && w > cols->widths[i])
			cols->widths[i] = w > CELL_WIDTH_MAX ? CELL_WIDTH_MAX : w;
		free(text);
	}
}

static void
put_cell(FILE *out, const char *text, size_t pad_to, bool last)
{
	put_text(out, text);
	for (size_t n = width(text); !last && n < pad_to + 2; n++)
		(void)fputc(' ', out);
}

static void
print_table(FILE *out, const json_t *rows, int indent)
{
	struct columns cols = {.n = 0};

	for (size_t i = 0; i < json_array_size(rows); i++)
		add_columns(&cols, json_array_get(rows, i));
	for (size_t line = 0; cols.n > 0 && line <= json_array_size(rows); line++) {
		(void)fprintf(out, "%*s", indent, "");
		for (size_t i = 0; i < cols.n; i++) {
			char *text = line == 0 ? strdup(cols.keys[i])
					       : cell(json_object_get(json_array_get(rows, line - 1), cols.keys[i]));

			put_cell(out, text == NULL ? "" : text, cols.widths[i], i + 1 == cols.n);
			free(text);
		}
		(void)fputc('\n', out);
	}
}

/* key=value words of an object, inner ones as outer.inner, in lines of CLI_LINE_WIDTH. */
static void
print_words(FILE *out, const char *prefix, const json_t *object, size_t *at, int indent)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		char name[256];
		char *text;

		(void)snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key);
		if (json_is_object(v)) {
			print_words(out, name, v, at, indent);
			continue;
		}
		text = cell(v);
		if (text != NULL && *at > 0 && *at + width(name) + width(text) + 2 > CLI_LINE_WIDTH) {
			(void)fputc('\n', out);
			*at = 0;
		}
		if (text != NULL && *at == 0)
			*at = (size_t)fprintf(out, "%*s", indent, "");
		else
			*at += (size_t)fprintf(out, " ");
		*at += width(name) + (text == NULL ? 0 : width(text)) + 1;
		put_text(out, name);
		(void)fputc('=', out);
		put_text(out, text == NULL ? "" : text);
		free(text);
	}
}

static bool
has_objects(const json_t *row)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		if (json_is_object(v) && json_object_size(v) > 0)
			return true;
	}
	return false;
}

/* What the rows hold beyond a table: under the first two columns of their row. */
static void
print_objects(FILE *out, const json_t *rows)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const char *key;
		json_t *v;
		size_t column = 0;

		if (!has_objects(json_array_get(rows, i)))
			continue;
		json_object_foreach(json_array_get(rows, i), key, v)
		{
			size_t at = 0;

			if (json_is_object(v) && json_object_size(v) > 0) {
				(void)fputs("\n", out);
				print_words(out, "", v, &at, 2);
			} else if (column < 2 && !json_is_object(v)) {
				char *text = cell(v);

				(void)fputs(column == 0 ? "\n" : " ", out);
				put_text(out, text == NULL ? "" : text);
				free(text);
			}
			column++;
		}
		(void)fputc('\n', out);
	}
}

static bool
is_rows(const json_t *v)
{
	return json_is_array(v) && json_array_size(v) > 0 && json_is_object(json_array_get(v, 0));
}

/* A text of several lines, below its name. */
static void
put_lines(FILE *out, const char *text, int indent)
{
	struct slice rest = slice_z(text);

	(void)fputc('\n', out);
	while (rest.p != NULL && rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');

		if (slice_ends(line, SLICE("\r")))
			line = slice_head(line, line.n - 1);
		(void)fprintf(out, "%*s", indent, "");
		cli_print_clean(out, line);
		(void)fputc('\n', out);
	}
}

static void
print_record(FILE *out, const json_t *row, int indent)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		char *text;

		if (strcmp(key, "ok") == 0)
			continue;
		(void)fprintf(out, "%*s%s:", indent, "", key);
		if (is_rows(v) || json_is_object(v)) {
			(void)fputc('\n', out);
			if (json_is_object(v))
				print_record(out, v, indent + 2);
			else
				print_table(out, v, indent + 2);
			continue;
		}
		text = cell(v);
		if (text != NULL && strchr(text, '\n') != NULL) {
			put_lines(out, text, indent + 2);
		} else {
			(void)fputc(' ', out);
			put_text(out, text == NULL ? "" : text);
			(void)fputc('\n', out);
		}
		free(text);
	}
}

static size_t
terminal_width(FILE *out)
{
	struct winsize w;
	int fd = fileno(out);

	return fd >= 0 && ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col >= CLI_LINE_WIDTH / 2 ? w.ws_col : SIZE_MAX;
}

/* Time and kind of each event, what it is about below; a line above when another message begins. */
static void
print_story(FILE *out, const json_t *rows)
{
	size_t columns = terminal_width(out);
	const char *last = "";

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *id = json_string_value(json_object_get(row, "id")),
			   *at = json_string_value(json_object_get(row, "at"));
		const char *kind = json_string_value(json_object_get(row, "kind")),
			   *to = json_string_value(json_object_get(row, "recipient"));
		const char *text = json_string_value(json_object_get(row, "text"));

		if (id != NULL && strcmp(id, last) != 0) {
			(void)fprintf(out, "%s%s\n", i == 0 ? "" : "\n", id);
			last = id;
		}
		(void)fputs("  ", out);
		put_text(out, at == NULL ? "" : at);
		(void)fputs("  ", out);
		put_text(out, kind == NULL ? "" : kind);
		/* Most sentences begin with the recipient. */
		if (to != NULL && to[0] != '\0' && (text == NULL || !slice_starts(slice_z(text), slice_z(to)))) {
			(void)fputs("  ", out);
			put_text(out, to);
		}
		if (text != NULL && text[0] != '\0') {
			(void)fputs("\n      ", out);
			cli_print_wrapped(out, text, 6, 6, columns);
		}
		(void)fputc('\n', out);
	}
}

static const char *
text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text == NULL ? "" : text;
}

/* A line a message, below it one a recipient, and what was last said about that. */
static void
print_queue(FILE *out, const json_t *rows)
{
	size_t columns = terminal_width(out), n = json_array_size(rows);

	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(rows, i), *to = json_object_get(row, "recipients");

		put_text(out, text_of(row, "id"));
		(void)fprintf(out, "  %s  from ", text_of(row, "received_at"));
		put_text(out, text_of(row, "from")[0] == '\0' ? "<>" : text_of(row, "from"));
		(void)fprintf(out, "  %lld bytes\n", (long long)json_integer_value(json_object_get(row, "size_bytes")));
		for (size_t j = 0; j < json_array_size(to); j++) {
			const json_t *r = json_array_get(to, j);
			const char *next = text_of(r, "next_attempt_at");

			(void)fputs("  ", out);
			put_text(out, text_of(r, "address"));
			(void)fprintf(out, "  %s, attempts: %lld", text_of(r, "state"),
			    (long long)json_integer_value(json_object_get(r, "attempts")));
			(void)fprintf(out, next[0] == '\0' ? "%s\n" : ", next %s\n", next);
			if (text_of(r, "text")[0] == '\0')
				continue;
			(void)fputs("      ", out);
			cli_print_wrapped(out, text_of(r, "text"), 6, 6, columns);
			(void)fputc('\n', out);
		}
	}
	if (n > 0)
		(void)fprintf(out, "%zu message%s\n", n, n == 1 ? "" : "s");
}

static void
print_json(FILE *out, json_t *v)
{
	char *text;

	if (json_object_size(v) == 0)
		return;
	text = json_dumps(v, JSON_COMPACT);
	(void)fprintf(out, "%s\n", text == NULL ? "" : text);
	free(text);
}

static void
print_rows(FILE *out, const json_t *rows)
{
	print_table(out, rows, 0);
	print_objects(out, rows);
}

void
cli_print_reply(struct cli *c, const struct cli_reply *r)
{
	bool failed = json_object_get(r->final, "error") != NULL;

	(void)json_object_del(r->final, "ok");
	if (c->json) {
		for (size_t i = 0; i < json_array_size(r->rows); i++)
			print_json(c->out, json_array_get(r->rows, i));
		if (!failed)
			print_json(c->out, r->final);
		return;
	}
	if (c->command->style == CLI_TABLE)
		print_rows(c->out, r->rows);
	else if (c->command->style == CLI_STORY)
		print_story(c->out, r->rows);
	else if (c->command->style == CLI_QUEUE)
		print_queue(c->out, r->rows);
	for (size_t i = 0; c->command->style == CLI_RECORD && i < json_array_size(r->rows); i++) {
		(void)fputs(i == 0 ? "" : "\n", c->out);
		print_record(c->out, json_array_get(r->rows, i), 0);
	}
	if (failed)
		return;
	print_record(c->out, r->final, 0);
	if (json_array_size(r->rows) == 0 && json_object_size(r->final) == 0)
		(void)fputs(c->command->style == CLI_RECORD ? "done\n" : "none\n", c->out);
}
