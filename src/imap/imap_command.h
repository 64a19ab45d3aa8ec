/* imap_command.h: reads one command from the client: its line and the literals in it (RFC 3501 §4.3, RFC 7888), whole,
 * within limits. The message literal of APPEND is left in the stream. */
#ifndef IMAP_COMMAND_H
#define IMAP_COMMAND_H

#include "rt/stream.h"

/* A longer tag is an error. */
#define IMAP_TAG_BYTES_MAX 256u

struct imap_command_limits {
	size_t line_bytes;    /* all lines of the command together */
	size_t literal_bytes; /* all literals together */
};

struct imap_command {
	struct buf text;  /* the command without its last line end; literals in place */
	bool has_message; /* it is an APPEND, and the message literal that was announced is to be read next */
	uint64_t message_size;
	bool message_nonsync; /* it comes without our asking */
	const char *why;      /* what was wrong; a static sentence */
};

/* 0: a command. ERR_SYNTAX: not one, say BAD with `why` and go on. ERR_LIMIT: the same, but the rest of it cannot be
 * skipped: close. Other errors: the stream's. `text` holds at least the tag where one came. */
NODISCARD int imap_command_read(struct stream *st, const struct imap_command_limits *l, struct imap_command *c);
/* Cuts the tag off the front: the tag, or empty if there is none. */
struct slice imap_command_tag(struct slice text);

#endif
