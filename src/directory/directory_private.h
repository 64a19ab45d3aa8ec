/* directory_private.h: what the files of the directory share. */
#ifndef DIRECTORY_DIRECTORY_PRIVATE_H
#define DIRECTORY_DIRECTORY_PRIVATE_H

#include "directory/directory.h"
#include "directory/directory_address.h"

#define SQL_STATEMENT(name, text) extern const struct sql_text directory_sql_##name;
#include "directory/directory_sql.def"
#undef SQL_STATEMENT

/* What one address of a local domain is, without following aliases. */
enum directory_kind { DIRECTORY_NOTHING, DIRECTORY_ACCOUNT, DIRECTORY_ALIAS };
struct directory_entry {
	enum directory_kind kind;
	struct directory_account account;
	struct slice alias_key;
	struct slice detail; /* of user+tag */
	bool fallback;       /* found through the catch-all */
};
/* 0 also when nothing is found. The order: the address itself, without its tag, postmaster's default, the catch-all. */
NODISCARD int directory_lookup(
    struct sqltx *tx, struct arena *a, const struct directory_address *at, struct directory_entry *out);
/* One account by a statement that takes one text (or none): ERR_NOTFOUND. */
NODISCARD int directory_account_by(
    struct sqltx *tx, struct arena *a, const struct sql_text *t, const struct slice *v, struct directory_account *out);
/* The account of the present row. */
void directory_account_row(struct sql_rows *r, struct arena *a, struct directory_account *out);
/* The targets of an alias. */
NODISCARD int directory_alias_targets(struct sqltx *tx, struct arena *a, struct slice key, struct slice_list *out);
NODISCARD int directory_first_domain(struct sqltx *tx, struct arena *a, struct slice *out);

/* Enough for one call's addresses and keys. */
#define DIRECTORY_SCRATCH_BYTES ((size_t)4 << 20)

#endif
