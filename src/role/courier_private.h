/* courier_private.h: what the files of the courier share.
 *
 *   courier.c           the role: starting, settings, counters
 *   courier_attempt.c   one attempt to send a message: hosts in their order, connections new or kept
 *   courier_route.c     the hosts of a domain
 *   courier_pool.c      connections that wait for a next message
 *   courier_security.c  how a connection has to be secured
 *   courier_sts.c       MTA-STS policies
 *   courier_tally.c     counts for reports on TLS
 *   courier_report.c    where these reports go, and taking them to web servers
 *   courier_https.c     asking web servers
 *   courier_advice.c    what DNS says of the house's own domains */
#ifndef ROLE_COURIER_PRIVATE_H
#define ROLE_COURIER_PRIVATE_H

#include "role/courier_pool.h"
#include "role/courier_route.h"
#include "role/courier_sts.h"
#include "role/courier_tally.h"
#include "role/resolver.h"

struct courier {
	struct role_context *c;
	struct resolver *resolver;
	struct workers *workers;
	struct tls_client *tls_any;     /* for servers of which nothing is known */
	struct tls_client *tls_checked; /* checks certificates: by roots or DANE */
	struct buf ca_pem;              /* the settings' roots, read before the sandbox */
	struct courier_pool pool;
	struct courier_sts sts;
	struct courier_tally tally;
	struct fiber *refresher; /* of MTA-STS policies; only of the first courier */
	struct waitq slots;      /* for limits.courier_sessions */
	size_t active;
	bool stopping;
	/* counters */
	uint64_t attempts, connections, recipients_sent, recipients_deferred, recipients_failed, over_tls;
};

/* Sends for the clerk: the bus's courier_send. */
int courier_on_send(struct courier *k, struct bus_peer *from, struct bus_courier_send_request *q, struct arena *a,
    struct bus_courier_send_reply *rep);

/* courier_report.c: the bus's courier_report_places and courier_report_post. */
int courier_on_report_places(struct courier *k, struct bus_peer *from, struct bus_courier_report_places_request *q,
    struct arena *a, struct bus_courier_report_places_reply *rep);
int courier_on_report_addresses(struct courier *k, struct bus_peer *from,
    struct bus_courier_report_addresses_request *q, struct arena *a, struct bus_courier_report_addresses_reply *rep);
int courier_on_report_post(struct courier *k, struct bus_peer *from, struct bus_courier_report_post_request *q,
    struct arena *a, struct bus_courier_report_post_reply *rep);

/* courier_advice.c: the bus's courier_advice. */
int courier_on_advice(struct courier *k, struct bus_peer *from, struct bus_courier_advice_request *q, struct arena *a,
    struct bus_courier_advice_reply *rep);

#endif
