/* sendmail.h: the sendmail command, as local programs and cron know it, in parts: cli_sendmail.c (arguments and what to do),
 * sendmail_message.c (the message as programs write it, made one that may be sent), sendmail_talk.c (handing it to the
 * house). It runs as whoever calls it and is trusted with nothing: who may send as whom the house decides, which the kernel
 * tells who calls. */
#ifndef CLI_SENDMAIL_H
#define CLI_SENDMAIL_H

#include "cli/cli.h"
#include "message/address.h"

enum sendmail_mode {
	SENDMAIL_DELIVER,   /* -bm */
	SENDMAIL_SMTP,      /* -bs: SMTP on standard input and output */
	SENDMAIL_VERIFY,    /* -bv: only asks whether the recipients would be taken */
	SENDMAIL_QUEUE,     /* -bp, mailq */
	SENDMAIL_FLUSH,     /* -q */
	SENDMAIL_ALIASES,   /* -bi, newaliases */
	SENDMAIL_IMPOSSIBLE /* what a running house does by itself */
};

struct sendmail {
	struct cli *c;
	enum sendmail_mode mode;
	bool from_header; /* -t */
	bool dot_ends;    /* without -i: a line with a dot ends the message */
	bool verbose;
	const char *from;      /* -f, -r; NULL: not given */
	const char *full_name; /* -F */
	const char *notify, *ret, *envid;
	struct arena arena; /* the addresses lie here */
	struct slice sender;
	struct slice *recipients;
	size_t recipients_n, recipients_cap;
	/* of the house */
	int fd;
	struct slice own_address; /* of the user who calls, as the house says */
};

/* ---- sendmail_message.c ------------------------------------------------------------------------------------------- */

/* Reads lines of a message from a file: any line ends, long lines broken; knows where it ends. */
struct sendmail_input {
	FILE *in;
	bool dot_ends, over;
	int held; /* a byte read too far, or -1 */
	struct buf line;
};
void sendmail_input_init(struct sendmail_input *in, FILE *file, bool dot_ends);
void sendmail_input_free(struct sendmail_input *in);
/* The next line, without its end: 1; 0 at the end of the message; or an error. */
NODISCARD int sendmail_input_line(struct sendmail_input *in, struct slice *line);

/* The header section: its lines with CR LF in *header, without mbox's From line and without the empty line. The line behind it
 * that is no field comes out as *first_body when the header has no empty line (1, else 0), or an error. ERR_LIMIT: too long. */
NODISCARD int sendmail_header_read(struct sendmail_input *in, struct buf *header, struct buf *first_body);
/* Names of this machine get its domain, a missing From is written, and with s->from_header the recipients are taken from To, Cc
 * and Bcc (of a message sent on: of Resent-To and so on) into s->recipients. ERR_LIMIT, ERR_NOMEM. */
NODISCARD int sendmail_header_finish(struct sendmail *s, struct slice header, struct buf *out);
/* Adds the addresses of a text, names without domain with that of s->own_address. */
NODISCARD int sendmail_recipients_add(struct sendmail *s, struct slice text);
/* One address, as it stands in an envelope; empty for <> and "". ERR_SYNTAX. */
NODISCARD int sendmail_address(struct sendmail *s, struct slice text, struct slice *out);

/* ---- sendmail_talk.c ------------------------------------------------------------------------------------------------ */

/* Connects and reads the greeting, unless the mode is SENDMAIL_SMTP. An exit code (told). */
NODISCARD int sendmail_connect(struct sendmail *s, const char *dir);
/* Carries bytes between the connection and standard input and output until either ends: an exit code. */
NODISCARD int sendmail_join(struct sendmail *s);
/* Sends a message with this header, this first line of the body (or none) and what is left in `in`; with SENDMAIL_VERIFY only asks.
 * An exit code (told). */
NODISCARD int sendmail_send(
    struct sendmail *s, struct slice header, struct slice first_body, struct sendmail_input *in);

#endif
