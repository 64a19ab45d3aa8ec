/* features.c: a set by open addressing, at most half full, cleared for each message. */
#include "spam/features.h"

#define SET_BITS 15
#define SET_SIZE ((size_t)1 << SET_BITS)

const struct spam_group_row spam_groups[SPAM_GROUPS] = {
#define SPAM_GROUP(id, name, weight, max, bayes, text) {name, text, weight, max, bayes},
#include "spam/groups.def"
#undef SPAM_GROUP
};

enum {
	FEATURES_MAX = 0
#define SPAM_GROUP(id, name, weight, max, bayes, text) +max
#include "spam/groups.def"
#undef SPAM_GROUP
};
_Static_assert(FEATURES_MAX <= 1 << (SET_BITS - 1), "the set has room");
_Static_assert(SPAM_GROUPS <= 16, "a key has four bits for the group");

int
spam_features_init(struct spam_features *f)
{
	*f = (struct spam_features){.v = calloc(FEATURES_MAX, sizeof(*f->v)), .set = calloc(SET_SIZE, sizeof(*f->set))};
	if (f->v != NULL && f->set != NULL)
		return 0;
	spam_features_free(f);
	return ERR_NOMEM;
}

void
spam_features_free(struct spam_features *f)
{
	free(f->v);
	free(f->set);
	f->v = NULL;
	f->set = NULL;
	f->n = 0;
}

void
spam_features_reset(struct spam_features *f)
{
	memset(f->set, 0, SET_SIZE * sizeof(*f->set));
	memset(f->counts, 0, sizeof(f->counts));
	f->n = 0;
	f->hit = 0;
}

bool
spam_group_is_full(const struct spam_features *f, enum spam_group g)
{
	return f->counts[g] >= spam_groups[g].max;
}

/* True if it is new. */
static bool
add(struct spam_features *f, enum spam_group g, uint64_t hash, spam_key *key)
{
	/* Group 0 has keys from 1 on: 0 marks a free place. */
	spam_key k = (spam_key)(hash >> 36) | ((spam_key)g << 28);
	size_t at;

	if (k == 0)
		k = 1;
	at = (size_t)((k * 0x9e3779b1u) >> (32 - SET_BITS));
	while (f->set[at] != 0) {
		if (f->set[at] == k)
			return false;
		at = (at + 1) & (SET_SIZE - 1);
	}
	if (spam_group_is_full(f, g)) {
		f->hit |= 1u << g;
		return false;
	}
	f->set[at] = k;
	f->v[f->n++] = k;
	f->counts[g]++;
	*key = k;
	return true;
}

static uint64_t
mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ (h >> 32);
}

void
spam_feature(struct spam_features *f, enum spam_group g, const char *kind, struct slice text)
{
	spam_key key;
	uint64_t h = slice_hash(text, slice_hash(slice_z(kind), g + 1));

	if (add(f, g, mix(h) * 0x9e3779b97f4a7c15ull, &key) && f->namer != NULL)
		f->namer(f->namer_of, key, kind, text);
}

void
spam_feature_pair(struct spam_features *f, enum spam_group g, const char *kind, struct slice a, struct slice b)
{
	char text[256];
	size_t n = 0;

	a = slice_head(a, 120);
	b = slice_head(b, 120);
	for (size_t i = 0; i < a.n; i++)
		text[n++] = (char)slice_at(a, i);
	text[n++] = ' ';
	for (size_t i = 0; i < b.n; i++)
		text[n++] = (char)slice_at(b, i);
	spam_feature(f, g, kind, slice_of(text, n));
}

void
spam_feature_size(struct spam_features *f, enum spam_group g, const char *kind, uint64_t size)
{
	char text[32];
	uint64_t power = 0;

	while (power < 63 && (1ull << power) <= size)
		power++;
	/* 0, 1, 2..3, 4..7, … */
	if (power == 0)
		(void)snprintf(text, sizeof(text), "none");
	else
		(void)snprintf(text, sizeof(text), "%llu or more", 1ull << (power - 1));
	spam_feature(f, g, kind, slice_z(text));
}

void
spam_feature_grams(struct spam_features *f, enum spam_group g, struct slice text)
{
	uint32_t run = 0;
	spam_key key;

	for (size_t i = 0; i < text.n && !spam_group_is_full(f, g); i++) {
		run = run << 8 | slice_at(text, i);
		if (i >= 3)
			(void)add(f, g, mix(run + ((uint64_t)(g + 1) << 32)) * 0x9e3779b97f4a7c15ull, &key);
	}
}
