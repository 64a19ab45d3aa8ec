/* limits.h: the values of the one table of limits (limits.def), part of struct house. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include "base/slice.h"

struct limits {
#define LIMIT(name, value, unit, text) int64_t name;
#include "base/limits.def"
#undef LIMIT
};

/* One row of the table, for parsing the configuration and printing the reference. */
struct limit_row {
	const char *name;
	int64_t value; /* the default */
	const char *unit;
	const char *text;
	size_t offset; /* of the int64_t in struct limits */
};

extern const struct limit_row limit_rows[];
extern const size_t limit_rows_count;

void limits_default(struct limits *l);
/* Sets one by name: 0, ERR_NOTFOUND, ERR_SYNTAX or ERR_LIMIT. */
NODISCARD int limits_set(struct limits *l, struct slice name, struct slice value);

#endif
