/* store_grams.h: trigrams of folded text, and lists of documents as a search index keeps them. Pure functions; they take
 * what they read from a database for damaged until shown otherwise.
 *
 * A gram is three characters in a row, none of them a line end, as one number. A list is an ascending set of numbers
 * 0..docs-1 in a form of bytes: 0 and the differences as varints, or where that is shorter 1 and a bitmap. */
#ifndef STORE_STORE_GRAMS_H
#define STORE_STORE_GRAMS_H

#include "base/buf.h"

/* Calls fn with each gram of the text, in order and repeated as they occur. */
typedef void gram_fn(void *arg, int64_t gram);
void grams_each(struct slice folded, gram_fn *fn, void *arg);
/* Never one of grams_each(): the list of the documents that have too many of them. */
#define GRAM_WIDE INT64_MAX

/* Grams and their documents on the way to lists. */
struct gram_pair {
	int64_t gram;
	uint32_t doc;
};
/* Sorts by gram, then document. */
void gram_pairs_sort(struct gram_pair *v, size_t n);

/* Appends the list of `n` ascending numbers below docs. */
void gram_list_put(struct buf *out, const uint32_t *v, size_t n, size_t docs);
/* Calls fn for each number of a list, shifted up by `base`. False: the list is damaged (numbers not ascending or not below
 * docs). */
typedef void doc_fn(void *arg, uint32_t doc);
bool gram_list_each(struct slice list, size_t docs, uint32_t base, doc_fn *fn, void *arg);
/* bits &= list (of docs numbers, 64 a word). False: damaged. `other` is as large as bits, for the function's own use. */
bool gram_list_and(struct slice list, size_t docs, uint64_t *bits, uint64_t *other);

#endif
