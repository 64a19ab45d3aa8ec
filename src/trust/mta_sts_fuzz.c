/* Records and policies of MTA-STS: the first line is a record, the rest a policy. */
#include "trust/mta_sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice rest = slice_of(p, n), line = slice_cut(&rest, '\n'), id;
	struct arena a ARENA_CLEANUP;
	struct mta_sts_policy policy;

	if (mta_sts_record((struct slice_list){&line, 1}, &id) == 0)
		ASSERT(id.n > 0 && id.n <= MTA_STS_ID_MAX);
	arena_init(&a, 1 << 20);
	if (mta_sts_policy_parse(rest, &a, 100, &policy) == 0) {
		ASSERT(policy.max_age_s >= 0 && policy.max_age_s <= MTA_STS_MAX_AGE_S);
		ASSERT(policy.mode == MTA_STS_NONE || policy.mx.n > 0);
		for (size_t i = 0; i < policy.mx.n; i++)
			if (!slice_starts(policy.mx.v[i], SLICE("*")))
				ASSERT(mta_sts_matches(&policy, policy.mx.v[i]));
		(void)mta_sts_matches(&policy, line);
	}
	return 0;
}
