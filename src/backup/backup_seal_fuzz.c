/* Bytes that are said to be a sealed file: without the key nobody makes one. What was sealed opens again, and under its name only. */
#include "backup/backup_seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {1, 2, 3};
	struct slice in = slice_of(data, size);
	struct buf BUF_CLEANUP sealed, plain;

	buf_init(&sealed, size + 4096);
	buf_init(&plain, size + 4096);
	ASSERT(backup_unseal(key, SLICE("name"), in, &plain) != 0 && plain.n == 0);
	ASSERT(backup_seal(key, SLICE("name"), in, &sealed) == 0 && sealed.n == size + BACKUP_SEAL_EXTRA);
	ASSERT(backup_unseal(key, SLICE("other"), buf_slice(&sealed), &plain) == ERR_DAMAGED && plain.n == 0);
	ASSERT(backup_unseal(key, SLICE("name"), buf_slice(&sealed), &plain) == 0 && slice_eq(buf_slice(&plain), in));
	return 0;
}
