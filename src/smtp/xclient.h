/* xclient.h: XCLIENT, by which a proxy that is trusted tells whose mail it brings (Postfix's extension of that name): attributes
 * NAME=value, the value in xtext. NAME and LOGIN are read and not used: names are looked up here, and nobody signs in
 * for somebody else. */
#ifndef SMTP_XCLIENT_H
#define SMTP_XCLIENT_H

#include "rt/net.h"
#include "smtp/path.h"

struct smtp_xclient {
	bool has_address; /* ADDR is known; with PORT, or 0 */
	struct net_address address;
	bool has_helo;
	char helo[SMTP_DOMAIN_MAX + 1];
	bool extended; /* PROTO=ESMTP */
};

/* 0, or ERR_SYNTAX: an attribute that is unknown, malformed or given twice. */
NODISCARD int smtp_xclient_parse(struct slice argument, struct smtp_xclient *out);

#endif
