/* directory_address.h: envelope addresses as keys of the directory: two spellings of one mailbox have one key.
 * Grammar: RFC 5321 §4.1.2 Mailbox with RFC 6531 §3.3 (UTF-8), read leniently: the parts are what matters here. */
#ifndef DIRECTORY_DIRECTORY_ADDRESS_H
#define DIRECTORY_DIRECTORY_ADDRESS_H

#include "base/arena.h"

/* Octets of a local part and of a domain. RFC 5321 §4.5.3.1 asks for 64 and 255; senders' bounce addresses are longer. */
#define DIRECTORY_LOCAL_MAX 255
#define DIRECTORY_DOMAIN_MAX 255

struct directory_address {
	struct slice local;  /* folded: unquoted, NFC, case folded; empty for a catch-all */
	struct slice domain; /* A-labels, lower case, or an address literal; empty for a bare "postmaster" */
	struct slice key;    /* local@domain; what the tables hold */
	struct slice spelt;  /* the local part as written, the domain normalised */
};

/* With `catch_all`, "@domain" is allowed. ERR_SYNTAX, ERR_NOMEM. Results lie in the arena. */
NODISCARD int directory_address_parse(struct slice in, bool catch_all, struct arena *a, struct directory_address *out);
/* A domain name to lower-case A-labels (RFC 5890). ERR_SYNTAX. */
NODISCARD int directory_domain_normalise(struct slice in, struct arena *a, struct slice *out);
/* Splits user+tag: false if there is no tag (or no user before it). */
bool directory_split_tag(struct slice local, struct slice *user, struct slice *tag);
/* The key of a local part in a domain. {NULL,0} when memory is out. */
struct slice directory_key(struct arena *a, struct slice local, struct slice domain);

#endif
