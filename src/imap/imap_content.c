/* imap_content.c: envelopes and body structures. Strings go out as they stand in the header, encoded words included. */
#include "imap/imap_content.h"

#include "imap/imap_reply.h"
#include "message/address.h"

/* ---- ENVELOPE ---- */

static void
put_header_string(struct buf *out, struct arena *a, const struct header *h, struct slice name)
{
	const struct header_field *f = header_find(h, name);

	if (f == NULL)
		buf_put(out, SLICE("NIL"));
	else
		imap_put_string(out, header_unfold(a, f->value));
}

static void
put_address(struct buf *out, const struct address *ad)
{
	/* A group's start has a mailbox and no host, its end neither (RFC 3501 §7.4.2). */
	if (ad->kind == ADDRESS_GROUP_END) {
		buf_put(out, SLICE("(NIL NIL NIL NIL)"));
		return;
	}
	if (ad->kind == ADDRESS_GROUP_START) {
		buf_put(out, SLICE("(NIL NIL "));
		imap_put_string(out, ad->name);
		buf_put(out, SLICE(" NIL)"));
		return;
	}
	buf_put_u8(out, '(');
	imap_put_nstring(out, ad->name.n == 0 ? SLICE_EMPTY : ad->name);
	buf_put_u8(out, ' ');
	imap_put_nstring(out, ad->route.n == 0 ? SLICE_EMPTY : ad->route);
	buf_put_u8(out, ' ');
	imap_put_string(out, ad->local);
	buf_put_u8(out, ' ');
	imap_put_string(out, ad->domain);
	buf_put_u8(out, ')');
}

/* All fields of that name, though there should be one: nobody whom the sender addressed is left out. */
static bool
put_addresses(struct buf *out, struct arena *a, const struct header *h, struct slice name, const struct limits *l)
{
	size_t left = (size_t)l->message_addresses;
	bool any = false;

	for (const struct header_field *f = header_find(h, name); f != NULL && left > 0; f = header_find_next(h, f)) {
		struct address_list list = {0};

		/* Even when the arena is exhausted what was read before is told. */
		if (address_parse(a, f->value, left, &list) != 0 && list.n == 0)
			break;
		if (!any && list.n > 0)
			buf_put_u8(out, '(');
		any |= list.n > 0;
		for (size_t i = 0; i < list.n; i++)
			put_address(out, &list.v[i]);
		left -= list.n < left ? list.n : left;
	}
	if (any)
		buf_put_u8(out, ')');
	return any;
}

/* The field, or what stands in `out` from `from` to `to` already: that of From (RFC 3501 §7.4.2). */
static void
put_addresses_or(struct buf *out, struct arena *a, const struct header *h, struct slice name, size_t from, size_t to,
    const struct limits *l)
{
	uint8_t *p;

	buf_put_u8(out, ' ');
	if (put_addresses(out, a, h, name, l))
		return;
	p = buf_reserve(out, to - from);
	if (p == NULL)
		return;
	memcpy(p, slice_range(buf_slice(out), from, to).p, to - from);
	buf_added(out, to - from);
}

static void
put_addresses_or_nil(
    struct buf *out, struct arena *a, const struct header *h, struct slice name, const struct limits *l)
{
	buf_put_u8(out, ' ');
	if (!put_addresses(out, a, h, name, l))
		buf_put(out, SLICE("NIL"));
}

