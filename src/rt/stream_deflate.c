/* stream_deflate.c: a stream whose bytes are compressed on their way (RFC 1951 raw blocks, as RFC 4978 and others use
 * them), between the buffers of stream.c and the descriptor or TLS. Memory is bounded whatever the peer sends: one
 * call inflates at most what its caller has room for, so a bomb only meets the limits that plain bytes meet.
 *
 * A stream that waits gives the compressor back: each flush ends at a byte, and blocks of a fresh compressor, which
 * refer to nothing before them, continue the peer's stream. The window of the peer's own blocks has to stay. */
#include "rt/stream_private.h"

#include <zlib.h>

/* Small windows: replies are short, sessions many. 8 KB + 16 KB windows and tables instead of 256 KB. */
#define DEFLATE_WINDOW_BITS 12
#define DEFLATE_MEMORY 5
#define INFLATE_WINDOW_BITS 15
#define IN_BYTES ((size_t)4 * 1024)
#define OUT_BYTES ((size_t)16 * 1024)

struct stream_deflate {
	z_stream inflater, deflater;
	bool deflating; /* the compressor is there */
	bool more;      /* the last read filled its room: there may be more without new input */
	bool unflushed; /* bytes are in the compressor that the peer cannot see yet */
	bool ended;     /* the peer's stream has its final block */
	struct stream_bytes in, out;
};

