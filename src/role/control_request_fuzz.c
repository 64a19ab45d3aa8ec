/* control_request_fuzz.c: lines of the control socket. */
#include "role/control_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request r CONTROL_REQUEST_CLEANUP = {0};
	struct buf what BUF_CLEANUP;

	buf_init(&what, 4096);
	if (control_request_parse(slice_of(data, size), &r, &what) == 0)
		ASSERT(r.command < CONTROL_COUNT && json_is_object(r.args) && what.n == 0);
	else
		ASSERT(what.n > 0);
	return 0;
}
