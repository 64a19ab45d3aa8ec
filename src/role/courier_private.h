/* courier_private.h: what the files of the courier share.
 *
 *   courier.c           the role: starting, settings, counters
 *   courier_attempt.c   one attempt to send a message: hosts in their order, connections new or kept
 *   courier_route.c     the hosts of a domain
 *   courier_pool.c      connections that wait for a next message */
#ifndef ROLE_COURIER_PRIVATE_H
#define ROLE_COURIER_PRIVATE_H

#include "role/courier_pool.h"
#include "role/courier_route.h"
#include "role/role.h"

/* The resolver of one generation of settings; goes when its last user is done. */
struct resolver {
	struct dns *dns;
	size_t users;
	bool retired;
};

struct courier {
	struct role_context *c;
	struct resolver *resolver;
	struct workers *workers;
	struct tls_client *tls; /* for servers of which nothing is known */
	struct courier_pool pool;
	struct waitq slots; /* for limits.courier_sessions */
	size_t active;
	bool stopping;
	/* counters */
	uint64_t attempts, connections, recipients_sent, recipients_deferred, recipients_failed, over_tls;
};

/* Sends for the clerk: the bus's courier_send. */
int courier_on_send(struct courier *k, struct bus_peer *from, struct bus_courier_send_request *q, struct arena *a,
    struct bus_courier_send_reply *rep);
void resolver_release(struct resolver **r);

#endif
