/* path.h: paths of MAIL and RCPT (RFC 5321 §4.1.2), with the obsolete source routes (ignored, appendix C) and
 * without the angle brackets that some clients forget. Addresses may hold UTF-8 (RFC 6531 §3.3); whether this session lets
 * them is the caller's question. */
#ifndef SMTP_PATH_H
#define SMTP_PATH_H

#include "base/arena.h"
#include "base/cursor.h"

#define SMTP_LOCAL_PART_MAX 256 /* RFC 5321 §4.5.3.1.1 asks for 64; VERP and SRS need more */
#define SMTP_DOMAIN_MAX 255
#define SMTP_PATH_MAX 512

enum smtp_path_error { SMTP_PATH_FINE = 0, SMTP_PATH_SYNTAX, SMTP_PATH_LONG, SMTP_PATH_NOT_ASCII };

struct smtp_path {
	enum smtp_path_error error;
	bool null;            /* <> */
	struct slice address; /* local@domain, or a bare local part; empty for <>. The last @ is the one that counts */
	struct slice local;   /* unquoted */
	struct slice domain; /* lower case, A-labels (RFC 5890); "[192.0.2.1]" for literals; empty when there is none */
	bool literal;
	bool utf8; /* bytes outside ASCII were given, be it in the domain alone */
};

/* Reads a path at the cursor: up to and with its ">", or without brackets up to a space or the end. Results lie in the
 * arena. 0; ERR_SYNTAX with out->error saying why; ERR_NOMEM. */
NODISCARD int smtp_path_parse(struct cursor *c, struct arena *a, struct smtp_path *out);

/* True for a domain by RFC 5321 (letters, digits, hyphens; underscores are taken too), labels of 1 to 63 bytes; a final
 * dot is allowed. */
bool smtp_domain_is_valid(struct slice domain);

#endif
