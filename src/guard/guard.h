/* guard.h: how much each sender has sent lately (guard.db, the clerk's), so that one who suddenly sends thousands of messages
 * is stopped. A sender is a name that the house gave: "account:ID", "submitter:NAME". Counts are kept in slots of ten
 * minutes: an hour is the running slot and the five before it, a day the running one and the 143 before it. They lie in
 * memory and are written down within a second: a restart of the role forgets at most what came in that second. For the
 * clerk's fibers; the clock is the house's. */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include "base/buf.h"
#include "sql/sql.h"

extern const struct sql_migration guard_migrations[];
extern const size_t guard_migrations_count;

struct guard;

/* Reads what the last day has left in `db` (opened with guard_migrations, SQL_NORMAL; stays the caller's). Parks. */
NODISCARD int guard_open(struct guard **out, struct house *h, struct loop *l, struct sqldb *db);
/* Writes down what is not yet, and frees. On a fiber. */
void guard_close(struct guard **g);

/* The most that a sender may send; 0: any number. */
struct guard_rates {
	int64_t messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day;
};
/* Which rate would be broken, and how long until it is not. */
struct guard_refusal {
	const char *what; /* "messages", "recipients" */
	bool day;         /* of a day, not of an hour */
	int64_t limit;
	int64_t wait_s;
};
/* Whether the sender may send so much more now; counts it if so, with `count`. false: a refusal, which is counted. */
bool guard_take(struct guard *g, struct slice sender, int64_t recipients, const struct guard_rates *r, bool count,
    struct guard_refusal *why);
/* Takes back what guard_take() counted: the message was not taken after all. */
void guard_give_back(struct guard *g, struct slice sender, int64_t recipients);

struct guard_usage {
	int64_t messages_hour, messages_day, recipients_hour, recipients_day;
	int64_t refused_day;     /* refusals in the last day */
	int64_t refused_last_us; /* 0: none */
};
void guard_usage(struct guard *g, struct slice sender, struct guard_usage *out);
/* Counts from nothing again. */
void guard_forget(struct guard *g, struct slice sender);
/* Senders that were refused within the last hour. */
size_t guard_stopped(struct guard *g);

#endif
