/* bayes.c: Robinson's degree of belief for each feature, Fisher's combination of those that say something. */
#include "spam/bayes.h"

#include <math.h>

#define STRENGTH 0.1   /* of the assumption that an unknown feature says nothing, in messages */
#define DEVIATION 0.25 /* features nearer to 0.5 than that are left out */

static void
change(struct spam_bayes *b, const spam_key *v, size_t n, bool spam, int by)
{
	for (size_t i = 0; i < n; i++) {
		struct spam_count *c;
		uint16_t *at;

		if (!spam_groups[spam_key_group(v[i])].bayes)
			continue;
		c = &b->v[spam_bayes_place(b, v[i])];
		at = spam ? &c->spam : &c->ham;
		/* Two features of a message may share a place, which is counted twice then: and taken away twice. */
		*at = (uint16_t)(*at + by);
	}
	*(spam ? &b->spam : &b->ham) += (uint32_t)by;
}

/* Would a place overflow? */
static bool
has_room(const struct spam_bayes *b, const spam_key *v, size_t n, bool spam)
{
	if ((spam ? b->spam : b->ham) >= SPAM_BAYES_MESSAGES)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct spam_count *c = &b->v[spam_bayes_place(b, v[i])];

		if ((spam ? c->spam : c->ham) > UINT16_MAX - 64)
			return false;
	}
	return true;
}

bool
spam_bayes_add(struct spam_bayes *b, const spam_key *v, size_t n, bool spam)
{
	if (!has_room(b, v, n, spam))
		return false;
	change(b, v, n, spam, 1);
	return true;
}

void
spam_bayes_remove(struct spam_bayes *b, const spam_key *v, size_t n, bool spam)
{
	change(b, v, n, spam, -1);
}

double
spam_bayes_of(const struct spam_bayes *b, spam_key k)
{
	const struct spam_count *c;
	double ham, spam, n;

	if (b->v == NULL || b->ham == 0 || b->spam == 0)
		return 0.5;
	c = &b->v[spam_bayes_place(b, k)];
	n = (double)c->ham + c->spam;
	if (n == 0)
		return 0.5;
	ham = c->ham / (double)b->ham;
	spam = c->spam / (double)b->spam;
	return (STRENGTH * 0.5 + n * (spam / (ham + spam))) / (STRENGTH + n);
}

/* ln of the chance that a chi-square variable with 2n degrees of freedom is over 2m: ln(e^-m * sum of m^i / i! for i < n), summed
 * outwards from its largest term. */
static double
chi_square_ln(double m, size_t n)
{
	size_t peak = m < (double)(n - 1) ? (size_t)m : n - 1;
	double sum = 1, term = 1;

	if (m <= 0)
		return 0;
	for (size_t i = peak; i > 0 && term > 1e-17 * sum; i--)
		sum += term *= (double)i / m;
	term = 1;
	for (size_t i = peak + 1; i < n && term > 1e-17 * sum; i++)
		sum += term *= m / (double)i;
	return (double)peak * log(m) - lgamma((double)peak + 1) - m + log(sum);
}

double
spam_bayes_score(const struct spam_bayes *b, const spam_key *v, size_t n)
{
	double spam = 0, ham = 0;
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		double p;

		if (!spam_groups[spam_key_group(v[i])].bayes)
			continue;
		p = spam_bayes_of(b, v[i]);
		if (fabs(p - 0.5) < DEVIATION)
			continue;
		used++;
		spam -= log(p);
		ham -= log(1 - p);
	}
	if (used == 0)
		return 0;
	/* Were it ham, the features' 1 - p would be high: little chance for such a sum of -ln(1 - p). */
	return (chi_square_ln(spam, used) - chi_square_ln(ham, used)) / sqrt((double)used);
}
