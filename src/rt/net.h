/* net.h: addresses, listening and connecting. */
#ifndef RT_NET_H
#define RT_NET_H

#include "rt/stream.h"

#include <sys/socket.h>

struct net_address {
	struct sockaddr_storage sa;
	socklen_t n;
};

/* "192.0.2.1", "2001:db8::1", with a port. No name lookup. 0 or ERR_SYNTAX. */
NODISCARD int net_address_parse(struct slice host, uint16_t port, struct net_address *out);
/* Text form of the address without port ("192.0.2.1", "2001:db8::1"; v4-mapped as v4; "" for unix). */
#define NET_ADDRESS_TEXT_MAX 64
void net_address_text(const struct net_address *a, char out[NET_ADDRESS_TEXT_MAX]);
/* RFC 5321 §4.1.3 literal: "[192.0.2.1]" or "[IPv6:2001:db8::1]". */
void net_address_literal(const struct net_address *a, char out[NET_ADDRESS_TEXT_MAX]);
uint16_t net_address_port(const struct net_address *a);
bool net_address_is_loopback(const struct net_address *a);
/* The address as a key for limits: v4 whole, v6 its /64. */
void net_address_prefix_key(const struct net_address *a, uint8_t out[16]);

/* A bound, listening, non-blocking, close-on-exec socket (SO_REUSEADDR; IPV6_V6ONLY). */
NODISCARD int net_listen(const struct net_address *a, int backlog, int *fd);
NODISCARD int net_listen_unix(const char *path, int mode, int backlog, int *fd);
NODISCARD int net_connect(struct loop *l, const struct net_address *to, const struct net_address *from,
    int64_t deadline_ms, struct stream **out);
NODISCARD int net_connect_unix(struct loop *l, const char *path, struct stream **out);

/* Accepts connections on a listening socket and starts a fiber for each: fn owns the stream and the
 * peer is valid during the call. Above `max` concurrent sessions accepting pauses (the kernel queues). On
 * EMFILE it waits. Does not own fd until net_acceptor_free closes it. */
struct net_acceptor;
struct net_session {
	struct stream *stream; /* owned by fn */
	struct net_address peer;
	struct net_address local;
	void *arg;
};
typedef void net_session_fn(struct net_session *s);
NODISCARD int net_accept_start(
    struct net_acceptor **out, struct loop *l, int fd, size_t max, net_session_fn *fn, void *arg);
size_t net_acceptor_sessions(const struct net_acceptor *a);
/* Stops accepting; sessions go on. */
void net_acceptor_stop(struct net_acceptor *a);
/* Cancels all session fibers. */
void net_acceptor_cancel_sessions(struct net_acceptor *a);
void net_acceptor_free(struct net_acceptor **a);

#endif
