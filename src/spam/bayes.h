/* bayes.h: the second opinion: in how many wanted and unwanted messages each feature was seen, combined by Fisher's method
 * (Robinson). It shares the features with the linear model and nothing else, so it errs elsewhere. Counts are whole numbers:
 * what was added can be taken away without a trace. */
#ifndef SPAM_BAYES_H
#define SPAM_BAYES_H

#include "spam/features.h"

struct spam_count {
	uint16_t ham, spam;
};

struct spam_bayes {
	struct spam_count *v; /* NULL: there is no second opinion */
	unsigned bits;        /* 1 << bits places */
	uint32_t ham, spam;   /* messages counted; at most SPAM_BAYES_MESSAGES each, so that no count overflows */
};
#define SPAM_BAYES_MESSAGES 65535u

static inline size_t
spam_bayes_place(const struct spam_bayes *b, spam_key k)
{
	return (size_t)((k * 0x85ebca6bu) >> (32 - b->bits));
}
/* Counts a message, or takes it away. False, and nothing changed, if there is no more room. */
bool spam_bayes_add(struct spam_bayes *b, const spam_key *v, size_t n, bool spam);
void spam_bayes_remove(struct spam_bayes *b, const spam_key *v, size_t n, bool spam);
/* How unwanted one feature is: 0.5 when nothing is known of it. */
double spam_bayes_of(const struct spam_bayes *b, spam_key k);
/* The logarithm of how much better "unwanted" explains the features than "wanted", by the root of their number; 0 without any. */
double spam_bayes_score(const struct spam_bayes *b, const spam_key *v, size_t n);

#endif
