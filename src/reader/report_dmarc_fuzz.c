/* report_dmarc_fuzz.c: any bytes as the XML of an aggregate report, in pieces whose length the first byte gives: pieces make no difference. */
#include "reader/report_dmarc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
read_in_pieces(struct report *r, struct slice xml, size_t piece)
{
	REPORT_DMARC_CLEANUP struct report_dmarc *d = NULL;
	int e = report_dmarc_new(&d, r);

	while (e == 0 && xml.n > 0) {
		struct slice s = slice_head(xml, piece);

		e = report_dmarc_feed(d, s);
		xml = slice_from(xml, s.n);
	}
	return e == 0 ? report_dmarc_end(d) : e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report whole REPORT_CLEANUP, cut REPORT_CLEANUP;
	struct arena a ARENA_CLEANUP;
	struct limits l;
	int e;

	limits_default(&l);
	l.report_rows = 20;
	arena_init(&a, 64 << 20);
	report_begin(&whole, &l, &a, 1);
	report_begin(&cut, &l, &a, 1);
	if (size == 0)
		return 0;
	e = read_in_pieces(&whole, slice_of(data + 1, size - 1), size);
	ASSERT(e == 0 || whole.problem.n > 0 || e == ERR_NOMEM);
	ASSERT(e != 0 || (whole.domain.n > 0 && whole.kind == REPORT_DMARC));
	if (read_in_pieces(&cut, slice_of(data + 1, size - 1), (size_t)*data + 1) == 0 && e == 0)
		ASSERT(cut.n == whole.n && slice_eq(cut.domain, whole.domain) && slice_eq(cut.id, whole.id));
	return 0;
}
