/* imap_search.h: finding messages, as SEARCH, SORT, THREAD and ESEARCH share it. Private to the room. */
#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

#include "imap/imap_session.h"

/* The messages that were found: sequence numbers of the view, ascending until somebody sorts them. In the command's arena. */
struct imap_hits {
	uint32_t *seqs;
	uint8_t *scores; /* 1..100 each (RFC 6203 §4); NULL unless the program is fuzzy */
	size_t n;
	uint32_t limited; /* only the newest limits.imap_messages were looked at, down to this UID (RFC 9738); 0: all */
};

/* Readies the strings of a program: 0, ERR_UNSUPPORTED (no such charset), ERR_INVALID (not text in that charset), ERR_LIMIT. Once for
 * each program. May park. */
NODISCARD int imap_search_ready(struct imap_session *s, struct imap_search *p);
/* The same, but an error has been answered. */
NODISCARD int imap_search_prepare(struct imap_session *s, struct imap_search *p);
/* Looks through a view, the session's or another one, by a prepared program. `first_only`: one hit is enough. Errors are the
 * store's, and ERR_NOTFOUND when the mailbox goes meanwhile. Parks. */
NODISCARD int imap_search_run(
    struct imap_session *s, struct store_view *v, struct imap_search *p, bool first_only, struct imap_hits *out);

/* "$" becomes what these options save of the hits (RFC 5182 §2.1, RFC 9394 §3.2): 0 or ERR_NOMEM. */
NODISCARD int imap_search_save(struct imap_session *s, const struct imap_return *r, const struct imap_hits *h);
/* Of another mailbox than the selected one: what RFC 7377 §2.1 adds to the response. */
struct imap_search_source {
	struct slice mailbox;
	uint32_t uidvalidity;
};
/* Writes the ESEARCH response; `source` may be NULL. */
void imap_tell_esearch(struct imap_session *s, struct store_view *v, const struct imap_search *p,
    const struct imap_return *r, const struct imap_hits *h, bool uid, const struct imap_search_source *source);

/* How far a long command is (RFC 9585): told every limits.imap_progress_ms. */
struct imap_progress {
	int64_t due_ms;
};
void imap_progress_start(struct imap_session *s, struct imap_progress *g);
void imap_progress(struct imap_session *s, struct imap_progress *g, size_t done, size_t all);

#endif
