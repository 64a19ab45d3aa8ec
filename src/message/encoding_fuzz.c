/* encoding_fuzz.c: any bytes through each decoder, whole and in pieces, with the same result; and encoded and back. */
#include "message/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
pieces(enum encoding e, struct slice in, size_t step, struct buf *out)
{
	struct decoder d;

	decoder_init(&d, e);
	for (size_t i = 0; i < in.n; i += step)
		decoder_feed(&d, slice_head(slice_from(in, i), step), out);
	decoder_end(&d, out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);

	for (int e = ENCODING_7BIT; e <= ENCODING_UNKNOWN; e++) {
		BUF_CLEANUP struct buf whole;
		BUF_CLEANUP struct buf cut;

		buf_init(&whole, size * 2 + 64);
		buf_init(&cut, size * 2 + 64);
		(void)encoding_decode((enum encoding)e, in, &whole);
		pieces((enum encoding)e, in, 1 + size % 7, &cut);
		ASSERT(whole.err == 0 && slice_eq(buf_slice(&whole), buf_slice(&cut)));
	}
	for (int round = 0; round < 2; round++) {
		BUF_CLEANUP struct buf coded;
		BUF_CLEANUP struct buf back;

		buf_init(&coded, size * 4 + 64);
		buf_init(&back, size * 2 + 64);
		if (round == 0)
			encoding_put_base64(in, &coded);
		else
			encoding_put_qp(in, false, &coded);
		ASSERT(encoding_choose(buf_slice(&coded)) == ENCODING_7BIT);
		ASSERT(encoding_decode(round == 0 ? ENCODING_BASE64 : ENCODING_QP, buf_slice(&coded), &back));
		ASSERT(slice_eq(buf_slice(&back), in));
	}
	return 0;
}
