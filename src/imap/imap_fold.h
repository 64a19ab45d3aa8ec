/* imap_fold.h: text made comparable for SEARCH: without case and with characters in decomposed form, so that "É", "é" and
 * "e" with a combining accent are found alike (in the spirit of RFC 5051, i;unicode-casemap). */
#ifndef IMAP_FOLD_H
#define IMAP_FOLD_H

#include "base/buf.h"

/* Appends the folded form of valid UTF-8; line ends and runs of white space become one space. */
void imap_fold(struct slice utf8, struct buf *out);

#endif
