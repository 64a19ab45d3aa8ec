/* dsn.c: delivery status notifications: multipart/report (RFC 6522) of a text for people, message/delivery-status (RFC
 * 3464) and the message or its header. Everything in it is 7bit, so that any server on the way back takes it; only a
 * sender's address that is not ASCII itself stands in To as UTF-8. Of a message that came with SMTPUTF8 the report has the
 * forms of RFC 6533, in UTF-8. */
#include "message/build.h"

#include "message/encoding.h"
#include "message/header.h"
#include "message/words.h"

static const struct {
	const char *word;
	const char *status;
} actions[] = {
    [BUILD_DSN_FAILED] = {"failed", "5.0.0"},
    [BUILD_DSN_DELAYED] = {"delayed", "4.0.0"},
    [BUILD_DSN_DELIVERED] = {"delivered", "2.0.0"},
    [BUILD_DSN_RELAYED] = {"relayed", "2.0.0"},
    [BUILD_DSN_EXPANDED] = {"expanded", "2.0.0"},
};

/* class.subject.detail (RFC 3463 §2). */
static bool
status_is_valid(struct slice s)
{
	struct slice rest = s, part;

	for (int i = 0; i < 3; i++) {
		uint64_t v;

		part = slice_cut(&rest, '.');
		if (slice_to_u64(part, 999, &v) != 0 || part.n > 3 || (i == 0 && v != 2 && v != 4 && v != 5))
			return false;
	}
	return rest.p == NULL;
}

/* ASCII without control bytes: others become "?". */
static void
put_ascii(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		buf_put_u8(out, c < ' ' || c == 0x7f ? ' ' : c >= 0x80 ? '?' : c);
	}
}

/* The character at i of valid UTF-8; *n is its length. */
static uint32_t
codepoint(struct slice s, size_t i, size_t *n)
{
	uint8_t c = slice_at(s, i);
	uint32_t v = c < 0x80 ? c : c < 0xe0 ? c & 31u : c < 0xf0 ? c & 15u : c & 7u;

	*n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	for (size_t k = 1; k < *n; k++)
		v = v << 6 | (slice_at(s, i + k) & 63u);
	return v;
}

/* utf-8-addr-unitext, where UTF-8 may go, or utf-8-addr-xtext (RFC 6533 §3). */
static void
put_utf8_address(struct buf *out, struct slice s, bool raw)
{
	size_t n;

	for (size_t i = 0; i < s.n; i += n) {
		uint32_t c = codepoint(s, i, &n);

		if (raw && c >= 0xa0)
			buf_put(out, slice_range(s, i, i + n));
		else if (c <= ' ' || c >= 0x7f || c == '\\' || c == '+' || c == '=')
			buf_printf(out, "\\x{%02X}", c);
		else
			buf_put_u8(out, (uint8_t)c);
	}
}

static void
put_typed_address(struct buf *out, struct slice name, struct slice address, bool raw)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, address.n * 8 + 32);
	if (!slice_is_ascii(address) && slice_is_utf8(address, true)) {
		buf_put(&b, SLICE("utf-8; "));
		put_utf8_address(&b, address, raw);
	} else {
		buf_put(&b, SLICE("rfc822; "));
		put_ascii(&b, address);
	}
	build_field_raw(out, name, buf_slice(&b));
}

/* `type; value`: ASCII, or UTF-8 where that may go. */
static void
put_typed(struct buf *out, struct slice name, const char *type, struct slice value, bool raw)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, value.n + 32);
	buf_put_z(&b, type);
	if (raw && slice_is_utf8(value, true))
		buf_put(&b, value);
	else
		put_ascii(&b, value);
	build_field_raw(out, name, buf_slice(&b));
}

/* ORCPT as it was given: "utf-8;..." in the form that fits, all else unchanged. */
static void
put_original_recipient(struct buf *out, struct slice orcpt, bool raw)
{
	struct slice address = orcpt, type = slice_cut(&address, ';');

	if (slice_ieq(type, SLICE("utf-8")) && !slice_is_ascii(address) && slice_is_utf8(address, true))
		put_typed_address(out, SLICE("Original-Recipient"), address, raw);
	else
		put_typed(out, SLICE("Original-Recipient"), "", orcpt, false);
}

