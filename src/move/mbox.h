/* mbox.h: files that hold many messages, each behind a line "From sender date" (RFC 4155). There are several habits, and files that follow
 * none: a body's own lines that begin with "From " should be quoted with '>', and often are not. Such a line counts as the beginning of a
 * message only where it has the form of one in full, stands behind an empty line (or at the beginning), and is followed by a header
 * field. */
#ifndef MOVE_MBOX_H
#define MOVE_MBOX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "move/move_file.h"

/* Does the line (with or without its line end) have the form of a separator? Then *epoch_s is its date; a zone that is not a number counts
 * as UTC. */
bool mbox_from_line(struct slice line, int64_t *epoch_s);
/* The same, with what comes behind the line: is there a header field (or nothing at all)? */
bool mbox_begins(struct slice line, struct slice behind, int64_t *epoch_s);
/* Appends "From sender Thu Jan  1 00:00:00 1970" with its line end. */
void mbox_put_from_line(struct buf *out, struct slice sender, int64_t epoch_s);
/* Is it a body's line that a separator's quoting would prefix: ">*From "? */
bool mbox_is_quotable(struct slice line);

/* What programs keep of a message in its header. */
struct mbox_status {
	uint8_t flags; /* enum store_flag */
	bool forwarded;
	bool gone;           /* Mozilla's: removed, though it still stands in the file */
	bool internal;       /* no message, but a folder's own data */
	struct buf keywords; /* words with a space behind each; its maximum is set by whoever makes it */
};
/* A line of the header: takes what it says. True: it is such a field, which is not part of the message. */
bool mbox_status_line(struct mbox_status *s, struct slice line);

/* The next message of a file, from where `l` stands: into `body` as it was before it went into the file, with CRLF. 1; 0 at the end; or an error
 * of reading. What stands before the first separator is passed over. A body over `max` is ERR_LIMIT in body->err. */
struct mbox_message {
	uint64_t offset; /* of its separator */
	int64_t epoch_s;
	struct mbox_status status;
};
NODISCARD int mbox_next(struct move_lines *l, uint64_t max, struct move_body *body, struct mbox_message *out);

#endif
