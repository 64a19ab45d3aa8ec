/* queue_backoff.c: when the next attempt is due (RFC 5321 §4.5.4.1). Waits double from queue_retry_min_ms to
 * queue_retry_max_ms, a fifth more or less by chance so that what failed together does not come back together.
 * An attempt falls on the moment when the sender must be told of the delay, and one on the end of the
 * lifetime: both are then decided with fresh knowledge. DELIVERBY (RFC 2852 §4) brings one of them forward. */
#include "queue/queue_private.h"

static int64_t
clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

static int64_t
warn_us(const struct limits *l, const struct deadlines *d)
{
	int64_t warn = d->base_us + l->queue_warning_ms * 1000;

	return d->by_us > 0 && !d->by_return && d->by_us < warn ? d->by_us : warn;
}

static int64_t
end_us(const struct limits *l, const struct deadlines *d)
{
	int64_t end = d->base_us + l->queue_lifetime_ms * 1000;

	return d->by_us > 0 && d->by_return && d->by_us < end ? d->by_us : end;
}

bool
backoff_expired(const struct limits *l, int64_t now_us, const struct deadlines *d)
{
	return now_us >= end_us(l, d);
}

bool
backoff_late(const struct limits *l, int64_t now_us, const struct deadlines *d)
{
	return now_us >= warn_us(l, d);
}

int64_t
backoff_next_us(
    const struct limits *l, struct house *h, int64_t now_us, const struct deadlines *d, int64_t attempts, bool warned)
{
	int64_t low = l->queue_retry_min_ms < 1 ? 1 : l->queue_retry_min_ms;
	int64_t high = l->queue_retry_max_ms < low ? low : l->queue_retry_max_ms;
	int64_t wait_ms = low, next, warn = warn_us(l, d), end = end_us(l, d);

	for (int64_t i = 1; i < attempts && wait_ms < high; i++)
		wait_ms *= 2;
	wait_ms = clamp(wait_ms, low, high);
	wait_ms = wait_ms - wait_ms / 5 + (int64_t)house_random_below(h, (uint64_t)(wait_ms / 5 * 2 + 1));
	wait_ms = clamp(wait_ms, low, high);
	next = now_us + wait_ms * 1000;
	if (!warned && now_us < warn && next > warn)
		next = warn;
	if (now_us < end && next > end)
		next = end;
	return next;
}
