/* plain_text.h: text as a person sees it, for comparing: what is invisible goes (zero-width and direction marks, soft hyphens,
 * combining marks, tags), wide, mathematical and other forms of letters become the plain ones (NFKC). */
#ifndef SPAM_PLAIN_TEXT_H
#define SPAM_PLAIN_TEXT_H

#include "base/buf.h"

/* What was met on the way. */
struct plain_counts {
	size_t invisible; /* zero-width characters within text, soft hyphens, variation selectors */
	size_t direction; /* marks that turn the direction of writing */
	size_t forms;     /* letters in another form of themselves */
	size_t foreign;   /* other characters beyond ASCII */
	size_t capitals;  /* of ASCII */
	size_t letters;   /* of ASCII */
};

/* Appends `in` (UTF-8; other bytes are dropped) in its plain form, case kept. Linear time. Errors are out->err. */
void plain_text(struct slice in, struct buf *out, struct plain_counts *counts);
/* A word that mixes Latin letters with Greek or Cyrillic ones that look like them, in all Latin (appended): true if it is one. */
bool plain_disguised(struct slice word, struct buf *out);
/* The Latin letters that a word looks like, appended, whatever alphabet it is of; true if any was changed. For comparing names. */
bool plain_looks_like(struct slice word, struct buf *out);

#endif
