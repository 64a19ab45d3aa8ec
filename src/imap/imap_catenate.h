/* imap_catenate.h: a message put together from text and parts of other messages (CATENATE, RFC 4469). */
#ifndef IMAP_CATENATE_H
#define IMAP_CATENATE_H

#include "imap/imap_incoming.h"

/* Reads "(URL … TEXT {n} …)" behind CATENATE into `u`. False: the syntax was wrong, there is nobody to answer, or *answered has
 * been set: NO with [BADURL], [TOOBIG] or an error of the store. */
bool imap_catenate(struct imap_incoming *in, struct store_upload *u, bool *answered);

#endif
