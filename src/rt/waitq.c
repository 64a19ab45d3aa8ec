/* waitq.c: fibers that wait for each other. A waiter lies on the stack of the fiber that waits; who wakes it takes
 * it out of the queue and marks it, so that a wake that meets a deadline is not lost. */
#include "rt/loop_private.h"

struct waiter {
	struct list_node node;
	struct fiber *fiber;
	bool woken;
};

void
waitq_init(struct waitq *q)
{
	list_init(&q->waiters);
}

int
waitq_wait(struct loop *l, struct waitq *q, int64_t deadline_ms)
{
	struct waiter w = {.fiber = fiber_self(l)};
	int r;

	ASSERT(w.fiber != NULL);
	list_push(&q->waiters, &w.node);
	r = fiber_wait(l, deadline_ms);
	if (w.woken)
		return 0;
	list_remove(&w.node);
	ASSERT(r != 0);
	return r;
}

static struct fiber *
wake_first(struct waitq *q)
{
	struct list_node *n = list_pop(&q->waiters);
	struct waiter *w;

	if (n == NULL)
		return NULL;
	w = CONTAINER_OF(n, struct waiter, node);
	w->woken = true;
	fiber_resume(w->fiber);
	return w->fiber;
}

void
waitq_wake_one(struct waitq *q)
{
	(void)wake_first(q);
}

void
waitq_wake_all(struct waitq *q)
{
	while (wake_first(q) != NULL)
		;
}

void
fiber_lock_init(struct fiber_lock *k)
{
	k->owner = NULL;
	waitq_init(&k->queue);
}

int
fiber_lock_take(struct loop *l, struct fiber_lock *k, int64_t deadline_ms)
{
	struct fiber *self = fiber_self(l);
	int r = 0;

	ASSERT(self != NULL && k->owner != self);
	if (k->owner == NULL)
		k->owner = self;
	else
		r = waitq_wait(l, &k->queue, deadline_ms);
	ASSERT(r != 0 || k->owner == self);
	return r;
}

void
fiber_lock_drop(struct loop *l, struct fiber_lock *k)
{
	ASSERT(k->owner == fiber_self(l));
	/* Handed over, so that a fiber that comes now cannot overtake those that wait. */
	k->owner = wake_first(&k->queue);
}
