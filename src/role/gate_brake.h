/* gate_brake.h: what one client address, and the network that it is in, may do at a gate: sessions at a time, and connections,
 * messages, recipients and errors in a minute (limits smtp_*). An address of IPv6 is its /64. The network is the /24 of
 * IPv4 or the /48 of IPv6, for which the limits are limits.smtp_network_factor times as high. */
#ifndef ROLE_GATE_BRAKE_H
#define ROLE_GATE_BRAKE_H

#include "base/list.h"
#include "base/map.h"
#include "rt/net.h"
#include "smtp/smtp.h"

struct gate_brake {
	struct loop *loop;
	struct map by_key; /* struct gate_client */
	struct list oldest_first;
	int64_t refused; /* sessions, messages and recipients that were too many */
};

struct gate_client;

/* A session, as it is counted. Zeroed: not at all. */
struct gate_visit {
	struct gate_client *address, *network;
};

void gate_brake_init(struct gate_brake *b, struct loop *l);
void gate_brake_free(struct gate_brake *b);
/* Counts a session and a connection of the client. False, with *v zeroed, when it has too many of either, or has made too many
 * errors lately, or without memory. */
bool gate_brake_arrive(struct gate_brake *b, const struct net_address *client, struct gate_visit *v);
void gate_brake_depart(struct gate_brake *b, struct gate_visit *v);
/* Counts one more; false when that was too many. */
bool gate_brake_count(struct gate_brake *b, const struct gate_visit *v, enum smtp_counted what);

#endif
