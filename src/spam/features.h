/* features.h: what the classifier sees of a message: a set of hashed features, each in a group (groups.def). Which words a feature
 * was is forgotten, but for who asks with a namer. One set is used for many messages, one after the other. */
#ifndef SPAM_FEATURES_H
#define SPAM_FEATURES_H

#include "base/slice.h"

enum spam_group {
#define SPAM_GROUP(id, name, weight, max, bayes, text) SPAM_##id,
#include "spam/groups.def"
#undef SPAM_GROUP
	SPAM_GROUPS
};

/* What the features were made by: a model that was trained on others is not used. Raise it when extraction changes. */
#define SPAM_FEATURES_VERSION 1u

struct spam_group_row {
	const char *name, *text;
	double weight;
	uint32_t max;
	bool bayes;
};
extern const struct spam_group_row spam_groups[SPAM_GROUPS];

/* Group in the upper 4 bits, hash in the lower 28; never 0. */
typedef uint32_t spam_key;
static inline enum spam_group
spam_key_group(spam_key k)
{
	return (enum spam_group)(k >> 28);
}

/* Told of each new feature: `kind` is a constant word or two ("subject", "link to"), `text` the message's own; both together are its
 * name. For runs of letters it is not called. */
typedef void spam_namer(void *of, spam_key key, const char *kind, struct slice text);

struct spam_features {
	spam_key *v; /* no key twice */
	size_t n;
	uint32_t counts[SPAM_GROUPS];
	spam_namer *namer; /* or NULL */
	void *namer_of;
	spam_key *set; /* open addressing; 0 is free */
	uint32_t hit;  /* bits of groups that reached their maximum */
};

/* Takes the memory for all that a message can have: 0 or ERR_NOMEM. */
NODISCARD int spam_features_init(struct spam_features *f);
void spam_features_free(struct spam_features *f);
/* For the next message. */
void spam_features_reset(struct spam_features *f);
#define SPAM_FEATURES_CLEANUP __attribute__((cleanup(spam_features_free)))

/* Adds a feature unless it is there or its group is full. Features of one group with the same kind and text are the same. */
void spam_feature(struct spam_features *f, enum spam_group g, const char *kind, struct slice text);
/* The same of two texts. */
void spam_feature_pair(struct spam_features *f, enum spam_group g, const char *kind, struct slice a, struct slice b);
/* A number, as the size of a thing: its power of two counts. */
void spam_feature_size(struct spam_features *f, enum spam_group g, const char *kind, uint64_t size);
/* Every run of four bytes of the text. */
void spam_feature_grams(struct spam_features *f, enum spam_group g, struct slice text);
bool spam_group_is_full(const struct spam_features *f, enum spam_group g);

#endif
