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
	struct slice bcc;          /* where copies go (an archive), or empty */
	bool bcc_in, bcc_out;      /* of what mail: that comes to the domain, that leaves its accounts */
};

/* A domain that stands for another: every address of it is that of the other one. */
struct directory_domain_alias {
	struct slice name, target;
	int64_t created_us;
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

enum directory_alias_kind {
	DIRECTORY_IS_ALIAS = 1,
	DIRECTORY_IS_GROUP = 2,  /* its members get mail from its owner, who gets the bounces, if it has one */
	DIRECTORY_IS_BLOCKED = 3 /* nobody, though there is a catch-all */
};

/* Who may write to an alias or group. Judged by the reverse-path, which a stranger can forge; only SIGNED_IN cannot be
 * passed by a lie. */
enum directory_writers {
	DIRECTORY_ANYONE = 1,
	DIRECTORY_MEMBERS = 2,  /* those who get the mail */
	DIRECTORY_DOMAIN = 3,   /* addresses of its domain */
	DIRECTORY_LISTED = 4,   /* the listed addresses and "@domains" */
	DIRECTORY_SIGNED_IN = 5 /* accounts of the house, signed in */
};

struct directory_alias {
	struct slice address; /* "@domain": catch-all */
	enum directory_alias_kind kind;
	struct slice_list targets; /* of a group: its members */
	struct slice owner;        /* of a group, or empty */
	enum directory_writers writers;
	struct slice_list listed; /* DIRECTORY_LISTED */
	int64_t created_us;
};

/* Where an account's mail goes on to. */
struct directory_forward {
	struct slice_list targets; /* none: nowhere */
	bool keep;                 /* a copy stays */
};

/* What an account answers while its person is away. */
struct directory_vacation {
	struct slice subject; /* empty: made of the message's */
	struct slice text;
	int64_t from_us, until_us; /* INT64_MIN, INT64_MAX: open */
	int64_t days;              /* a sender is answered once in so many */
	int64_t set_us;            /* when the text was given */
};

/* ---- the open directory, for the clerk's fibers -------------------------------------------------- */

struct directory;
/* `db` is opened with directory_migrations and stays the caller's. From a fiber: the house's key is made when there is none. */
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
/* Who writes: what "who may write" and return addresses are judged by. */
struct directory_writer {
	bool anybody;      /* the house itself: may write anywhere */
	bool signed_in;    /* an account, with an address of its own */
	struct slice path; /* the reverse-path; empty is the null one */
};
/* May this envelope recipient be accepted? From a fiber; cached, so that it usually does not park. A negative
 * result means that the database failed (answer RCPT_TEMPFAIL). */
NODISCARD int directory_check_rcpt(
    struct directory *d, struct slice address, const struct directory_writer *from, struct directory_rcpt *out);

/* The key of SRS addresses and of marks against mail loops. It lives as long as `d`. */
struct slice directory_house_key(const struct directory *d);

/* ---- inside transactions: mail ----------------------------------------------------------------------- */

/* What an address is looked up with. */
struct directory_ask {
	const struct limits *limits;
	struct directory_writer from;
	struct slice key;         /* directory_house_key(); empty: return addresses are like any other */
	int64_t now_us;           /* what they are dated with */
	struct slice_list passed; /* marks that the message bears: it was there already */
};

/* RCPT_OK: at least one target is deliverable. *sender_matters: another sender may get another answer. */
NODISCARD int directory_resolve(struct sqltx *tx, const struct directory_ask *ask, struct slice address,
    struct directory_rcpt *out, bool *sender_matters);

/* Where mail to an address ends up. */
struct directory_target {
	bool local;
	struct slice account_id; /* local */
	struct slice address;    /* of the account, or the remote address */
	struct slice detail;     /* tag of user+tag, or empty */
	struct slice via;        /* the alias, group or forwarding account that led here last, or empty */
	bool expanded;           /* of a group, or one of several targets */
	/* The sender to send from, when it is not the message's: a group's bounce address, or an SRS address. */
	bool reverse_path_set;
	struct slice reverse_path;
	struct slice
	    mark; /* remote, forwarded: what tells this forwarding again when the message comes back; or empty */
};
struct directory_problem {
	struct slice address;
	enum bus_rcpt result; /* RCPT_TEMPFAIL: a limit was reached, and there are no targets */
	/* A member of a group, or a target of an alias: whoever gets the bounces has to hear of it, though others are
	 * reached. Not so where a person's own forwarding led there. As in struct directory_target: */
	bool told;
	struct slice via;
	bool reverse_path_set;
	struct slice reverse_path;
};
struct directory_targets {
	struct directory_target *v;
	size_t n; /* each account and each remote address once */
	struct directory_problem *problems;
	size_t problems_n;   /* targets that lead nowhere */
	bool sender_matters; /* another sender, or another day, may get other targets */
	bool looped;         /* an alias leads back to itself */
};
/* Follows aliases, groups and forwarding accounts to the end; loops end silently, depth and number are limited by
 * ask->limits. An address of a domain that is not ours is its own remote target. An account whose forwarding leads
 * nowhere (or back to it) keeps its mail. 0 even when nothing was found: look at n and problems (with neither:
 * RCPT_LOOP). */
NODISCARD int directory_expand(struct sqltx *tx, const struct directory_ask *ask, struct arena *a, struct slice address,
    struct directory_targets *out);
/* The mark of an archive's copy of a message, against loops between houses. {NULL,0}: no memory. */
struct slice directory_archive_mark(
    const struct directory_ask *ask, struct arena *a, struct slice domain, struct slice message_id);
#define DIRECTORY_MARK_CHARS 26

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
/* The domain that was added first. ERR_NOTFOUND: there is none. */
NODISCARD int directory_first_domain(struct sqltx *tx, struct arena *a, struct slice *out);
/* Is the domain (normalised) ours? *canonical is then itself, or the one it stands for. */
NODISCARD int directory_domain_find(
    struct sqltx *tx, struct arena *a, struct slice name, bool *local, struct slice *canonical);
/* ERR_SYNTAX; ERR_NOTFOUND (target); ERR_EXISTS (a domain or alias already). */
NODISCARD int directory_domain_alias_add(
    struct sqltx *tx, struct house *h, struct slice name, struct slice target, struct buf *detail);
NODISCARD int directory_domain_alias_remove(struct sqltx *tx, struct slice name, struct buf *detail);
NODISCARD int directory_domain_alias_list(
    struct sqltx *tx, struct arena *a, struct directory_domain_alias **v, size_t *n);
/* Copies of the domain's mail to `bcc`; an empty one ends that. ERR_SYNTAX, ERR_NOTFOUND. */
NODISCARD int directory_domain_bcc_set(
    struct sqltx *tx, struct slice name, struct slice bcc, bool in, bool out, struct buf *detail);
/* How many domains have an archive. */
NODISCARD int directory_domain_bcc_count(struct sqltx *tx, int64_t *n);
/* For a domain that is ours (canonical): the address for the direction, or empty. */
NODISCARD int directory_domain_bcc(struct sqltx *tx, struct arena *a, struct slice name, bool out, struct slice *bcc);

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

/* Adds, or replaces all targets and the owner; who may write stays as it was. A target is any address; "@domain" is not.
 * ERR_SYNTAX, ERR_NOTFOUND (domain), ERR_EXISTS (an account, or another kind), ERR_LIMIT (targets), ERR_CONFLICT (a loop;
 * postmaster or abuse blocked): the caller rolls back. */
NODISCARD int directory_alias_set(
    struct sqltx *tx, struct house *h, const struct directory_alias *in, struct buf *detail);
/* ERR_INVALID: nobody is listed, or somebody without DIRECTORY_LISTED; ERR_CONFLICT: postmaster, abuse. */
NODISCARD int directory_alias_writers_set(struct sqltx *tx, const struct limits *limits, struct slice address,
    enum directory_writers writers, struct slice_list listed, struct buf *detail);
/* Adds members to a group, or takes some out. ERR_EXISTS, ERR_NOTFOUND. */
NODISCARD int directory_group_join(
    struct sqltx *tx, struct house *h, struct slice address, struct slice_list members, struct buf *detail);
NODISCARD int directory_group_leave(
    struct sqltx *tx, struct house *h, struct slice address, struct slice_list members, struct buf *detail);
NODISCARD int directory_alias_remove(struct sqltx *tx, struct slice address, struct buf *detail);
NODISCARD int directory_alias_get(struct sqltx *tx, struct arena *a, struct slice address, struct directory_alias *out);
NODISCARD int directory_alias_list(
    struct sqltx *tx, struct arena *a, struct slice after, size_t max, struct directory_alias **v, size_t *n);

/* No targets: no forwarding any more. ERR_SYNTAX, ERR_LIMIT, ERR_CONFLICT (a loop): the caller rolls back. */
NODISCARD int directory_forward_set(struct sqltx *tx, struct house *h, const struct directory_account *account,
    const struct directory_forward *in, struct buf *detail);
NODISCARD int directory_forward_get(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct directory_forward *out);

/* ERR_INVALID (no text, no UTF-8, an end before the beginning), ERR_LIMIT. */
NODISCARD int directory_vacation_set(struct sqltx *tx, struct house *h, struct slice account_id,
    const struct directory_vacation *in, struct buf *detail);
/* ERR_NOTFOUND. */
NODISCARD int directory_vacation_get(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct directory_vacation *out);
/* ERR_NOTFOUND: there was none. */
NODISCARD int directory_vacation_remove(struct sqltx *tx, struct slice account_id);
/* Is the address one that an answer may be for: the account's own, with or without tag, or an alias that leads to it
 * alone? */
NODISCARD int directory_is_own(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct slice address, bool *own);

#endif
