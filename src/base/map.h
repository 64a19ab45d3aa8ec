/* map.h: a hash map from bytes to a pointer. Keys are copied. Keyed hash (strangers cannot choose
 * collisions), open addressing, at most `max` entries. Owns the keys, not the values. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_entry;

struct map {
	struct map_entry *v;
	size_t cap; /* a power of two, or 0 */
	size_t n;
	size_t max;
	uint64_t key;
};

/* `key` seeds the hash: give house_random_u64(). */
void map_init(struct map *m, size_t max, uint64_t key);
void map_free(struct map *m);
/* The value, or NULL. */
void *map_get(const struct map *m, struct slice key);
/* Inserts or replaces; value must not be NULL: 0, ERR_LIMIT or ERR_NOMEM. */
NODISCARD int map_put(struct map *m, struct slice key, void *value);
/* Removes and returns the value, or NULL. */
void *map_remove(struct map *m, struct slice key);
/* Walks: start with *at = 0; false at the end. No insertions or removals meanwhile. */
bool map_next(const struct map *m, size_t *at, struct slice *key, void **value);

#endif
