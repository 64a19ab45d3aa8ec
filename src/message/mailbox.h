/* mailbox.h: addresses of the envelope (RFC 5321 §4.1.2, RFC 6531) and domain names: checking, and the forms in
 * which they are stored and compared. */
#ifndef MESSAGE_MAILBOX_H
#define MESSAGE_MAILBOX_H

#include "base/arena.h"

/* Splits `local@domain` of an envelope path (without <>; RFC 5321 §4.1.2, RFC 6531): the local part may be quoted, the
 * domain an address literal. *local is unquoted, in the arena when quoting had to be removed. ERR_SYNTAX when it is
 * not a Mailbox; ERR_LIMIT over 256 octets of local part or 255 of domain (RFC 5321 §4.5.3.1 asks for
 * 64 and 255; variable envelope senders are longer), or no memory. A lone local part ("postmaster") is ERR_SYNTAX. */
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
