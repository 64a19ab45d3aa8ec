/* surrogate.c: field by field. */
#include "message/surrogate.h"

#include "message/build.h"
#include "message/header.h"
#include "message/mailbox.h"
#include "message/words.h"

#define ARENA_BYTES (16u << 20)

enum field_kind { TEXT, ADDRESSES };
static const struct {
	struct slice name;
	enum field_kind kind;
} fields[] = {
    {SLICE_INIT("Subject"), TEXT},
    {SLICE_INIT("Comments"), TEXT},
    {SLICE_INIT("Keywords"), TEXT},
    {SLICE_INIT("Content-Description"), TEXT},
    {SLICE_INIT("From"), ADDRESSES},
    {SLICE_INIT("Sender"), ADDRESSES},
    {SLICE_INIT("Reply-To"), ADDRESSES},
    {SLICE_INIT("To"), ADDRESSES},
    {SLICE_INIT("Cc"), ADDRESSES},
    {SLICE_INIT("Bcc"), ADDRESSES},
    {SLICE_INIT("Resent-From"), ADDRESSES},
    {SLICE_INIT("Resent-Sender"), ADDRESSES},
    {SLICE_INIT("Resent-To"), ADDRESSES},
    {SLICE_INIT("Resent-Cc"), ADDRESSES},
    {SLICE_INIT("Resent-Bcc"), ADDRESSES},
};

static bool
is_field_needed(const struct header_field *f)
{
	return !slice_is_ascii(f->raw) && slice_is_utf8(f->raw, false) && slice_is_ascii(f->name);
}

bool
surrogate_needed(struct slice header, const struct limits *limits)
{
	struct header_iter it = header_iter_of(header, (size_t)limits->message_header_bytes);
	struct header_field f;

	if (slice_is_ascii(header))
		return false;
	while (header_next(&it, &f))
		if (is_field_needed(&f))
			return true;
	return false;
}

/* An address beyond ASCII: with an A-label it can still be used; else it is a name that leads nowhere. */
static size_t
put_address(struct arena *a, const struct address *in, struct address out[2])
{
	struct slice domain;

	out[0] = *in;
	if (in->kind != ADDRESS_MAILBOX || (slice_is_ascii(in->local) && slice_is_ascii(in->domain)))
		return 1;
	if (slice_is_ascii(in->local) && domain_normalise(a, in->domain, &domain) == 0) {
		out[0].domain = domain;
		return 1;
	}
	out[0] = (struct address){.kind = ADDRESS_GROUP_START,
	    .name = arena_printf(a, "%.*s%s%.*s@%.*s", SLICE_ARG(in->name), in->name.n > 0 ? " " : "",
		SLICE_ARG(in->local), SLICE_ARG(in->domain))};
	out[1] = (struct address){.kind = ADDRESS_GROUP_END};
	return 2;
}

static void
put_addresses(struct arena *a, const struct header_field *f, const struct limits *limits, struct buf *out)
{
	struct address_list l, made = {0};
	struct address *v;

	if (address_parse(a, f->value, (size_t)limits->message_addresses, &l) != 0 ||
	    (v = ARENA_ARRAY(a, struct address, 2 * l.n + 1)) == NULL)
		return;
	for (size_t i = 0; i < l.n; i++)
		made.n += put_address(a, &l.v[i], &v[made.n]);
	made.v = v;
	build_field_addresses(out, f->name, &made);
}

/* Of a field whose form is not looked at: each run of bytes between its marks by itself. */
static void
put_tokens(struct slice raw, struct buf *out)
{
	while (raw.n > 0) {
		size_t n = 0;
		struct slice token;

		while (n < raw.n && strchr(" \t\r\n\"'<>()[];:,=", slice_at(raw, n)) == NULL)
			n++;
		token = slice_head(raw, n);
		if (slice_is_ascii(token))
			buf_put(out, token);
		else
			words_encode(token, 0, out);
		if (n < raw.n)
			buf_put_u8(out, slice_at(raw, n++));
		raw = slice_from(raw, n);
	}
}

static void
put_field(const struct header_field *f, const struct limits *limits, struct buf *out)
{
	struct arena ARENA_CLEANUP a;

	arena_init(&a, ARENA_BYTES);
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (!slice_ieq(fields[i].name, f->name))
			continue;
		if (fields[i].kind == ADDRESSES)
			put_addresses(&a, f, limits, out);
		else
			build_field(out, f->name, header_text(&a, f->value, CHARSET_FIBER));
		return;
	}
	put_tokens(f->raw, out);
}

void
surrogate_header(struct slice header, const struct limits *limits, struct buf *out)
{
	struct header_iter it = header_iter_of(header, (size_t)limits->message_header_bytes);
	struct header_field f;

	while (header_next(&it, &f)) {
		if (is_field_needed(&f))
			put_field(&f, limits, out);
		else
			buf_put(out, f.raw);
	}
	buf_put(out, it.blank ? SLICE("\r\n") : SLICE_EMPTY);
	buf_put(out, slice_from(header, it.pos));
}
