/* courier_tally.h: counts what came of the encryption of connections (RFC 8460 §4.3), and tells the clerk now and then. */
#ifndef ROLE_COURIER_TALLY_H
#define ROLE_COURIER_TALLY_H

#include "base/map.h"
#include "role/role.h"
#include "smtp/smtp.h"

struct courier_tally {
	struct role_context *c;
	struct map rows; /* key → struct tally_row */
	struct waitq filled;
	struct fiber *teller;
	bool stopping;
};

NODISCARD int courier_tally_start(struct courier_tally *t, struct role_context *c);
/* Tells what has not been told; on a fiber. */
void courier_tally_stop(struct courier_tally *t);
/* policy: as of struct host_security. host and address may be empty. Nothing fails: what finds no room is not counted. */
void courier_tally_add(struct courier_tally *t, struct slice domain, struct slice policy, struct slice host,
    struct slice address, const char *result, struct slice detail);
/* How reports call it; NULL for what they do not count. */
const char *courier_tally_result(enum smtp_tls_result result);

#endif
