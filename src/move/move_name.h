/* move_name.h: names of folders, as servers and Maildirs spell them, to and from ours (UTF-8 with '/' between levels). */
#ifndef MOVE_MOVE_NAME_H
#define MOVE_MOVE_NAME_H

#include "base/arena.h"
#include "base/limits.h"
#include "store/store.h"

/* A name with levels divided by `delimiter` (0: it has one level), in modified UTF-7 or, where it is none, in UTF-8. `prefix` is
 * taken off in front, if it is there ("INBOX."). What cannot stand in a level of ours gets something that looks like it: '/' becomes U+2215, a
 * control character '_', a byte that is not UTF-8 U+FFFD. Always a possible name, but for ERR_LIMIT and, of an empty one, ERR_INVALID. */
NODISCARD int move_name_read(struct slice raw, uint8_t delimiter, struct slice prefix, const struct limits *l,
    struct arena *a, struct slice *out);
/* The other way: in modified UTF-7, with the prefix in front of everything but INBOX. A delimiter within a level becomes '_', U+2215 '/' again where
 * that is not the delimiter. ERR_LIMIT. */
NODISCARD int move_name_write(
    struct slice name, uint8_t delimiter, struct slice prefix, struct arena *a, struct slice *out);
/* What a folder of this name is for, when nobody says: the names that mail programs give. */
enum store_role move_name_role(struct slice name);

#endif
