/* imap_digest.h: what SORT and THREAD need to know of messages, collected from their headers. Private to the room. */
#ifndef IMAP_DIGEST_H
#define IMAP_DIGEST_H

#include "imap/imap_search.h"

enum imap_digest_text {
	IMAP_DIGEST_CC, /* addr-mailbox of the first address, folded by i;unicode-casemap, as are all */
	IMAP_DIGEST_FROM,
	IMAP_DIGEST_TO,
	IMAP_DIGEST_DISPLAYFROM, /* RFC 5957 §3 */
	IMAP_DIGEST_DISPLAYTO,
	IMAP_DIGEST_SUBJECT, /* the base subject */
	IMAP_DIGEST_TEXTS
};
/* For `want`: a bit for each text, and these. */
#define IMAP_DIGEST_DATE (1u << IMAP_DIGEST_TEXTS)
#define IMAP_DIGEST_REFERENCES (2u << IMAP_DIGEST_TEXTS)

struct imap_digest {
	uint32_t seq;
	uint32_t size;
	uint32_t number; /* what is told: the sequence number or the UID */
	uint8_t score;   /* RFC 6203 §4; 0 without a fuzzy program */
	bool is_reply;   /* the subject had Re: or Fwd: */
	int64_t arrival_s;
	int64_t date_s; /* the sent date in UTC, else as arrival_s (RFC 5256 §2.2) */
	struct slice text[IMAP_DIGEST_TEXTS];
	struct slice message_id;
	struct slice_list references; /* oldest first */
};

/* Fills d[0..h->n-1] for the hits, in their order, from the view; strings lie in `a`, which should have the size
 * IMAP_DIGEST_BYTES_MAX. 0, ERR_LIMIT or an error of the store. Parks; tells progress. */
#define IMAP_DIGEST_BYTES_MAX (256u << 20)
NODISCARD int imap_digest_collect(struct imap_session *s, struct store_view *v, const struct imap_hits *h,
    unsigned want, bool uid, struct arena *a, struct imap_digest *d);

#endif
