/* imap_thread.h: puts messages into conversations (RFC 5256 §3 THREAD). No recursion, and no more than O(n log n), whatever the
 * messages claim to refer to. */
#ifndef IMAP_THREAD_H
#define IMAP_THREAD_H

#include "imap/imap_digest.h"

enum imap_thread_algorithm { IMAP_THREAD_ORDEREDSUBJECT, IMAP_THREAD_REFERENCES };

/* Appends the thread lists, "(2)(3 6 (4 23)(44 7 96))", of the messages, in the view's order. `key` seeds the table of message ids, so that
 * strangers cannot choose collisions. Memory beside `out` comes from `a`: 0, ERR_LIMIT or ERR_NOMEM. May take long: for a worker thread. */
NODISCARD int imap_thread(enum imap_thread_algorithm algorithm, const struct imap_digest *d, size_t n, uint64_t key,
    struct arena *a, struct buf *out);

#endif
