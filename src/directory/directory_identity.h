/* directory_identity.h: what an account may send as beyond its own addresses, and how much it may send. Inside
 * transactions, as directory.h says.
 *
 * An identity is an address that the operator lets an account send as: one elsewhere, another account's or a group's (the
 * right to send as those), or `@domain` for every address of a domain. Removing the account or alias of that address
 * takes the right to it away from everybody, so that whoever gets the address next is not impersonated. */
#ifndef DIRECTORY_DIRECTORY_IDENTITY_H
#define DIRECTORY_DIRECTORY_IDENTITY_H

#include "directory/directory.h"

struct directory_identity {
	struct slice address; /* as given, domain normalised; "@domain": all of it */
	struct slice name;    /* that goes with it, for clients; may be empty */
	int64_t created_us;
};

/* Adds, or changes the name. ERR_SYNTAX, ERR_INVALID (name), ERR_NOTFOUND (account), ERR_LIMIT (limits.identities). */
NODISCARD int directory_identity_set(struct sqltx *tx, struct house *h, struct slice account_id, struct slice address,
    struct slice name, struct buf *detail);
NODISCARD int directory_identity_remove(
    struct sqltx *tx, struct slice account_id, struct slice address, struct buf *detail);
/* All of an account, in the order of their addresses. */
NODISCARD int directory_identity_list(
    struct sqltx *tx, struct arena *a, struct slice account_id, struct directory_identity **v, size_t *n);
/* Takes everybody's right to this key (of an account or alias that goes away). */
NODISCARD int directory_identity_forget(struct sqltx *tx, struct slice key);

/* How an address stands to an account that would send as it. */
enum directory_sender {
	DIRECTORY_SENDER_OWN,    /* its own address, that with a tag, an alias that leads to it, or an identity */
	DIRECTORY_SENDER_OTHER,  /* somebody else's of this house, or of nobody */
	DIRECTORY_SENDER_FOREIGN /* of a domain that is not ours */
};
/* A disabled or unknown account owns nothing. What is no address is DIRECTORY_SENDER_OTHER. */
NODISCARD int directory_sender(
    struct sqltx *tx, struct slice account_id, struct slice address, enum directory_sender *out);

/* ---- how much an account may send -------------------------------------------------------------------------- */

/* Numbers of an account; DIRECTORY_LIMIT_DEFAULT where the house's default holds, 0: no limit. */
#define DIRECTORY_LIMIT_DEFAULT (-1)
struct directory_account_limits {
	int64_t message_bytes, recipients;
	int64_t messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day;
};
/* All are DIRECTORY_LIMIT_DEFAULT where nothing was set. */
NODISCARD int directory_limits_get(struct sqltx *tx, struct slice account_id, struct directory_account_limits *out);
NODISCARD int directory_limits_set(
    struct sqltx *tx, struct slice account_id, const struct directory_account_limits *in);

#endif
