#include "trust/trust_result.h"

static const char *const names[TRUST_RESULTS] = {
    [TRUST_NONE] = "none",
    [TRUST_NEUTRAL] = "neutral",
    [TRUST_PASS] = "pass",
    [TRUST_FAIL] = "fail",
    [TRUST_SOFTFAIL] = "softfail",
    [TRUST_POLICY] = "policy",
    [TRUST_TEMPERROR] = "temperror",
    [TRUST_PERMERROR] = "permerror",
};

const char *
trust_result_name(enum trust_result r)
{
	ASSERT((unsigned)r < TRUST_RESULTS);
	return names[r];
}
