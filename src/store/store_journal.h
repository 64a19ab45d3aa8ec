/* store_journal.h: the flags journal of an account: a small file that says which flags were changed since they were
 * last written to the database. What is put there outlives the process (not a power cut, and need not: see
 * store_flags()), for the price of copying some bytes to the kernel. After an unclean end its records are brought into the database. */
#ifndef STORE_STORE_JOURNAL_H
#define STORE_STORE_JOURNAL_H

#include "store/store_private.h"

#define STORE_JOURNAL_BYTES 65536u

struct uid_run {
	uint32_t lo, hi; /* both included: all messages between them */
};

/* One change of flags. */
struct journal_record {
	uint64_t modseq;
	int64_t mailbox;
	enum store_flag_op op;
	uint8_t flags;
	struct slice keywords; /* be16 ids, ascending */
	const struct uid_run *runs;
	size_t runs_n;
};

struct store_journal;
/* Makes the file, empty, for the boot id of this run. Blocking. */
NODISCARD int journal_open(struct store_account *a, struct store_journal **out);
/* Lets go of it; removes the file if there is nothing in it that is needed. Blocking. NULL is fine. */
void journal_close(struct store_account *a, struct store_journal **j);
/* False: no room in it or on the disk, nothing happened. */
bool journal_put(struct store_journal *j, const struct journal_record *r);
/* All that was put there is in the database. */
void journal_saved(struct store_journal *j);

/* Reads the journal of the run with that boot id, if there is one; bytes lie in `out`. Blocking. */
NODISCARD int journal_read(struct store_account *a, const uint8_t boot[STORE_ID_BYTES], struct buf *out);
void journal_remove(const struct store_account *a);
/* Calls `fn` with the records of a journal's bytes in order, until one is broken (there the process ended). What it
 * returns other than 0 ends it. Runs lie in the arena. */
NODISCARD int journal_each(
    struct slice bytes, struct arena *mem, int (*fn)(void *arg, const struct journal_record *r), void *arg);
/* Completes a record whose bytes follow JOURNAL_FRAME_BYTES of room at the front of the buffer. */
#define JOURNAL_FRAME_BYTES 16u /* length, generation, check */
void journal_frame(struct buf *b, uint32_t generation);
/* Brings the records into the rows of the account, inside a transaction: each message that has no younger change. */
NODISCARD int journal_replay(struct sqltx *tx, struct store_account *a, struct slice bytes);

#endif
