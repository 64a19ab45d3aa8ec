/* Any line as one of a passwd-file. */
#include "move/dovecot_passwd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena ARENA_CLEANUP a;
	struct dovecot_user u;

	arena_init(&a, 1u << 20);
	if (dovecot_passwd_line(slice_of(data, size), &a, &u) == 1)
		ASSERT(u.user.n > 0 && u.quota_bytes >= 0 && (u.locked || u.hash.n > 0));
	return 0;
}
