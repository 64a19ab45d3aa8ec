/* imap_list.h: what LIST (RFC 9051 §6.3.9) and LSUB (RFC 3501 §6.3.9) ask for, and what both need to answer. */
#ifndef IMAP_LIST_H
#define IMAP_LIST_H

#include "imap/imap_pattern.h"
#include "imap/imap_session.h"

enum imap_list_option {
	/* selection: only such … */
	IMAP_LIST_SUBSCRIBED = 1,
	IMAP_LIST_SPECIAL_USE = 2,
	IMAP_LIST_REMOTE = 4,         /* there are none: everything is here */
	IMAP_LIST_RECURSIVEMATCH = 8, /* … and what has such below it */
	/* return: tell besides */
	IMAP_LIST_RETURN_SUBSCRIBED = 16,
	IMAP_LIST_RETURN_STATUS = 32,
	/* it is in the extended form at all (RFC 9051 §6.3.9: it has options, or several patterns) */
	IMAP_LIST_EXTENDED = 64,
	IMAP_LIST_RETURN_METADATA = 128,
	IMAP_LIST_RETURN_MYRIGHTS = 256 /* RFC 8440 */
};

struct imap_listing {
	struct imap_session *s;
	unsigned options;               /* enum imap_list_option */
	unsigned status_items;          /* enum imap_status_item */
	struct slice_list entries;      /* of METADATA */
	struct imap_pattern **patterns; /* those that can match at all */
	size_t patterns_n;
	bool percent; /* the pattern has a "%" */
	bool root;    /* an empty pattern: only the delimiter is asked for */
};

/* Everything behind "LIST " or "LSUB " (which has no options: `extended` false). False: the answer has been given. */
bool imap_parse_listing(struct imap_session *s, struct imap_lex *x, bool extended, struct imap_listing *l);
/* Does some pattern match the whole name? */
bool imap_listing_matches(const struct imap_listing *l, struct slice name);

#endif
