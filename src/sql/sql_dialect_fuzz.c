/* Translating never loses its place, and for SQLite it keeps the length. */
#include "sql/sql_dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf out BUF_CLEANUP;

	buf_init(&out, SQL_TEXT_MAX);
	sql_dialect_sqlite(&out, slice_of(data, n));
	ASSERT(out.n == n || out.err != 0);
	buf_reset(&out);
	sql_dialect_postgres(&out, slice_of(data, n));
	return 0;
}
