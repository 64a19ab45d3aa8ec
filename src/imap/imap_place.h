/* imap_place.h: where a mailbox name leads, and what the session may do there: into its own account, or below "Other Users/ADDRESS/" (RFC
 * 2342) into that of somebody who shares mailboxes with it (RFC 4314). Rights are read afresh by every command. A mailbox without the
 * right to see it, an account that shares nothing, and one that is not there cannot be told apart. Private to the room. */
#ifndef IMAP_PLACE_H
#define IMAP_PLACE_H

#include "imap/imap_session.h"

#define IMAP_OTHER_USERS SLICE("Other Users")
/* What names of others' mailboxes may be longer than names within an account. */
#define IMAP_OTHER_BYTES 1024u

struct imap_place {
	struct slice name;             /* as the client knows it */
	struct store_account *account; /* the session holds it until the command's end */
	struct slice inner;            /* the mailbox's name there */
	bool other;                    /* not the session's own account */
	bool exists;                   /* for `other` only: there is such a mailbox */
	unsigned rights;               /* enum store_right; all in the own account */
};

/* "Other Users", and what is below it. */
bool imap_is_others(struct slice name);
/* store_name_normal() for names as clients know them, in the command's arena (or another one). */
NODISCARD int imap_name_normal(struct imap_session *s, struct slice utf8, struct arena *a, struct slice *out);
/* 0, ERR_NOTFOUND (also where nothing of that account is shared with the session's), or an error of the house. A name of the own account
 * need not exist. */
NODISCARD int imap_place_find(struct imap_session *s, struct slice name, struct imap_place *out);
/* The same for who needs these rights: ERR_NOTFOUND, or ERR_DENIED where the mailbox may be seen at least. */
NODISCARD int imap_place_allow(struct imap_session *s, struct slice name, unsigned needed, struct imap_place *out);
/* … to make a mailbox of that name, or to move one there: the right to create of the nearest level above that exists. */
NODISCARD int imap_place_allow_new(struct imap_session *s, struct slice name, struct imap_place *out);
/* Which flags such rights let be changed; \Seen, \Deleted and the others have a right each. Keywords go with the others. */
struct store_filter imap_filter_of(unsigned rights);
/* At a command's end. */
void imap_places_forget(struct imap_session *s);

/* A mailbox of another account that the session may see. */
struct imap_shared {
	struct store_account *account; /* as above */
	struct slice owner;            /* "Other Users/ADDRESS" */
	struct slice inner;
	struct store_mailbox m; /* with the name as the client knows it, no special use, and its own subscription */
	unsigned rights;
};
/* All of them, sorted, in the arena of the command: 0, ERR_LIMIT, or an error of the house. Accounts that cannot be opened are left out. */
NODISCARD int imap_shared_mailboxes(struct imap_session *s, struct imap_shared **v, size_t *n);

/* ---- the selected mailbox ---- */

/* After it was selected. False: no memory. */
bool imap_view_entered(struct imap_session *s, const struct imap_place *at);
void imap_view_left(struct imap_session *s);
/* Have others' rights been changed since they were read? Does not park. */
bool imap_view_is_stale(const struct imap_session *s);
/* Reads the rights again where they may have changed. Whoever may not read any more is told so, and the session ends. */
void imap_view_check(struct imap_session *s);
/* Its name as the client knows it, until the next call that parks; in the command's arena where another account's. */
struct slice imap_view_name(struct imap_session *s);
/* Keywords for FLAGS, in the command's arena: all of the account, or in another's the mailbox's only. They are valid until the next call
 * that parks. */
size_t imap_view_keywords(struct imap_session *s, struct slice **out);
/* Does the session have these rights to it? If not, NO is said. */
bool imap_view_allows(struct imap_session *s, unsigned needed);

#endif
