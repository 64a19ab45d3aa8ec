/* calibrate.c: Newton's method in three dimensions, a little prior towards the default. The order of the scores does not matter but for
 * the last bits. */
#include "spam/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KIND_MIN 20 /* of each kind; below that nothing is fitted */
#define ROUNDS 30
#define PRIOR 1.0       /* how many messages the default is worth */
#define JUNK_RATE 0.001 /* of the wanted messages that may lie above the threshold */
#define JUNK_LEAST 2.2  /* a probability of 0.9 */
#define JUNK_FEW 1.0    /* added when there are too few to see the rate */

struct spam_calibration
spam_calibration_default(void)
{
	return (struct spam_calibration){.margin = 1, .junk = JUNK_LEAST + 2 * JUNK_FEW};
}

double
spam_calibration_odds(const struct spam_calibration *c, double margin, double bayes)
{
	return c->constant + c->margin * margin + c->bayes * bayes;
}

double
spam_probability(double log_odds)
{
	return 1 / (1 + exp(-log_odds));
}

/* Solves a x = b in place; false if it cannot be. */
static bool
solve(double a[3][3], double b[3])
{
	for (size_t i = 0; i < 3; i++) {
		if (fabs(a[i][i]) < 1e-12)
			return false;
		for (size_t j = i + 1; j < 3; j++) {
			double by = a[j][i] / a[i][i];

			for (size_t k = i; k < 3; k++)
				a[j][k] -= by * a[i][k];
			b[j] -= by * b[i];
		}
	}
	for (size_t i = 3; i-- > 0;) {
		for (size_t k = i + 1; k < 3; k++)
			b[i] -= a[i][k] * b[k];
		b[i] /= a[i][i];
	}
	return true;
}

/* One step of Newton's; false when it does not lead on. */
static bool
step(struct spam_calibration *c, const struct spam_held *v, size_t n)
{
	double h[3][3] = {{PRIOR, 0, 0}, {0, PRIOR, 0}, {0, 0, PRIOR}},
	       g[3] = {-PRIOR * c->constant, PRIOR * (1 - c->margin), -PRIOR * c->bayes};

	for (size_t i = 0; i < n; i++) {
		double p = spam_probability(spam_calibration_odds(c, v[i].margin, v[i].bayes)), w = p * (1 - p),
		       e = (v[i].spam ? 1 : 0) - p, x[3] = {1, v[i].margin, v[i].bayes};

		for (size_t j = 0; j < 3; j++) {
			g[j] += e * x[j];
			for (size_t k = 0; k < 3; k++)
				h[j][k] += w * x[j] * x[k];
		}
	}
	if (!solve(h, g))
		return false;
	c->constant += g[0];
	c->margin += g[1];
	c->bayes += g[2];
	return fabs(g[0]) + fabs(g[1]) + fabs(g[2]) > 1e-9;
}

static int
falling(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The least score that at most JUNK_RATE of the wanted ones reach. */
static double
threshold(const struct spam_calibration *c, const struct spam_held *v, size_t n, size_t ham)
{
	double *odds = calloc(ham, sizeof(*odds)), at = JUNK_LEAST + 2 * JUNK_FEW;
	size_t used = 0, allowed = (size_t)((double)ham * JUNK_RATE);

	if (odds == NULL)
		return at;
	for (size_t i = 0; i < n; i++)
		if (!v[i].spam)
			odds[used++] = spam_calibration_odds(c, v[i].margin, v[i].bayes);
	qsort(odds, used, sizeof(*odds), falling);
	at = odds[allowed] + (allowed == 0 ? JUNK_FEW : 0) + 1e-6;
	free(odds);
	return at > JUNK_LEAST ? at : JUNK_LEAST;
}

struct spam_calibration
spam_calibrate(const struct spam_held *v, size_t n)
{
	struct spam_calibration c = spam_calibration_default(), before = c;
	size_t ham = 0;

	for (size_t i = 0; i < n; i++)
		ham += !v[i].spam;
	if (ham < KIND_MIN || n - ham < KIND_MIN)
		return c;
	for (size_t i = 0; i < ROUNDS && step(&c, v, n); i++)
		continue;
	/* A second opinion that is used upside down, or numbers that ran away: the first alone. */
	if (!isfinite(c.constant) || !isfinite(c.margin) || !isfinite(c.bayes) || c.margin <= 0 || c.bayes < 0)
		c = before;
	c.junk = threshold(&c, v, n, ham);
	return c;
}
