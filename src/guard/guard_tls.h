/* guard_tls.h: what is known of other domains' encryption (guard.db, the clerk's): MTA-STS policies as couriers fetched them (RFC 8461
 * §3.3), so that a restart does not forget them, and daily counts of what came of connections (RFC 8460 §4.3). Both are bounded: the
 * oldest policies go, and a day with too many different results counts no further ones. For fibers; functions park. */
#ifndef GUARD_GUARD_TLS_H
#define GUARD_GUARD_TLS_H

#include "sql/sql.h"

struct guard_policy {
	struct slice domain, id, text;
	int64_t fetched_s, expires_s;
};
NODISCARD int guard_policy_put(struct sqldb *db, struct house *h, const struct guard_policy *p);
/* ERR_NOTFOUND: there is none, or it has expired. Slices lie in the arena. */
NODISCARD int guard_policy_get(
    struct sqldb *db, struct house *h, struct slice domain, struct arena *a, struct guard_policy *out);
/* At most max domains whose policies were fetched before that time and have not expired, the oldest first. */
NODISCARD int guard_policy_due(
    struct sqldb *db, struct house *h, int64_t before_s, size_t max, struct arena *a, struct slice_list *domains);
/* At most max policies, by name, after `after` (empty: from the first). */
NODISCARD int guard_policy_list(struct sqldb *db, struct house *h, struct slice after, size_t max, struct arena *a,
    struct guard_policy **v, size_t *n);

struct guard_tls_result {
	int64_t day;                /* since 1970; of guard_tls_add() it is today */
	struct slice domain;        /* of the recipients */
	struct slice policy;        /* "sts", "tlsa", "no-policy-found"; behind it, a line each, what it said */
	struct slice host, address; /* of the server; may be empty */
	struct slice result;        /* "successful", or a result type of RFC 8460 §4.3.1 */
	int64_t sessions;
	struct slice detail; /* the last one's words, or empty */
};
NODISCARD int guard_tls_add(struct sqldb *db, struct house *h, const struct guard_tls_result *v, size_t n);
/* From the day on, in order, at most max after `skip`. */
NODISCARD int guard_tls_list(
    struct sqldb *db, int64_t day, size_t skip, size_t max, struct arena *a, struct guard_tls_result **v, size_t *n);

/* For reports: the first day of `from` to `before` (without that), and the domain, behind `*day` and `*domain`, that have results and no
 * report yet: 0 with these; ERR_NOTFOUND. */
NODISCARD int guard_tls_due(
    struct sqldb *db, int64_t from, int64_t before, struct arena *a, int64_t *day, struct slice *domain);
/* Its results, at most max, those of one policy together. */
NODISCARD int guard_tls_of(struct sqldb *db, int64_t day, struct slice domain, size_t max, struct arena *a,
    struct guard_tls_result **v, size_t *n);
/* The report is on its way, or nobody wants it. */
NODISCARD int guard_tls_done(struct sqldb *db, int64_t day, struct slice domain);

#endif
