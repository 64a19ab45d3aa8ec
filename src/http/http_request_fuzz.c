/* http_request_fuzz.c: heads of requests: what is accepted is what the strict form says. */
#include "http/http_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size), head = slice_head(bytes, http_head_length(bytes));
	struct http_request r;

	ASSERT(head.n == 0 || slice_ends(head, SLICE("\r\n\r\n")));
	if (http_request_parse(head, &r) != 0)
		return 0;
	ASSERT(head.n <= HTTP_HEAD_BYTES_MAX && r.method.n > 0);
	ASSERT(slice_starts(r.path, SLICE("/")) && slice_find_byte(r.path, '?') == SLICE_NONE);
	ASSERT(slice_find_byte(r.path, '\r') == SLICE_NONE && slice_find_byte(r.query, ' ') == SLICE_NONE);
	ASSERT(slice_find_byte(r.host, '\r') == SLICE_NONE && slice_find_byte(head, '\0') == SLICE_NONE);
	return 0;
}
