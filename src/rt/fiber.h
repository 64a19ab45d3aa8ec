/* fiber.h: cooperative threads on the loop: a session reads top to bottom. A fiber runs until it parks;
 * it never migrates to another thread, so code in fibers needs no locks. Stacks are small (64 KB, guarded;
 * larger under sanitizers): no large locals, no regex, iconv, SQLite, curl on them: use work.h. */
#ifndef RT_FIBER_H
#define RT_FIBER_H

#include "base/list.h"
#include "rt/loop.h"

struct fiber;
typedef void fiber_fn(void *arg);

/* Starts fn(arg) in a fiber of its own; it first runs when the caller parks or returns to the loop.
 * With `out`, the caller gets a handle that it must give to fiber_join(); without, the fiber is on its
 * own. `name` is a static string for backtraces and the log. ERR_NOMEM when no stack can be had. */
NODISCARD int fiber_start(struct loop *l, const char *name, fiber_fn *fn, void *arg, struct fiber **out);
/* The running fiber, or NULL on the loop itself. */
struct fiber *fiber_self(struct loop *l);
/* Parks until fiber_wake(): 0; ERR_TIMEOUT at the deadline; ERR_CANCELLED at once if cancelled. A wake
 * that comes before the park is kept (one). */
NODISCARD int fiber_park(struct loop *l, int64_t deadline_ms);
/* As fiber_park without deadline and deaf to cancellation: for waiting until a worker thread or a callback lets
 * go of memory that it still uses. */
void fiber_park_always(struct loop *l);
void fiber_wake(struct fiber *f);
/* Every park of f fails with ERR_CANCELLED from now on, the present one included, so that its cleanups run.
 * Harmless on a fiber that has ended but is not yet joined. */
void fiber_cancel(struct fiber *f);
bool fiber_cancelled(struct loop *l);
/* Waits for the fiber's end (not interrupted by cancellation) and sets *f to NULL. */
void fiber_join(struct loop *l, struct fiber **f);
/* 0 after ms, or ERR_CANCELLED. */
NODISCARD int fiber_sleep(struct loop *l, int64_t ms);
/* Lets others run once. */
NODISCARD int fiber_yield(struct loop *l);
size_t fiber_count(struct loop *l);

/* A queue of waiting fibers. */
struct waitq {
	struct list waiters;
};
void waitq_init(struct waitq *q);
NODISCARD int waitq_wait(struct loop *l, struct waitq *q, int64_t deadline_ms);
void waitq_wake_one(struct waitq *q);
void waitq_wake_all(struct waitq *q);

/* Mutual exclusion between fibers across parks. First come, first served. */
struct fiber_lock {
	struct fiber *owner;
	struct waitq queue;
};
void fiber_lock_init(struct fiber_lock *k);
NODISCARD int fiber_lock_take(struct loop *l, struct fiber_lock *k, int64_t deadline_ms);
void fiber_lock_drop(struct loop *l, struct fiber_lock *k);

#endif
