/* submit_bus.h: what a server session of SMTP asks (struct smtp_backend), asked of the clerk over the bus. Used by the
 * roles that take messages: the gate and the desk. */
#ifndef ROLE_SUBMIT_BUS_H
#define ROLE_SUBMIT_BUS_H

#include "bus/bus.h"
#include "bus/values.h"
#include "smtp/smtp.h"

/* On whose behalf a session asks. Lives as long as the session. */
struct submit_bus {
	struct bus *bus;
	enum bus_origin origin; /* of its submissions; without any: ORIGIN_STRANGER */
	struct slice
	    account_id; /* ORIGIN_ACCOUNT: the submitting account; ORIGIN_SUBMITTER: the ticket of a local program */
	struct slice client;       /* ORIGIN_SUBMITTER: the listed address */
	struct slice local_domain; /* of a local program: whatever is addressed there somebody gets */
};

/* The functions for a session's configuration; `b` is their context. */
struct smtp_backend submit_bus_backend(struct submit_bus *b);

#endif
