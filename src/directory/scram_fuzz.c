/* Messages of strangers: what is taken is put together again from its parts; and keys of a database. */
#include "directory/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice message = slice_of(data, n);
	struct buf text BUF_CLEANUP;
	struct arena ARENA_CLEANUP a;
	struct scram_first first;
	struct scram_final last;
	struct scram_keys keys, again;
	struct slice rest;

	arena_init(&a, 1 << 20);
	buf_init(&text, 4096);
	if (scram_first_parse(message, &a, &first) == 0) {
		ASSERT(first.gs2.n + first.bare.n == n && slice_starts(message, first.gs2));
		ASSERT(first.nonce.n > 0 && first.username.n > 0 && (first.flag == 'p') == (first.binding.n > 0));
	}
	if (scram_final_parse(message, &a, &last) == 0)
		ASSERT(slice_starts(message, last.without_proof) && last.proof.n > 0 && last.binding.n > 0);
	for (enum scram_hash kind = 0; kind < SCRAM_KINDS; kind++) {
		if (scram_keys_parse(kind, message, &keys) != 0)
			continue;
		buf_reset(&text);
		scram_keys_put(kind, &keys, &text);
		rest = slice_from(buf_slice(&text), scram_kinds[kind].name.n + 2);
		ASSERT(text.err == 0 && scram_keys_parse(kind, rest, &again) == 0);
		ASSERT(memcmp(&keys, &again, sizeof(keys)) == 0);
	}
	return 0;
}
