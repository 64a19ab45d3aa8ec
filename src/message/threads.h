/* threads.h: what puts messages into threads: message ids (RFC 5322 §3.6.4) and base subjects (RFC 5256 §2.1). */
#ifndef MESSAGE_THREADS_H
#define MESSAGE_THREADS_H

#include "message/header.h"

/* Reads all msg-ids of a raw References, In-Reply-To or Message-ID value, in order, without duplicates: without <>,
 * quoting and CFWS removed, so that equal ids are equal bytes. Anything else in the value is skipped. At most
 * `max`: the first and the last ones are kept. ERR_LIMIT or ERR_NOMEM when the arena is exhausted. */
NODISCARD int message_ids_parse(struct arena *a, struct slice value, size_t max, struct slice_list *out);

struct message_thread {
	struct slice message_id; /* normalised; empty if there is none */
	struct slice_list
	    references; /* oldest first; without References those of In-Reply-To (its first one, RFC 5256) */
	struct slice_list
	    chain; /* the same as they stand: one that comes again is there again (the last is the parent, RFC 5256 §3) */
	struct slice base_subject; /* UTF-8; empty when there is nothing left */
	bool is_reply;             /* the subject had Re: or Fwd: */
};
#define MESSAGE_REFERENCES_MAX 200
NODISCARD int message_thread_parse(
    struct arena *a, const struct header *h, enum charset_place place, struct message_thread *out);

/* Base subject of a decoded subject (UTF-8), RFC 5256 §2.1: white space collapsed, Re:/Fw:/Fwd: with [blobs],
 * (fwd), [Fwd: …] removed. Case is kept. Empty result is possible. Linear time. */
struct slice subject_base(struct arena *a, struct slice decoded, bool *is_reply);

#endif
