/* data.h: the text after DATA, and the chunks of BDAT: finds its end, removes the stuffed dots (RFC 5321 §4.5.2), and watches for what must
 * not be: a CR or LF alone, lines that are too long. Input may come in any pieces: what is found depends on the bytes
 * alone. Lines end in CR LF and in nothing else, and only CR LF . CR LF ends the message (smuggling: LF.LF, CR.CR,
 * LF.CRLF and CRLF.LF are text, for which the message is refused when its true end has come). */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include "base/slice.h"

enum smtp_data_state {
	SMTP_DATA_LINE_START, /* after CR LF, or at the beginning */
	SMTP_DATA_DOT,        /* after a dot at the start of a line */
	SMTP_DATA_DOT_CR,
	SMTP_DATA_LINE,
	SMTP_DATA_LINE_CR, /* after a CR inside a line */
	SMTP_DATA_END
};

struct smtp_data {
	enum smtp_data_state state;
	size_t line_max; /* bytes of a line with its CR LF */
	size_t line;     /* bytes of this line so far */
	uint64_t bytes;  /* of the message, without stuffing and end */
	bool binary;     /* BODY=BINARYMIME: bytes, not lines, so that none of the next two is looked for */
	bool bare;       /* a CR or LF stood alone */
	bool long_line;
	bool eight_bit; /* a byte over 127 was seen */
};

/* Takes a run of bytes of the message: 0, or an error that smtp_data_feed passes on. */
typedef int smtp_data_sink(void *ctx, struct slice run);

void smtp_data_init(struct smtp_data *d, size_t line_max);
/* Reads input up to the end of the message at most, giving the message's bytes to the sink in as large runs as
 * possible. *used is how much of `in` was taken; state is SMTP_DATA_END when the end was found. */
NODISCARD int smtp_data_feed(struct smtp_data *d, struct slice in, size_t *used, smtp_data_sink *sink, void *ctx);
/* Takes a piece of a chunk of BDAT (RFC 3030), which is all text: nothing is stuffed, nothing ends it. */
NODISCARD int smtp_data_feed_chunk(struct smtp_data *d, struct slice in, smtp_data_sink *sink, void *ctx);
/* After the last chunk. */
void smtp_data_end_chunks(struct smtp_data *d);

#endif
