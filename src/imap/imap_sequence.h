/* imap_sequence.h: sets of message numbers ("1:5,7,9:*", RFC 3501 §9 sequence-set), kept as ranges: "1:4294967295" costs
 * as much as "1". */
#ifndef IMAP_SEQUENCE_H
#define IMAP_SEQUENCE_H

#include "imap/imap_lex.h"

struct imap_range {
	uint32_t lo, hi; /* 0 stands for "*" until the set is resolved */
};

struct imap_sequence {
	struct imap_range *v; /* in the arena */
	size_t n;
};

struct imap_sequence imap_lex_sequence(struct imap_lex *x);

/* Puts `max` (the highest number in use, 0 if there is none) for "*", orders, and joins ranges that touch. "*" of an empty
 * mailbox vanishes. Afterwards lo <= hi, ascending, disjoint. */
void imap_sequence_resolve(struct imap_sequence *s, uint32_t max);
/* Of an unresolved set: does an element name no number within 1..max at all? (RFC 3501 §9: an error for sequence
 * numbers.) */
bool imap_sequence_beyond(const struct imap_sequence *s, uint32_t max);
/* Of an unresolved set: is there a "*" in it? */
bool imap_sequence_has_star(const struct imap_sequence *s);
/* How many numbers a resolved set names. */
uint64_t imap_sequence_count(const struct imap_sequence *s);
/* Is n in the resolved set? O(log n). */
bool imap_sequence_has(const struct imap_sequence *s, uint32_t n);

/* The first number of a resolved set that is at least n, or 0. O(log n). */
uint32_t imap_sequence_from(const struct imap_sequence *s, uint32_t n);

/* Walks the numbers 1..max of a resolved set: start with {0}; returns the next number or 0 at the end. Jumps over gaps. */
struct imap_walk {
	size_t range;
	uint32_t last;
};
uint32_t imap_sequence_next(const struct imap_sequence *s, struct imap_walk *w, uint32_t max);

/* Appends ascending numbers as a compact set ("1:3,7"); never empty input. */
void imap_sequence_print(struct buf *out, const uint32_t *v, size_t n);

#endif
