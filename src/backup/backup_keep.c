/* backup_keep.c: see the header. */
#include "backup/backup_keep.h"

#include "base/house.h"

#define DAY_S 86400

/* The days since 1970 of a name, or -1. */
static int64_t
day_of(struct slice name, struct civil_time *t)
{
	uint64_t year, month, day;

	if (name.n < 8 || slice_to_u64(slice_head(name, 4), 9999, &year) != 0 ||
	    slice_to_u64(slice_range(name, 4, 6), 12, &month) != 0 ||
	    slice_to_u64(slice_range(name, 6, 8), 31, &day) != 0 || month == 0 || day == 0)
		return -1;
	*t = (struct civil_time){.year = (int)year, .month = (int)month, .day = (int)day};
	return time_from_civil(t) / DAY_S;
}

void
backup_keep(const struct slice *names, size_t n, const struct backup_rule *rule, bool *keep)
{
	int64_t last[3] = {-1, -1, -1}, left[3] = {rule->days, rule->weeks, rule->months};

	for (size_t i = 0; i < n; i++) {
		struct civil_time t;
		int64_t day = day_of(names[i], &t), period[3];

		keep[i] = i == 0 || day < 0;
		if (day < 0)
			continue;
		period[0] = day;
		period[1] = (day + 3) / 7; /* 1970-01-01 was a Thursday, and weeks begin on Monday */
		period[2] = (int64_t)t.year * 12 + t.month;
		for (int k = 0; k < 3; k++) {
			if (left[k] <= 0 || period[k] == last[k])
				continue;
			last[k] = period[k];
			left[k]--;
			keep[i] = true;
		}
	}
}
