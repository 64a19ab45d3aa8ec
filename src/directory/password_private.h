/* password_private.h: between password.c and password_import.c. */
#ifndef DIRECTORY_PASSWORD_PRIVATE_H
#define DIRECTORY_PASSWORD_PRIVATE_H

#include "directory/password.h"

/* NFKC makes text longer: U+FDFA becomes 18 characters. */
#define PASSWORD_PREPARED_MAX ((size_t)64 << 10)
#define PASSWORD_CLEANUP __attribute__((cleanup(password_wipe)))
/* Wipes and frees. */
void password_wipe(struct buf *b);

/* One scheme of the table. */
struct password_scheme_row {
	struct slice name;
	/* 0, ERR_DENIED, ERR_SYNTAX, ERR_UNSUPPORTED */
	int (*verify)(struct slice hash, struct slice password, const struct password_scheme_row *row);
	/* 0, ERR_SYNTAX, ERR_LIMIT (it costs too much) */
	int (*check)(struct slice hash, const struct password_scheme_row *row);
	const char *md;     /* of digests */
	const char *prefix; /* of crypt's: what the hash begins with */
};
const struct password_scheme_row *password_scheme_find(struct slice scheme);

#endif
