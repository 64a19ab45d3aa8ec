/* loop_private.h: what loop.c, fiber.c and the streams know of each other; private to rt/. */
#ifndef RT_LOOP_PRIVATE_H
#define RT_LOOP_PRIVATE_H

#include "base/log.h"
#include "rt/fiber.h"
#include "rt/fiber_switch.h"

#include <uv.h>

/* Reads of the whole loop go through one buffer: nothing is held for a session that waits. */
#define LOOP_SCRATCH_BYTES ((size_t)64 * 1024)

struct loop {
	uv_loop_t uv;
	struct house *house;
	uv_async_t async; /* jobs were posted; counts as alive while there are fibers */
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* active while fibers are ready, so that polling does not wait */
	uv_timer_t timer;
	uv_timer_t trimmer;
	_Atomic(struct loop_job *) posted; /* newest first */
	uint8_t *scratch;
	struct log_batch log; /* of loop_run()'s thread */
	bool stopped;
	bool ending; /* loop_free: new fibers start cancelled */

	/* fiber.c */
	struct list ready;
	size_t ready_n;
	struct list fibers; /* all that have not ended */
	size_t fiber_count;
	struct fiber *current;
	struct fiber_base base;
	struct fiber **heap; /* by the time they are to be looked at; see fiber_timer.c */
	size_t heap_n, heap_cap;
	int64_t timer_due_ms;
	struct fiber_stack *pool;
	size_t pool_n;
	unsigned trims;
};

enum fiber_state { FIBER_READY, FIBER_RUNNING, FIBER_PARKED, FIBER_ENDED };

struct fiber {
	struct loop *loop;
	const char *name;
	fiber_fn *fn;
	void *arg;
	struct list_node node;       /* in loop->fibers */
	struct list_node ready_node; /* in loop->ready */
	struct fiber_stack *stack;
	struct fiber *joiner;
	enum fiber_state state;
	int result;          /* of the present park */
	int64_t deadline_ms; /* of the present park */
	int64_t due_ms;      /* its place in the heap; never later than the deadline of its park */
	size_t heap_at;      /* HEAP_NONE: not in it */
	bool handle;         /* somebody will join */
	bool kept;           /* a wake came before the park */
	bool woken;          /* fiber_wake() ended this park */
	bool cancelled;
	bool deaf;    /* this park does not hear cancellation */
	bool strict;  /* this park is ended by fiber_resume() only; a fiber_wake() is kept for later */
	bool ran;     /* since the trimmer last looked */
	bool trimmed; /* and has not run since */
};

#define HEAP_NONE ((size_t)-1)

/* Set up and torn down by loop.c. */
void fibers_init(struct loop *l);
void fibers_free(struct loop *l);
void fibers_cancel_all(struct loop *l);
/* Runs each fiber that is ready now once. */
void fibers_run_ready(struct loop *l);

/* fiber_timer.c: the deadlines of parked fibers. */
NODISCARD int fiber_timer_reserve(struct loop *l);
void fiber_timer_set(struct fiber *f);
void fiber_timer_drop(struct fiber *f);

/* Ends a park of f with `result`. */
void fiber_ready(struct fiber *f, int result);
/* As fiber_park(), but a fiber_wake() of somebody who knows nothing of this wait is kept for the next
 * fiber_park(); it ends by fiber_resume(), which does nothing to a fiber that is not parked. */
NODISCARD int fiber_wait(struct loop *l, int64_t deadline_ms);
void fiber_wait_always(struct loop *l);
void fiber_resume(struct fiber *f);
/* Whether the last park was ended by fiber_wake(). */
bool fiber_was_woken(struct loop *l);
/* Takes the wake that is kept, if any. */
bool fiber_take_kept(struct loop *l);

#endif
