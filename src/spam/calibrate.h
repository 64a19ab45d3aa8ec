/* calibrate.h: from the two opinions to one probability: a logistic regression (Platt) on scores that messages had before the model
 * knew them, and the score above which few enough of the wanted ones lie. */
#ifndef SPAM_CALIBRATE_H
#define SPAM_CALIBRATE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct spam_held {
	double margin, bayes;
	bool spam;
};

struct spam_calibration {
	double constant, margin, bayes; /* the logarithm of the odds is constant + margin * m + bayes * b */
	double junk;                    /* log-odds from which a message is junk */
};

/* Before anything was learnt. */
struct spam_calibration spam_calibration_default(void);
double spam_calibration_odds(const struct spam_calibration *c, double margin, double bayes);
/* Of `n` held-out scores. With too few of either kind: the default. */
struct spam_calibration spam_calibrate(const struct spam_held *v, size_t n);
double spam_probability(double log_odds);

#endif
