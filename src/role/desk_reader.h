/* desk_reader.h: the desk's readers: processes that turn strangers' texts into plain ones (reader/reader_texts.h), one
 * account's at a time, opened when first wanted and closed when nobody has wanted them for a while. */
#ifndef ROLE_DESK_READER_H
#define ROLE_DESK_READER_H

#include "role/role.h"
#include "store/store.h"

struct desk_readers;

NODISCARD int desk_readers_new(struct desk_readers **out, struct role_context *c);
/* Ends all. On a fiber, or when none uses them. NULL is fine. */
void desk_readers_free(struct desk_readers **r);
/* For struct store_hooks: ctx is the struct desk_readers. A text that costs its reader twice is left empty. ERR_UNAVAILABLE,
 * ERR_BUSY: no reader is to be had now. */
NODISCARD int desk_readers_texts(void *ctx, struct slice account_id, const struct store_text_input *v, size_t n,
    struct arena *a, struct slice *texts);
void desk_readers_status(const struct desk_readers *r, json_t *into);

#endif
