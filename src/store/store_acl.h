/* store_acl.h: who else may do what with a mailbox (RFC 4314). An account's own rights are not kept: it has all of them. Entries name
 * other accounts by their ids, so that an address that is given to somebody else later brings nothing with it; an empty id stands
 * for everyone. Entries belong to a mailbox, go with it, and are inherited from the level above by what is made below it. */
#ifndef STORE_STORE_ACL_H
#define STORE_STORE_ACL_H

#include "store/store.h"

/* RFC 4314 §2.1, in the order in which they are told. */
enum store_right {
	STORE_RIGHT_LOOKUP = 1,       /* l: the mailbox is listed */
	STORE_RIGHT_READ = 2,         /* r */
	STORE_RIGHT_SEEN = 4,         /* s: \Seen may be changed */
	STORE_RIGHT_WRITE = 8,        /* w: other flags and keywords may be changed */
	STORE_RIGHT_INSERT = 16,      /* i */
	STORE_RIGHT_POST = 32,        /* p: means nothing here, and is kept for clients */
	STORE_RIGHT_CREATE = 64,      /* k: mailboxes may be made below it */
	STORE_RIGHT_DELETE = 128,     /* x: the mailbox may be deleted and renamed */
	STORE_RIGHT_DELETED = 256,    /* t: \Deleted may be changed */
	STORE_RIGHT_EXPUNGE = 512,    /* e */
	STORE_RIGHT_ADMINISTER = 1024 /* a: these entries may be read and changed */
};
#define STORE_RIGHTS_ALL 2047u

struct store_acl_entry {
	struct slice who; /* id of an account; empty: everyone */
	bool negative;    /* these rights are taken away, whatever else gives them (RFC 4314 §2) */
	unsigned rights;  /* enum store_right */
};

/* The entries of a mailbox, sorted, in `a`. ERR_NOTFOUND. */
NODISCARD int store_acl_get(
    struct store_account *acc, struct slice mailbox, struct arena *a, struct store_acl_entry **v, size_t *n);
/* Changes one entry: its rights become e->rights, or those are added or removed. An entry without rights goes. Durable when it
 * returns. ERR_NOTFOUND: no such mailbox; ERR_LIMIT: more than limits.acl_entries. */
NODISCARD int store_acl_set(
    struct store_account *acc, struct slice mailbox, enum store_flag_op op, const struct store_acl_entry *e);
/* What `who` (not empty) may do with the mailbox: what is given to it and to everyone, less what is taken from either.
 * ERR_NOTFOUND: no such mailbox. */
NODISCARD int store_acl_rights(struct store_account *acc, struct slice mailbox, struct slice who, unsigned *rights);
/* The same by the mailbox's id. */
NODISCARD int store_acl_rights_of(struct store_account *acc, int64_t mailbox, struct slice who, unsigned *rights);
/* … of the nearest level above `name` that exists; 0 where none does. */
NODISCARD int store_acl_rights_above(struct store_account *acc, struct slice name, struct slice who, unsigned *rights);

struct store_acl_mine {
	int64_t mailbox; /* id */
	unsigned rights;
};
/* All mailboxes with which `who` may do anything, by id ascending, in `a`. */
NODISCARD int store_acl_mine(
    struct store_account *acc, struct slice who, struct arena *a, struct store_acl_mine **v, size_t *n);
/* Does any mailbox give `who` (empty: everyone) rights by an entry of its own? */
NODISCARD int store_acl_gives(struct store_account *acc, struct slice who, bool *gives);

/* Another number after every change of an entry of the account. Does not park. */
uint64_t store_acl_changes(const struct store_account *acc);

/* "lrswipkxtecda": with c and d where one of their members is there (RFC 4314 §2.1.1). Does not park. */
void store_acl_put_rights(struct buf *out, unsigned rights);
/* Letters, c and d too, maybe behind "+" or "-" (RFC 4314 §3.1). False: one is no right. */
bool store_acl_parse_change(struct slice text, enum store_flag_op *op, unsigned *rights);

#endif
