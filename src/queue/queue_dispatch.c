/* queue_dispatch.c: from the window to fibers. Desks take what they are given, within a number; the mail for elsewhere goes by
 * sites, each within what it likes (queue_site.c), all within the couriers' sessions, of which each lane has its part. Of a
 * site's jobs the most urgent goes first; now and then a less urgent one, so that none starves. */
#include "queue/queue_private.h"

#define NOBODY_RUNNERS 4
#define PAUSE_MS_FIRST 1000
#define PAUSE_MS_MAX 10000
#define TURNS 8 /* every so many the least urgent job of a site goes */

static size_t
sessions_max(struct queue *q)
{
	return (size_t)q->house->limits.courier_sessions * (size_t)(q->c.couriers > 0 ? q->c.couriers : 1);
}

static bool
paused(struct queue *q, const struct destination *d)
{
	return d->not_before_ms > house_mono_ms(q->house);
}

/* ---- which job of a site ------------------------------------------------------------------------------ */

static bool
lane_may_start(struct queue *q, enum lane lane)
{
	return q->running_remote < sessions_max(q) && lane_has_room(q->lane_running, lane, sessions_max(q));
}

/* -1: none, or each lane that has jobs has its part of the sessions: *blocked is the most urgent of those. */
static int
choose_lane(struct queue *q, struct site *s, int *blocked)
{
	bool other = ++s->turns % TURNS == 0;
	int64_t until_us;

	*blocked = -1;
	for (int k = 0; k < LANES; k++) {
		int i = other ? LANES - 1 - k : k;

		if (s->ready[i] == 0 || warmup_closed(q, s, (enum lane)i, &until_us))
			continue;
		if (lane_may_start(q, (enum lane)i))
			return i;
		if (*blocked < 0 || i < *blocked)
			*blocked = i;
	}
	return -1;
}

/* The next job of that lane, of the site's domains in turn. NULL: those that have any cannot be asked now. */
static struct job *
site_job(struct queue *q, struct site *s, int lane, struct destination **out)
{
	struct list_node *n;
	int64_t until_us;

	for (size_t left = s->ready[lane]; left > 0 && (n = list_first(&s->runnable[lane])) != NULL; left--) {
		struct destination *d = CONTAINER_OF(n, struct destination, runnable[lane]);
		struct job *j;

		list_remove(n);
		if (paused(q, d))
			continue; /* reckon_destinations() brings it back */
		list_push(&s->runnable[lane], n);
		if (d->suspended && site_closed(q, d, &until_us))
			continue;
		j = window_job_take(d, (enum lane)lane);
		if (j != NULL) {
			*out = d;
			return j;
		}
	}
	return NULL;
}

/* ---- fibers ----------------------------------------------------------------------------------------------- */

static void
pause_destination(struct queue *q, struct destination *d)
{
	if (paused(q, d))
		return;
	d->pause_ms = d->pause_ms == 0 ? PAUSE_MS_FIRST : d->pause_ms * 2;
	if (d->pause_ms > PAUSE_MS_MAX)
		d->pause_ms = PAUSE_MS_MAX;
	d->not_before_ms = house_mono_ms(q->house) + d->pause_ms;
}

static void
count_site(struct queue *q, struct runner *r, int by)
{
	if (r->site == NULL)
		return;
	r->site->running += (size_t)by;
	q->running_remote += (size_t)by;
	q->lane_running[r->lane] += (size_t)by;
}

/* Holds the destination while the runner works for it. */
static void
runner_turn_to(struct runner *r, struct destination *d)
{
	if (r->destination == d)
		return;
	if (r->destination != NULL) {
		r->destination->running--;
		window_destination_release(r->destination->queue, r->destination);
	}
	r->destination = d;
	if (d != NULL)
		d->running++;
}

/* The connection is warm: the next of the same site, if nobody else waits for the session. */
static struct job *
next_job(struct queue *q, struct runner *r)
{
	struct destination *d = r->destination;
	struct job *j = NULL;
	int lane, blocked;

	if (q->stopping)
		return NULL;
	if (r->site == NULL)
		return paused(q, d) ? NULL : window_job_take(d, window_most_urgent(d));
	/* Its domain may have turned out to be of another site. */
	if (r->site != d->site || !site_may_go_on(q, r->site) ||
	    (q->running_remote >= sessions_max(q) && !list_empty(&q->runnable_sites)))
		return NULL;
	count_site(q, r, -1);
	lane = choose_lane(q, r->site, &blocked);
	if (lane >= 0)
		j = site_job(q, r->site, lane, &d);
	if (j != NULL) {
		r->lane = (enum lane)lane;
		site_take_token(q, r->site, j->n);
		runner_turn_to(r, d);
	}
	count_site(q, r, 1);
	return j;
}