static void
put_recipient(struct buf *out, const struct build_dsn_recipient *r, bool raw)
{
	buf_put(out, SLICE("\r\n"));
	if (r->original.n > 0)
		put_original_recipient(out, r->original, raw);
	put_typed_address(out, SLICE("Final-Recipient"), r->final, raw);
	buf_printf(out, "Action: %s\r\n", actions[r->action].word);
	build_field_raw(
	    out, SLICE("Status"), status_is_valid(r->status) ? r->status : slice_z(actions[r->action].status));
	if (r->remote_mta.n > 0)
		put_typed(out, SLICE("Remote-MTA"), "dns; ", r->remote_mta, false);
	if (r->diagnostic.n > 0)
		put_typed(out, SLICE("Diagnostic-Code"), "smtp; ", r->diagnostic, raw);
	if (r->last_attempt_s != 0)
		build_field_date(out, SLICE("Last-Attempt-Date"), r->last_attempt_s);
	if (r->will_retry_until_s != 0)
		build_field_date(out, SLICE("Will-Retry-Until"), r->will_retry_until_s);
}

static void
put_status(struct buf *out, const struct build_dsn *d)
{
	if (d->utf8)
		buf_put(out,
		    SLICE("Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
	else
		buf_put(out, SLICE("Content-Type: message/delivery-status\r\n\r\n"));
	if (d->envelope_id.n > 0)
		put_typed(out, SLICE("Original-Envelope-Id"), "", d->envelope_id, false);
	put_typed(out, SLICE("Reporting-MTA"), "dns; ", d->reporting_mta, false);
	if (d->arrival_s != 0)
		build_field_date(out, SLICE("Arrival-Date"), d->arrival_s);
	for (size_t i = 0; i < d->recipients_n; i++)
		put_recipient(out, &d->recipients[i], d->utf8);
}

/* What others said: made valid UTF-8 on one line. */
static void
put_line_text(struct buf *out, struct slice s)
{
	words_decode(s, CHARSET_FIBER, out);
}

#define TEXT_WIDTH 76

/* `said` and what was said, as an indented paragraph: broken between words. */
static void
put_paragraph(struct buf *out, struct slice who, struct slice said)
{
	BUF_CLEANUP struct buf line;
	struct slice rest;
	size_t at = 0;

	buf_init(&line, out->max);
	if (who.n > 0) {
		put_line_text(&line, who);
		buf_put(&line, SLICE(" said: "));
	}
	put_line_text(&line, said);
	rest = buf_slice(&line);
	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ' ');

		if (word.n == 0)
			continue;
		if (at == 0 || at + 1 + word.n > TEXT_WIDTH) {
			buf_put_z(out, at == 0 ? "    " : "\n    ");
			at = 4;
		} else {
			buf_put_u8(out, ' ');
			at++;
		}
		buf_put(out, word);
		at += word.n;
	}
	buf_put_u8(out, '\n');
	if (line.err != 0 && out->err == 0)
		out->err = line.err;
}

/* The part for people. */
static void
put_text(struct buf *out, const struct build_dsn *d)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, out->max);
	charset_guess_to_utf8(d->text, &b);
	if (d->text.n > 0 && !slice_ends(d->text, SLICE("\n")))
		buf_put_u8(&b, '\n');
	for (size_t i = 0; i < d->recipients_n; i++) {
		const struct build_dsn_recipient *r = &d->recipients[i];

		buf_put(&b, SLICE("\n<"));
		put_line_text(&b, r->final);
		buf_put(&b, SLICE(">\n"));
		if (r->explanation.n > 0)
			put_paragraph(&b, SLICE_EMPTY, r->explanation);
		if (r->diagnostic.n > 0)
			put_paragraph(
			    &b, r->remote_mta.n > 0 ? r->remote_mta : SLICE("The other server"), r->diagnostic);
	}
	if (d->queue_id.n > 0) {
		buf_put(&b, SLICE("\nIf you ask the postmaster of "));
		put_line_text(&b, d->reporting_mta);
		buf_put(&b, SLICE(" about it, name this number:\n    "));
		put_line_text(&b, d->queue_id);
		buf_put_u8(&b, '\n');
	}
	build_text_body(out, buf_slice(&b));
	if (b.err != 0 && out->err == 0)
		out->err = b.err;
}

