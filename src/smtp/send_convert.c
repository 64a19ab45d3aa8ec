#include "smtp/send_convert.h"

#include "message/mime.h"
#include "smtp/send.h"

#define TEXT_LINE_MAX 998 /* RFC 5322 §2.1.1 */

struct conversion {
	const struct mime *m;
	bool eight_bit, binary;
	struct buf *out;
	size_t done; /* m->raw up to here is in `out` */
};

bool
smtp_convert_is_needed(struct slice text, bool eight_bit, bool binary)
{
	size_t line = 0;
	uint8_t before = 0;

	if (!eight_bit && !slice_is_ascii(text))
		return true;
	if (!binary)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = slice_at(text, i);

		if (c == 0 || (before == '\r' && c != '\n') || (c == '\n' && before != '\r'))
			return true;
		line = c == '\n' ? 0 : line + 1;
		if (line > TEXT_LINE_MAX + 1) /* its CR */
			return true;
		before = c;
	}
	return before == '\r';
}

/* What lies between parts: boundaries, and text that nobody reads. */
static void
copy_to(struct conversion *c, size_t end)
{
	struct slice text = slice_range(c->m->raw, c->done, end);

	if (c->eight_bit || slice_is_ascii(text)) {
		buf_put(c->out, text);
	} else {
		for (size_t i = 0; i < text.n; i++)
			buf_put_u8(c->out, slice_at(text, i) > 127 ? '?' : slice_at(text, i));
	}
	c->done = end;
}

/* The header of a part with another transfer encoding. */
static void
put_header(struct conversion *c, const struct mime_part *p, const char *encoding)
{
	struct slice raw = mime_raw_header(c->m, p);
	struct header_iter it = header_iter_of(raw, raw.n);
	struct header_field f;
	bool version = false;

	while (header_next(&it, &f)) {
		version |= slice_ieq(f.name, SLICE("MIME-Version"));
		if (!slice_ieq(f.name, SLICE("Content-Transfer-Encoding")))
			buf_put(c->out, f.raw);
	}
	if (p->is_message && !version)
		buf_put_z(c->out, "MIME-Version: 1.0\r\n");
	/* RFC 1428 §3: text of which nobody says what it is. */
	if (p->is_message && !p->type_given)
		buf_put_z(c->out, "Content-Type: text/plain; charset=unknown-8bit\r\n");
	buf_printf(c->out, "Content-Transfer-Encoding: %s\r\n\r\n", encoding);
	c->done = p->header_end;
}

static bool
is_signed(const struct mime *m, const struct mime_part *p)
{
	for (;;) {
		if (mime_is(p, SLICE("multipart"), SLICE("signed")))
			return true;
		if (p->parent == MIME_NONE)
			return false;
		p = &m->v[p->parent];
	}
}

/* Does the part's field promise more than the transport has? */
static bool
says_too_much(const struct conversion *c, const struct mime_part *p)
{
	return p->encoding == ENCODING_BINARY || (p->encoding == ENCODING_8BIT && !c->eight_bit);
}

static int
convert_leaf(struct conversion *c, const struct mime_part *p)
{
	struct slice body = mime_raw_body(c->m, p);
	bool text = mime_is(p, SLICE("text"), SLICE_EMPTY) && slice_find_byte(body, 0) == SLICE_NONE;

	if (!smtp_convert_is_needed(body, c->eight_bit, c->binary) && !says_too_much(c, p))
		return 0;
	if (is_signed(c->m, p))
		return ERR_UNSUPPORTED;
	copy_to(c, p->header_start);
	put_header(c, p, text ? "quoted-printable" : "base64");
	if (text)
		encoding_put_qp(body, true, c->out);
	else
		encoding_put_base64(body, c->out);
	c->done = p->body_end;
	return c->out->err;
}

static int
convert_container(struct conversion *c, const struct mime_part *p)
{
	if (!says_too_much(c, p))
		return 0;
	if (p->parent != MIME_NONE && is_signed(c->m, &c->m->v[p->parent]))
		return ERR_UNSUPPORTED;
	copy_to(c, p->header_start);
	put_header(c, p, c->eight_bit ? "8bit" : "7bit");
	return c->out->err;
}

int
smtp_convert_message(
    struct arena *a, struct slice message, bool eight_bit, bool binary, const struct limits *limits, struct buf *out)
{
	struct mime m;
	struct conversion c = {.m = &m, .eight_bit = eight_bit, .binary = binary, .out = out};
	int e = mime_parse(a, message, limits, CHARSET_FIBER, &m);

	if (e == 0 && m.limited)
		e = ERR_UNSUPPORTED;
	for (size_t i = 0; e == 0 && i < m.n; i++) {
		const struct mime_part *p = &m.v[i];

		copy_to(&c, p->header_start);
		e = p->is_multipart || p->has_message ? convert_container(&c, p) : convert_leaf(&c, p);
		if (e == 0 && c.done < p->header_end) {
			buf_put(out, slice_range(message, c.done, p->header_end));
			c.done = p->header_end;
		}
		if (e == 0 && !(p->is_multipart || p->has_message) && c.done < p->body_end) {
			buf_put(out, slice_range(message, c.done, p->body_end));
			c.done = p->body_end;
		}
	}
	if (e == 0)
		copy_to(&c, message.n);
	return e != 0 ? e : out->err;
}

/* ---- for the sender --------------------------------------------------------------------------------------- */

struct convert_job {
	struct slice message;
	bool eight_bit, binary, needed;
	const struct limits *limits;
	struct buf *out;
};

/* On a worker thread: messages are large, and reading them takes its time. */
static int
convert(void *arg)
{
	struct convert_job *j = arg;
	struct arena a ARENA_CLEANUP;

	j->needed = smtp_convert_is_needed(j->message, j->eight_bit, j->binary);
	if (!j->needed)
		return 0;
	arena_init(&a, mime_arena_max(j->limits, j->message.n));
	return smtp_convert_message(&a, j->message, j->eight_bit, j->binary, j->limits, j->out);
}

int
smtp_convert(struct smtp_sender *s, bool eight_bit)
{
	struct smtp_send_job *job = s->job;
	struct buf whole BUF_CLEANUP;
	struct convert_job j = {.message = job->body,
	    .eight_bit = eight_bit,
	    .binary = s->content.form == SMTP_BODY_BINARY,
	    .limits = &s->house->limits,
	    .out = &s->converted};
	int e = 0;

	buf_init(&whole, (size_t)s->house->limits.send_convert_bytes);
	if (job->size_bytes > s->house->limits.send_convert_bytes)
		return ERR_LIMIT;
	if (job->fd >= 0) {
		e = smtp_sender_load(s, (size_t)job->size_bytes, &whole);
		j.message = buf_slice(&whole);
	}
	buf_reset(&s->converted);
	if (e == 0)
		e = job->workers != NULL ? work_run(job->workers, convert, &j) : convert(&j);
	if (e != 0)
		return e;
	s->content.form = SMTP_BODY_7BIT;
	if (!j.needed)
		return 0;
	s->content.body = buf_slice(&s->converted);
	s->content.fd = -1;
	s->content.size_bytes = (int64_t)s->converted.n;
	if (eight_bit && !slice_is_ascii(s->content.body))
		s->content.form = SMTP_BODY_8BIT;
	return 0;
}
