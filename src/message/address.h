/* address.h: addresses of header fields (RFC 5322 §3.4 with the obsolete forms of §4.4, UTF-8 by RFC 6532) and of
 * the envelope (RFC 5321 §4.1.2). Reading a field never fails on garbage: it gives what it can. */
#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include "base/arena.h"
#include "base/buf.h"

enum address_kind { ADDRESS_MAILBOX, ADDRESS_GROUP_START, ADDRESS_GROUP_END };

/* One address of a field. Everything is unfolded, without comments and without quoting, but encoded words are left
 * as they are (words_decode() reads them): what IMAP's ENVELOPE wants (RFC 9051 §7.5.2). */
struct address {
	enum address_kind kind;
	struct slice name;   /* display name, or of a group its name; a comment that follows a bare address counts too */
	struct slice route;  /* obsolete source route, "@a.test,@b.test"; mostly empty */
	struct slice local;  /* unquoted local part */
	struct slice domain; /* as written, without CFWS; empty when there was none; "[192.0.2.1]" for literals */
};

struct address_list {
	const struct address *v;
	size_t n;
	bool damaged;   /* something was left out or guessed */
	bool truncated; /* more than `max` addresses */
};

/* Reads the value of an address field (raw, folded). Everything lies in the arena or in `value`. Linear time. Errors:
 * ERR_LIMIT or ERR_NOMEM when the arena is exhausted; the list is then what was read before. */
NODISCARD int address_parse(struct arena *a, struct slice value, size_t max, struct address_list *out);
/* The first mailbox, or NULL. */
const struct address *address_first(const struct address_list *l);

/* Writes `local@domain`, the local part quoted if it must be (RFC 5322 §3.4.1). No folding. */
void address_put_spec(struct buf *out, struct slice local, struct slice domain);
/* Writes `Name <local@domain>` with the name quoted where needed; the name is UTF-8 or already encoded words. */
void address_put(struct buf *out, const struct address *ad);
/* Writes a list, groups included, separated by ", ". */
void address_put_list(struct buf *out, const struct address_list *l);

/* ---- the envelope --------------------------------------------------------------------------------------------- */

/* Splits `local@domain` of an envelope path (without <>; RFC 5321 §4.1.2, RFC 6531): the local part may be quoted, the
 * domain an address literal. *local is unquoted, in the arena when quoting had to be removed. ERR_SYNTAX when it is
 * not a Mailbox; ERR_LIMIT over the lengths of RFC 5321 §4.5.3.1 (64 and 255 octets, those of the domain in UTF-8),
 * or no memory. A lone local part ("postmaster") is ERR_SYNTAX. */
NODISCARD int mailbox_split(struct arena *a, struct slice path, struct slice *local, struct slice *domain);
/* The form in which domains are stored and compared: ASCII lower case, A-labels (RFC 5891), no trailing dot; an address
 * literal in lower case. ERR_SYNTAX when it cannot be a domain. */
NODISCARD int domain_normalise(struct arena *a, struct slice domain, struct slice *out);
/* The same domain with U-labels for people, or unchanged where that is not possible. */
struct slice domain_display(struct arena *a, struct slice domain);
/* `local@domain` with the domain normalised and the local part unquoted, its case kept: the form of which
 * smtp_backend and the bus speak. Errors of the two above. */
NODISCARD int mailbox_normalise(struct arena *a, struct slice path, struct slice *out);
/* The key to look up an account by: as above, and the local part in lower case (Unicode folding, NFC), when it is valid
 * UTF-8. */
NODISCARD int mailbox_key(struct arena *a, struct slice path, struct slice *out);
/* For a normalised address (which has its local part unquoted): cut at the last @; false without one. */
bool mailbox_cut(struct slice normalised, struct slice *local, struct slice *domain);

#endif
