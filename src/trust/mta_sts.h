/* mta_sts.h: MTA Strict Transport Security (RFC 8461): the TXT record that says that there is a policy, and the policy. No I/O. */
#ifndef TRUST_MTA_STS_H
#define TRUST_MTA_STS_H

#include "base/arena.h"

#define MTA_STS_ID_MAX 32                   /* octets (§3.1) */
#define MTA_STS_MAX_AGE_S INT64_C(31557600) /* a year (§3.2) */
#define MTA_STS_POLICY_BYTES_MAX 65536      /* §3.3 */

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };

struct mta_sts_policy {
	enum mta_sts_mode mode;
	int64_t max_age_s;    /* at most MTA_STS_MAX_AGE_S */
	struct slice_list mx; /* lower case: "mx.b.test", "*.b.test" */
};

/* Chooses among the texts of the TXT records of _mta-sts.DOMAIN: 0 and the policy's id; ERR_NOTFOUND: none begins with
 * v=STSv1, or more than one does (then there is no policy, §3.1); ERR_SYNTAX: the one that does is damaged. */
NODISCARD int mta_sts_record(struct slice_list texts, struct slice *id);
/* Reads a policy (§3.2). At most mx_max names are taken. 0; ERR_SYNTAX: not a policy; ERR_LIMIT: longer than
 * MTA_STS_POLICY_BYTES_MAX, or more names; ERR_NOMEM. */
NODISCARD int mta_sts_policy_parse(struct slice text, struct arena *a, size_t mx_max, struct mta_sts_policy *out);
/* Is the host one of the policy's (§4.1)? A wildcard stands for one whole label. */
bool mta_sts_matches(const struct mta_sts_policy *p, struct slice host);
/* "none", "testing", "enforce" */
const char *mta_sts_mode_name(enum mta_sts_mode mode);

#endif
