/* vault_memory.h: things that the vault remembers for a short while, in memory only: passwords that were right (as
 * keyed hashes) and tickets that a desk may redeem. Entries of one memory live equally long. */
#ifndef ROLE_VAULT_MEMORY_H
#define ROLE_VAULT_MEMORY_H

#include "base/house.h"
#include "base/list.h"
#include "base/map.h"

#define VAULT_MEMORY_KEY_MAX 64
#define VAULT_ACCOUNT_ID_MAX 64

struct vault_memory {
	struct house *house;
	int64_t life_ms;
	struct map map;
	struct list oldest_first;
};

void vault_memory_init(struct vault_memory *m, struct house *h, size_t max, int64_t life_ms);
void vault_memory_free(struct vault_memory *m);
/* ERR_LIMIT when it is full; a known key begins its life anew. */
NODISCARD int vault_memory_put(struct vault_memory *m, struct slice key, struct slice account_id, int64_t number);
/* What is known under the key and not too old. */
bool vault_memory_has(struct vault_memory *m, struct slice key);
/* The same, and forgets it: account_id gets up to VAULT_ACCOUNT_ID_MAX bytes. */
bool vault_memory_take(struct vault_memory *m, struct slice key, uint8_t account_id[VAULT_ACCOUNT_ID_MAX],
    size_t *account_n, int64_t *number);
/* Everything of an account. */
void vault_memory_forget(struct vault_memory *m, struct slice account_id);

#endif
