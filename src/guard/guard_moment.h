/* guard_moment.h: when something last happened, so that a restart does not forget it (guard.db, the clerk's). For fibers; functions
 * park. */
#ifndef GUARD_GUARD_MOMENT_H
#define GUARD_GUARD_MOMENT_H

#include "sql/sql.h"

/* Names of such moments. */
#define GUARD_MOMENT_BACKUP SLICE("backup")            /* a whole backup ended */
#define GUARD_MOMENT_DISK_NOTICE SLICE("disk notice")  /* the operator was told of a full disk */
#define GUARD_MOMENT_DISK_END SLICE("disk notice end") /* and that there is room again */
#define GUARD_MOMENT_BEGIN SLICE("begin")              /* the house first looked after itself */

/* at_s: seconds since 1970. */
NODISCARD int guard_moment_put(struct sqldb *db, struct slice name, int64_t at_s);
/* 0 with *at_s 0 when it never happened. */
NODISCARD int guard_moment_get(struct sqldb *db, struct slice name, int64_t *at_s);

#endif
