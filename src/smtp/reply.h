/* reply.h: replies of a remote server (RFC 5321 §4.2), read line by line with limits, and made fit to be kept and
 * shown: one line of valid UTF-8 without control characters. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buf.h"
#include "smtp/smtp.h"

struct smtp_reply {
	int code;                     /* 200-599; 0 before the first line */
	char status[SMTP_STATUS_MAX]; /* RFC 2034, or "" when the reply has none of the code's class */
	bool complete;
	size_t lines, bytes, max;
	struct buf text; /* of all lines, joined by spaces, without code and enhanced status */
};

/* max: bytes of all lines together. */
void smtp_reply_init(struct smtp_reply *r, size_t max);
void smtp_reply_free(struct smtp_reply *r);
#define SMTP_REPLY_CLEANUP __attribute__((cleanup(smtp_reply_free)))
void smtp_reply_reset(struct smtp_reply *r);
/* Takes a line without its end (a CR left at its end is dropped). 0; ERR_SYNTAX: not a reply line, or another code than
 * the lines before; ERR_LIMIT. *text, when not NULL, gets the line's text (for EHLO keywords), a part of `line`. */
NODISCARD int smtp_reply_line(struct smtp_reply *r, struct slice line, struct slice *text);
static inline bool
smtp_reply_class(const struct smtp_reply *r, int first_digit)
{
	return r->code / 100 == first_digit;
}

#endif
