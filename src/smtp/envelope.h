/* envelope.h: the parameters of MAIL and RCPT, read strictly, and written as the `NAME=value` lines in which they travel with
 * a message (struct smtp_message): SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY
 * and ORCPT (RFC 3461, RFC 6533), REQUIRETLS (RFC 8689), HOLDFOR and HOLDUNTIL (RFC 4865), BY (RFC 2852), MT-PRIORITY
 * (RFC 6710), AUTH (RFC 4954 §5; taken from those who have signed in, and forgotten).
 *
 * A parameter that is not offered to this session is unknown (555). One that is malformed, over-long, given twice or
 * contradicts another is refused (501). Times become absolute here, since a message waits. */
#ifndef SMTP_ENVELOPE_H
#define SMTP_ENVELOPE_H

#include "base/buf.h"
#include "smtp/command.h"
#include "smtp/replies.h"

#define SMTP_ENVID_MAX 100 /* RFC 3461 §4.4 */
#define SMTP_ORCPT_MAX 500 /* RFC 3461 §4.2 */
/* The longest set of lines of one message and of one recipient. */
#define SMTP_MAIL_LINES_MAX 512
#define SMTP_RCPT_LINES_MAX 2048

/* What the session offers. */
struct smtp_envelope_rules {
	int64_t now_s;
	int64_t message_bytes; /* the largest message */
	int64_t hold_max_s;    /* the longest time that mail may wait for its release; 0: not offered */
	int64_t priority_max;  /* a higher MT-PRIORITY is lowered to it */
	bool tls;              /* the session is under TLS */
	bool auth;             /* AUTH is taken */
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

/* The parameters of MAIL. Slices are parts of the command line until they are copied. */
struct smtp_mail_envelope {
	enum smtp_body body;
	bool utf8, require_tls;
	bool hold;            /* hold_until_s is given */
	int64_t hold_until_s; /* seconds since 1970 */
	char by_mode;         /* 'R' or 'N'; 0: no BY */
	bool by_trace;
	int64_t by_s; /* seconds since 1970 */
	bool priority_given, priority_lowered;
	int64_t priority;
	struct slice ret;   /* "FULL" or "HDRS" (static), or empty */
	struct slice envid; /* xtext as given, or empty */
};

/* Returns SMTP_R_OK, or the reply that refuses the command. */
enum smtp_reply_id smtp_mail_envelope_read(
    const struct smtp_parameters *ps, const struct smtp_envelope_rules *rules, struct smtp_mail_envelope *out);
/* The lines. `eight_bit`: bytes over 127 were seen in a message that did not announce them; `tls_not_required`: its
 * header says `TLS-Required: No`, which REQUIRETLS overrules (RFC 8689 §4.1). */
void smtp_mail_envelope_put(const struct smtp_mail_envelope *e, bool eight_bit, bool tls_not_required, struct buf *out);

/* The parameters of RCPT as lines. `utf8`: the message has SMTPUTF8, so that values may hold it too. Returns SMTP_R_OK, or
 * the reply that refuses the command. */
enum smtp_reply_id smtp_rcpt_envelope_read(const struct smtp_parameters *ps, bool utf8, struct buf *out);

#endif
