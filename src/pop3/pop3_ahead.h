/* pop3_ahead.h: messages of a session, read before they are asked for. A client that takes one message after the other finds
 * the next ones in memory; one that takes a single message has only that read. */
#ifndef POP3_POP3_AHEAD_H
#define POP3_POP3_AHEAD_H

#include "store/store.h"

struct pop3_ahead {
	struct store_view *view;
	const bool *deleted; /* of the session, by sequence number - 1: what is marked is not read */
	size_t bytes_max;    /* limits.pop3_ahead_bytes */
	struct arena mem;    /* holds what follows */
	struct store_fetched *f;
	size_t *seqs; /* of f[], ascending */
	size_t n;
	size_t last;   /* the message that was taken last; 0: none */
	size_t window; /* so many were read the last time */
};

/* Takes nothing: view and deleted[] stay the caller's and must outlive it. */
void pop3_ahead_init(struct pop3_ahead *a, struct store_view *view, const bool *deleted, size_t bytes_max);
/* The message with this sequence number as store_fetch(STORE_WANT_RAW) gives it, read now unless it is there. It stays valid until
 * the next call. Errors are those of store_fetch(). */
NODISCARD int pop3_ahead_take(struct pop3_ahead *a, size_t seq, const struct store_fetched **out);
/* Does it hold anything? */
bool pop3_ahead_holds(const struct pop3_ahead *a);
/* Gives its memory back; the next message is read anew. */
void pop3_ahead_forget(struct pop3_ahead *a);

#endif
