/* limits.c: the table of limits as data. */
#include "base/limits.h"

const struct limit_row limit_rows[] = {
#define LIMIT(name, value, unit, text) {#name, value, unit, text, offsetof(struct limits, name)},
#include "base/limits.def"
#undef LIMIT
};
const size_t limit_rows_count = COUNT_OF(limit_rows);

void
limits_default(struct limits *l)
{
	for (size_t i = 0; i < limit_rows_count; i++)
		*(int64_t *)(void *)((char *)l + limit_rows[i].offset) = limit_rows[i].value;
}

int
limits_set(struct limits *l, struct slice name, struct slice value)
{
	for (size_t i = 0; i < limit_rows_count; i++) {
		uint64_t v;
		int err;

		if (!slice_eq(name, slice_z(limit_rows[i].name)))
			continue;
		err = slice_to_u64(value, INT64_MAX / 4, &v);
		if (err == 0)
			*(int64_t *)(void *)((char *)l + limit_rows[i].offset) = (int64_t)v;
		return err;
	}
	return ERR_NOTFOUND;
}
