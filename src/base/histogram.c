#include "base/histogram.h"

static const int64_t commands_us[] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000, 30000000};
static const int64_t deliveries_us[] = {5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000, 30000000, 60000000,
    300000000, 1800000000, 7200000000, 28800000000, 86400000000, 172800000000};

_Static_assert(COUNT_OF(commands_us) <= HISTOGRAM_BUCKETS_MAX && COUNT_OF(deliveries_us) <= HISTOGRAM_BUCKETS_MAX,
    "a scale has more bounds than a histogram has buckets");

size_t
histogram_bounds(enum histogram_scale scale, const int64_t **bounds_us)
{
	*bounds_us = scale == HISTOGRAM_COMMANDS ? commands_us : deliveries_us;
	return scale == HISTOGRAM_COMMANDS ? COUNT_OF(commands_us) : COUNT_OF(deliveries_us);
}

void
histogram_add(struct histogram *h, enum histogram_scale scale, int64_t us)
{
	const int64_t *bounds;
	size_t n = histogram_bounds(scale, &bounds), i = 0;

	if (us < 0)
		us = 0;
	while (i < n && us > bounds[i])
		i++;
	h->counts[i]++;
	h->sum_us += (uint64_t)us;
}
