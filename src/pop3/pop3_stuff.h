/* pop3_stuff.h: a message as the lines of a multi-line response (RFC 1939 §3): a dot before a dot at the start of a line,
 * and a last line ".". Fed in pieces of any size. */
#ifndef POP3_STUFF_H
#define POP3_STUFF_H

#include "base/buf.h"

struct pop3_stuff {
	bool inside_line;     /* the last byte was no LF */
	bool after_cr;        /* the last byte was a CR */
	bool at_line_end;     /* the last bytes were CRLF, or there were none yet */
	uint64_t header_left; /* bytes before the body */
	bool limited;         /* TOP: */
	uint64_t lines_left;  /* body lines still wanted */
	bool done;            /* enough: the rest is not wanted */
};

/* The whole message, or with `limited` its header and so many lines of the body. */
struct pop3_stuff pop3_stuff_of(uint64_t header_size, bool limited, uint64_t lines);
/* Appends what `in` becomes: at most twice its length. */
void pop3_stuff_feed(struct pop3_stuff *s, struct slice in, struct buf *out);
/* Ends the last line if it has no end, and appends ".". */
void pop3_stuff_end(struct pop3_stuff *s, struct buf *out);

#endif
