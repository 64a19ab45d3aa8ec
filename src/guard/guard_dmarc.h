/* guard_dmarc.h: what other domains are to be told of messages that said to be from them (guard.db, the clerk's): counts of each day, until
 * the report is on its way (RFC 9990). Bounded: a day with too many different rows counts no further ones. For fibers; functions park. */
#ifndef GUARD_GUARD_DMARC_H
#define GUARD_GUARD_DMARC_H

#include "sql/sql.h"

struct guard_dmarc_row {
	int64_t day; /* since 1970 */
	struct slice domain;
	struct slice policy;       /* lines: what it had published */
	struct slice destinations; /* addresses of the report, lines */
	struct slice row;          /* lines: what messages have in common */
	int64_t count;
};

/* Adds to today's counts. */
NODISCARD int guard_dmarc_add(struct sqldb *db, struct house *h, const struct guard_dmarc_row *v, size_t n);
/* The first domain, and its policy, that has rows of a day before `day`: 0 with *out (its `row` and `count` empty); ERR_NOTFOUND. */
NODISCARD int guard_dmarc_due(struct sqldb *db, int64_t day, struct arena *a, struct guard_dmarc_row *out);
/* The rows of one report: of that day, domain and policy; at most limits.dmarc_report_rows. */
NODISCARD int guard_dmarc_rows(struct sqldb *db, struct house *h, const struct guard_dmarc_row *of, struct arena *a,
    struct guard_dmarc_row **v, size_t *n);
/* The report is on its way. */
NODISCARD int guard_dmarc_done(struct sqldb *db, const struct guard_dmarc_row *of);
/* All rows from the day on, in order, at most max after `skip`. */
NODISCARD int guard_dmarc_list(
    struct sqldb *db, int64_t day, size_t skip, size_t max, struct arena *a, struct guard_dmarc_row **v, size_t *n);

#endif
