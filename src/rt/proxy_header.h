/* proxy_header.h: the header that a load balancer puts in front of a connection to tell whose it is: the PROXY protocol,
 * versions 1 (a line of text) and 2 (binary), as HAProxy defined it. It is believed only where a listener names the
 * balancer; what it says is then the client's address. */
#ifndef RT_PROXY_HEADER_H
#define RT_PROXY_HEADER_H

#include "rt/net.h"

#define PROXY_HEADER_V1_MAX 107  /* with its CR LF */
#define PROXY_HEADER_V2_MAX 4096 /* with its addresses and all that follows them */

struct proxy_header {
	bool known; /* false: the balancer speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC, a UNIX
	                            * socket): the connection's own addresses count */
	struct net_address client; /* with their ports */
	struct net_address server;
};

/* Reads a header at the beginning of `in`. 0 with *size, its bytes; ERR_BUSY when it goes on, with *size bytes that it has at
 * least (reading up to them takes nothing of what follows the header); ERR_SYNTAX when it is none. */
NODISCARD int proxy_header_parse(struct slice in, size_t *size, struct proxy_header *out);
/* Takes the header off the stream, and nothing else: TLS may follow. ERR_SYNTAX, ERR_CLOSED, ERR_TIMEOUT, … */
NODISCARD int proxy_header_read(struct stream *st, int64_t deadline_ms, struct proxy_header *out);

#endif
