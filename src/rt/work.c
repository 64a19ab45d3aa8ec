/* work.c: worker threads. A job lies on the stack of the fiber that waits for it; the thread that has run it posts it
 * back to the loop, which resumes the fiber. The thread that became idle last gets the next job: what it needs is still in its
 * processor's caches. */
#include "rt/work.h"

#include "rt/loop_private.h"

#include <pthread.h>
#include <signal.h>

#define THREADS_MAX 64

struct work_item {
	struct list_node node;
	struct loop_job done;
	struct fiber *fiber;
	int (*fn)(void *arg);
	void *arg;
	int result;
	bool finished;
};

struct worker {
	struct list_node node; /* in workers->idle */
	struct workers *of;
	pthread_cond_t wake;
	pthread_t thread;
};

struct workers {
	struct loop *loop;
	const char *name;
	pthread_mutex_t mutex;
	struct list queue, idle;
	size_t queue_n, queue_max;
	bool stopping;
	int threads_want, threads_n;
	struct worker threads[THREADS_MAX];
};

int
workers_new(struct workers **out, struct loop *l, const char *name, int threads, size_t queue_max)
{
	struct workers *w;

	*out = NULL;
	if (threads < 1 || threads > THREADS_MAX || queue_max < 1)
		return ERR_INVALID;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return ERR_NOMEM;
	w->loop = l;
	w->name = name;
	w->threads_want = threads;
	w->queue_max = queue_max;
	list_init(&w->queue);
	list_init(&w->idle);
	ASSERT(pthread_mutex_init(&w->mutex, NULL) == 0);
	for (int i = 0; i < threads; i++) {
		w->threads[i].of = w;
		ASSERT(pthread_cond_init(&w->threads[i].wake, NULL) == 0);
	}
	*out = w;
	return 0;
}

/* On the loop. */
static void
on_done(void *arg)
{
	struct work_item *item = arg;

	item->finished = true;
	fiber_resume(item->fiber);
}

/* With the mutex held. */
static void
wait_for_work(struct worker *t)
{
	struct workers *w = t->of;

	while (list_empty(&w->queue) && !w->stopping) {
		if (!list_linked(&t->node))
			list_push_front(&w->idle, &t->node);
		ASSERT(pthread_cond_wait(&t->wake, &w->mutex) == 0);
	}
	list_remove(&t->node);
}

static void *
thread_main(void *arg)
{
	struct worker *t = arg;
	struct workers *w = t->of;

	ASSERT(pthread_mutex_lock(&w->mutex) == 0);
	for (;;) {
		struct work_item *item;

		wait_for_work(t);
		if (list_empty(&w->queue))
			break;
		item = CONTAINER_OF(list_pop(&w->queue), struct work_item, node);
		w->queue_n--;
		ASSERT(pthread_mutex_unlock(&w->mutex) == 0);
		item->result = item->fn(item->arg);
		loop_post(w->loop, &item->done);
		ASSERT(pthread_mutex_lock(&w->mutex) == 0);
	}
	ASSERT(pthread_mutex_unlock(&w->mutex) == 0);
	return NULL;
}

int
workers_start(struct workers *w)
{
	sigset_t all, old;
	int r = 0;

	(void)sigfillset(&all);
	ASSERT(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
	while (r == 0 && w->threads_n < w->threads_want) {
		struct worker *t = &w->threads[w->threads_n];

		r = pthread_create(&t->thread, NULL, thread_main, t);
		if (r == 0) {
			char name[16];

			(void)snprintf(name, sizeof(name), "%s/%d", w->name, w->threads_n);
			(void)pthread_setname_np(t->thread, name);
			w->threads_n++;
		}
	}
	ASSERT(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	return r == 0 ? 0 : err_from_errno(r);
}

void
workers_free(struct workers **wp)
{
	struct workers *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	ASSERT(pthread_mutex_lock(&w->mutex) == 0);
	w->stopping = true;
	for (int i = 0; i < w->threads_n; i++)
		ASSERT(pthread_cond_signal(&w->threads[i].wake) == 0);
	ASSERT(pthread_mutex_unlock(&w->mutex) == 0);
	for (int i = 0; i < w->threads_n; i++)
		ASSERT(pthread_join(w->threads[i].thread, NULL) == 0);
	for (int i = 0; i < w->threads_want; i++)
		(void)pthread_cond_destroy(&w->threads[i].wake);
	(void)pthread_mutex_destroy(&w->mutex);
	free(w);
}

int
work_run(struct workers *w, int (*fn)(void *arg), void *arg)
{
	struct work_item item = {.fiber = fiber_self(w->loop), .fn = fn, .arg = arg};
	struct loop *l = w->loop;
	struct list_node *idle = NULL;
	bool full;

	ASSERT(item.fiber != NULL && w->threads_n > 0);
	item.done.fn = on_done;
	item.done.arg = &item;
	ASSERT(pthread_mutex_lock(&w->mutex) == 0);
	full = w->queue_n >= w->queue_max;
	if (!full) {
		list_push(&w->queue, &item.node);
		w->queue_n++;
		idle = list_pop(&w->idle);
	}
	ASSERT(pthread_mutex_unlock(&w->mutex) == 0);
	if (full)
		return ERR_BUSY;
	/* Not before: it would wake only to wait for the mutex. */
	if (idle != NULL)
		ASSERT(pthread_cond_signal(&CONTAINER_OF(idle, struct worker, node)->wake) == 0);
	while (!item.finished)
		fiber_wait_always(l);
	return item.result;
}

size_t
workers_waiting(const struct workers *cw)
{
	struct workers *w = (struct workers *)(uintptr_t)cw;
	size_t n;

	ASSERT(pthread_mutex_lock(&w->mutex) == 0);
	n = w->queue_n;
	ASSERT(pthread_mutex_unlock(&w->mutex) == 0);
	return n;
}
