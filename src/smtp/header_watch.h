/* header_watch.h: looks at the header section while it streams by: counts Received fields, sees which fields are there,
 * and keeps the text of From. Constant memory; any pieces. */
#ifndef SMTP_HEADER_WATCH_H
#define SMTP_HEADER_WATCH_H

#include "base/buf.h"

#define SMTP_FROM_MAX 65536

struct smtp_header_watch {
	bool done; /* the empty line was seen */
	bool keep_from;
	size_t received; /* Received fields */
	size_t from_count, date_count, message_id_count, tls_required_count;
	char tls_required[4]; /* value of the first TLS-Required field, lower case, without white space */
	size_t tls_required_n;
	struct buf from; /* values of all From fields, unfolded, joined by ", " ; err when too long */
	/* where we are */
	uint8_t name[16]; /* beginning of this line, lower case */
	size_t name_n;
	bool in_name, in_from, in_tls_required;
	bool name_over; /* white space has followed the name */
	bool empty;     /* nothing is on this line so far */
};

/* keep_from: collect the values of From. */
void smtp_header_watch_init(struct smtp_header_watch *w, bool keep_from);
void smtp_header_watch_free(struct smtp_header_watch *w);
/* Bytes of the message, unstuffed, with CR LF line ends. */
void smtp_header_watch_feed(struct smtp_header_watch *w, struct slice run);
/* True when the header section has one field `TLS-Required: No` (RFC 8689 §3). */
bool smtp_header_watch_tls_not_required(const struct smtp_header_watch *w);

#endif
