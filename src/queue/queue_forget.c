/* queue_forget.c: tells desks which deliveries they may forget, since the removal of their queue rows is durable.
 * Batched by account; what cannot be told is dropped: the desk reports such deliveries once more when it
 * is started, and is then told again. */
#include "queue/queue_private.h"

#define FORGET_IDS_MAX 1000 /* of one account at a time */
#define FORGET_ACCOUNTS_MAX 10000
#define GATHER_MS 200

struct forget_account {
	struct list_node node;
	size_t n, cap;
	uint8_t *ids;
	size_t account_n;
	char account[]; /* account_n bytes */
};

int
forget_init(struct queue *q)
{
	map_init(&q->forgets, FORGET_ACCOUNTS_MAX, house_random_u64(q->house));
	list_init(&q->forgets_list);
	waitq_init(&q->forget_wake);
	return 0;
}

static void
forget_drop(struct queue *q, struct forget_account *f)
{
	map_remove(&q->forgets, slice_of(f->account, f->account_n));
	list_remove(&f->node);
	free(f->ids);
	free(f);
}

void
forget_free(struct queue *q)
{
	while (!list_empty(&q->forgets_list))
		forget_drop(q, CONTAINER_OF(list_first(&q->forgets_list), struct forget_account, node));
	map_free(&q->forgets);
}

static struct forget_account *
forget_of(struct queue *q, struct slice account_id)
{
	struct forget_account *f = map_get(&q->forgets, account_id);

	if (f != NULL)
		return f;
	f = calloc(1, sizeof(*f) + account_id.n);
	if (f == NULL)
		return NULL;
	f->account_n = account_id.n;
	memcpy(f->account, account_id.p, account_id.n);
	if (map_put(&q->forgets, account_id, f) != 0) {
		free(f);
		return NULL;
	}
	list_push(&q->forgets_list, &f->node);
	return f;
}

void
forget_add(struct queue *q, struct slice account_id, struct slice_list ids)
{
	struct forget_account *f = account_id.n == 0 || ids.n == 0 || q->forget_fiber == NULL
	    ? NULL
	    : forget_of(q, account_id);

	if (f == NULL)
		return;
	for (size_t i = 0; i < ids.n && f->n < FORGET_IDS_MAX; i++) {
		if (f->n == f->cap) {
			size_t cap = f->cap == 0 ? 8 : f->cap * 2;
			uint8_t *p = realloc(f->ids, cap * DELIVERY_ID_LEN);

			if (p == NULL)
				return;
			f->ids = p;
			f->cap = cap;
		}
		memcpy(f->ids + f->n++ * DELIVERY_ID_LEN, ids.v[i].p, DELIVERY_ID_LEN);
	}
	waitq_wake_one(&q->forget_wake);
}

static void
forget_send(struct queue *q, struct forget_account *f)
{
	struct arena a ARENA_CLEANUP;
	struct bus_desk_forget_request r = {.account_id = slice_of(f->account, f->account_n)};
	struct slice *v;

	arena_init(&a, f->n * sizeof(*v) + 1024);
	v = ARENA_ARRAY(&a, struct slice, f->n + 1);
	for (size_t i = 0; v != NULL && i < f->n; i++)
		v[i] = slice_of(f->ids + i * DELIVERY_ID_LEN, DELIVERY_ID_LEN);
	r.delivery_ids = (struct slice_list){v, v == NULL ? 0 : f->n};
	(void)!q->c.ops.forget(q->c.ops.ctx, q->c.ops.desk(q->c.ops.ctx, r.account_id), &r);
}

void
forget_main(void *arg)
{
	struct queue *q = arg;

	while (!fiber_cancelled(q->loop)) {
		struct list_node *n;

		if (list_empty(&q->forgets_list) && waitq_wait(q->loop, &q->forget_wake, DEADLINE_NEVER) != 0)
			return;
		/* Others of the same accounts gather meanwhile. */
		if (fiber_sleep(q->loop, GATHER_MS) != 0)
			return;
		for (size_t left = q->forgets.n; left > 0 && (n = list_pop(&q->forgets_list)) != NULL; left--) {
			struct forget_account *f = CONTAINER_OF(n, struct forget_account, node);

			map_remove(&q->forgets, slice_of(f->account, f->account_n));
			forget_send(q, f);
			free(f->ids);
			free(f);
			if (fiber_cancelled(q->loop))
				return;
		}
	}
}
