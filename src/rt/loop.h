/* loop.h: the one event loop of a process (libuv) and the fibers on it. Everything in rt/ except
 * loop_post() is called on the loop's thread. */
#ifndef RT_LOOP_H
#define RT_LOOP_H

#include "base/house.h"

struct loop;
struct uv_loop_s;

/* Deadlines everywhere are absolute, in house_mono_ms() milliseconds. */
#define DEADLINE_NEVER INT64_MAX

NODISCARD int loop_new(struct loop **out, struct house *h);
/* Runs until loop_stop(), or until nothing is left to do. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Ends what is left (fibers are cancelled and run to their end) and frees it. */
void loop_free(struct loop **l);
struct house *loop_house(struct loop *l);
struct uv_loop_s *loop_uv(struct loop *l);
/* The loop's cached monotonic milliseconds; cheap. */
int64_t loop_now_ms(struct loop *l);
static inline int64_t
loop_deadline(struct loop *l, int64_t in_ms)
{
	int64_t now = loop_now_ms(l);

	return in_ms > INT64_MAX - now ? DEADLINE_NEVER : now + in_ms;
}
/* From any thread: has fn(arg) called on the loop's thread soon, in order of posting. `job` is the
 * caller's memory until fn runs; this never fails and never allocates. */
struct loop_job {
	struct loop_job *next;
	void (*fn)(void *arg);
	void *arg;
};
void loop_post(struct loop *l, struct loop_job *job);

#endif
