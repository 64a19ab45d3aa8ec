/* autoreply.h: which messages may be answered by a machine, and for whom they were (RFC 3834 §2, §3). The answer goes to the
 * reverse-path alone; who was answered lately is the caller's to know. */
#ifndef MESSAGE_AUTOREPLY_H
#define MESSAGE_AUTOREPLY_H

#include "message/header.h"

/* NULL: it may be answered; else why not, in a few words: the sender is nobody or a machine, or the message came over a list,
 * in bulk, or by itself. */
const char *autoreply_refusal(const struct header *h, struct slice reverse_path);
/* Everybody in To, Cc, Bcc and their Resent- forms as `local@domain`, at most `max`. ERR_LIMIT or ERR_NOMEM. */
NODISCARD int autoreply_recipients(struct arena *a, const struct header *h, size_t max, struct slice_list *out);

/* What an answer takes from the message that it answers. Everything lies in the arena or in the header. */
struct autoreply {
	struct slice subject;         /* UTF-8, "Auto: " and the message's (RFC 3834 §3.1.5); one line */
	struct slice in_reply_to;     /* msg-id without <>, or empty */
	struct slice_list references; /* the message's and its own id, the newest 20 */
};
NODISCARD int autoreply_make(struct arena *a, const struct header *h, struct autoreply *out);

#endif
