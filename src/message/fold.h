/* fold.h: text made comparable for searching and sorting: i;unicode-casemap (RFC 5051 §2), each character in title case and
 * then fully decomposed, so that "É", "é" and "e" with a combining accent are alike. Beyond the RFC, runs
 * of white space and line ends become one space, since where a sender broke its lines says nothing. */
#ifndef MESSAGE_FOLD_H
#define MESSAGE_FOLD_H

#include "base/buf.h"

/* Appends the folded form of valid UTF-8. It contains no control characters but DEL: NUL and others become spaces, too. */
void text_fold(struct slice utf8, struct buf *out);

#endif
