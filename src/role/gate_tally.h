/* gate_tally.h: counts what was found out about messages for the reports that their authors' domains want (RFC 9990), and tells the clerk
 * about once a second; before that it asks DNS which of the addresses that a domain names may be written to. */
#ifndef ROLE_GATE_TALLY_H
#define ROLE_GATE_TALLY_H

#include "base/map.h"
#include "role/resolver.h"
#include "role/trust_resolver.h"
#include "trust/dmarc_report.h"

struct gate_tally {
	struct role_context *c;
	struct trust_cache *cache;
	struct resolver **resolver; /* the gate's */
	struct map rows;            /* key → struct tally_row */
	struct waitq filled;
	struct fiber *teller;
	bool stopping;
};

NODISCARD int gate_tally_start(
    struct gate_tally *t, struct role_context *c, struct trust_cache *cache, struct resolver **resolver);
/* Tells what has not been told; on a fiber. */
void gate_tally_stop(struct gate_tally *t);
/* Nothing fails: what finds no room is not counted. */
void gate_tally_add(struct gate_tally *t, const struct assess_question *q, const struct assessment *r);

#endif
