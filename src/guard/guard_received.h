/* guard_received.h: reports of others about our domains (guard.db, the clerk's): what they tell of mail in our name and of connections to our servers.
 * Each counts once. Bounded in days, reports and rows; nobody can fill more than a quarter, and what was not shown to come from anybody goes
 * first. For fibers; functions park. */
#ifndef GUARD_GUARD_RECEIVED_H
#define GUARD_GUARD_RECEIVED_H

#include "bus/values.h"
#include "sql/sql.h"

struct guard_received {
	int64_t id;
	enum bus_report kind; /* REPORT_NONE: it could not be read */
	struct slice sender;  /* the domain that its mail was shown to come from; empty: unproven */
	struct slice proof, organisation, contact, report_id, domain, policy, problem;
	bool ours; /* the domain, or one that it is below */
	int64_t begin_s, end_s, received_s;
	struct slice message, recipient;
	int64_t rows, total;
};

/* As the lists of reader_report in bus/messages.def. */
struct guard_received_row {
	struct slice domain, source;
	int64_t total;
	struct slice outcome, means, who, detail;
};

/* Adds it, with its rows; r->id, received_s, rows and total are set here. ERR_EXISTS: it is there already. */
NODISCARD int guard_received_add(
    struct sqldb *db, struct house *h, struct guard_received *r, const struct guard_received_row *v, size_t n);
/* Those since a time, of one domain or (empty) of all, the latest first: at most max with ids below `below`. */
NODISCARD int guard_received_list(struct sqldb *db, int64_t since_s, struct slice domain, int64_t below, size_t max,
    struct arena *a, struct guard_received **v, size_t *n);
/* One of them: ERR_NOTFOUND. */
NODISCARD int guard_received_get(struct sqldb *db, int64_t id, struct arena *a, struct guard_received *out);
/* Its rows, from a place on. */
NODISCARD int guard_received_rows(
    struct sqldb *db, int64_t id, int64_t from, size_t max, struct arena *a, struct guard_received_row **v, size_t *n);

/* Who sent mail in the name of a domain. */
struct guard_received_source {
	struct slice domain, source;
	bool proven;
	struct slice who;
	int64_t messages, passed, spf, dkim, quarantined, rejected; /* passed: DMARC */
	int64_t reporters;
	struct slice reporter; /* one of them */
	int64_t begin_s, end_s;
};
/* Since a time, of one domain or (empty) of all of ours: at most max after `skip`, by domain, the most messages first. */
NODISCARD int guard_received_sources(struct sqldb *db, int64_t since_s, struct slice domain, size_t skip, size_t max,
    struct arena *a, struct guard_received_source **v, size_t *n);

/* What came of encrypted connections to the servers of a domain. */
struct guard_received_sessions {
	struct slice domain, policy, result;
	bool proven;
	struct slice host;
	int64_t sessions, reporters;
	struct slice reporter;
	int64_t begin_s, end_s;
};
NODISCARD int guard_received_sessions(struct sqldb *db, int64_t since_s, struct slice domain, size_t skip, size_t max,
    struct arena *a, struct guard_received_sessions **v, size_t *n);

#endif
