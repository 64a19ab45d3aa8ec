/* ini.c: the strict INI reader. */
#include "base/ini.h"

#include "base/cursor.h"

#include <stdarg.h>

struct reader {
	struct arena *a;
	struct ini *ini;
	struct buf *detail;
	struct ini_section *section; /* the open one; NULL before the first and after a bad heading */
	bool heading_bad;
	unsigned line;
	int err;
};

void
ini_complain(struct buf *detail, unsigned line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(detail, "line %u: %s\n", line, text);
}

#define COMPLAIN(r, ...) \
	do { \
		ini_complain((r)->detail, (r)->line, __VA_ARGS__); \
		if ((r)->err == 0) \
			(r)->err = ERR_SYNTAX; \
	} while (0)

static bool
is_word(struct slice s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '_')
			return false;
	}
	return true;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

static void
section_add(struct reader *r, struct slice kind, struct slice name)
{
	struct ini *ini = r->ini;

	for (size_t i = 0; i < ini->n; i++)
		if (slice_eq(ini->sections[i].kind, kind) && slice_eq(ini->sections[i].name, name)) {
			COMPLAIN(r, "this section is there already, at line %u", ini->sections[i].line);
			return;
		}
	ini->sections = arena_grow(r->a, ini->sections, ini->n, &ini->cap, sizeof(*ini->sections), INI_SECTIONS_MAX);
	if (ini->sections == NULL) {
		r->err = ERR_NOMEM;
		return;
	}
	r->section = &ini->sections[ini->n++];
	*r->section = (struct ini_section){.kind = kind, .name = name, .line = r->line};
}

/* "[kind]" or "[kind NAME]". */
static void
read_heading(struct reader *r, struct slice line)
{
	struct slice inside, kind, name;

	r->section = NULL;
	r->heading_bad = true;
	if (line.n < 2 || slice_at(line, line.n - 1) != ']') {
		COMPLAIN(r, "a section heading ends with ]");
		return;
	}
	inside = slice_trim(slice_range(line, 1, line.n - 1));
	name = inside;
	kind = slice_cut(&name, ' ');
	name = slice_trim(name);
	if (!is_word(kind) || kind.n > INI_KEY_BYTES) {
		COMPLAIN(r, "a section is called [word] or [word NAME], with a-z, 0-9 and _ in the word");
		return;
	}
	if (name.n > INI_NAME_BYTES || slice_find_byte(name, ' ') != SLICE_NONE ||
	    slice_find_byte(name, '\t') != SLICE_NONE) {
		COMPLAIN(r, "the name of a section is one word of at most %u bytes", INI_NAME_BYTES);
		return;
	}
	section_add(r, kind, name);
	r->heading_bad = r->section == NULL;
}

static void
entry_add(struct reader *r, struct slice key, struct slice value)
{
	struct ini_section *s = r->section;

	for (size_t i = 0; i < s->n; i++)
		if (slice_eq(s->entries[i].key, key)) {
			COMPLAIN(r, "%.*s is set already, at line %u", SLICE_ARG(key), s->entries[i].line);
			return;
		}
	s->entries = arena_grow(r->a, s->entries, s->n, &s->cap, sizeof(*s->entries), INI_KEYS_MAX);
	if (s->entries == NULL) {
		r->err = ERR_NOMEM;
		return;
	}
	s->entries[s->n++] = (struct ini_entry){key, value, r->line};
}

static void
read_entry(struct reader *r, struct slice line)
{
	struct slice value = line, key;

	if (slice_find_byte(line, '=') == SLICE_NONE) {
		COMPLAIN(r, "expected key = value, [section] or # comment");
		return;
	}
	key = slice_trim(slice_cut(&value, '='));
	if (!is_word(key)) {
		COMPLAIN(r, "a key consists of a-z, 0-9 and _");
		return;
	}
	if (key.n > INI_KEY_BYTES) {
		COMPLAIN(r, "a key has at most %u bytes", INI_KEY_BYTES);
		return;
	}
	if (r->section != NULL)
		entry_add(r, key, slice_trim(value));
	else if (!r->heading_bad)
		COMPLAIN(r, "%.*s stands before the first [section]", SLICE_ARG(key));
}

static void
read_line(struct reader *r, struct slice raw)
{
	struct slice line;

	if (raw.n > INI_LINE_BYTES) {
		COMPLAIN(r, "the line is longer than %u bytes", INI_LINE_BYTES);
		return;
	}
	if (slice_ends(raw, SLICE("\r")))
		raw = slice_head(raw, raw.n - 1);
	if (!slice_is_utf8(raw, true)) {
		COMPLAIN(r, "the line is not valid UTF-8");
		return;
	}
	if (has_control(raw)) {
		COMPLAIN(r, "the line contains a control character");
		return;
	}
	line = slice_trim(raw);
	if (line.n == 0 || slice_at(line, 0) == '#' || slice_at(line, 0) == ';')
		return;
	if (slice_at(line, 0) == '[')
		read_heading(r, line);
	else
		read_entry(r, line);
}

int
ini_parse(struct slice text, struct arena *a, struct ini *out, struct buf *detail)
{
	struct reader r = {.a = a, .ini = out, .detail = detail};
	struct slice rest = text;

	*out = (struct ini){NULL, 0, 0};
	if (text.n > INI_FILE_BYTES) {
		buf_printf(detail, "the file is larger than %u bytes\n", INI_FILE_BYTES);
		return ERR_SYNTAX;
	}
	if (slice_starts(rest, SLICE("\xef\xbb\xbf")))
		rest = slice_from(rest, 3);
	while (rest.n > 0 && r.err != ERR_NOMEM) {
		r.line++;
		read_line(&r, slice_cut(&rest, '\n'));
	}
	return r.err;
}
