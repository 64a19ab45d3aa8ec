/* trace.h: the fields that a server adds on top of a message: Received (RFC 5321 §4.4), and for submission Date,
 * Message-ID and From where they are missing (RFC 6409 §8). */
#ifndef SMTP_TRACE_H
#define SMTP_TRACE_H

#include "base/buf.h"
#include "base/house.h"

struct smtp_received {
	struct slice helo;           /* as given; cleaned here */
	struct slice client_literal; /* "[192.0.2.1]"; empty: left out (submission keeps the user's address private) */
	struct slice remark;         /* a comment in words instead of it, or empty */
	struct slice hostname;
	struct slice protocol; /* "ESMTP", "ESMTPS", "ESMTPSA", "UTF8LMTP", … (RFC 3848, RFC 6531) */
	struct slice tls;      /* a comment, or empty */
	struct slice id;
	struct slice recipient; /* the only one, or empty */
	bool priority_given;    /* RFC 6710 §4.1 */
	int64_t priority;
	int64_t time_s;
};

/* A whole Received field with its CRLF. */
void smtp_received_put(struct buf *out, const struct smtp_received *r);
/* RFC 3848: ESMTP with S for TLS and A for signed in; plain SMTP after HELO; LMTP and SMTPUTF8 have names of their own. */
struct smtp_protocol {
	bool extended, tls, signed_in, lmtp, utf8;
};
struct slice smtp_protocol_name(struct smtp_protocol p);

#endif
