/* imap_reply.c: strings, mailbox names and flags as the client reads them. */
#include "imap/imap_reply.h"

#include "imap/imap_lex.h"
#include "imap/imap_utf7.h"
#include "store/store.h"

#define QUOTED_MAX 1000u

/* In runs between the bytes that need something: mostly all at once. */
static void
put_escaped(struct buf *out, struct slice s, bool escape)
{
	size_t from = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t b = slice_at(s, i);
		bool special = escape && (b == '"' || b == '\\');

		if (b != 0 && !special)
			continue;
		buf_put(out, slice_range(s, from, i));
		if (special)
			buf_put_u8(out, '\\');
		buf_put_u8(out, b == 0 ? '?' : b);
		from = i + 1;
	}
	buf_put(out, slice_from(s, from));
}

void
imap_put_literal_size(struct buf *out, uint64_t n)
{
	buf_put_u8(out, '{');
	buf_put_u64(out, n);
	buf_put(out, SLICE("}\r\n"));
}

void
imap_put_string(struct buf *out, struct slice s)
{
	if (s.n <= QUOTED_MAX && imap_is_quotable(s)) {
		buf_put_u8(out, '"');
		put_escaped(out, s, true);
		buf_put_u8(out, '"');
		return;
	}
	imap_put_literal_size(out, s.n);
	if (slice_find_byte(s, 0) == SLICE_NONE)
		buf_put(out, s);
	else
		put_escaped(out, s, false);
}

void
imap_put_nstring(struct buf *out, struct slice s)
{
	if (s.p == NULL)
		buf_put(out, SLICE("NIL"));
	else
		imap_put_string(out, s);
}

void
imap_put_mailbox(struct buf *out, struct slice utf8, bool as_utf8)
{
	struct buf BUF_CLEANUP name;

	if (as_utf8 && !slice_is_ascii(utf8)) {
		buf_put_u8(out, '"');
		put_escaped(out, utf8, true);
		buf_put_u8(out, '"');
		return;
	}
	if (as_utf8) {
		if (imap_is_atom(utf8) && !slice_ieq(utf8, SLICE("NIL")))
			buf_put(out, utf8);
		else
			imap_put_string(out, utf8);
		return;
	}

	buf_init(&name, utf8.n * 8 + 8);
	if (imap_utf7_encode(utf8, &name) != 0) {
		/* The store keeps valid names only; memory may be out. */
		if (out->err == 0)
			out->err = name.err != 0 ? name.err : ERR_INVALID;
		return;
	}
	if (imap_is_atom(buf_slice(&name)) && !slice_ieq(buf_slice(&name), SLICE("NIL")))
		buf_put(out, buf_slice(&name));
	else
		imap_put_string(out, buf_slice(&name));
}

void
imap_put_object_id(struct buf *out, char kind, struct slice id)
{
	buf_put_u8(out, (uint8_t)kind);
	buf_put_hex(out, id);
}

bool
imap_put_flags(struct buf *out, uint8_t flags, bool recent, const struct slice *keywords, size_t n)
{
	static const struct {
		uint8_t flag;
		struct slice name;
	} names[] = {
	    {STORE_ANSWERED, SLICE_INIT("\\Answered")},
	    {STORE_FLAGGED, SLICE_INIT("\\Flagged")},
	    {STORE_DELETED, SLICE_INIT("\\Deleted")},
	    {STORE_SEEN, SLICE_INIT("\\Seen")},
	    {STORE_DRAFT, SLICE_INIT("\\Draft")},
	};
	size_t before = out->n;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if ((flags & names[i].flag) == 0)
			continue;
		if (out->n > before)
			buf_put_u8(out, ' ');
		buf_put(out, names[i].name);
	}
	if (recent) {
		if (out->n > before)
			buf_put_u8(out, ' ');
		buf_put(out, SLICE("\\Recent"));
	}
	for (size_t i = 0; i < n; i++) {
		if (out->n > before)
			buf_put_u8(out, ' ');
		buf_put(out, keywords[i]);
	}
	return out->n > before;
}
