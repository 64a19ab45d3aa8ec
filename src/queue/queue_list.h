/* queue_list.h: messages with all their recipients, for whoever lists them or acts on them. */
#ifndef QUEUE_QUEUE_LIST_H
#define QUEUE_QUEUE_LIST_H

#include "queue/queue_tell.h"

#define WHOLE_ARENA_BYTES ((size_t)32 << 20)

struct whole {
	struct slice id;
	struct arena *arena;
	bool here; /* it has not left */
	struct row_message m;
	struct row_rcpt *rcpts;
	size_t rcpts_n;
	json_t *lines; /* NULL, or gets the history */
};

/* A transaction function on a struct whole. ERR_NOTFOUND. */
int whole_read(struct sqltx *tx, void *arg);
/* Is it one that the filter means, and not yet done? */
bool whole_rcpt_matches(const struct queue_filter *f, const struct row_message *m, const struct row_rcpt *r);
/* Calls fn for every message that is here and of which a recipient matches. */
typedef int whole_fn(struct queue *q, const struct queue_filter *f, struct whole *w, void *ctx);
NODISCARD int whole_each(struct queue *q, const struct queue_filter *f, whole_fn *fn, void *ctx);

#endif
