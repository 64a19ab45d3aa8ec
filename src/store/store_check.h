/* store_check.h: is an account's data what it must be, and mending it. */
#ifndef STORE_STORE_CHECK_H
#define STORE_STORE_CHECK_H

#include "store/store.h"

enum store_mended {
	STORE_FOUND = 0,  /* it was left as it is */
	STORE_MENDED = 1, /* it is right now */
	STORE_ASIDE = 2   /* what could not be put right was put into a file: `detail` names it */
};
struct store_finding {
	const char *kind; /* a word: "mailbox_counts", … */
	struct slice detail;
	enum store_mended mended;
};
/* Looks through the account: database, sums and counters, what refers to what, files of large messages, the search index. With
 * `repair` it mends what it finds and loses nothing: messages that no mailbox has come into the mailbox Recovered; what is no whole
 * message any more is written to files in the account's folder aside/. Sessions of the account wait meanwhile, and those whose
 * mailboxes were mended have to select them again. Findings lie in `a`; at most limits.check_findings, then one says how many there
 * were. ERR_NOTFOUND: no such account. */
NODISCARD int store_account_check(
    struct store *s, struct slice account_id, bool repair, struct arena *a, struct store_finding **v, size_t *n);

#endif
