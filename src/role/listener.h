/* listener.h: what a listener asks of a connection before its first byte of any protocol: who it is, where a load
 * balancer tells that, and whether he may come. */
#ifndef ROLE_LISTENER_H
#define ROLE_LISTENER_H

#include "role/role.h"
#include "rt/net.h"

/* Takes off the PROXY header of a balancer that the listener names; n->peer and n->local are then the client's. 0, or an
 * error with the reason logged: the connection is to be closed. Parks. */
NODISCARD int listener_admit(struct role_context *c, const struct listen_settings *l, struct net_session *n);

#endif
