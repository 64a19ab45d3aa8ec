/* work.h: worker threads for what blocks (SQLite, fsync, Argon2, big hashing, iconv). The fiber waits;
 * the loop goes on. */
#ifndef RT_WORK_H
#define RT_WORK_H

#include "rt/fiber.h"

struct workers;

/* `threads` threads named `name` and a queue of at most queue_max jobs. Threads start at the first
 * workers_start() so that a role can enter its sandbox single-threaded before. */
NODISCARD int workers_new(struct workers **out, struct loop *l, const char *name, int threads, size_t queue_max);
NODISCARD int workers_start(struct workers *w);
void workers_free(struct workers **w);
/* Runs fn(arg) on a thread while the calling fiber waits; returns fn's result. Not interrupted by
 * cancellation (arg may lie on the caller's stack). ERR_BUSY when the queue is full. */
NODISCARD int work_run(struct workers *w, int (*fn)(void *arg), void *arg);
size_t workers_waiting(const struct workers *w);

#endif
