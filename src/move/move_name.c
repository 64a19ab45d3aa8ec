/* move_name.c: see move_name.h. */
#include "move/move_name.h"

#include "imap/imap_utf7.h"

#define NAME_BYTES 65536

static const struct role_name {
	struct slice name;
	enum store_role role;
} role_names[] = {
#define MOVE_ROLE_NAME(name, role) {SLICE_INIT(name), STORE_ROLE_##role},
#include "move/move_roles.def"
#undef MOVE_ROLE_NAME
};

enum store_role
move_name_role(struct slice name)
{
	if (slice_istarts(name, SLICE("[Gmail]/")))
		name = slice_from(name, 8);
	for (size_t i = 0; i < COUNT_OF(role_names); i++)
		if (slice_ieq(name, role_names[i].name))
			return role_names[i].role;
	return STORE_ROLE_NONE;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The length of the UTF-8 sequence at the front, or 0 when there is none. */
static size_t
sequence_at(struct slice s)
{
	size_t n = slice_at(s, 0) < 0x80 ? 1 : slice_at(s, 0) < 0xe0 ? 2 : slice_at(s, 0) < 0xf0 ? 3 : 4;

	return n <= s.n && slice_is_utf8(slice_head(s, n), false) ? n : 0;
}

/* As store_name_normal() has it: C0, C1, and the separators of lines and paragraphs. */
static bool
is_control(struct slice c)
{
	uint8_t b = slice_at(c, 0);

	return b < ' ' || b == 0x7f || (c.n == 2 && b == 0xc2 && slice_at(c, 1) < 0xa0) ||
	    (c.n == 3 && b == 0xe2 && slice_at(c, 1) == 0x80 && (slice_at(c, 2) & 0xfe) == 0xa8);
}

/* One level as text: bytes that are not UTF-8 are replaced. */
static void
put_level(struct slice text, struct buf *out)
{
	while (text.n > 0) {
		size_t n = sequence_at(text);
		uint8_t b = slice_at(text, 0);

		if (n == 0)
			buf_put_z(out, "\xef\xbf\xbd");
		else if (b == '/')
			buf_put_z(out, "\xe2\x88\x95");
		else if (is_control(slice_head(text, n)))
			buf_put_u8(out, '_');
		else
			buf_put(out, slice_head(text, n));
		text = slice_from(text, n == 0 ? 1 : n);
	}
}

static void
read_level(struct slice raw, struct buf *out)
{
	struct buf BUF_CLEANUP text;

	buf_init(&text, NAME_BYTES);
	if (imap_utf7_decode(raw, &text) == 0)
		raw = buf_slice(&text);
	if (slice_eq(raw, SLICE(".")) || slice_eq(raw, SLICE("..")))
		buf_put_u8(out, '_');
	else
		put_level(raw, out);
}

int
move_name_read(struct slice raw, uint8_t delimiter, struct slice prefix, const struct limits *l, struct arena *a,
    struct slice *out)
{
	struct buf BUF_CLEANUP b;
	int err;

	if (prefix.n > 0 && raw.n > prefix.n && slice_istarts(raw, prefix))
		raw = slice_from(raw, prefix.n);
	if (raw.n > NAME_BYTES / 8)
		return ERR_LIMIT;
	buf_init(&b, NAME_BYTES);
	while (raw.n > 0) {
		struct slice level = delimiter == 0 ? raw : slice_cut(&raw, delimiter);

		if (delimiter == 0)
			raw = SLICE_EMPTY;
		if (level.n == 0)
			continue;
		if (b.n > 0)
			buf_put_u8(&b, '/');
		read_level(level, &b);
	}
	if (b.err != 0)
		return b.err;
	err = store_name_normal(l, buf_slice(&b), a, out);
	return err;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static struct slice
take_character(struct slice *s)
{
	size_t n = sequence_at(*s);
	struct slice c = slice_head(*s, n == 0 ? 1 : n);

	*s = slice_from(*s, c.n);
	return c;
}

int
move_name_write(struct slice name, uint8_t delimiter, struct slice prefix, struct arena *a, struct slice *out)
{
	struct buf BUF_CLEANUP text, raw;
	int err;

	buf_init(&text, NAME_BYTES);
	buf_init(&raw, 4 * NAME_BYTES);
	for (struct slice rest = name; rest.n > 0;) {
		struct slice c = take_character(&rest);

		if (slice_eq(c, SLICE("/")))
			buf_put_u8(&text, delimiter == 0 ? '_' : delimiter);
		else if (delimiter != '/' && slice_eq(c, SLICE("\xe2\x88\x95")))
			buf_put_u8(&text, '/');
		else if (c.n == 1 && slice_at(c, 0) == delimiter)
			buf_put_u8(&text, '_');
		else
			buf_put(&text, c);
	}
	if (!slice_eq(name, SLICE("INBOX")))
		buf_put(&raw, prefix);
	err = text.err != 0 ? text.err : imap_utf7_encode(buf_slice(&text), &raw);
	if (err == 0)
		err = raw.err;
	*out = arena_copy(a, buf_slice(&raw));
	return err != 0 ? err : arena_failed(a) ? ERR_LIMIT : 0;
}
