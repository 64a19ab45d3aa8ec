/* secret_dkim.h: the private keys of DKIM in the vault's database, secrets/vault.db. What a key is for nobody here knows: it is bytes with a
 * name and a state. Functions with a `struct sqltx` run inside sql_write() or sql_read(). */
#ifndef DIRECTORY_SECRET_DKIM_H
#define DIRECTORY_SECRET_DKIM_H

#include "base/arena.h"
#include "sql/sql.h"

#define SECRET_DKIM_KEYS_MAX 8 /* of one domain */

/* The numbers are in the database. */
enum secret_dkim_state {
	SECRET_DKIM_NEXT = 1,   /* its record is being published; it does not sign yet */
	SECRET_DKIM_ACTIVE = 2, /* signs */
	SECRET_DKIM_RETIRED = 3 /* signs no more; its record stays in the DNS for mail that is still on its way */
};

struct secret_dkim_key {
	struct slice domain, selector; /* as in the DNS, lower case */
	struct slice algorithm;        /* "rsa-sha256", "ed25519-sha256" */
	struct slice private_key;      /* PKCS #8 in DER */
	struct slice record;           /* text of its TXT record */
	int64_t bits;
	enum secret_dkim_state state;
	int64_t created_us, changed_us; /* changed_us: of the state */
};

/* All keys of a domain, the oldest first, RSA before Ed25519. */
NODISCARD int secret_dkim_list(
    struct sqltx *tx, struct arena *a, struct slice domain, struct secret_dkim_key **v, size_t *n);
/* At most `max` keys of all domains, without their private part, behind this domain and selector in their order; both empty: from the
 * first on. */
NODISCARD int secret_dkim_page(struct sqltx *tx, struct arena *a, struct slice domain, struct slice selector,
    size_t max, struct secret_dkim_key **v, size_t *n);
/* Has the domain ever had keys (or been told that it shall have none)? 0 or 1 in *known. */
NODISCARD int secret_dkim_known(struct sqltx *tx, struct slice domain, bool *known);
/* ERR_EXISTS: the selector; ERR_LIMIT: SECRET_DKIM_KEYS_MAX. The domain is known from then on. */
NODISCARD int secret_dkim_add(struct sqltx *tx, const struct secret_dkim_key *key);
NODISCARD int secret_dkim_set_state(struct sqltx *tx, struct slice domain, struct slice selector,
    enum secret_dkim_state state, int64_t now_us);                                              /* ERR_NOTFOUND */
NODISCARD int secret_dkim_remove(struct sqltx *tx, struct slice domain, struct slice selector); /* ERR_NOTFOUND */
/* Everything of the domain; it is not known any more. */
NODISCARD int secret_dkim_forget(struct sqltx *tx, struct slice domain);

#endif
