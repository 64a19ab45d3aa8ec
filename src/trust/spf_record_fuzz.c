/* SPF records: what is accepted can be walked term by term, and says what it said at first. */
#include "trust/spf_macro.h"
#include "trust/spf_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
walk(const struct spf_record *record)
{
	struct slice rest = record->terms;
	struct spf_term t;

	while (spf_record_next(&rest, &t)) {
		ASSERT(t.text.n > 0 && slice_find_byte(t.text, ' ') == SLICE_NONE);
		ASSERT(t.bits4 <= 32 && t.bits6 <= 128);
		ASSERT(t.kind == SPF_UNKNOWN || t.spec.n == 0 || spf_macro_check(t.spec, SPF_DOMAIN_SPEC) == 0);
		ASSERT(slice_is_ascii(t.text));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice text = slice_of(p, n), wrong;
	struct spf_record record;
	const char *why = NULL;

	if (!spf_record_is_spf(text))
		return 0;
	if (spf_record_parse(text, &record, &wrong, &why) == 0)
		walk(&record);
	else
		ASSERT(why != NULL && wrong.n > 0);
	return 0;
}
