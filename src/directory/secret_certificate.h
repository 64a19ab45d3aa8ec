/* secret_certificate.h: certificates that open accounts in place of a password, in the vault's database. A certificate is known by
 * the SHA-256 of all of it; who has its key is the account's person, whoever has signed it. */
#ifndef DIRECTORY_SECRET_CERTIFICATE_H
#define DIRECTORY_SECRET_CERTIFICATE_H

#include "base/arena.h"
#include "sql/sql.h"

#define SECRET_FINGERPRINT_BYTES 32

struct secret_certificate {
	struct slice account_id;
	struct slice fingerprint;
	struct slice login;   /* the account's address when it was bound */
	struct slice subject; /* for people */
	struct slice last_used_by;
	int64_t expires_us, created_us, last_used_us; /* last_used_us: 0 never; recorded at most once an hour */
};

/* Binds one, or tells what is new of one that is bound. ERR_LIMIT: the account has limits.client_certificates of them. */
NODISCARD int secret_certificate_add(
    struct sqltx *tx, struct house *h, struct arena *a, const struct secret_certificate *c);
/* Those of an account, by age. */
NODISCARD int secret_certificate_list(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct secret_certificate **v, size_t *n);
/* Every binding of a certificate. */
NODISCARD int secret_certificate_find(
    struct sqltx *tx, struct arena *a, struct slice fingerprint, struct secret_certificate **v, size_t *n);
/* ERR_NOTFOUND. */
NODISCARD int secret_certificate_remove(struct sqltx *tx, struct slice account_id, struct slice fingerprint);
NODISCARD int secret_certificate_used(
    struct sqltx *tx, struct house *h, struct slice account_id, struct slice fingerprint, struct slice client);
NODISCARD int secret_certificate_forget(struct sqltx *tx, struct slice account_id);
/* Is it worth a write? */
bool secret_certificate_use_is_news(const struct house *h, const struct secret_certificate *c);

#endif
