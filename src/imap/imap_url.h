/* imap_url.h: the part of IMAP URLs (RFC 5092) that CATENATE names messages of this account by (RFC 4469 §3). */
#ifndef IMAP_URL_H
#define IMAP_URL_H

#include "base/arena.h"

struct imap_url {
	struct slice mailbox; /* decoded, UTF-8 as it was given; empty: the selected one */
	uint32_t uidvalidity; /* 0: not named */
	uint32_t uid;
	struct slice section;   /* decoded, "" for the whole message */
	uint32_t offset, count; /* partial; count 0: to the end */
};

/* "/INBOX;UIDVALIDITY=7/;UID=3/;SECTION=1.2", ";UID=3", or the same behind "imap://user@host". ERR_SYNTAX; ERR_NOMEM. */
NODISCARD int imap_url_parse(struct slice text, struct arena *a, struct imap_url *out);

#endif
