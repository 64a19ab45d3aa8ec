/* model_private.h: the inside of a model. */
#ifndef SPAM_MODEL_PRIVATE_H
#define SPAM_MODEL_PRIVATE_H

#include "spam/bayes.h"
#include "spam/model.h"

#define SPAM_VALUE_ONE 4096     /* a feature's value of 1 */
#define SPAM_STEP_ONE 1024      /* a step of 1 */
#define SPAM_STEP_MAX (1 << 20) /* what one example may add up to, either way */
#define SPAM_KEYS_MAX 16384     /* features of one message */

/* An example in the log. */
struct spam_entry {
	uint64_t id;
	uint32_t print;      /* of its features, so that others are not mistaken for them */
	uint32_t order;      /* when it came */
	int32_t step;        /* what it added: this times itself */
	float margin, bayes; /* what it was held for before it was learnt */
	bool spam, counted;  /* counted: the second opinion has it */
	uint8_t *packed;     /* its features, for going over it again; or NULL */
	uint32_t packed_n;
};

struct spam_model {
	enum spam_kind kind;
	unsigned bits;
	uint32_t *weights;       /* two's complement, so that sums wrap and come back */
	struct spam_bayes bayes; /* of a shared model */
	struct spam_calibration calibration;
	struct spam_entry *log; /* by id */
	size_t log_n, log_max;
	uint64_t *kept[2]; /* ids of those that have their features, ham and spam */
	size_t kept_n[2], kept_max;
	size_t kept_bytes, kept_bytes_max;
	uint32_t examples[2]; /* in the weights; those whose log is gone too */
	uint32_t order;
	uint32_t stale; /* examples since the last calibration */
	spam_key *scratch;
};

static inline size_t
spam_model_place(const struct spam_model *m, spam_key k)
{
	return (size_t)((k * 0x9e3779b1u) >> (32 - m->bits));
}
/* What each feature of a group counts in a message. */
void spam_values(const uint32_t counts[SPAM_GROUPS], int32_t values[SPAM_GROUPS]);
/* Sorted and packed: the bytes' number. `out` has 5 bytes for each. Sorts v. */
size_t spam_pack(spam_key *v, size_t n, uint8_t *out);
/* False if it is damaged: not ascending, a key of 0 or of no group, more than SPAM_KEYS_MAX. */
bool spam_unpack(struct slice in, spam_key *v, size_t *n, uint32_t counts[SPAM_GROUPS]);
/* The entry, or NULL; *at is where it would be. */
struct spam_entry *spam_log_find(const struct spam_model *m, uint64_t id, size_t *at);
NODISCARD int spam_keep(struct spam_model *m, struct spam_entry *e, struct slice packed);
void spam_model_calibrate(struct spam_model *m);

#endif
