/* PLAIN messages of strangers: the fields, put together again, are the message. */
#include "directory/sasl.h"

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice message = slice_of(data, n);
	BUF_CLEANUP struct buf b;
	struct sasl_plain p;

	if (sasl_plain_parse(message, &p) != 0)
		return 0;
	ASSERT(p.authcid.n > 0 && p.password.n > 0);
	ASSERT(slice_find_byte(p.authzid, 0) == SLICE_NONE && slice_find_byte(p.authcid, 0) == SLICE_NONE &&
	    slice_find_byte(p.password, 0) == SLICE_NONE);
	buf_init(&b, n);
	buf_put(&b, p.authzid);
	buf_put(&b, SLICE("\0"));
	buf_put(&b, p.authcid);
	buf_put(&b, SLICE("\0"));
	buf_put(&b, p.password);
	ASSERT(b.err == 0 && slice_eq(buf_slice(&b), message));
	return 0;
}