void
imap_put_envelope(struct buf *out, struct arena *a, const struct header *h, const struct limits *l)
{
	size_t from, to;

	buf_put_u8(out, '(');
	put_header_string(out, a, h, SLICE("Date"));
	buf_put_u8(out, ' ');
	put_header_string(out, a, h, SLICE("Subject"));
	from = out->n + 1;
	put_addresses_or_nil(out, a, h, SLICE("From"), l);
	to = out->n;
	if (out->err != 0)
		return;
	put_addresses_or(out, a, h, SLICE("Sender"), from, to, l);
	put_addresses_or(out, a, h, SLICE("Reply-To"), from, to, l);
	put_addresses_or_nil(out, a, h, SLICE("To"), l);
	put_addresses_or_nil(out, a, h, SLICE("Cc"), l);
	put_addresses_or_nil(out, a, h, SLICE("Bcc"), l);
	buf_put_u8(out, ' ');
	put_header_string(out, a, h, SLICE("In-Reply-To"));
	buf_put_u8(out, ' ');
	put_header_string(out, a, h, SLICE("Message-ID"));
	buf_put_u8(out, ')');
}

/* ---- BODYSTRUCTURE ---- */

struct structure {
	struct buf *out;
	struct arena *a;
	const struct mime *m;
	const struct limits *l;
	bool extended;
};

static void
put_param(const struct structure *s, const struct mime_param *p)
{
	struct arena_mark mark = arena_mark(s->a);
	struct slice name, value;

	params_wire(s->a, p, &name, &value);
	imap_put_string(s->out, name);
	buf_put_u8(s->out, ' ');
	imap_put_string(s->out, value);
	if (arena_failed(s->a) && s->out->err == 0)
		s->out->err = ERR_LIMIT;
	arena_release(s->a, mark);
}

static void
put_params(const struct structure *s, const struct mime_params *p, bool ascii)
{
	struct buf *out = s->out;

	if (p->n == 0 && !ascii) {
		buf_put(out, SLICE("NIL"));
		return;
	}
	buf_put_u8(out, '(');
	for (size_t i = 0; i < p->n; i++) {
		if (i > 0)
			buf_put_u8(out, ' ');
		put_param(s, &p->v[i]);
	}
	if (ascii)
		buf_put(out, p->n > 0 ? SLICE(" \"charset\" \"us-ascii\"") : SLICE("\"charset\" \"us-ascii\""));
	buf_put_u8(out, ')');
}

/* body-fld-dsp, body-fld-lang, body-fld-loc, each with its space. */
static void
put_extension_tail(const struct structure *t, const struct mime_part *p)
{
	struct buf *out = t->out;

	buf_put_u8(out, ' ');
	if (p->disposition.n == 0) {
		buf_put(out, SLICE("NIL"));
	} else {
		buf_put_u8(out, '(');
		imap_put_string(out, p->disposition);
		buf_put_u8(out, ' ');
		put_params(t, &p->disposition_params, false);
		buf_put_u8(out, ')');
	}
	buf_put_u8(out, ' ');
	if (p->languages.n == 0) {
		buf_put(out, SLICE("NIL"));
	} else {
		buf_put_u8(out, '(');
		for (size_t i = 0; i < p->languages.n; i++) {
			if (i > 0)
				buf_put_u8(out, ' ');
			imap_put_string(out, p->languages.v[i]);
		}
		buf_put_u8(out, ')');
	}
	buf_put_u8(out, ' ');
	imap_put_nstring(out, p->location.n == 0 ? SLICE_EMPTY : p->location);
}

static void put_part(const struct structure *t, const struct mime_part *p);

static void
put_multipart(const struct structure *t, const struct mime_part *p)
{
	buf_put_u8(t->out, '(');
	for (size_t i = p->first_child; i != MIME_NONE; i = t->m->v[i].next)
		put_part(t, &t->m->v[i]);
	buf_put_u8(t->out, ' ');
	imap_put_string(t->out, p->subtype);
	if (t->extended) {
		buf_put_u8(t->out, ' ');
		put_params(t, &p->params, false);
		put_extension_tail(t, p);
	}
	buf_put_u8(t->out, ')');
}

