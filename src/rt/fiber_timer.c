/* fiber_timer.c: the deadlines of parked fibers: a binary heap and one uv timer. A fiber stays in the heap when it is
 * woken early, and is looked at again when its old time comes: a session that parks for five minutes ten
 * thousand times touches the heap once in five minutes. */
#include "rt/loop_private.h"

static void on_timer(uv_timer_t *t);

static void
heap_put(struct loop *l, size_t at, struct fiber *f)
{
	l->heap[at] = f;
	f->heap_at = at;
}

static void
heap_up(struct loop *l, size_t at)
{
	struct fiber *f = l->heap[at];

	while (at > 0 && l->heap[(at - 1) / 2]->due_ms > f->due_ms) {
		heap_put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(l, at, f);
}

static void
heap_down(struct loop *l, size_t at)
{
	struct fiber *f = l->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < l->heap_n && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (child >= l->heap_n || l->heap[child]->due_ms >= f->due_ms)
			break;
		heap_put(l, at, l->heap[child]);
		at = child;
	}
	heap_put(l, at, f);
}

static void
arm(struct loop *l)
{
	int64_t due = l->heap_n == 0 ? DEADLINE_NEVER : l->heap[0]->due_ms, now;

	if (due >= l->timer_due_ms)
		return;
	now = loop_now_ms(l);
	l->timer_due_ms = due;
	(void)uv_timer_start(&l->timer, on_timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

static void
on_timer(uv_timer_t *t)
{
	struct loop *l = t->data;
	int64_t now = loop_now_ms(l);

	while (l->heap_n > 0 && l->heap[0]->due_ms <= now) {
		struct fiber *f = l->heap[0];

		if (f->state != FIBER_PARKED || f->deadline_ms == DEADLINE_NEVER) {
			fiber_timer_drop(f);
		} else if (f->deadline_ms <= now) {
			fiber_timer_drop(f);
			fiber_ready(f, ERR_TIMEOUT);
		} else {
			f->due_ms = f->deadline_ms;
			heap_down(l, 0);
		}
	}
	l->timer_due_ms = DEADLINE_NEVER;
	arm(l);
}

/* Room for one more fiber, so that setting a deadline cannot fail. */
int
fiber_timer_reserve(struct loop *l)
{
	if (l->heap_cap <= l->fiber_count) {
		size_t cap = l->heap_cap == 0 ? 64 : l->heap_cap * 2;
		struct fiber **heap = realloc(l->heap, cap * sizeof(*heap));

		if (heap == NULL)
			return ERR_NOMEM;
		l->heap = heap;
		l->heap_cap = cap;
	}
	return 0;
}

void
fiber_timer_set(struct fiber *f)
{
	struct loop *l = f->loop;

	if (f->deadline_ms == DEADLINE_NEVER || (f->heap_at != HEAP_NONE && f->due_ms <= f->deadline_ms))
		return;
	f->due_ms = f->deadline_ms;
	if (f->heap_at == HEAP_NONE) {
		ASSERT(l->heap_n < l->heap_cap);
		heap_put(l, l->heap_n++, f);
	}
	heap_up(l, f->heap_at);
	arm(l);
}

void
fiber_timer_drop(struct fiber *f)
{
	struct loop *l = f->loop;
	size_t at = f->heap_at;

	if (at == HEAP_NONE)
		return;
	f->heap_at = HEAP_NONE;
	l->heap_n--;
	if (at == l->heap_n)
		return;
	heap_put(l, at, l->heap[l->heap_n]);
	heap_down(l, at);
	heap_up(l, l->heap[at]->heap_at);
}
