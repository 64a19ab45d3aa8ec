/* vault_memory.c: a map for finding and a list in order of age for forgetting. */
#include "role/vault_memory.h"

#include <sodium.h>

struct memory_entry {
	struct list_node node;
	int64_t until_ms;
	int64_t number;
	size_t key_n, account_n;
	uint8_t key[VAULT_MEMORY_KEY_MAX];
	uint8_t account[VAULT_ACCOUNT_ID_MAX];
};

void
vault_memory_init(struct vault_memory *m, struct house *h, size_t max, int64_t life_ms)
{
	*m = (struct vault_memory){.house = h, .life_ms = life_ms};
	map_init(&m->map, max, house_random_u64(h));
	list_init(&m->oldest_first);
}

static void
drop(struct vault_memory *m, struct memory_entry *e)
{
	(void)map_remove(&m->map, slice_of(e->key, e->key_n));
	list_remove(&e->node);
	sodium_memzero(e, sizeof(*e));
	free(e);
}

void
vault_memory_free(struct vault_memory *m)
{
	LIST_FOREACH (&m->oldest_first, n)
		drop(m, CONTAINER_OF(n, struct memory_entry, node));
	map_free(&m->map);
}

static void
drop_old(struct vault_memory *m)
{
	int64_t now = house_mono_ms(m->house);
	struct list_node *n;

	while (
	    (n = list_first(&m->oldest_first)) != NULL && CONTAINER_OF(n, struct memory_entry, node)->until_ms <= now)
		drop(m, CONTAINER_OF(n, struct memory_entry, node));
}

static struct memory_entry *
find(struct vault_memory *m, struct slice key)
{
	drop_old(m);
	return map_get(&m->map, key);
}

int
vault_memory_put(struct vault_memory *m, struct slice key, struct slice account_id, int64_t number)
{
	struct memory_entry *e = find(m, key);
	int err;

	if (key.n > VAULT_MEMORY_KEY_MAX || account_id.n > VAULT_ACCOUNT_ID_MAX)
		return ERR_LIMIT;
	if (e != NULL)
		drop(m, e);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return ERR_NOMEM;
	e->until_ms = house_mono_ms(m->house) + m->life_ms;
	e->number = number;
	e->key_n = key.n;
	e->account_n = account_id.n;
	if (key.n > 0)
		memcpy(e->key, key.p, key.n);
	if (account_id.n > 0)
		memcpy(e->account, account_id.p, account_id.n);
	err = map_put(&m->map, key, e);
	if (err != 0) {
		free(e);
		return err;
	}
	list_push(&m->oldest_first, &e->node);
	return 0;
}

bool
vault_memory_has(struct vault_memory *m, struct slice key)
{
	return find(m, key) != NULL;
}

bool
vault_memory_take(struct vault_memory *m, struct slice key, uint8_t account_id[VAULT_ACCOUNT_ID_MAX], size_t *account_n,
    int64_t *number)
{
	struct memory_entry *e = find(m, key);

	if (e == NULL)
		return false;
	memcpy(account_id, e->account, e->account_n);
	*account_n = e->account_n;
	*number = e->number;
	drop(m, e);
	return true;
}

void
vault_memory_forget(struct vault_memory *m, struct slice account_id)
{
	LIST_FOREACH (&m->oldest_first, n) {
		struct memory_entry *e = CONTAINER_OF(n, struct memory_entry, node);

		if (slice_eq(slice_of(e->account, e->account_n), account_id))
			drop(m, e);
	}
}
