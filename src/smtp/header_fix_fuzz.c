/* The header of a message in two pieces, against the same byte by byte; what has been fixed once stays as it is. */
#include "smtp/header_fix.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int
put(void *ctx, struct slice run)
{
	buf_put(ctx, run);
	return 0;
}

static bool
fix(bool submission, struct slice in, size_t piece, struct buf *out)
{
	struct slice_list names = SLICE_LIST(SLICE("mx.example.org"));
	struct smtp_header_fix f;
	bool headless;

	smtp_header_fix_init(&f, submission, names);
	buf_init(out, 2u << 20);
	for (size_t at = 0; at < in.n; at += piece)
		ASSERT(smtp_header_fix_feed(&f, slice_head(slice_from(in, at), piece), put, out) == 0);
	ASSERT(smtp_header_fix_end(&f, put, out) == 0);
	ASSERT(out->err == 0 && out->n <= in.n && (f.removed > 0 || out->n == in.n));
	headless = f.headless;
	smtp_header_fix_free(&f);
	return headless;
}

static void
check(bool submission, struct slice in)
{
	struct buf whole, bytes, again;
	bool headless = fix(submission, in, in.n / 2 + 1, &whole);

	ASSERT(fix(submission, in, 1, &bytes) == headless);
	ASSERT(slice_eq(buf_slice(&whole), buf_slice(&bytes)));
	(void)fix(submission, buf_slice(&whole), 7, &again);
	ASSERT(slice_eq(buf_slice(&whole), buf_slice(&again)) || again.n < whole.n);
	buf_free(&whole);
	buf_free(&bytes);
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice in = slice_of(p, n > (1u << 20) ? 1u << 20 : n);

	check(true, in);
	check(false, in);
	return 0;
}
