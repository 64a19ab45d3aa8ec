/* sql_dialect.c: the common dialect is taken apart into words, quoted strings, comments and the rest; only whole
 * words outside of quotes and comments are changed. */
#include "sql/sql_dialect.h"

#include "base/cursor.h"

enum piece_kind { PIECE_WORD, PIECE_PARAMETER, PIECE_OTHER };
struct piece {
	enum piece_kind kind;
	struct slice text;
};

static bool
is_word(int c)
{
	return c == '_' || (c >= 0 && (ascii_is_alnum((uint8_t)c) || c >= 0x80));
}

/* Past a string or a quoted name; a doubled quote inside is met as two strings side by side, which is as good. */
static void
skip_quoted(struct cursor *c, uint8_t quote)
{
	cursor_skip(c, 1);
	(void)cursor_until(c, quote);
	(void)cursor_accept_byte(c, quote);
}

static bool
next_piece(struct cursor *c, struct piece *out)
{
	size_t from = c->pos;
	int b = cursor_peek(c);

	out->kind = PIECE_OTHER;
	if (b < 0)
		return false;
	if (b == '\'' || b == '"') {
		skip_quoted(c, (uint8_t)b);
	} else if (b == '-' && cursor_peek_at(c, 1) == '-') {
		(void)cursor_until(c, '\n');
	} else if (b == '$' && cursor_peek_at(c, 1) >= '0' && cursor_peek_at(c, 1) <= '9') {
		out->kind = PIECE_PARAMETER;
		cursor_skip(c, 1);
		while (is_word(cursor_peek(c)))
			cursor_skip(c, 1);
	} else if (is_word(b)) {
		out->kind = PIECE_WORD;
		while (is_word(cursor_peek(c)))
			cursor_skip(c, 1);
	} else {
		cursor_skip(c, 1);
	}
	out->text = slice_range(c->s, from, c->pos);
	return true;
}

void
sql_dialect_sqlite(struct buf *out, struct slice sql)
{
	struct cursor c = cursor_of(sql);
	struct piece p;

	while (next_piece(&c, &p)) {
		if (p.kind == PIECE_PARAMETER) {
			buf_put_u8(out, '?');
			buf_put(out, slice_from(p.text, 1));
		} else {
			buf_put(out, p.text);
		}
	}
}

/* What a word becomes in PostgreSQL. */
static struct slice
postgres_word(struct slice w)
{
	static const struct {
		struct slice from, to;
	} words[] = {
	    {SLICE_INIT("INTEGER"), SLICE_INIT("BIGINT")},
	    {SLICE_INIT("BLOB"), SLICE_INIT("BYTEA")},
	    {SLICE_INIT("STRICT"), SLICE_INIT("")},
	};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (slice_ieq(w, words[i].from))
			return words[i].to;
	return w;
}

/* Moves past "ROWID" behind "WITHOUT". */
static bool
accept_rowid(struct cursor *c)
{
	struct cursor ahead = *c;

	while (!cursor_end(&ahead) && ascii_is_space((uint8_t)cursor_peek(&ahead)))
		cursor_skip(&ahead, 1);
	if (!cursor_iaccept(&ahead, SLICE("ROWID")) || is_word(cursor_peek(&ahead)))
		return false;
	*c = ahead;
	return true;
}

/* The table options that PostgreSQL does not know are separated by commas: "STRICT, WITHOUT ROWID". */
static bool
accept_option_comma(struct cursor *c)
{
	struct cursor ahead = *c;

	while (!cursor_end(&ahead) && ascii_is_space((uint8_t)cursor_peek(&ahead)))
		cursor_skip(&ahead, 1);
	if (!cursor_accept_byte(&ahead, ','))
		return false;
	*c = ahead;
	return true;
}

void
sql_dialect_postgres(struct buf *out, struct slice sql)
{
	struct cursor c = cursor_of(sql);
	struct piece p;

	while (next_piece(&c, &p)) {
		if (p.kind != PIECE_WORD) {
			buf_put(out, p.text);
			continue;
		}
		if (slice_ieq(p.text, SLICE("STRICT")) || (slice_ieq(p.text, SLICE("WITHOUT")) && accept_rowid(&c))) {
			(void)accept_option_comma(&c);
			continue;
		}
		if (slice_ieq(p.text, SLICE("x")) && cursor_peek(&c) == '\'') {
			(void)next_piece(&c, &p);
			buf_put_z(out, "'\\x");
			buf_put(out, slice_from(p.text, 1));
			buf_put_z(out, "::bytea");
			continue;
		}
		buf_put(out, postgres_word(p.text));
	}
}
