/* encoding.h: transfer encodings (RFC 2045 §6) both ways, tolerant of damage when decoding. */
#ifndef MESSAGE_ENCODING_H
#define MESSAGE_ENCODING_H

#include "base/buf.h"

enum encoding {
	ENCODING_7BIT,
	ENCODING_8BIT,
	ENCODING_BINARY,
	ENCODING_QP,
	ENCODING_BASE64,
	ENCODING_UUENCODE,
	ENCODING_UNKNOWN, /* treated as binary */
};

/* From the raw value of Content-Transfer-Encoding (comments and quotes allowed); empty is 7bit. */
enum encoding encoding_parse(struct slice value);
/* "base64", …; static. */
const char *encoding_name(enum encoding e);

/* Decodes in pieces of any size: the state is carried over. All pieces go to the same `out`, from whose end nothing is
 * removed meanwhile (quoted-printable takes back white space when the line ends after it). Owns nothing. */
struct decoder {
	enum encoding encoding;
	bool damaged;      /* something was skipped or taken literally */
	uint32_t bits;     /* base64: collected bits */
	int count;         /* base64: of how many characters */
	bool begun, ended; /* uuencode: the begin line, the end line was seen; base64: the padding was */
	size_t space_n;    /* quoted-printable: white space at the end of `out` that may have to go */
	uint8_t line[128]; /* uuencode: the line so far; quoted-printable: the pending = sequence */
	size_t line_n;
};
void decoder_init(struct decoder *d, enum encoding e);
/* Appends what `in` gives. Errors are out->err. */
void decoder_feed(struct decoder *d, struct slice in, struct buf *out);
void decoder_end(struct decoder *d, struct buf *out);
/* All at once. True if nothing was damaged. Stops early when `out` is full (out->err is then ERR_LIMIT, and what
 * fits is there). */
bool encoding_decode(enum encoding e, struct slice in, struct buf *out);

/* Base64 in lines of 76 characters ended by CRLF. */
void encoding_put_base64(struct slice in, struct buf *out);
/* Quoted-printable, lines of at most 76 characters; with `text`, line ends (CRLF or LF) become CRLF, else they are
 * encoded. */
void encoding_put_qp(struct slice in, bool text, struct buf *out);
/* The least encoding that carries the text safely: 7bit when all is ASCII in lines up to 998 octets, else
 * quoted-printable or base64. */
enum encoding encoding_choose(struct slice in);
/* Encodes with 7bit/8bit (line ends become CRLF), quoted-printable or base64. */
void encoding_encode(enum encoding e, struct slice in, struct buf *out);

#endif
