/* imap_sort.h: what contexts need of SORT (imap_sort.c). Private to the room. */
#ifndef IMAP_SORT_H
#define IMAP_SORT_H

#include "imap/imap_search.h"

/* Reads "(criteria) charset keys" for the search in it alone. */
void imap_parse_sort_search(struct imap_lex *x, const struct limits *l, struct imap_search *out);
/* Searches and sorts by such arguments once more: the hits in order. Parks. */
NODISCARD int imap_sort_again(struct imap_session *s, struct slice arguments, struct imap_hits *out);

#endif
