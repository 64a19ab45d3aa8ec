/* work.c: worker threads. A job lies on the stack of the fiber that waits for it; the thread that has run it posts it
 * back to the loop, which resumes the fiber. */
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

struct workers {
	struct loop *loop;
	const char *name;
	pthread_mutex_t mutex;
	pthread_cond_t more;
	struct list queue;
	size_t queue_n, queue_max;
	bool stopping;
	int threads_want, threads_n;
	pthread_t threads[THREADS_MAX];
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
	ASSERT(pthread_mutex_init(&w->mutex, NULL) == 0);
	ASSERT(pthread_cond_init(&w->more, NULL) == 0);
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

static void *
thread_main(void *arg)
{
	struct workers *w = arg;

	ASSERT(pthread_mutex_lock(&w->mutex) == 0);
	for (;;) {
		struct work_item *item;

		while (list_empty(&w->queue) && !w->stopping)
			ASSERT(pthread_cond_wait(&w->more, &w->mutex) == 0);
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
		r = pthread_create(&w->threads[w->threads_n], NULL, thread_main, w);
		if (r == 0) {
			char name[16];

			(void)snprintf(name, sizeof(name), "%s/%d", w->name, w->threads_n);
			(void)pthread_setname_np(w->threads[w->threads_n], name);
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
	ASSERT(pthread_cond_broadcast(&w->more) == 0);
	ASSERT(pthread_mutex_unlock(&w->mutex) == 0);
	for (int i = 0; i < w->threads_n; i++)
		ASSERT(pthread_join(w->threads[i], NULL) == 0);
	(void)pthread_cond_destroy(&w->more);
	(void)pthread_mutex_destroy(&w->mutex);
	free(w);
}

int
work_run(struct workers *w, int (*fn)(void *arg), void *arg)
{
	struct work_item item = {.fiber = fiber_self(w->loop), .fn = fn, .arg = arg};
	struct loop *l = w->loop;
	bool full;

	ASSERT(item.fiber != NULL && w->threads_n > 0);
	item.done.fn = on_done;
	item.done.arg = &item;
	ASSERT(pthread_mutex_lock(&w->mutex) == 0);
	full = w->queue_n >= w->queue_max;
	if (!full) {
		list_push(&w->queue, &item.node);
		w->queue_n++;
		ASSERT(pthread_cond_signal(&w->more) == 0);
	}
	ASSERT(pthread_mutex_unlock(&w->mutex) == 0);
	if (full)
		return ERR_BUSY;
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
