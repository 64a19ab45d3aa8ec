/* trust_result.h: the words for what SPF, DKIM, DMARC, ARC and iprev find out: those of RFC 8601 §2.7. */
#ifndef TRUST_TRUST_RESULT_H
#define TRUST_TRUST_RESULT_H

#include "base/slice.h"

enum trust_result {
	TRUST_NONE,      /* nothing was said that could be checked */
	TRUST_NEUTRAL,   /* something was said, and it asserts nothing */
	TRUST_PASS,      /* it is as it claims to be */
	TRUST_FAIL,      /* it is not */
	TRUST_SOFTFAIL,  /* it is probably not (SPF) */
	TRUST_POLICY,    /* valid, but not acceptable here */
	TRUST_TEMPERROR, /* could not be found out now */
	TRUST_PERMERROR  /* cannot be found out: what was published or signed is broken */
};
#define TRUST_RESULTS 8

/* "none", "neutral", …: as in Authentication-Results. A static string. */
const char *trust_result_name(enum trust_result r);

#endif
