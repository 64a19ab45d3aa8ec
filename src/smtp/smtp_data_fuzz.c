/* The text after DATA in pieces of any sizes, against a reader of one byte at a time; what comes out, when good, goes
 * through the client's stuffing and comes back the same. */
#include "base/buf.h"
#include "smtp/data.h"
#include "smtp/header_watch.h"
#include "smtp/stuff.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int
sink(void *ctx, struct slice run)
{
	buf_put(ctx, run);
	return 0;
}

/* The plainest possible reader: the end is CR LF . CR LF, or . CR LF at the beginning. Returns what was used. */
static size_t
reference(struct slice in, struct buf *out, bool *bare, bool *ended)
{
	size_t i = 0;

	*bare = *ended = false;
	while (i < in.n) {
		bool start = i == 0 || (i >= 2 && slice_at(in, i - 2) == '\r' && slice_at(in, i - 1) == '\n');
		uint8_t c = slice_at(in, i);

		if (start && c == '.') {
			if (slice_starts(slice_from(in, i), SLICE(".\r\n"))) {
				*ended = true;
				return i + 3;
			}
			i++;
			continue;
		}
		*bare |= c == '\r' && i + 1 < in.n && slice_at(in, i + 1) != '\n';
		*bare |= c == '\n' && (i == 0 || slice_at(in, i - 1) != '\r');
		buf_put_u8(out, c);
		i++;
	}
	return i;
}

static size_t
feed(struct smtp_data *d, struct slice in, uint8_t seed, struct buf *out)
{
	size_t at = 0, used, step = seed;

	while (at < in.n && d->state != SMTP_DATA_END) {
		size_t to;

		step = (step * 7 + 3) % 61;
		to = at + 1 + step;
		ASSERT(smtp_data_feed(d, slice_range(in, at, to < in.n ? to : in.n), &used, sink, out) == 0);
		ASSERT(used > 0);
		at += used;
	}
	return at;
}

static void
send_and_receive(struct slice text)
{
	BUF_CLEANUP struct buf wire, back;
	struct smtp_stuff s = {0};
	struct smtp_data d;

	buf_init(&wire, 4 << 20);
	buf_init(&back, 4 << 20);
	ASSERT(smtp_stuff_feed(&s, slice_head(text, text.n / 3), sink, &wire) == 0);
	ASSERT(smtp_stuff_feed(&s, slice_from(text, text.n / 3), sink, &wire) == 0);
	ASSERT(smtp_stuff_end(&s, sink, &wire) == 0);
	smtp_data_init(&d, 4 << 20);
	ASSERT(feed(&d, buf_slice(&wire), 1, &back) == wire.n);
	/* Whatever the text was, on the wire it is well formed and has one end. */
	ASSERT(d.state == SMTP_DATA_END && !d.bare);
	if (slice_ends(text, SLICE("\r\n")) && slice_find(text, SLICE("\r\n")) != SLICE_NONE) {
		struct smtp_data check;
		BUF_CLEANUP struct buf ignored;

		buf_init(&ignored, 4 << 20);
		smtp_data_init(&check, 4 << 20);
		(void)feed(&check, text, 0, &ignored);
		if (check.state == SMTP_DATA_LINE_START && !check.bare)
			ASSERT(slice_eq(buf_slice(&back), text));
	}
}

/* As chunks of BDAT all of it is text: the bytes come out as they are, and a stray CR or LF is found however they were
 * cut. */
static void
check_chunks(struct slice in, uint8_t seed)
{
	BUF_CLEANUP struct buf out;
	struct smtp_data d;
	bool bare = false;
	size_t at = 0;

	buf_init(&out, 2 << 20);
	smtp_data_init(&d, 1000);
	while (at < in.n) {
		size_t to = at + 1 + seed % 7;

		to = to < in.n ? to : in.n;
		ASSERT(smtp_data_feed_chunk(&d, slice_range(in, at, to), sink, &out) == 0);
		at = to;
	}
	smtp_data_end_chunks(&d);
	for (size_t i = 0; i < in.n; i++) {
		bare |= slice_at(in, i) == '\r' && (i + 1 == in.n || slice_at(in, i + 1) != '\n');
		bare |= slice_at(in, i) == '\n' && (i == 0 || slice_at(in, i - 1) != '\r');
	}
	ASSERT(d.bare == bare && d.bytes == in.n && slice_eq(buf_slice(&out), in));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	BUF_CLEANUP struct buf out, want;
	struct smtp_header_watch w;
	struct smtp_data d;
	struct slice in;
	size_t used, want_used;
	bool bare, ended;

	if (n == 0)
		return 0;
	in = slice_from(slice_of(p, n), 1);
	buf_init(&out, 2 << 20);
	buf_init(&want, 2 << 20);
	smtp_data_init(&d, 1000);
	used = feed(&d, in, slice_at(slice_of(p, n), 0), &out);
	want_used = reference(in, &want, &bare, &ended);
	ASSERT(used == want_used);
	ASSERT(ended == (d.state == SMTP_DATA_END));
	/* A CR at the very end of unfinished input may yet be good. */
	ASSERT(bare == d.bare || (!ended && !d.bare));
	if (ended && !bare) {
		ASSERT(slice_eq(buf_slice(&out), buf_slice(&want)));
		ASSERT(d.bytes == out.n);
	}
	check_chunks(in, slice_at(slice_of(p, n), 0));
	smtp_header_watch_init(&w, true);
	smtp_header_watch_feed(&w, buf_slice(&out));
	smtp_header_watch_free(&w);
	send_and_receive(in);
	return 0;
}
