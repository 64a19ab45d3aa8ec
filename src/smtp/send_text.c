/* send_text.c: the message itself, after DATA with dots doubled (RFC 5321 §4.5.2) or in chunks (RFC 3030 §2). In both a CR or LF
 * that stands alone becomes CR LF, except in BINARYMIME, where every octet counts. */
#include "smtp/send.h"

#include "smtp/stuff.h"

#include <errno.h>

#define READ_CHUNK 65536
#define CHUNK_BYTES ((size_t)65536)
#define CHUNKS_AHEAD 16
/* RFC 5321 §4.5.3.2.5: a block of data. */
#define BLOCK_TIMEOUT_MS 180000

/* Takes the pieces of the message. */
typedef int text_sink(void *ctx, struct slice piece);

/* ---- reading ---------------------------------------------------------------------------------------------- */

struct read_job {
	int fd;
	uint8_t *to;
	size_t n;
	int64_t offset;
};

/* On a worker thread: exactly n bytes; a file that is shorter than it was is damaged. */
static int
read_chunk(void *arg)
{
	struct read_job *j = arg;

	while (j->n > 0) {
		ssize_t n = pread(j->fd, j->to, j->n, j->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? ERR_DAMAGED : err_from_errno(errno);
		j->to += n;
		j->n -= (size_t)n;
		j->offset += n;
	}
	return 0;
}

/* Appends n bytes of the job's file from `at` on. */
static int
read_file(struct smtp_sender *s, int64_t at, size_t n, struct buf *out)
{
	struct read_job r = {s->job->fd, buf_reserve(out, n), n, at};
	int e;

	if (r.to == NULL)
		return out->err;
	e = s->job->workers != NULL ? work_run(s->job->workers, read_chunk, &r) : read_chunk(&r);
	if (e != 0)
		return e == ERR_BUSY ? e : ERR_DAMAGED;
	buf_added(out, n);
	return 0;
}

int
smtp_sender_load(struct smtp_sender *s, size_t max, struct buf *out)
{
	size_t n = (uint64_t)s->job->size_bytes < max ? (size_t)s->job->size_bytes : max;

	return read_file(s, 0, n, out);
}

/* All of the content, piece by piece. */
static int
walk(struct smtp_sender *s, text_sink *sink, void *ctx)
{
	const struct smtp_content *c = &s->content;
	struct buf piece BUF_CLEANUP;
	int e = sink(ctx, c->head);

	if (e != 0 || c->fd < 0)
		return e != 0 ? e : sink(ctx, c->body);
	buf_init(&piece, READ_CHUNK);
	for (int64_t at = 0; e == 0 && at < c->size_bytes;) {
		size_t n = c->size_bytes - at < READ_CHUNK ? (size_t)(c->size_bytes - at) : READ_CHUNK;

		piece.n = 0;
		e = read_file(s, at, n, &piece);
		if (e == 0)
			e = sink(ctx, buf_slice(&piece));
		at += (int64_t)n;
	}
	return e;
}

static int
put(struct smtp_sender *s, struct slice text)
{
	stream_set_deadline(s->c->st, loop_deadline(s->job->loop, BLOCK_TIMEOUT_MS));
	return stream_write(s->c->st, text);
}

/* ---- DATA ------------------------------------------------------------------------------------------------- */

struct dotted {
	struct smtp_sender *s;
	struct smtp_stuff stuff;
};

static int
put_run(void *ctx, struct slice run)
{
	return put(ctx, run);
}

static int
stuff(void *ctx, struct slice piece)
{
	struct dotted *d = ctx;

	return smtp_stuff_feed(&d->stuff, piece, put_run, d->s);
}

int
smtp_sender_data(struct smtp_sender *s)
{
	struct dotted d = {.s = s};
	int e = walk(s, stuff, &d);

	if (e == 0)
		e = smtp_stuff_end(&d.stuff, put_run, s);
	return e != 0 ? e : stream_flush(s->c->st);
}

/* ---- BDAT ------------------------------------------------------------------------------------------------- */

struct chunks {
	struct smtp_sender *s;
	struct buf b;
	bool after_cr, in_line; /* of lines that are made whole */
	size_t ahead;           /* chunks whose replies have not come */
	bool refused;           /* a reply was no 2xx: it is in s->reply, and the rest is not sent */
};

/* The reply to the oldest chunk without one. */
static int
take_reply(struct chunks *c, bool last)
{
	struct smtp_sender *s = c->s;
	int e;

	c->ahead--;
	if (c->refused) {
		/* The first refusal is the one that tells; the others follow from it. */
		struct smtp_reply first = s->reply;

		smtp_reply_init(&s->reply, first.max);
		e = smtp_sender_reply(s, s->house->limits.send_command_timeout_ms, NULL);
		smtp_reply_free(&s->reply);
		s->reply = first;
		return e;
	}
	e = smtp_sender_reply(
	    s, last ? s->house->limits.send_data_timeout_ms : s->house->limits.send_command_timeout_ms, NULL);
	c->refused = e == 0 && !smtp_reply_class(&s->reply, 2);
	return e;
}

static int
send_chunk(struct chunks *c, bool last)
{
	struct smtp_sender *s = c->s;
	char line[64];
	int n = snprintf(line, sizeof(line), "BDAT %zu%s\r\n", c->b.n, last ? " LAST" : ""), e;

	ASSERT(n > 0 && (size_t)n < sizeof(line));
	e = put(s, slice_of(line, (size_t)n));
	if (e == 0)
		e = put(s, buf_slice(&c->b));
	buf_truncate(&c->b, 0);
	c->ahead++;
	while (e == 0 && c->ahead > (last || !s->c->can.pipelining ? 0 : CHUNKS_AHEAD)) {
		e = stream_flush(s->c->st);
		if (e == 0)
			e = take_reply(c, last && c->ahead == 1);
	}
	return e;
}

static int
collect(struct chunks *c, struct slice text)
{
	int e = 0;

	while (e == 0 && text.n > 0 && !c->refused) {
		size_t room = CHUNK_BYTES - c->b.n;
		struct slice part = slice_head(text, room);

		buf_put(&c->b, part);
		text = slice_from(text, part.n);
		e = c->b.err;
		if (e == 0 && c->b.n == CHUNK_BYTES)
			e = send_chunk(c, false);
	}
	return e;
}

/* Lines with whole ends. */
static int
collect_lines(struct chunks *c, struct slice text)
{
	int e = 0;

	for (size_t from = 0; e == 0 && from < text.n;) {
		struct slice rest = slice_from(text, from);
		size_t cr, lf, end;

		if (c->after_cr) {
			c->after_cr = c->in_line = false;
			from += slice_at(rest, 0) == '\n';
			e = collect(c, SLICE("\n"));
			continue;
		}
		cr = slice_find_byte(rest, '\r');
		lf = slice_find_byte(slice_head(rest, cr == SLICE_NONE ? rest.n : cr), '\n');
		end = lf != SLICE_NONE ? lf : cr != SLICE_NONE ? cr + 1 : rest.n;
		e = collect(c, slice_head(rest, end));
		c->in_line = true;
		from += end;
		if (e == 0 && lf != SLICE_NONE) {
			e = collect(c, SLICE("\r\n"));
			c->in_line = false;
			from++;
		} else if (cr != SLICE_NONE) {
			c->after_cr = true;
		}
	}
	return e;
}

static int
chunk_piece(void *ctx, struct slice piece)
{
	struct chunks *c = ctx;

	return c->s->content.form == SMTP_BODY_BINARY ? collect(c, piece) : collect_lines(c, piece);
}

int
smtp_sender_bdat(struct smtp_sender *s)
{
	struct chunks c = {.s = s};
	int e;

	buf_init(&c.b, CHUNK_BYTES);
	e = walk(s, chunk_piece, &c);
	if (e == 0 && c.after_cr)
		e = collect(&c, SLICE("\n"));
	else if (e == 0 && c.in_line)
		e = collect(&c, SLICE("\r\n"));
	/* After a refusal RSET ends the transaction; the rest is not sent. */
	if (e == 0 && !c.refused)
		e = send_chunk(&c, true);
	while (e == 0 && c.ahead > 0)
		e = take_reply(&c, false);
	buf_free(&c.b);
	return e;
}
