/* imap_fetch.h: what FETCH renders on a worker thread: envelopes, structures, decoded parts. Private to the room. */
#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

#include "imap/imap_cache.h"
#include "imap/imap_parse.h"

/* What a preview tells at most (RFC 8970 §3.2: recommended are 200). */
#define IMAP_PREVIEW_CHARACTERS 200u

/* Where the bytes of a section are. */
struct imap_extent {
	enum { IMAP_EXTENT_NIL, IMAP_EXTENT_MESSAGE, IMAP_EXTENT_RENDERED } where;
	size_t from, n; /* in the message, or in job.out */
};

struct imap_fetch_one {
	size_t seq;
	bool failed;                        /* could not be rendered */
	bool unknown_cte;                   /* a BINARY section has an encoding that is not known (RFC 3516 §4.3) */
	struct slice raw;                   /* what the job reads: the message, or its header only */
	struct imap_extent told[IMAP_TOLD]; /* in job.out */
	struct imap_extent preview;         /* in job.out */
	struct imap_extent html, charset;   /* in job.out: what a preview is to be made of, where there is HTML only */
	struct imap_extent *extents;        /* one for each section */
};

/* What `told` means, in the order in which it is told. */
extern const struct imap_told_name {
	unsigned item;
	struct slice name;
} imap_told_names[IMAP_TOLD];

/* Work for a thread: parse and render these messages. */
struct imap_fetch_job {
	const struct imap_fetch *fetch;
	unsigned items; /* what is told of each */
	const struct limits *limits;
	bool tree; /* parts are needed, not only the header */
	struct imap_fetch_one *v;
	size_t n;
	struct buf out;
};
/* For work_run(): messages without `raw` are left alone. */
int imap_fetch_render(void *job);
/* Makes the previews of messages of HTML that a job has rendered (imap_preview.c). On a fiber; parks. */
void imap_preview_html(struct store_account *acc, struct imap_fetch_job *job);

#endif
