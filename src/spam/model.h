/* model.h: what was learnt: a linear model over hashed features, the counts of the second opinion, the calibration, and a log of the
 * examples. All sums are whole numbers: each example adds a multiple of itself (its step), so what it added can be taken away to the
 * last bit as long as its step is in the log, whatever was learnt since. A house has one shared model; an account has one of its own
 * that only corrects the shared one. One thread at a time; scoring changes nothing. */
#ifndef SPAM_MODEL_H
#define SPAM_MODEL_H

#include "base/buf.h"
#include "spam/calibrate.h"
#include "spam/features.h"

enum spam_kind {
	SPAM_MODEL_SHARED, /* under 16 MB */
	SPAM_MODEL_ACCOUNT /* under 1 MB; without a second opinion */
};

struct spam_model;

/* 0 or ERR_NOMEM. */
NODISCARD int spam_model_new(enum spam_kind kind, struct spam_model **out);
void spam_model_free(struct spam_model **m);
#define SPAM_MODEL_CLEANUP __attribute__((cleanup(spam_model_free)))
/* Memory that it takes. */
size_t spam_model_bytes(const struct spam_model *m);
/* Examples in it. */
void spam_model_examples(const struct spam_model *m, uint32_t *ham, uint32_t *spam);

enum spam_opinion { SPAM_WANTED, SPAM_UNSURE, SPAM_UNWANTED };

struct spam_score {
	double margin, bayes; /* of the two opinions */
	double odds;          /* logarithm of the odds that the message is unwanted */
	double probability;
	double junk; /* odds from which a message is junk */
	enum spam_opinion opinion;
};
/* `account` may be NULL. While too little was learnt to tell, the opinion is SPAM_UNSURE, whatever the numbers say. */
void spam_model_score(const struct spam_model *shared, const struct spam_model *account, const struct spam_features *f,
    struct spam_score *out);
/* How much one feature of these pushes towards unwanted (over 0) or wanted, in log-odds. */
double spam_model_push(
    const struct spam_model *shared, const struct spam_model *account, const struct spam_features *f, spam_key key);

/* Learns an example. `id` names it for as long as it is known: the same again is nothing new; the same with the other class replaces
 * it. `shared`: for an account's model, the one that it corrects; else NULL. A few earlier examples of both classes are gone over
 * again, so that their order matters little. 0; ERR_CONFLICT: the id is of an example with other features (nothing changed);
 * ERR_NOMEM. */
NODISCARD int spam_model_train(
    struct spam_model *m, const struct spam_model *shared, uint64_t id, bool spam, const struct spam_features *f);
/* Takes an example out, exactly: 0; ERR_NOTFOUND: not known, or so old that its log is gone; ERR_CONFLICT: the features are not those
 * that were learnt, and the model does not keep them. */
NODISCARD int spam_model_untrain(struct spam_model *m, uint64_t id, const struct spam_features *f);

/* Many examples at once, gone over several times in an order that does not depend on theirs, with scores for the calibration from
 * models that did not see them. Those that are known already, by id, are left out. For a shared model. 0 or ERR_NOMEM. */
struct spam_example {
	uint64_t id;
	bool spam;
	spam_key *keys;
	uint32_t n;
	uint32_t counts[SPAM_GROUPS];
};
NODISCARD int spam_model_train_all(struct spam_model *m, const struct spam_example *v, size_t n);

/* model_file.c: the model as bytes and back: versioned, with a checksum. ERR_DAMAGED, ERR_VERSION (of another version, or made from
 * other features), ERR_NOMEM. */
NODISCARD int spam_model_save(struct spam_model *m, struct buf *out);
NODISCARD int spam_model_load(struct slice in, struct spam_model **out);
#define SPAM_MODEL_FILE_MAX (64u << 20)
/* As a file, replaced at once: after a power cut it is the old one or the new one. Errors: ERR_IO (a sentence in *detail) besides. */
NODISCARD int spam_model_write_file(struct spam_model *m, const char *path, struct buf *detail);
NODISCARD int spam_model_read_file(const char *path, struct spam_model **out, struct buf *detail);

#endif
