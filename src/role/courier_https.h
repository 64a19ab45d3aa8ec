/* courier_https.h: one question to a web server (RFC 9112) over TLS with a certificate that is checked. Redirects are not followed. */
#ifndef ROLE_COURIER_HTTPS_H
#define ROLE_COURIER_HTTPS_H

#include "dns/dns.h"
#include "role/role.h"
#include "rt/tls.h"
#include "trust/http_reply.h"

struct https_ask {
	struct role_context *c;
	struct tls_client *tls; /* with roots */
	struct dns *dns;
	struct arena *a;
	struct slice host;
	uint16_t port;
	struct slice
	    head; /* the request line and further fields, each with its CRLF; without Host, User-Agent and Connection */
	struct slice body;
	int64_t end_ms;
};

/* How far it came, where it fails. */
enum https_stage { HTTPS_CONNECTING, HTTPS_SECURING, HTTPS_ASKING };

/* 0: *reply (made with http_reply_init()) is complete. Else *stage, and *why is a sentence in the arena. */
NODISCARD int courier_https(
    const struct https_ask *q, struct http_reply *reply, enum https_stage *stage, struct slice *why);

#endif
