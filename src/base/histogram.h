/* histogram.h: how long something took, counted in buckets: a plain increment and an addition for each, gathered on demand. The
 * bounds of the buckets are one of two scales. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "base/slice.h"

#define HISTOGRAM_BUCKETS_MAX 16

enum histogram_scale {
	HISTOGRAM_COMMANDS,  /* 0.1 ms to 30 s */
	HISTOGRAM_DELIVERIES /* 5 ms to 2 days */
};

/* Zeroed is empty. */
struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS_MAX +
	    1]; /* not cumulative; the one behind the scale's last bound is for all that is over */
	uint64_t sum_us;
};

/* The upper bounds of a scale in microseconds, and how many there are. */
size_t histogram_bounds(enum histogram_scale scale, const int64_t **bounds_us);
/* A time below 0 (the clock was set back) counts as 0. */
void histogram_add(struct histogram *h, enum histogram_scale scale, int64_t us);

#endif
