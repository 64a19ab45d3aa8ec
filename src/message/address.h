/* address.h: addresses of header fields (RFC 5322 §3.4 with the obsolete forms of §4.4, UTF-8 by RFC 6532) and of
 * the envelope (message/mailbox.h). Reading a field never fails on garbage: it gives what it can. */
#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include "base/arena.h"
#include "base/buf.h"
#include "message/mailbox.h"

enum address_kind { ADDRESS_MAILBOX, ADDRESS_GROUP_START, ADDRESS_GROUP_END };

/* One address of a field. Everything is unfolded, without comments and without quoting, but encoded words are left
 * as they are (words_decode() reads them): what IMAP's ENVELOPE wants (RFC 9051 §7.5.2). */
struct address {
	enum address_kind kind;
	struct slice name;  /* display name, or of a group its name; a comment that follows a bare address counts too */
	struct slice route; /* obsolete source route, "@a.test,@b.test"; mostly empty */
	struct slice local; /* unquoted local part */
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

#endif
