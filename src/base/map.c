/* map.c: open addressing with linear probing and backward-shift removal. */
#include "base/map.h"

struct map_entry {
	uint8_t *key; /* malloc'd; never NULL in a used entry */
	size_t n;
	uint64_t hash;
	void *value;
};

void
map_init(struct map *m, size_t max, uint64_t key)
{
	*m = (struct map){.max = max, .key = key};
}

void
map_free(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->v[i].key);
	free(m->v);
	m->v = NULL;
	m->cap = m->n = 0;
}

/* The place of the key, or the free place where it belongs. cap > 0. */
static size_t
map_place(const struct map *m, struct slice key, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (m->v[i].key != NULL && (m->v[i].hash != hash || !slice_eq(slice_of(m->v[i].key, m->v[i].n), key)))
		i = (i + 1) & (m->cap - 1);
	return i;
}

void *
map_get(const struct map *m, struct slice key)
{
	if (m->n == 0)
		return NULL;
	return m->v[map_place(m, key, slice_hash(key, m->key))].value;
}

static int
map_resize(struct map *m)
{
	size_t cap = m->cap == 0 ? 16 : m->cap * 2;
	struct map_entry *old = m->v, *v = calloc(cap, sizeof(*v));
	size_t old_cap = m->cap;

	if (v == NULL)
		return ERR_NOMEM;
	m->v = v;
	m->cap = cap;
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].key != NULL)
			v[map_place(m, slice_of(old[i].key, old[i].n), old[i].hash)] = old[i];
	free(old);
	return 0;
}

int
map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = slice_hash(key, m->key);
	size_t i;
	int err;

	ASSERT(value != NULL);
	if (m->n > 0 && m->v[i = map_place(m, key, hash)].key != NULL) {
		m->v[i].value = value;
		return 0;
	}
	if (m->n >= m->max)
		return ERR_LIMIT;
	if ((m->n + 1) * 4 > m->cap * 3 && (err = map_resize(m)) != 0)
		return err;
	i = map_place(m, key, hash);
	m->v[i].key = malloc(key.n + 1);
	if (m->v[i].key == NULL)
		return ERR_NOMEM;
	if (key.n > 0)
		memcpy(m->v[i].key, key.p, key.n);
	m->v[i].n = key.n;
	m->v[i].hash = hash;
	m->v[i].value = value;
	m->n++;
	return 0;
}

void *
map_remove(struct map *m, struct slice key)
{
	size_t i, j;
	void *value;

	if (m->n == 0)
		return NULL;
	i = map_place(m, key, slice_hash(key, m->key));
	if (m->v[i].key == NULL)
		return NULL;
	value = m->v[i].value;
	free(m->v[i].key);
	m->n--;
	for (j = (i + 1) & (m->cap - 1); m->v[j].key != NULL; j = (j + 1) & (m->cap - 1)) {
		size_t home = m->v[j].hash & (m->cap - 1);

		/* Move j back into the hole at i unless its home lies cyclically in (i, j]. */
		if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
			m->v[i] = m->v[j];
			i = j;
		}
	}
	m->v[i] = (struct map_entry){0};
	return value;
}

bool
map_next(const struct map *m, size_t *at, struct slice *key, void **value)
{
	while (*at < m->cap && m->v[*at].key == NULL)
		(*at)++;
	if (*at >= m->cap)
		return false;
	*key = slice_of(m->v[*at].key, m->v[*at].n);
	*value = m->v[*at].value;
	(*at)++;
	return true;
}
