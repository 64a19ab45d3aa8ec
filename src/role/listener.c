#include "role/listener.h"

#include "base/log.h"
#include "rt/proxy_header.h"

static int
take_proxy_header(struct role_context *c, struct net_session *n)
{
	struct proxy_header h;
	int e = proxy_header_read(n->stream, loop_deadline(c->loop, c->house->limits.proxy_header_timeout_ms), &h);

	if (e == 0 && h.known) {
		n->peer = h.client;
		n->local = h.server;
	}
	return e;
}

static bool
may_come(const struct listen_settings *l, const struct net_address *client)
{
	if (l->allow.n > 0)
		return network_list_contains(l->allow, client);
	return (l->service != LISTEN_LMTP && l->service != LISTEN_METRICS) || net_address_is_loopback(client);
}

int
listener_admit(struct role_context *c, const struct listen_settings *l, struct net_session *n)
{
	char text[NET_ADDRESS_TEXT_MAX];
	int e = 0;

	if (network_list_contains(l->proxy_protocol, &n->peer))
		e = take_proxy_header(c, n);
	net_address_text(&n->peer, text);
	if (e != 0) {
		LOG(c->house, WARN, "proxy_header_bad", LOG_S("listener", l->name), LOG_Z("balancer", text), LOG_E(e));
		return e;
	}
	if (may_come(l, &n->peer))
		return 0;
	LOG(c->house, INFO, "client_not_allowed", LOG_S("listener", l->name), LOG_Z("client", text));
	return ERR_DENIED;
}
