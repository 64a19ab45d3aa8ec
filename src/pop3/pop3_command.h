/* pop3_command.h: POP3 command lines (RFC 1939 §3) and the list of capabilities. */
#ifndef POP3_COMMAND_H
#define POP3_COMMAND_H

#include "base/buf.h"
#include "base/limits.h"

struct pop3_command {
	struct slice verb; /* letters and digits, as written */
	bool has_argument;
	struct slice argument; /* everything behind the first space, as written */
};

/* Splits a line without its CRLF: 0 or ERR_SYNTAX (no verb, a NUL, CR or LF). */
NODISCARD int pop3_command_parse(struct slice line, struct pop3_command *out);
/* Reads up to `max` numbers separated by single spaces, nothing else: how many there were, or -1. */
int pop3_numbers(const struct pop3_command *c, uint64_t out[], int max);

enum pop3_capability_when {
	POP3_CAP_ALWAYS = 1,
	POP3_CAP_SIGN_IN = 2, /* sign-in is possible now */
	POP3_CAP_STLS = 4     /* STLS is possible now */
};
/* The lines of CAPA with the final dot. */
void pop3_put_capabilities(struct buf *out, const struct limits *limits, unsigned when);
/* The reply to LANG (RFC 6856 §3): there is English. */
void pop3_put_language(struct buf *out, const struct pop3_command *c);

#endif