int
stream_start_deflate(struct stream *st)
{
	struct stream_deflate *d;
	int r = stream_flush(st);

	if (r == 0 && (st->in.n > 0 || st->deflate != NULL))
		r = ERR_SYNTAX;
	if (r != 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (d == NULL || inflateInit2(&d->inflater, -INFLATE_WINDOW_BITS) != Z_OK) {
		free(d);
		return ERR_NOMEM;
	}
	st->deflate = d;
	return 0;
}

bool
stream_is_deflate(const struct stream *st)
{
	return st->deflate != NULL;
}

static void
compressor_free(struct stream_deflate *d)
{
	if (d->deflating)
		(void)deflateEnd(&d->deflater);
	d->deflating = false;
}

void
stream_deflate_release(struct stream_deflate *d)
{
	if (d->in.n == 0)
		stream_bytes_free(&d->in);
	if (d->out.n == 0)
		stream_bytes_free(&d->out);
	if (d->out.n == 0 && !d->unflushed)
		compressor_free(d);
}

void
stream_deflate_free(struct stream_deflate **dp)
{
	struct stream_deflate *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	compressor_free(d);
	(void)inflateEnd(&d->inflater);
	stream_bytes_free(&d->in);
	stream_bytes_free(&d->out);
	free(d);
}

/* ---- input ---- */

/* Inflates what is there into p, one block at most, so that nothing is looked at before it has to be: the bytes made, or
 * ERR_SYNTAX. */
static int64_t
inflate_some(struct stream_deflate *d, void *p, size_t n)
{
	uInt room = n > UINT32_MAX ? UINT32_MAX : (uInt)n;
	int r;

	d->inflater.next_in = stream_bytes_first(&d->in);
	d->inflater.avail_in = (uInt)d->in.n;
	d->inflater.next_out = p;
	d->inflater.avail_out = room;
	r = inflate(&d->inflater, Z_BLOCK);
	stream_bytes_took(&d->in, d->in.n - d->inflater.avail_in);
	d->more = d->inflater.avail_out == 0;
	if (r == Z_STREAM_END)
		d->ended = true;
	else if (r != Z_OK && r != Z_BUF_ERROR)
		return r == Z_MEM_ERROR ? ERR_NOMEM : ERR_SYNTAX;
	return (int64_t)(room - d->inflater.avail_out);
}

int64_t
stream_deflate_read(struct stream *st, void *p, size_t n, int *want)
{
	struct stream_deflate *d = st->deflate;
	uint8_t raw[IN_BYTES];

	for (;;) {
		int64_t got = 0;
		int r;

		for (size_t before = SIZE_MAX;
		     got == 0 && !d->ended && (d->in.n > 0 || d->more) && d->in.n != before;) {
			before = d->in.n;
			got = inflate_some(d, p, n);
		}
		if (got != 0)
			return got > 0 ? got : stream_fail(st, (int)got);
		if (d->ended)
			return ERR_CLOSED;
		got = stream_transport_read(st, raw, sizeof(raw), want);
		if (got < 0)
			return got;
		r = stream_bytes_put(&d->in, raw, (size_t)got);
		if (r != 0)
			return stream_fail(st, r);
	}
}

/* ---- output ---- */

/* Sends what is compressed: 0, ERR_BUSY with *want, or an error. */
static int
drain(struct stream *st, int *want)
{
	struct stream_deflate *d = st->deflate;

	while (d->out.n > 0) {
		int64_t put = stream_transport_write(st, stream_bytes_first(&d->out), d->out.n, want);

		if (put < 0)
			return (int)put;
		stream_bytes_took(&d->out, (size_t)put);
	}
	return 0;
}

/* Runs the compressor over what it was given until it has no more to say. */
static int
compress_all(struct stream_deflate *d, int flush)
{
	uint8_t made[2048];
	int r;

	do {
		d->deflater.next_out = made;
		d->deflater.avail_out = sizeof(made);
		if (deflate(&d->deflater, flush) == Z_STREAM_ERROR)
			return ERR_INVALID;
		r = stream_bytes_put(&d->out, made, sizeof(made) - d->deflater.avail_out);
	} while (r == 0 && d->deflater.avail_out == 0);
	return r;
}

int64_t
stream_deflate_write(struct stream *st, const void *p, size_t n, int *want)
{
	struct stream_deflate *d = st->deflate;
	int r = 0;

	/* One block of output at a time waits for the peer. */
	if (d->out.n > 0) {
		r = drain(st, want);
		if (r != 0)
			return r;
	}
	if (!d->deflating) {
		if (deflateInit2(&d->deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -DEFLATE_WINDOW_BITS, DEFLATE_MEMORY,
			Z_DEFAULT_STRATEGY) != Z_OK)
			return ERR_NOMEM;
		d->deflating = true;
	}
	n = n < OUT_BYTES ? n : OUT_BYTES;
	d->deflater.next_in = (Bytef *)(uintptr_t)p;
	d->deflater.avail_in = (uInt)n;
	r = compress_all(d, Z_NO_FLUSH);
	if (r != 0)
		return r;
	ASSERT(d->deflater.avail_in == 0);
	d->unflushed = true;
	return (int64_t)n;
}

int
stream_deflate_flush(struct stream *st, int *want)
{
	struct stream_deflate *d = st->deflate;
	int r = 0;

	if (d->unflushed) {
		d->deflater.next_in = NULL;
		d->deflater.avail_in = 0;
		r = compress_all(d, Z_SYNC_FLUSH);
		if (r == 0)
			d->unflushed = false;
	}
	return r == 0 ? drain(st, want) : r;
}

/* ---- the end ---- */

/* Is the peer's stream at the end of a block that ends with a byte, with nothing made of it? */
static bool
is_between(const struct stream_deflate *d)
{
	return d->ended || ((d->inflater.data_type & 128) != 0 && (d->inflater.data_type & 7) == 0);
}

/* A flush is an empty block. Takes it, byte by byte, and what comes before it must make nothing. */
static int
finish_input(struct stream *st)
{
	struct stream_deflate *d = st->deflate;
	int64_t end_ms = stream_wait_end(st, st->read_ms);

	while (!is_between(d) || d->more) {
		uint8_t raw, made;
		int want = 0;
		int64_t got = d->in.n > 0 || d->more ? inflate_some(d, &made, 1) : 0;

		if (got != 0)
			return got < 0 ? (int)got : ERR_SYNTAX;
		if (d->in.n > 0 || is_between(d))
			continue;
		got = stream_transport_read(st, &raw, 1, &want);
		if (got == 1)
			got = stream_bytes_put(&d->in, &raw, 1);
		else if (got == ERR_BUSY)
			got = stream_wait(st, STREAM_READER, want, end_ms);
		if (got < 0)
			return (int)got;
	}
	return 0;
}

int
stream_stop_deflate(struct stream *st)
{
	int r = stream_flush(st);

	if (r != 0 || st->deflate == NULL)
		return r;
	r = st->in.n > 0 ? ERR_SYNTAX : finish_input(st);
	if (r == 0 && st->deflate->in.n > 0)
		r = stream_bytes_put(&st->in, stream_bytes_first(&st->deflate->in), st->deflate->in.n);
	if (r != 0)
		return stream_fail(st, r);
	st->scanned = 0;
	stream_deflate_free(&st->deflate);
	return 0;
}
