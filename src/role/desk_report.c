/* desk_report.c: tells the clerk which deliveries are durable, so that it lets go of their queue rows. Reports wait in a
 * list, joined by account; a few fibers send them and try again until the clerk has answered, which is harmless since
 * the clerk takes a report twice. What is lost when the desk ends is made up for: the clerk delivers again, and the
 * store reports a duplicate like a delivery. */
#include "role/desk_private.h"

#define REPORTERS 8
#define REPORT_IDS_MAX 1000
#define RETRY_MS 1000

struct desk_report {
	struct list_node node;
	size_t n;
	uint8_t (*ids)[STORE_ID_BYTES];
	size_t account_n;
	uint8_t account[STORE_ACCOUNT_ID_MAX];
};

static void
report_free(struct desk_report *r)
{
	free(r->ids);
	free(r);
}

static int
send_report(struct desk *d, const struct desk_report *r)
{
	struct arena ARENA_CLEANUP mem;
	struct bus_clerk_delivered_request q = {.account_id = slice_of(r->account, r->account_n)};
	struct bus_clerk_delivered_reply rep;
	struct slice *ids;

	arena_init(&mem, 1u << 20);
	if ((ids = ARENA_ARRAY(&mem, struct slice, r->n)) == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < r->n; i++)
		ids[i] = slice_of(r->ids[i], STORE_ID_BYTES);
	q.delivery_ids = (struct slice_list){ids, r->n};
	return bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_delivered, &q, &mem, &rep, DESK_ASK_MS);
}

static void
reporter(void *arg)
{
	struct desk *d = arg;
	struct list_node *n;

	for (;;) {
		struct desk_report *r;
		int err;

		while ((n = list_pop(&d->reports)) == NULL && !d->stopping)
			if (waitq_wait(d->c->loop, &d->reports_waiting, DEADLINE_NEVER) != 0)
				break;
		if (n == NULL)
			break;
		r = CONTAINER_OF(n, struct desk_report, node);
		while ((err = send_report(d, r)) != 0 && err != ERR_CANCELLED && !d->stopping)
			if (fiber_sleep(d->c->loop, RETRY_MS) != 0)
				break;
		if (err == 0)
			d->reported += r->n;
		d->reports_count--;
		report_free(r);
	}
	d->reporters--;
}

int
desk_report_start(struct desk *d)
{
	list_init(&d->reports);
	waitq_init(&d->reports_waiting);
	for (int i = 0; i < REPORTERS; i++) {
		int err = fiber_start(d->c->loop, "desk reporter", reporter, d, NULL);

		if (err != 0)
			return err;
		d->reporters++;
	}
	return 0;
}

/* A report of the account that has room and is not under way. */
static struct desk_report *
find_report(struct desk *d, struct slice account_id)
{
	LIST_FOREACH (&d->reports, n) {
		struct desk_report *r = CONTAINER_OF(n, struct desk_report, node);

		if (slice_eq(slice_of(r->account, r->account_n), account_id))
			return r;
	}
	return NULL;
}

static struct desk_report *
new_report(struct desk *d, struct slice account_id)
{
	struct desk_report *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->account_n = slice_head(account_id, sizeof(r->account)).n;
	memcpy(r->account, account_id.p, r->account_n);
	list_push(&d->reports, &r->node);
	d->reports_count++;
	return r;
}

void
desk_report_durable(void *desk, struct slice account_id, struct slice_list ids)
{
	struct desk *d = desk;
	struct desk_report *r = find_report(d, account_id);
	void *grown;

	if ((r == NULL || r->n + ids.n > REPORT_IDS_MAX) && (r = new_report(d, account_id)) == NULL)
		return; /* the clerk will deliver again */
	if ((grown = realloc(r->ids, (r->n + ids.n) * sizeof(*r->ids))) == NULL)
		return;
	r->ids = grown;
	for (size_t i = 0; i < ids.n; i++)
		if (ids.v[i].n == STORE_ID_BYTES)
			memcpy(r->ids[r->n++], ids.v[i].p, STORE_ID_BYTES);
	waitq_wake_one(&d->reports_waiting);
}

void
desk_report_end(struct desk *d, int64_t end_ms)
{
	while (d->reports_count > 0 && loop_now_ms(d->c->loop) < end_ms)
		if (fiber_sleep(d->c->loop, 5) != 0)
			break;
	d->stopping = true;
	waitq_wake_all(&d->reports_waiting);
}
