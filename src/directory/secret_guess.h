/* secret_guess.h: failed sign-ins that are not forgiven yet, in the vault's database, so that a restart forgives nothing. */
#ifndef DIRECTORY_SECRET_GUESS_H
#define DIRECTORY_SECRET_GUESS_H

#include "base/arena.h"
#include "sql/sql.h"

struct secret_guess {
	struct slice name; /* an account's id, or a name that nobody has */
	int64_t failures, since_us;
	struct slice known; /* addresses of who signed in, 16 bytes each */
};

/* The most failures first. */
NODISCARD int secret_guess_list(struct sqltx *tx, struct arena *a, struct secret_guess **v, size_t *n);
/* These, and no others. */
NODISCARD int secret_guess_replace(struct sqltx *tx, const struct secret_guess *v, size_t n);

#endif
