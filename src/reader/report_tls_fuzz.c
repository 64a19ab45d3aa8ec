/* report_tls_fuzz.c: any bytes as the JSON of a report about TLS: counts are sound. */
#include "reader/report_tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report r REPORT_CLEANUP;
	struct arena a ARENA_CLEANUP;
	struct limits l;
	int e;

	limits_default(&l);
	l.report_rows = 20;
	arena_init(&a, 64 << 20);
	report_begin(&r, &l, &a, 1);
	e = report_tls_read(&r, slice_of(data, size));
	ASSERT(e == 0 || r.problem.n > 0 || e == ERR_NOMEM);
	for (size_t i = 0; e == 0 && i < r.n; i++)
		ASSERT(r.rows[i].count > 0 && slice_is_utf8(r.rows[i].outcome, true));
	return 0;
}
