/* sasl.h: SASL messages (RFC 4422) that every protocol with a sign-in reads. */
#ifndef DIRECTORY_SASL_H
#define DIRECTORY_SASL_H

#include "base/slice.h"

struct sasl_plain {
	struct slice authzid; /* mostly empty */
	struct slice authcid; /* the name */
	struct slice password;
};

/* Splits a PLAIN message (RFC 4616 §2, already out of its base64): 0, or ERR_SYNTAX when it has not three fields or an
 * empty name or password. */
NODISCARD int sasl_plain_parse(struct slice message, struct sasl_plain *out);

#endif
