/* fiber.c: who runs next. A fiber is ready (in the loop's list), running (loop->current), parked, or ended. It is
 * entered from the loop only; who wakes another makes it ready. Its stack goes back to a pool when it ends;
 * its struct lives until it is joined, or ends with it when nobody holds a handle. */
#include "rt/loop_private.h"

#include <malloc.h>

/* Stacks that are kept as they are while fibers come and go, and stacks that are kept at all. */
#define POOL_WARM 64
#define POOL_MAX 1024
/* Parked for one to two of these, a fiber gives back what its stack held at its deepest. */
#define TRIM_EVERY_MS 2000
#define HEAP_TRIM_EVERY 15

static void on_trim(uv_timer_t *t);

static void
on_idle(uv_idle_t *i)
{
	(void)i; /* its being active is its work: the loop then polls without waiting */
}

static void
ready_push(struct fiber *f)
{
	struct loop *l = f->loop;

	f->state = FIBER_READY;
	list_push(&l->ready, &f->ready_node);
	if (l->ready_n++ == 0)
		(void)uv_idle_start(&l->idle, on_idle);
}

void
fiber_ready(struct fiber *f, int result)
{
	ASSERT(f->state == FIBER_PARKED);
	f->result = result;
	ready_push(f);
}

static void
fiber_main(void *arg)
{
	struct fiber *f = arg;

	f->fn(f->arg);
	f->state = FIBER_ENDED;
}

static void
pool_put(struct loop *l, struct fiber_stack *s)
{
	if (l->pool_n >= POOL_MAX) {
		fiber_stack_free(s);
		return;
	}
	s->trimmed = false;
	s->next = l->pool;
	l->pool = s;
	l->pool_n++;
}

static struct fiber_stack *
pool_take(struct loop *l)
{
	struct fiber_stack *s = l->pool;

	if (s == NULL)
		return fiber_stack_new();
	l->pool = s->next;
	l->pool_n--;
	s->next = NULL;
	return s;
}

int
fiber_start(struct loop *l, const char *name, fiber_fn *fn, void *arg, struct fiber **out)
{
	struct fiber *f = calloc(1, sizeof(*f));

	if (out != NULL)
		*out = NULL;
	if (f == NULL)
		return ERR_NOMEM;
	if (fiber_timer_reserve(l) == 0)
		f->stack = pool_take(l);
	if (f->stack == NULL) {
		free(f);
		return ERR_NOMEM;
	}
	f->stack->run = fiber_main;
	f->stack->arg = f;
	f->loop = l;
	f->name = name;
	f->fn = fn;
	f->arg = arg;
	f->heap_at = HEAP_NONE;
	f->handle = out != NULL;
	f->cancelled = l->ending;
	list_push(&l->fibers, &f->node);
	if (l->fiber_count++ == 0)
		uv_ref((uv_handle_t *)&l->async);
	ready_push(f);
	if (out != NULL)
		*out = f;
	return 0;
}

static void
fiber_ended(struct fiber *f)
{
	struct loop *l = f->loop;

	fiber_timer_drop(f);
	list_remove(&f->node);
	if (--l->fiber_count == 0)
		uv_unref((uv_handle_t *)&l->async);
	pool_put(l, f->stack);
	f->stack = NULL;
	if (!f->handle)
		free(f);
	else if (f->joiner != NULL)
		fiber_resume(f->joiner);
}

void
fibers_run_ready(struct loop *l)
{
	for (size_t n = l->ready_n; n > 0; n--) {
		struct fiber *f = CONTAINER_OF(list_pop(&l->ready), struct fiber, ready_node);

		if (--l->ready_n == 0)
			(void)uv_idle_stop(&l->idle);
		f->state = FIBER_RUNNING;
		f->ran = true;
		f->trimmed = false;
		l->current = f;
		fiber_stack_enter(&l->base, f->stack);
		l->current = NULL;
		if (f->state == FIBER_ENDED)
			fiber_ended(f);
	}
	if (l->fiber_count > 0 && !l->ending && !uv_is_active((uv_handle_t *)&l->trimmer)) {
		(void)uv_timer_start(&l->trimmer, on_trim, TRIM_EVERY_MS, 0);
	}
}

/* The stacks of the pool, apart from the `warm` used last. */
static void
trim_pool(struct loop *l, size_t warm)
{
	size_t n = 0;

	for (struct fiber_stack *s = l->pool; s != NULL; s = s->next) {
		if (n++ < warm || s->trimmed)
			continue;
		fiber_stack_trim(s);
		s->trimmed = true;
	}
}

