/* Canonical bodies and fields: how the body was cut must not matter, and what is canonical stays as it is. */
#include "trust/dkim_canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
collect(void *ctx, struct slice run)
{
	buf_put(ctx, run);
}

static void
canonical(enum dkim_canon c, struct slice body, size_t piece, struct buf *out)
{
	struct dkim_body_canon b;

	dkim_body_canon_init(&b, c, collect, out);
	for (; body.n > 0; body = slice_from(body, body.n < piece ? body.n : piece))
		dkim_body_canon_feed(&b, slice_head(body, piece));
	dkim_body_canon_end(&b);
	ASSERT(out->err == 0 && b.bytes == out->n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t piece = n == 0 ? 1 : 1 + p[0] % 64;
	struct slice body = slice_of(p, n);

	for (int c = 0; c < 2; c++) {
		struct buf whole BUF_CLEANUP, cut BUF_CLEANUP, again BUF_CLEANUP;

		buf_init(&whole, 2 * n + 16);
		buf_init(&cut, 2 * n + 16);
		buf_init(&again, 2 * n + 16);
		canonical((enum dkim_canon)c, body, SIZE_MAX / 2, &whole);
		canonical((enum dkim_canon)c, body, piece, &cut);
		ASSERT(slice_eq(buf_slice(&whole), buf_slice(&cut)));
		canonical((enum dkim_canon)c, buf_slice(&whole), piece, &again);
		ASSERT(slice_eq(buf_slice(&whole), buf_slice(&again)));
		ASSERT(whole.n == 0 ? c == DKIM_RELAXED : slice_ends(buf_slice(&whole), SLICE("\r\n")));
		/* a field: canonical again is the same */
		buf_reset(&cut);
		buf_reset(&again);
		dkim_canon_field((enum dkim_canon)c, body, false, &cut);
		dkim_canon_field((enum dkim_canon)c, buf_slice(&cut), false, &again);
		ASSERT(slice_eq(buf_slice(&cut), buf_slice(&again)));
	}
	return 0;
}
