/* capabilities.h: what a server says that it can, in its answer to EHLO (RFC 5321 §4.1.1.1). */
#ifndef SMTP_CAPABILITIES_H
#define SMTP_CAPABILITIES_H

#include "base/slice.h"

enum smtp_mechanism {
	SMTP_MECHANISM_LOGIN = 1,
	SMTP_MECHANISM_PLAIN = 2,
	SMTP_MECHANISM_SCRAM_SHA1 = 4,
	SMTP_MECHANISM_SCRAM_SHA256 = 8
};

struct smtp_capabilities {
	bool pipelining;           /* RFC 2920 */
	bool size;                 /* RFC 1870 */
	bool eight_bit;            /* 8BITMIME, RFC 6152 */
	bool chunking;             /* RFC 3030 */
	bool binary;               /* BINARYMIME, RFC 3030 */
	bool starttls;             /* RFC 3207 */
	bool utf8;                 /* SMTPUTF8, RFC 6531 */
	bool dsn;                  /* RFC 3461 */
	bool require_tls;          /* RFC 8689 */
	bool mt_priority;          /* RFC 6710 */
	bool deliver_by;           /* RFC 2852 */
	uint64_t size_max;         /* 0: none said */
	uint64_t deliver_by_min_s; /* 0: none said */
	unsigned mechanisms;       /* of AUTH (RFC 4954) that we know: enum smtp_mechanism */
	/* LIMITS (RFC 9422); 0: none said */
	uint64_t mail_max, rcpt_max, rcpt_domain_max;
};

/* Takes one line of the answer after the first: its text without code. Unknown keywords are nothing. */
void smtp_capabilities_take(struct smtp_capabilities *can, struct slice text);

#endif
