/* moment.h: a day or a time as a person types it: 2026-12-24, 2026-12-24T18:00, 2026-12-24 18:00:30+01:00 (RFC 3339 with
 * what may be left out). Without a zone it is UTC. */
#ifndef BASE_MOMENT_H
#define BASE_MOMENT_H

#include "base/slice.h"

/* Microseconds since 1970 of the time, or of the day's beginning, with `end` of the next day's. ERR_SYNTAX: not of that form, or no
 * such day. */
NODISCARD int moment_parse(struct slice s, bool end, int64_t *us);

#endif
