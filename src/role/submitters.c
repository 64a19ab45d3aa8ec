#include "role/submitters.h"

#include "directory/directory_address.h"

#define SCRATCH_BYTES 65536

static bool
lists_user(const struct submitter_settings *b, struct slice user)
{
	for (size_t i = 0; i < b->users.n; i++)
		if (slice_eq(b->users.v[i], user))
			return true;
	return false;
}

bool
submitters_list_address(const struct settings *s, const struct net_address *a)
{
	for (size_t i = 0; i < s->submitters_count; i++)
		if (network_list_contains(s->submitters[i].networks, a))
			return true;
	return false;
}

/* Two spellings of one address are the same sender. */
static bool
lists_sender(const struct submitter_settings *b, const struct directory_address *sender)
{
	for (size_t i = 0; i < b->senders.n; i++) {
		struct arena ARENA_CLEANUP a;
		struct directory_address at;

		arena_init(&a, SCRATCH_BYTES);
		if (directory_address_parse(b->senders.v[i], true, &a, &at) != 0)
			continue;
		if (at.local.n == 0 ? slice_eq(at.domain, sender->domain) : slice_eq(at.key, sender->key))
			return true;
	}
	return false;
}

const struct submitter_settings *
submitters_find(const struct settings *s, struct slice user, struct slice client, struct slice sender)
{
	struct arena ARENA_CLEANUP a;
	struct directory_address at;
	struct net_address from;

	arena_init(&a, SCRATCH_BYTES);
	if (directory_address_parse(sender, false, &a, &at) != 0 || at.domain.n == 0)
		return NULL;
	if (user.n == 0 && net_address_parse(client, 0, &from) != 0)
		return NULL;
	for (size_t i = 0; i < s->submitters_count; i++) {
		const struct submitter_settings *b = &s->submitters[i];

		if ((user.n > 0 ? lists_user(b, user) : network_list_contains(b->networks, &from)) &&
		    lists_sender(b, &at))
			return b;
	}
	return NULL;
}
