/* stuff.h: the text of a message on its way out: dots at the starts of lines are doubled (RFC 5321 §4.5.2), and a CR or LF
 * that stands alone becomes CR LF, so that nothing in a message can look like its end to a careless server. */
#ifndef SMTP_STUFF_H
#define SMTP_STUFF_H

#include "base/slice.h"

struct smtp_stuff {
	bool in_line; /* not at the start of a line */
	bool after_cr;
};

typedef int smtp_stuff_sink(void *ctx, struct slice run);

/* Any pieces; 0 or the sink's error. A zeroed struct is the beginning of a message. */
NODISCARD int smtp_stuff_feed(struct smtp_stuff *s, struct slice in, smtp_stuff_sink *sink, void *ctx);
/* Ends the last line if it is unfinished, and writes the line with the dot. */
NODISCARD int smtp_stuff_end(struct smtp_stuff *s, smtp_stuff_sink *sink, void *ctx);

#endif
