/* loop.c: one libuv loop. An iteration: due timers end parks → fibers that are ready run → the loop polls
 * (without waiting while fibers are ready) → fibers that this made ready run. The loop owns its handles; they live
 * inside struct loop. It counts as having something to do while a fiber lives, a handle is active, or a job is posted. */
#include "rt/loop_private.h"

#include <signal.h>

static void
run_posted(struct loop *l)
{
	struct loop_job *newest = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire), *oldest = NULL;

	while (newest != NULL) {
		struct loop_job *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		/* The job's memory is its owner's again as soon as it runs. */
		struct loop_job job = *oldest;

		oldest = job.next;
		job.fn(job.arg);
	}
}

static void
on_async(uv_async_t *a)
{
	run_posted(a->data);
}

static void
on_prepare(uv_prepare_t *p)
{
	fibers_run_ready(p->data);
	log_batch_flush();
}

static void
on_check(uv_check_t *c)
{
	fibers_run_ready(c->data);
}

int
loop_new(struct loop **out, struct house *h)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	*out = NULL;
	if (l == NULL)
		return ERR_NOMEM;
	l->scratch = malloc(LOOP_SCRATCH_BYTES);
	r = l->scratch == NULL ? UV_ENOMEM : uv_loop_init(&l->uv);
	if (r == 0) {
		r = uv_async_init(&l->uv, &l->async, on_async);
		if (r != 0)
			(void)uv_loop_close(&l->uv);
	}
	if (r != 0) {
		free(l->scratch);
		free(l);
		return r == UV_ENOMEM ? ERR_NOMEM : err_from_errno(-r);
	}
	/* A peer that is gone is an error code, never a signal. */
	(void)signal(SIGPIPE, SIG_IGN);
	l->house = h;
	(void)uv_prepare_init(&l->uv, &l->prepare);
	(void)uv_check_init(&l->uv, &l->check);
	(void)uv_idle_init(&l->uv, &l->idle);
	(void)uv_timer_init(&l->uv, &l->timer);
	(void)uv_timer_init(&l->uv, &l->trimmer);
	l->async.data = l->prepare.data = l->check.data = l->idle.data = l->timer.data = l->trimmer.data = l;
	(void)uv_prepare_start(&l->prepare, on_prepare);
	(void)uv_check_start(&l->check, on_check);
	uv_unref((uv_handle_t *)&l->async);
	uv_unref((uv_handle_t *)&l->prepare);
	uv_unref((uv_handle_t *)&l->check);
	uv_unref((uv_handle_t *)&l->timer);
	uv_unref((uv_handle_t *)&l->trimmer);
	fibers_init(l);
	*out = l;
	return 0;
}

void
loop_run(struct loop *l)
{
	ASSERT(l->current == NULL);
	log_batch_begin(&l->log, l->house);
	do {
		run_posted(l);
		uv_update_time(&l->uv);
		(void)uv_run(&l->uv, UV_RUN_DEFAULT);
	} while (!l->stopped && (l->fiber_count > 0 || atomic_load_explicit(&l->posted, memory_order_relaxed) != NULL));
	log_batch_end(&l->log);
	l->stopped = false;
}

void
loop_stop(struct loop *l)
{
	l->stopped = true;
	uv_stop(&l->uv);
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;
	uv_handle_t *own[6];

	if (l == NULL)
		return;
	*lp = NULL;
	l->ending = true;
	fibers_cancel_all(l);
	while (l->fiber_count > 0 || atomic_load(&l->posted) != NULL) {
		run_posted(l);
		(void)uv_run(&l->uv, UV_RUN_ONCE);
	}
	own[0] = (uv_handle_t *)&l->async;
	own[1] = (uv_handle_t *)&l->prepare;
	own[2] = (uv_handle_t *)&l->check;
	own[3] = (uv_handle_t *)&l->idle;
	own[4] = (uv_handle_t *)&l->timer;
	own[5] = (uv_handle_t *)&l->trimmer;
	for (size_t i = 0; i < COUNT_OF(own); i++)
		uv_close(own[i], NULL);
	/* Closing takes one turn; what is still active then, somebody has forgotten to close. */
	for (int turn = 0; turn < 3; turn++)
		(void)uv_run(&l->uv, UV_RUN_NOWAIT);
	ASSERT(uv_loop_close(&l->uv) == 0);
	fibers_free(l);
	free(l->scratch);
	free(l);
}

struct house *
loop_house(struct loop *l)
{
	return l->house;
}

struct uv_loop_s *
loop_uv(struct loop *l)
{
	return &l->uv;
}

int64_t
loop_now_ms(struct loop *l)
{
	return (int64_t)uv_now(&l->uv);
}

void
loop_post(struct loop *l, struct loop_job *job)
{
	struct loop_job *head = atomic_load_explicit(&l->posted, memory_order_relaxed);

	do
		job->next = head;
	while (
	    !atomic_compare_exchange_weak_explicit(&l->posted, &head, job, memory_order_release, memory_order_relaxed));
	/* Fails only on a handle that is closing, and nobody may post to a loop that is being freed. */
	(void)uv_async_send(&l->async);
}
