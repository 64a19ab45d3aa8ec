/* gate_trust.h: the checks of who sent a message (src/trust), for the sessions of a gate: DNS and what is kept of its answers, the
 * settings, and what the session is to do. */
#ifndef ROLE_GATE_TRUST_H
#define ROLE_GATE_TRUST_H

#include "role/gate_tally.h"
#include "smtp/smtp.h"

struct gate_trust {
	struct role_context *c;
	struct resolver *resolver; /* NULL where nothing is checked */
	struct trust_cache cache;
	struct gate_tally tally;
	/* counters */
	uint64_t checked, to_junk, refused, deferred;
};

NODISCARD int gate_trust_start(struct gate_trust *t, struct role_context *c, struct buf *detail);
/* The settings are about to be `fresh`. */
NODISCARD int gate_trust_reload(struct gate_trust *t, const struct settings *fresh, struct buf *detail);
/* At the end, on a fiber. */
void gate_trust_stop(struct gate_trust *t);
/* For a session's configuration; both live as long as the gate. */
struct smtp_checks gate_trust_checks(struct gate_trust *t);
void gate_trust_status(const struct gate_trust *t, json_t *into);

#endif
