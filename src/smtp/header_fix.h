/* header_fix.h: takes out of the header section of a message, while it streams by, what must not be there. Of every message:
 * Authentication-Results that somebody else wrote in our name (RFC 8601 §5). Of a submitted one also Bcc and Resent-Bcc
 * (RFC 5322 §3.6.3), which tell the others of hidden recipients, and Return-Path, which is the last server's to write
 * (RFC 5321 §4.4). All of them, folded ones whole, with white space before the colon too (RFC 5322
 * §4.5). What follows the header section, attached messages included, is left alone. Constant memory; any pieces. */
#ifndef SMTP_HEADER_FIX_H
#define SMTP_HEADER_FIX_H

#include "base/buf.h"

/* Bytes of a field's name and the white space behind it that are held until the field is known; with more of them before
 * its colon it is none that we look for. */
#define SMTP_HEADER_HELD_MAX 70000u
/* Bytes of Authentication-Results that are held until it is known who wrote it; what hides that deeper counts as forged. */
#define SMTP_HEADER_RESULTS_MAX 8192u

struct smtp_header_fix {
	int state;
	struct slice_list own; /* names in which only we write Authentication-Results */
	bool submission;
	bool results;        /* this field is Authentication-Results, and held */
	size_t held_value_n; /* bytes of its value that are */
	int looks;           /* how often it was looked who wrote it */
	bool first;          /* of the first line nothing has been decided yet */
	bool
	    headless; /* the message begins with what is no field: all of it is body, and an empty line has to come before it */
	bool dropping;  /* this field is taken out, its folded lines too */
	bool done;      /* the header section is over */
	size_t removed; /* fields */
	size_t name_n;  /* of the name without the white space behind it */
	bool name_over;
	uint8_t name[24]; /* lower case, without NULs, which some readers leave out */
	struct buf held;
};

/* Takes a run of the message: 0, or an error that smtp_header_fix_feed passes on. */
typedef int smtp_header_sink(void *ctx, struct slice run);

/* `own` stays the caller's. */
void smtp_header_fix_init(struct smtp_header_fix *f, bool submission, struct slice_list own);
void smtp_header_fix_free(struct smtp_header_fix *f);
/* Gives what stays to the sink, in order. The bytes are unstuffed with CR LF line ends. */
NODISCARD int smtp_header_fix_feed(struct smtp_header_fix *f, struct slice run, smtp_header_sink *sink, void *ctx);
/* The message is over: gives what is still held. */
NODISCARD int smtp_header_fix_end(struct smtp_header_fix *f, smtp_header_sink *sink, void *ctx);

#endif