/* One place has become free: for one site of each lane that waits for it. */
static void
unblock(struct queue *q)
{
	for (int i = 0; i < LANES; i++) {
		struct list_node *n = list_pop(&q->blocked_sites[i]);

		if (n != NULL)
			list_push(&q->runnable_sites, n);
	}
}

static void
runner_end(struct queue *q, struct runner *r)
{
	struct destination *d = r->destination;
	struct site *s = r->site;

	list_remove(&r->node);
	count_site(q, r, -1);
	if (window_has_ready(d) && !paused(q, d))
		window_make_runnable(q, d);
	if (s != NULL && site_has_ready(s) && !list_linked(&s->node))
		list_push(&q->runnable_sites, &s->node);
	runner_turn_to(r, NULL);
	free(r);
	unblock(q);
	schedule_dispatch(q);
	if (list_empty(&q->runners))
		waitq_wake_all(&q->idle);
	if (q->stopper != NULL)
		fiber_wake(q->stopper);
}

static void
runner_main(void *arg)
{
	struct runner *r = arg;
	struct queue *q = r->destination->queue;
	struct job *j = r->job;

	r->fiber = fiber_self(q->loop);
	r->job = NULL;
	while (j != NULL) {
		struct destination *d = r->destination;
		size_t n = j->n;

		if (q->stopping) {
			window_job_return(q, d, j);
			break;
		}
		if (attempt_run(q, d, j)) {
			d->pause_ms = 0;
			d->done += (int64_t)n;
		} else {
			pause_destination(q, d);
		}
		j = next_job(q, r);
	}
	runner_end(q, r);
}

static bool
start_runner(struct queue *q, struct destination *d, struct job *j)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		window_job_return(q, d, j);
		return false;
	}
	runner_turn_to(r, d);
	r->job = j;
	r->lane = j->lane;
	r->site = d->site;
	if (fiber_start(q->loop, "delivery", runner_main, r, NULL) != 0) {
		window_job_return(q, d, j);
		runner_turn_to(r, NULL);
		free(r);
		return false;
	}
	list_push(&q->runners, &r->node);
	count_site(q, r, 1);
	return true;
}

/* ---- desks, and nobody ------------------------------------------------------------------------------------- */

static size_t
runners_max(struct queue *q, const struct destination *d)
{
	return d->kind == QUEUE_TARGET_LOCAL ? (size_t)q->house->limits.queue_desk_deliveries : NOBODY_RUNNERS;
}

static void
dispatch_desks(struct queue *q)
{
	struct list_node *n;

	while ((n = list_first(&q->runnable_desks)) != NULL) {
		struct destination *d = CONTAINER_OF(n, struct destination, runnable[0]);
		struct job *j;

		list_remove(n);
		/* A runner that ends, the end of the pause, or a new job brings it back. */
		if (!window_has_ready(d) || paused(q, d) || d->running >= runners_max(q, d))
			continue;
		/* One each in turn. */
		list_push(&q->runnable_desks, n);
		j = window_job_take(d, window_most_urgent(d));
		if (j != NULL && !start_runner(q, d, j))
			return;
	}
}

/* ---- sites --------------------------------------------------------------------------------------------------- */

static void
dispatch_sites(struct queue *q)
{
	struct list_node *n;

	while ((n = list_first(&q->runnable_sites)) != NULL) {
		struct site *s = CONTAINER_OF(n, struct site, node);
		struct destination *d = NULL;
		struct job *j;
		int blocked, lane;

		if (q->running_remote >= sessions_max(q))
			return;
		list_remove(n);
		/* A runner that ends, the clockwork of the site, or a new job brings it back. */
		if (!site_may_start(q, s))
			continue;
		lane = choose_lane(q, s, &blocked);
		if (lane < 0 && blocked >= 0)
			list_push(&q->blocked_sites[blocked], n);
		if (lane < 0)
			continue;
		j = site_job(q, s, lane, &d);
		if (j == NULL)
			continue;
		/* One each in turn. */
		list_push(&q->runnable_sites, n);
		site_take_token(q, s, j->n);
		if (!start_runner(q, d, j))
			return;
	}
}

void
schedule_dispatch(struct queue *q)
{
	if (q->stopping || !q->started)
		return;
	dispatch_desks(q);
	dispatch_sites(q);
}
