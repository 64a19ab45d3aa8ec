/* imap_pattern.h: LIST patterns (RFC 3501 §6.3.8): "*" is anything, "%" anything without the delimiter '/'. A set of
 * states is moved over the name bit by bit, all at once: no backtracking, whatever the pattern. */
#ifndef IMAP_PATTERN_H
#define IMAP_PATTERN_H

#include "base/arena.h"

struct imap_pattern;

/* Compiles reference + pattern, both in UTF-8, into `a`. Wildcards in the reference count as such. name_max: the
 * longest name it will see. NULL past the arena's limit. */
struct imap_pattern *imap_pattern_new(struct arena *a, struct slice reference, struct slice pattern, size_t name_max);
/* Does the whole name match? With `inbox`, the first five bytes are compared without case. */
bool imap_pattern_match(const struct imap_pattern *p, struct slice name, bool inbox);

#endif
