/* directory_private.h: what the files of the directory share. */
#ifndef DIRECTORY_DIRECTORY_PRIVATE_H
#define DIRECTORY_DIRECTORY_PRIVATE_H

#include "directory/directory.h"
#include "directory/directory_address.h"

#define SQL_STATEMENT(name, text) extern const struct sql_text directory_sql_##name;
#include "directory/directory_sql.def"
#undef SQL_STATEMENT

/* What one address of a local domain is, without following aliases. */
enum directory_kind {
	DIRECTORY_NOTHING,
	DIRECTORY_ACCOUNT,
	DIRECTORY_ALIAS, /* of any directory_alias_kind */
	DIRECTORY_OWNER  /* the bounce address of the group in `alias` */
};
struct directory_entry {
	enum directory_kind kind;
	struct directory_account account;
	struct directory_alias alias; /* without targets and listed */
	struct slice alias_key;
	struct slice detail; /* of user+tag */
	bool fallback;       /* found through the catch-all */
	bool reserved;       /* postmaster or abuse: nothing may stand in the way */
};
/* `at` as directory_canonical() left it. 0 also when nothing is found. The order: the address itself, without its tag, a
 * group's bounce address, the defaults of postmaster and abuse, the catch-all. */
NODISCARD int directory_lookup(
    struct sqltx *tx, struct arena *a, const struct directory_address *at, struct directory_entry *out);
/* Is the address of one of our domains? Then its domain and key are those of the domain that it stands for; a bare
 * postmaster gets the first domain. */
NODISCARD int directory_canonical(struct sqltx *tx, struct arena *a, struct directory_address *at, bool *local);
/* Parses and makes canonical. */
NODISCARD int directory_address_here(
    struct sqltx *tx, struct arena *a, struct slice address, struct directory_address *at, bool *local);
bool directory_is_reserved(struct slice folded_local);
/* Who gets mail to postmaster that nobody else gets; DIRECTORY_NOTHING in a house without accounts. */
NODISCARD int directory_lookup_postmaster(struct sqltx *tx, struct arena *a, struct directory_entry *out);
/* May they write to the entry, which is an alias? */
NODISCARD int directory_may_write(
    struct sqltx *tx, struct arena *a, const struct directory_ask *ask, const struct directory_entry *e, bool *may);
/* An alias of the present row of alias_get or alias_list, without its lists. */
void directory_alias_row(struct sql_rows *r, struct arena *a, struct directory_alias *out);
NODISCARD int directory_alias_listed(struct sqltx *tx, struct arena *a, struct slice key, struct slice_list *out);
/* Addresses as targets, spelt: ERR_SYNTAX with a sentence. */
NODISCARD int directory_targets_spell(
    struct arena *a, struct slice_list in, struct slice_list *out, struct buf *detail);
/* Expands what was just written: ERR_CONFLICT with a sentence when it leads in a circle. */
NODISCARD int directory_refuse_loop(
    struct sqltx *tx, struct house *h, struct arena *a, struct slice address, struct buf *detail);
/* An address that an account or alias may have: of a domain of the house, and not taken by the other kind. */
NODISCARD int directory_own_address(struct sqltx *tx, struct arena *a, struct slice address, bool alias,
    struct directory_address *at, struct buf *detail);
/* The key after which a listing goes on. */
NODISCARD int directory_key_after(struct slice after, struct arena *a, struct slice *key);
/* The first column of all rows. */
NODISCARD int directory_text_list(
    struct sqltx *tx, struct arena *a, const struct sql_text *t, struct slice key, struct slice_list *out);

#define SAY(detail, ...) (buf_reset(detail), buf_printf((detail), __VA_ARGS__))
/* One account by a statement that takes one text (or none): ERR_NOTFOUND. */
NODISCARD int directory_account_by(
    struct sqltx *tx, struct arena *a, const struct sql_text *t, const struct slice *v, struct directory_account *out);
/* The account of the present row. */
void directory_account_row(struct sql_rows *r, struct arena *a, struct directory_account *out);
/* The targets of an alias. */
NODISCARD int directory_alias_targets(struct sqltx *tx, struct arena *a, struct slice key, struct slice_list *out);

/* Enough for one call's addresses and keys. */
#define DIRECTORY_SCRATCH_BYTES ((size_t)4 << 20)

#endif
