/* queue_lane.c: lanes: whose turn it is. What a person sends overtakes what goes to many; what waits for a destination that
 * does not answer stands in nobody's way. A lane has its own order in the database (recipient_due begins with it) and its part
 * of the window and of the sessions: the more urgent ones always find some room, and none can take it all, so that none
 * starves.
 *
 * Bulk is what says so itself (a negative MT-PRIORITY, RFC 6710; List-Unsubscribe, Precedence), what has many
 * recipients, what comes from an account that has lately sent to many, and what the house writes itself. */
#include "message/header.h"
#include "queue/queue_private.h"

#define VOLUME_US (3600 * INT64_C(1000000))
#define VOLUMES_MAX 20000

/* In hundredths: what is kept for each lane, and what it may take at most. */
static const uint8_t kept[LANES] = {15, 25, 5, 5}, most[LANES] = {60, 90, 60, 35};

bool
lane_has_room(const size_t held[LANES], enum lane lane, size_t max)
{
	size_t taken = 0;

	for (int i = 0; i < LANES; i++) {
		size_t keep = i == (int)lane ? 0 : max * kept[i] / 100;

		taken += held[i] > keep ? held[i] : keep;
	}
	return taken < max && held[lane] < (max * most[lane] + 99) / 100;
}

static bool
header_is_bulk(struct slice header, size_t max)
{
	struct header_iter it = header_iter_of(header, max);
	struct header_field f;

	while (header_next(&it, &f)) {
		if (slice_ieq(f.name, SLICE("List-Unsubscribe")) || slice_ieq(f.name, SLICE("List-Id")))
			return true;
		if (slice_ieq(f.name, SLICE("Precedence")))
			return slice_ieq(slice_trim(f.value), SLICE("bulk")) ||
			    slice_ieq(slice_trim(f.value), SLICE("list")) ||
			    slice_ieq(slice_trim(f.value), SLICE("junk"));
	}
	return false;
}

/* Recipients that the account has sent to within the hour, these included. */
static size_t
account_volume(struct queue *q, struct slice account_id, size_t more)
{
	int64_t now_us = house_now_us(q->house);
	size_t n;

	if (now_us - q->volumes_us >= VOLUME_US || q->volumes.n >= VOLUMES_MAX) {
		map_free(&q->volumes);
		map_init(&q->volumes, VOLUMES_MAX + 1, house_random_u64(q->house));
		q->volumes_us = now_us;
	}
	n = (size_t)(uintptr_t)map_get(&q->volumes, account_id) + more;
	/* The map holds the number itself. */
	if (map_put(&q->volumes, account_id, (void *)(uintptr_t)n) != 0)
		return more;
	return n;
}

enum lane
lane_choose(struct queue *q, const struct queue_submission *s, struct slice header)
{
	const struct limits *l = &q->house->limits;
	int64_t priority = envelope_number(s->envelope, SLICE("MT-PRIORITY"), 0);
	size_t volume = s->origin == ORIGIN_ACCOUNT ? account_volume(q, s->account_id, s->rcpts_n) : 0;

	/* Whoever has not signed in may be modest, but not important (RFC 6710 §5.1). */
	if (priority > 0 && is_submitted(s->origin))
		return LANE_URGENT;
	if (priority < 0 || s->origin == ORIGIN_SYSTEM || s->rcpts_n > (size_t)l->queue_bulk_recipients ||
	    volume > (size_t)l->queue_bulk_hourly)
		return LANE_BULK;
	return is_submitted(s->origin) && header_is_bulk(header, (size_t)l->message_header_bytes) ? LANE_BULK
												  : LANE_NORMAL;
}
