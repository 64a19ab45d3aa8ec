/* Splitting a message and reading its thread from arbitrary bytes. */
#include "store/store_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice body = slice_of(data, size);
	struct incoming in = {0};
	struct house h;
	struct store store = {.house = &h};

	house_init(&h, "fuzz");
	incoming_split(&in, SLICE("Return-Path: <>\r\n"), body, size, &h.limits);
	ASSERT(in.header.n + in.rest.n == size);
	ASSERT(in.size == size + in.head.n && in.header_size == in.head.n + in.header.n);
	incoming_parse(&store, &in);
	ASSERT(in.refs_n <= STORE_REFS_MAX);
	incoming_free(&in);
	return 0;
}
