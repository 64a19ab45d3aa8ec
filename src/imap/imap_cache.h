/* imap_cache.h: ENVELOPE, BODY and BODYSTRUCTURE of a message as they were once told, kept with it by the store: a large message
 * is not read again to be described. The form is checked when it is read, and whoever finds it wrong makes it again. */
#ifndef IMAP_CACHE_H
#define IMAP_CACHE_H

#include "base/buf.h"

enum { IMAP_TOLD_ENVELOPE, IMAP_TOLD_BODY, IMAP_TOLD_BODYSTRUCTURE, IMAP_TOLD };

void imap_cache_write(const struct slice told[IMAP_TOLD], struct buf *out);
/* False for what was not written by this version. */
bool imap_cache_read(struct slice cache, struct slice told[IMAP_TOLD]);

#endif
