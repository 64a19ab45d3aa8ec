/* courier_pool.h: connections that wait for a next message to the same place. A place is a text that says all that matters: host,
 * port, where from, how secured, signed in as whom. Connections are closed politely when they have waited too long, are too
 * old, have carried enough, or are too many. */
#ifndef ROLE_COURIER_POOL_H
#define ROLE_COURIER_POOL_H

#include "base/map.h"
#include "smtp/smtp.h"

struct courier_pool {
	struct loop *loop;
	struct map places; /* place → struct pool_place */
	struct list idle;  /* all connections, longest waiting first */
	size_t count;
	struct waitq filled;
	struct fiber *sweeper;
	bool stopping;
	uint64_t reused; /* for status */
};

/* A connection that was taken out, or is to be put in. */
struct pool_connection {
	struct smtp_connection *connection;
	struct slice host; /* for people; in the caller's arena */
	int64_t opened_ms;
};

NODISCARD int courier_pool_start(struct courier_pool *p, struct loop *l);
/* Closes all; what is put in later is closed at once. */
void courier_pool_stop(struct courier_pool *p);
/* A connection to the place that can be used at once: true. `out` lies in the arena. */
bool courier_pool_take(struct courier_pool *p, struct slice place, struct arena *a, struct pool_connection *out);
/* Takes the connection over: keeps or closes it. */
void courier_pool_put(struct courier_pool *p, struct slice place, struct pool_connection *c);

#endif