/* ASCII without NUL in lines that every server takes. */
static bool
is_7bit_safe(struct slice s)
{
	return encoding_choose(s) == ENCODING_7BIT;
}

#define LINE_BYTES_MAX 998

/* UTF-8 without NUL in lines that every server takes. */
static bool
is_8bit_safe(struct slice s)
{
	if (!slice_is_utf8(s, true))
		return false;
	while (s.p != NULL)
		if (slice_cut(&s, '\n').n > LINE_BYTES_MAX)
			return false;
	return true;
}

static void
put_original(struct buf *out, struct house *h, const struct build_dsn *d)
{
	size_t max = (size_t)h->limits.bounce_returned_bytes;
	struct header_iter it = header_iter_of(d->original, (size_t)h->limits.message_header_bytes);
	struct header_field f;
	struct slice head;
	enum encoding e;

	if (!d->headers_only && d->original.n <= max && d->utf8 && is_8bit_safe(d->original)) {
		buf_put(out, SLICE("Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
		encoding_encode(ENCODING_8BIT, d->original, out);
		return;
	}
	if (!d->headers_only && d->original.n <= max && is_7bit_safe(d->original)) {
		buf_put(out, SLICE("Content-Type: message/rfc822\r\n\r\n"));
		encoding_encode(ENCODING_7BIT, d->original, out);
		return;
	}
	/* Whole fields, as many as fit; without the empty line. */
	head = SLICE_EMPTY;
	while (header_next(&it, &f) && it.pos <= max)
		head = slice_head(d->original, it.pos);
	if (d->utf8 && is_8bit_safe(head)) {
		buf_put(out, SLICE("Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
		encoding_encode(ENCODING_8BIT, head, out);
		return;
	}
	e = encoding_choose(head);
	buf_put(out, SLICE("Content-Type: text/rfc822-headers\r\n"));
	buf_printf(out, "Content-Transfer-Encoding: %s\r\n\r\n", encoding_name(e));
	encoding_encode(e, head, out);
}

static void
put_boundary(struct buf *out, const char *boundary, bool last)
{
	if (!slice_ends(buf_slice(out), SLICE("\r\n")))
		buf_put(out, SLICE("\r\n"));
	buf_printf(out, "\r\n--%s%s\r\n", boundary, last ? "--" : "");
}

/* One mailbox given as local@domain, perhaps with a local part that needs quoting. */
static void
put_mailbox(struct buf *out, struct slice name, struct slice display, struct slice address)
{
	struct address ad = {.name = display, .local = address};
	struct address_list l = {.v = &ad, .n = 1};

	(void)mailbox_cut(address, &ad.local, &ad.domain);
	build_field_addresses(out, name, &l);
}

int
build_dsn(struct house *h, const struct build_dsn *d, struct buf *out)
{
	char boundary[BUILD_BOUNDARY_MAX];

	build_boundary(h, boundary);
	build_field_date(out, SLICE("Date"), house_now_s(h));
	put_mailbox(out, SLICE("From"), d->from_name, d->from);
	put_mailbox(out, SLICE("To"), SLICE_EMPTY, d->to);
	build_field(out, SLICE("Subject"), d->subject);
	build_field_message_id(out, h, d->reporting_mta, NULL);
	buf_put(out, SLICE("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"));
	if (d->utf8)
		buf_put(out, SLICE("Content-Transfer-Encoding: 8bit\r\n"));
	buf_printf(out,
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n\r\n"
	    "This is a report about the delivery of a message, in MIME format.\r\n",
	    boundary);
	put_boundary(out, boundary, false);
	put_text(out, d);
	put_boundary(out, boundary, false);
	put_status(out, d);
	put_boundary(out, boundary, false);
	put_original(out, h, d);
	put_boundary(out, boundary, true);
	return out->err;
}
