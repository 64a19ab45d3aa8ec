/* backup_keep.h: which backups are kept when old ones are pruned. */
#ifndef BACKUP_BACKUP_KEEP_H
#define BACKUP_BACKUP_KEEP_H

#include "base/slice.h"

/* So many of the newest of each kind; 0: none of that kind. */
struct backup_rule {
	int64_t days, weeks, months;
};

/* names: the newest first, each beginning with its time, 20261122T031500Z. keep[i] becomes true for the newest backup of each of the
 * last days, (ISO) weeks and months that have one, and for the newest of all. Names that are no times are kept. */
void backup_keep(const struct slice *names, size_t n, const struct backup_rule *rule, bool *keep);

#endif
