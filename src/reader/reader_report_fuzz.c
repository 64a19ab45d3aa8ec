/* reader_report_fuzz.c: any bytes as a message, or as the file of a report: what is told of it is sound. */
#include "reader/reader_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_line(struct slice s)
{
	return slice_is_utf8(s, true) && slice_find_byte(s, '\n') == SLICE_NONE;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bus_reader_report_request q = {slice_of(data, size)};
	struct bus_reader_report_reply r = {0};
	struct limits l;
	ARENA_CLEANUP struct arena a;

	limits_default(&l);
	l.report_unpacked_bytes = 4 << 20;
	l.report_rows = 20;
	arena_init(&a, READER_REPORT_ARENA);
	if (reader_report(&l, 1, &q, &a, &r) != 0)
		return 0;
	ASSERT(r.kind >= REPORT_NONE && r.kind <= REPORT_FAILURE);
	ASSERT(is_line(r.problem) && is_line(r.organisation) && is_line(r.contact) && is_line(r.report_id));
	ASSERT(is_line(r.domain) && slice_is_utf8(r.policy, true));
	ASSERT(r.domains.n <= 80);
	for (size_t i = 0; i < r.domains.n; i++) {
		uint64_t n;

		ASSERT(is_line(r.domains.v[i]) && is_line(r.sources.v[i]) && is_line(r.outcomes.v[i]));
		ASSERT(is_line(r.means.v[i]) && is_line(r.who.v[i]) && slice_is_utf8(r.details.v[i], true));
		ASSERT(slice_to_u64(r.counts.v[i], INT64_MAX, &n) == 0 && n > 0);
	}
	return 0;
}
