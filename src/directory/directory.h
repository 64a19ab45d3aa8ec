/* directory.h: who lives in the house: domains, accounts, aliases (directory.db, the clerk's). Functions that
 * take a `struct sqltx` run inside sql_write() or sql_read() and may run more than once; they keep results in the
 * arena that they are given. `struct directory` is the open database with a cache in front of it, for the
 * clerk's fibers.
 *
 * Addresses are as in an envelope: `local@domain`, `"quoted local"@domain`, UTF-8 allowed, without angle brackets;
 * a bare `postmaster` is a recipient too (RFC 5321 §4.5.1). Domains are compared as lower-case A-labels, local parts
 * without regard to case. `user+tag@domain` reaches user@domain unless that very address exists.
 * The alias `@domain` catches everything that nobody else of the domain gets. */
#ifndef DIRECTORY_DIRECTORY_H
#define DIRECTORY_DIRECTORY_H

#include "base/arena.h"
#include "base/buf.h"
#include "bus/values.h"
#include "sql/sql.h"

/* What stands between the user and the tag in user+tag@domain. */
#define DIRECTORY_TAG_SEPARATOR '+'

struct directory_domain {
	struct slice name; /* A-labels, lower case */
	int64_t created_us;
	int64_t accounts, aliases; /* how many */
};

struct directory_account {
	struct slice id;           /* ULID */
	struct slice address;      /* as given by the operator, domain normalised */
	struct slice display_name; /* may be empty */
	int64_t quota_bytes;       /* 0: none */
	int64_t created_us;
	bool enabled;
	bool admin; /* gets mail to postmaster that nobody else gets */
};

struct directory_alias {
	struct slice address; /* "@domain": catch-all */
	struct slice_list targets;
	int64_t created_us;
};

/* ---- the open directory, for the clerk's fibers -------------------------------------------------- */

struct directory;
/* `db` is opened with directory_migrations and stays the caller's. */
NODISCARD int directory_new(struct directory **out, struct house *h, struct sqldb *db);
void directory_free(struct directory **d);
/* The rows of migrations for sqldb_open(). */
extern const struct sql_migration directory_migrations[];
extern const size_t directory_migrations_count;
/* To be called on the loop after every committed change: forgets what was cached. */
void directory_changed(struct directory *d);
/* Runs fn in a write transaction as sql_write() does and forgets what was cached. */
NODISCARD int directory_write(struct directory *d, sql_fn *fn, void *arg);

struct directory_rcpt {
	enum bus_rcpt result;
	bool local; /* the domain is ours */
};
/* May this envelope recipient be accepted? From a fiber; cached, so that it usually does not park. A negative
 * result means that the database failed (answer RCPT_TEMPFAIL). */
NODISCARD int directory_check_rcpt(struct directory *d, struct slice address, struct directory_rcpt *out);

/* ---- inside transactions: mail ----------------------------------------------------------------------- */

/* RCPT_OK: at least one target is deliverable. */
NODISCARD int directory_resolve(
    struct sqltx *tx, const struct limits *limits, struct slice address, struct directory_rcpt *out);

/* Where mail to an address ends up. */
struct directory_target {
	bool local;
	struct slice account_id; /* local */
	struct slice address;    /* of the account, or the remote address */
	struct slice detail;     /* tag of user+tag, or empty */
	struct slice via;        /* the alias that led here last, or empty */
};
struct directory_problem {
	struct slice address;
	enum bus_rcpt result; /* RCPT_UNKNOWN, RCPT_DISABLED, RCPT_SYNTAX, RCPT_TEMPFAIL (a limit was reached) */
};
struct directory_targets {
	struct directory_target *v;
	size_t n; /* each account and each remote address once */
	struct directory_problem *problems;
	size_t problems_n; /* targets that lead nowhere */
};
/* Follows aliases to the end; loops end silently, depth and number are limited by `limits`. An address of a domain
 * that is not ours is its own remote target. 0 even when nothing was found: look at n and problems. */
NODISCARD int directory_expand(struct sqltx *tx, const struct limits *limits, struct arena *a, struct slice address,
    struct directory_targets *out);

/* Sign-in name to account: an address of an account (not an alias, no tag), or, with `short_names`, its local part
 * in the house's first domain. ERR_NOTFOUND, also when the account is disabled; out->address is then the name as an
 * account's would be compared, out->id that of the disabled account or empty. */
NODISCARD int directory_login(
    struct sqltx *tx, struct arena *a, struct slice name, bool short_names, struct directory_account *out);
/* Its own address, that with a tag, and aliases with the account itself among their targets (no catch-all). */
NODISCARD int directory_may_send_as(struct sqltx *tx, struct slice account_id, struct slice address, bool *allowed);

/* ---- inside transactions: the books. `detail` gets one sentence for the operator on failure ------------- */

/* ERR_SYNTAX, ERR_EXISTS. */
NODISCARD int directory_domain_add(struct sqltx *tx, struct house *h, struct slice name, struct buf *detail);
/* ERR_NOTFOUND; ERR_CONFLICT while accounts or aliases are in it. */
NODISCARD int directory_domain_remove(struct sqltx *tx, struct slice name, struct buf *detail);
NODISCARD int directory_domain_list(struct sqltx *tx, struct arena *a, struct directory_domain **v, size_t *n);
NODISCARD int directory_domain_is_local(struct sqltx *tx, struct slice name, bool *local);

/* `in->id` empty: a fresh one. out->id and out->address are set. ERR_SYNTAX, ERR_NOTFOUND (domain), ERR_EXISTS (account
 * or alias of that address), ERR_INVALID. */
NODISCARD int directory_account_add(struct sqltx *tx, struct house *h, struct arena *a,
    const struct directory_account *in, struct directory_account *out, struct buf *detail);
/* By id, or by address. ERR_NOTFOUND. */
NODISCARD int directory_account_get(struct sqltx *tx, struct arena *a, struct slice id, struct directory_account *out);
NODISCARD int directory_account_find(
    struct sqltx *tx, struct arena *a, struct slice address, struct directory_account *out);
/* Takes over display name, quota, enabled and admin of the account with in->id. */
NODISCARD int directory_account_update(struct sqltx *tx, const struct directory_account *in, struct buf *detail);
/* The aliases that name it stay (and lead nowhere for that target). */
NODISCARD int directory_account_remove(struct sqltx *tx, struct slice id, struct buf *detail);
/* At most `max` accounts in the order of their addresses, after `after` ("" from the start). */
NODISCARD int directory_account_list(
    struct sqltx *tx, struct arena *a, struct slice after, size_t max, struct directory_account **v, size_t *n);

/* Adds, or replaces all targets. A target is any address; "@domain" is not. ERR_SYNTAX, ERR_NOTFOUND (domain), ERR_EXISTS
 * (an account), ERR_LIMIT (targets). */
NODISCARD int directory_alias_set(
    struct sqltx *tx, struct house *h, struct slice address, struct slice_list targets, struct buf *detail);
NODISCARD int directory_alias_remove(struct sqltx *tx, struct slice address, struct buf *detail);
NODISCARD int directory_alias_get(struct sqltx *tx, struct arena *a, struct slice address, struct directory_alias *out);
NODISCARD int directory_alias_list(
    struct sqltx *tx, struct arena *a, struct slice after, size_t max, struct directory_alias **v, size_t *n);

#endif
