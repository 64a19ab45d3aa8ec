/* imap_incoming.h: the arguments of APPEND and REPLACE as they arrive: lines with the literals of messages between them,
 * which are too large to wait for whole. */
#ifndef IMAP_INCOMING_H
#define IMAP_INCOMING_H

#include "imap/imap_session.h"

struct imap_incoming {
	struct imap_session *s;
	struct imap_lex *x; /* over the line at hand */
	struct imap_lex line;
	uint64_t size;  /* of the literal that the line announces at its end */
	bool announced; /* there is one, not read yet */
	bool nonsync;   /* it comes without our asking (RFC 7888) */
	bool lost;      /* the stream is over, or the session: there is nothing to answer */
};

/* `x` is over the command's first line, which the session has read. */
void imap_incoming_begin(struct imap_incoming *in, struct imap_session *s, struct imap_lex *x);
/* Reads the literal ("{n}", "{n+}" or "~{n}": RFC 3516) at which the lexer stands into `u`, and the line behind it, over which the
 * lexer is then. *stored is what the store said (what it refuses is read to its end all the same). False: the
 * syntax was wrong (the lexer has failed), or `lost`. */
bool imap_incoming_message(struct imap_incoming *in, struct store_upload *u, int *stored);
/* An astring that may be a literal of its own of at most `max` bytes; in the command's arena. */
struct slice imap_incoming_astring(struct imap_incoming *in, size_t max);
/* After the answer to a command that was refused: throws away what of it still comes on its own. What cannot be told
 * from the next command ends the session. */
void imap_incoming_skip(struct imap_incoming *in);

#endif
