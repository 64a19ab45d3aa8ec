/* Answers to a GET: the same in one piece and in two. */
#include "trust/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice all = slice_of(p, n);
	struct http_reply one HTTP_REPLY_CLEANUP, two HTTP_REPLY_CLEANUP;
	int e, f;

	http_reply_init(&one, 1000);
	http_reply_init(&two, 1000);
	e = http_reply_feed(&one, all);
	f = http_reply_feed(&two, slice_head(all, n / 2));
	if (f == 0)
		f = http_reply_feed(&two, slice_from(all, n / 2));
	ASSERT(e == f);
	ASSERT(one.body.n <= 1000);
	if (e == 0) {
		ASSERT(one.stage == two.stage && slice_eq(buf_slice(&one.body), buf_slice(&two.body)));
		(void)!http_reply_end(&one);
	}
	return 0;
}