/* What cannot be told as what it claims to be: a multipart without parts, an embedded message that was not parsed. */
static void
put_type(const struct structure *t, const struct mime_part *p, bool *text, bool *message)
{
	*text = mime_is(p, SLICE("text"), SLICE_EMPTY);
	*message = mime_is(p, SLICE("message"), SLICE("rfc822"));
	if (mime_is(p, SLICE("multipart"), SLICE_EMPTY) ||
	    (*message && (!p->has_message || p->first_child == MIME_NONE))) {
		*message = false;
		buf_put(t->out, SLICE("\"application\" \"octet-stream\" NIL"));
		return;
	}
	imap_put_string(t->out, p->type);
	buf_put_u8(t->out, ' ');
	imap_put_string(t->out, p->subtype);
	buf_put_u8(t->out, ' ');
	/* Text that does not say is in US-ASCII (RFC 2045 §5.2). */
	put_params(t, &p->params, *text && p->charset.n == 0);
}

static void
put_single(const struct structure *t, const struct mime_part *p)
{
	struct buf *out = t->out;
	bool text, message;

	buf_put_u8(out, '(');
	put_type(t, p, &text, &message);
	buf_put_u8(out, ' ');
	imap_put_nstring(out, p->id.n == 0 ? SLICE_EMPTY : p->id);
	buf_put_u8(out, ' ');
	imap_put_nstring(out, p->description.n == 0 ? SLICE_EMPTY : p->description);
	buf_put_u8(out, ' ');
	imap_put_string(out, p->encoding_given.n == 0 ? SLICE("7bit") : p->encoding_given);
	buf_put_u8(out, ' ');
	buf_put_u64(out, p->body_end - p->header_end);
	if (message) {
		const struct mime_part *child = &t->m->v[p->first_child];
		struct arena_mark mark = arena_mark(t->a);
		struct header h;

		if (mime_header(t->a, t->m, child, t->l, &h) != 0 && out->err == 0)
			out->err = ERR_LIMIT;
		buf_put_u8(out, ' ');
		imap_put_envelope(out, t->a, &h, t->l);
		arena_release(t->a, mark);
		buf_put_u8(out, ' ');
		put_part(t, child);
	}
	if (text || message) {
		buf_put_u8(out, ' ');
		buf_put_u64(out, p->body_lines);
	}
	if (t->extended) {
		buf_put_u8(out, ' ');
		imap_put_nstring(out, p->md5.n == 0 ? SLICE_EMPTY : p->md5);
		put_extension_tail(t, p);
	}
	buf_put_u8(out, ')');
}

static void
put_part(const struct structure *t, const struct mime_part *p)
{
	if (p->is_multipart && p->first_child != MIME_NONE)
		put_multipart(t, p);
	else
		put_single(t, p);
}

void
imap_put_structure(struct buf *out, struct arena *a, const struct mime *m, const struct limits *l, bool extended)
{
	struct structure t = {out, a, m, l, extended};

	put_part(&t, &m->v[0]);
}

/* ---- HEADER.FIELDS ---- */

static int
by_name(const void *a, const void *b)
{
	return slice_icmp(*(const struct slice *)a, *(const struct slice *)b);
}

void
imap_put_fields(
    struct buf *out, struct arena *a, struct slice header, const struct imap_section *s, const struct limits *l)
{
	struct header_iter it = header_iter_of(header, (size_t)l->message_header_bytes);
	struct slice *sorted = ARENA_ARRAY(a, struct slice, s->names.n);
	struct header_field f;

	if (sorted == NULL) {
		if (out->err == 0)
			out->err = ERR_LIMIT;
		return;
	}
	if (s->names.n > 0) {
		memcpy(sorted, s->names.v, s->names.n * sizeof(*sorted));
		qsort(sorted, s->names.n, sizeof(*sorted), by_name);
	}
	while (header_next(&it, &f)) {
		bool named = s->names.n > 0 && bsearch(&f.name, sorted, s->names.n, sizeof(*sorted), by_name) != NULL;

		if (named == s->fields_not)
			continue;
		buf_put(out, f.raw);
		if (!slice_ends(f.raw, SLICE("\n")))
			buf_put(out, SLICE("\r\n"));
	}
	buf_put(out, SLICE("\r\n"));
}
