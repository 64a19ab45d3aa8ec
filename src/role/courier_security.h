/* courier_security.h: how the connection to one mail server has to be secured, from what its domain says (DANE, RFC 7672; MTA-STS, RFC
 * 8461), what the message asks for (REQUIRETLS and TLS-Required, RFC 8689) and what the settings say. DANE counts before MTA-STS. */
#ifndef ROLE_COURIER_SECURITY_H
#define ROLE_COURIER_SECURITY_H

#include "role/courier_private.h"

/* What holds for all hosts of an attempt. */
struct security_wish {
	struct slice domain;  /* of the recipients */
	bool require_tls;     /* REQUIRETLS */
	bool ignore_policies; /* TLS-Required: No */
	struct sts_answer sts;
};

struct host_security {
	bool usable;
	/* Else: why not. */
	int result;
	const char *status;
	struct slice text;   /* also of a usable one with `failure` */
	const char *failure; /* for reports (RFC 8460 §4.3.2), or NULL */
	/* How. */
	struct smtp_security how;
	struct slice key;    /* the same for connections that are as good as each other */
	struct slice policy; /* for reports: "sts", "tlsa", "no-policy-found"; behind it, a line each, what it says */
};

/* `addresses` of the host are looked at for DNSSEC; NULL when nothing is secure anyway. Everything lies in the arena. 0; ERR_CANCELLED,
 * ERR_NOMEM. */
NODISCARD int courier_security(struct courier *k, struct dns *d, const struct security_wish *w,
    const struct route *route, const struct route_host *host, const struct route_addresses *addresses, struct arena *a,
    struct host_security *out);

#endif