static void
on_trim(uv_timer_t *t)
{
	struct loop *l = t->data;
	bool again = false;

	LIST_FOREACH (&l->fibers, n) {
		struct fiber *f = CONTAINER_OF(n, struct fiber, node);

		if (f->ran) {
			f->ran = false;
			again = true;
		} else if (f->state == FIBER_PARKED && !f->trimmed) {
			fiber_stack_trim(f->stack);
			f->trimmed = true;
		}
	}
	trim_pool(l, again ? POOL_WARM : 0);
	if (again)
		(void)uv_timer_start(&l->trimmer, on_trim, TRIM_EVERY_MS, 0);
	/* In a pause, and now and then without one, what bursts have left goes back to the system. */
	if (!again || ++l->trims % HEAP_TRIM_EVERY == 0)
		(void)malloc_trim(0);
}

struct fiber *
fiber_self(struct loop *l)
{
	return l->current;
}

static int
park(struct loop *l, int64_t deadline_ms, bool strict, bool deaf)
{
	struct fiber *f = l->current;

	ASSERT(f != NULL);
	if (f->cancelled && !deaf)
		return ERR_CANCELLED;
	if (!strict && f->kept) {
		f->kept = false;
		return 0;
	}
	if (deadline_ms <= loop_now_ms(l))
		return ERR_TIMEOUT;
	f->strict = strict;
	f->deaf = deaf;
	f->woken = false;
	f->deadline_ms = deadline_ms;
	f->state = FIBER_PARKED;
	fiber_timer_set(f);
	fiber_stack_leave(f->stack);
	return f->result;
}

int
fiber_park(struct loop *l, int64_t deadline_ms)
{
	return park(l, deadline_ms, false, false);
}

void
fiber_park_always(struct loop *l)
{
	(void)park(l, DEADLINE_NEVER, false, true);
}

int
fiber_wait(struct loop *l, int64_t deadline_ms)
{
	return park(l, deadline_ms, true, false);
}

void
fiber_wait_always(struct loop *l)
{
	(void)park(l, DEADLINE_NEVER, true, true);
}

void
fiber_wake(struct fiber *f)
{
	if (f->state == FIBER_PARKED && !f->strict) {
		f->woken = true;
		fiber_ready(f, 0);
	} else if (f->state != FIBER_ENDED && !(f->state == FIBER_READY && f->woken)) {
		f->kept = true;
	}
}

void
fiber_resume(struct fiber *f)
{
	if (f->state == FIBER_PARKED)
		fiber_ready(f, 0);
}

bool
fiber_was_woken(struct loop *l)
{
	return l->current->woken;
}

bool
fiber_take_kept(struct loop *l)
{
	bool kept = l->current->kept;

	l->current->kept = false;
	return kept;
}

void
fiber_cancel(struct fiber *f)
{
	f->cancelled = true;
	if (f->state == FIBER_PARKED && !f->deaf)
		fiber_ready(f, ERR_CANCELLED);
}

bool
fiber_cancelled(struct loop *l)
{
	return l->current != NULL && l->current->cancelled;
}

void
fiber_join(struct loop *l, struct fiber **fp)
{
	struct fiber *f = *fp;

	if (f == NULL)
		return;
	ASSERT(f->handle && f->joiner == NULL && f != l->current);
	*fp = NULL;
	f->joiner = l->current;
	while (f->state != FIBER_ENDED)
		fiber_wait_always(l);
	free(f);
}

int
fiber_sleep(struct loop *l, int64_t ms)
{
	int r = fiber_wait(l, loop_deadline(l, ms));

	return r == ERR_TIMEOUT ? 0 : r;
}

int
fiber_yield(struct loop *l)
{
	struct fiber *f = l->current;

	ASSERT(f != NULL);
	if (f->cancelled)
		return ERR_CANCELLED;
	f->woken = false;
	ready_push(f);
	fiber_stack_leave(f->stack);
	return f->cancelled ? ERR_CANCELLED : 0;
}

size_t
fiber_count(struct loop *l)
{
	return l->fiber_count;
}

void
fibers_init(struct loop *l)
{
	list_init(&l->ready);
	list_init(&l->fibers);
	l->timer_due_ms = DEADLINE_NEVER;
}

void
fibers_cancel_all(struct loop *l)
{
	LIST_FOREACH (&l->fibers, n)
		fiber_cancel(CONTAINER_OF(n, struct fiber, node));
}

void
fibers_free(struct loop *l)
{
	ASSERT(l->fiber_count == 0);
	while (l->pool != NULL) {
		struct fiber_stack *s = l->pool;

		l->pool = s->next;
		fiber_stack_free(s);
	}
	free(l->heap);
}
