/* gate_submitter.h: sessions at the gate of those who may submit without signing in, and whose connection another role has
 * taken: programs of this machine (the clerk's), clients of the submission port (the porch's). */
#ifndef ROLE_GATE_SUBMITTER_H
#define ROLE_GATE_SUBMITTER_H

#include "role/role.h"
#include "smtp/smtp.h"

struct gate_submitters {
	struct role_context *c;
	struct smtp_sessions *sessions;
	struct workers *workers;
	struct list running;
};
/* Serves gate_session. Everything outlives the role's loop. */
void gate_submitters_start(
    struct gate_submitters *g, struct role_context *c, struct smtp_sessions *sessions, struct workers *workers);
/* Ends by force what has not ended politely (smtp_sessions_stop). */
void gate_submitters_cancel(struct gate_submitters *g);

#endif
