/* header_watch.h: looks at the header section while it streams by: counts Received fields, sees which fields are there,
 * and keeps the text of those that say whom a message is from. Constant memory; any pieces. */
#ifndef SMTP_HEADER_WATCH_H
#define SMTP_HEADER_WATCH_H

#include "base/buf.h"

#define SMTP_FROM_MAX 65536

/* The fields that are kept. */
enum smtp_kept { SMTP_KEPT_FROM, SMTP_KEPT_SENDER, SMTP_KEPT_RESENT_FROM, SMTP_KEPT_RESENT_SENDER, SMTP_KEPT_COUNT };

struct smtp_header_watch {
	bool done; /* the empty line was seen */
	bool keep;
	size_t received; /* Received fields */
	size_t date_count, message_id_count, tls_required_count;
	char tls_required[4]; /* value of the first TLS-Required field, lower case, without white space */
	size_t tls_required_n;
	size_t kept_count[SMTP_KEPT_COUNT];
	/* Their values, unfolded; several From fields are joined by ", ", of the others the first is kept (the newest of those
	 * that were resent more than once). err when too long. */
	struct buf kept[SMTP_KEPT_COUNT];
	/* where we are */
	uint8_t name[16]; /* beginning of this line, lower case */
	size_t name_n;
	bool in_name, in_tls_required;
	struct buf *into; /* the field that we are in, or NULL */
	bool name_over;   /* white space has followed the name */
	bool empty;       /* nothing is on this line so far */
};

/* keep: collect the values. */
void smtp_header_watch_init(struct smtp_header_watch *w, bool keep);
void smtp_header_watch_free(struct smtp_header_watch *w);
/* Bytes of the message, unstuffed, with CR LF line ends. */
void smtp_header_watch_feed(struct smtp_header_watch *w, struct slice run);
/* True when the header section has one field `TLS-Required: No` (RFC 8689 §3). */
bool smtp_header_watch_tls_not_required(const struct smtp_header_watch *w);
/* "From", "Sender", … */
const char *smtp_kept_name(enum smtp_kept k);

#endif
