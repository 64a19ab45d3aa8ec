/* clerk_health.h: what is wrong with the house, from what its processes tell of themselves (clerk_look.c). */
#ifndef ROLE_CLERK_HEALTH_H
#define ROLE_CLERK_HEALTH_H

#include "base/buf.h"
#include "base/limits.h"
#include "bus/values.h"

#include <jansson.h>

/* What the rows do not show. Times in seconds since 1970, 0: never. */
struct health_facts {
	const struct limits *limits;
	int64_t now_s;
	int64_t begin_s;  /* the house first looked after itself */
	int64_t backup_s; /* the last whole backup ended */
	int64_t jump_s;   /* by so much the clock has jumped last */
	int64_t jumped_at_s;
};

/* Problems as an array of {problem, level, what, do}, the worst first: problem is a word, level "critical" or "warning", what and do are
 * sentences. What in the rows is not of the form that it should be is passed over. The caller's to free. */
json_t *health_judge(const json_t *rows, const struct health_facts *f);
enum bus_health health_level(const json_t *problems);
/* "fine", "warning", "critical". */
const char *health_word(enum bus_health level);
/* The worst in one line, and how many more there are. */
void health_line(const json_t *problems, struct buf *out);

#endif
