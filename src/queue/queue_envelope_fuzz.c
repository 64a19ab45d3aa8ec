/* Parameters of MAIL and RCPT: the first line is a name, the rest an envelope. What is found is a part of the envelope, and
 * what xtext hides is not longer than it. */
#include "queue/queue_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_value(struct slice envelope, struct slice name, struct arena *a)
{
	struct slice value = envelope_value(envelope, name), decoded = xtext_decode(a, value);

	ASSERT(value.n == 0 || slice_find(envelope, value) != SLICE_NONE);
	ASSERT(slice_find_byte(value, '\n') == SLICE_NONE);
	ASSERT(decoded.n <= value.n);
	/* Without an escape it stands for itself. */
	if (decoded.n > 0 && slice_find_byte(value, '+') == SLICE_NONE)
		ASSERT(slice_eq(decoded, value));
}

static void
check_moments(struct slice envelope)
{
	struct deadlines d = envelope_deadlines(envelope, 1000000);

	ASSERT(d.base_us >= 1000000 && d.by_us >= 0);
	ASSERT(!envelope_has(envelope, SLICE("BY")) ? d.by_us == 0 : true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice envelope = slice_of(data, n), name = slice_cut(&envelope, '\n');
	struct arena a ARENA_CLEANUP;

	arena_init(&a, (n + 64) * (n + 64) + 65536);
	check_value(envelope, name, &a);
	check_value(envelope, SLICE("ORCPT"), &a);
	check_value(envelope, SLICE("ENVID"), &a);
	(void)xtext_decode(&a, envelope);
	/* Without the parameter, failures and delays are told and successes are not; NEVER is not asked here. */
	if (envelope_value(envelope, SLICE("NOTIFY")).n == 0)
		ASSERT(envelope_notify(envelope, SLICE("FAILURE")) && envelope_notify(envelope, SLICE("DELAY")) &&
		    !envelope_notify(envelope, SLICE("SUCCESS")));
	(void)envelope_notify(envelope, name);
	check_moments(envelope);
	/* Of a target nobody hears when it went well. */
	ASSERT(!envelope_notify(envelope_of_target(&a, envelope, true), SLICE("SUCCESS")));
	return 0;
}
