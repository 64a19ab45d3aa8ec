/* session.h: the state of a server session that takes messages; shared by its files: session.c (commands),
 * intake.c (the text of a message). */
#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include "smtp/channel.h"
#include "smtp/data.h"
#include "smtp/header_watch.h"

/* The text of a message while it arrives: in memory up to limits.body_inline_bytes, then in a file. */
struct smtp_intake {
	struct smtp_data data;
	struct smtp_header_watch watch;
	struct buf body;       /* all of it, or what is not yet in the file */
	struct slice blob;     /* the file's name, or empty */
	int fd;                /* -1: none */
	int64_t written_bytes; /* in the file */
	bool too_large;
	int err; /* could not be kept: 451 at the end (ERR_FULL: 452) */
};

struct smtp_server {
	struct smtp_channel ch;
	const struct smtp_session_config *c;
	struct arena arena; /* of the transaction; empty between two */
	bool in_mail;       /* MAIL was accepted */
	struct slice reverse_path;
	bool body_8bitmime;       /* BODY=8BITMIME was declared */
	struct slice *recipients; /* of the arena */
	size_t recipients_count, recipients_cap;
};

/* After the 354: reads the text to its end and gives the message to the backend, and answers. */
void smtp_intake_run(struct smtp_server *s);
/* Reads the text to its end into *in (which is set up here): 0, or an error when the session is over. */
NODISCARD int smtp_intake_read(struct smtp_server *s, struct smtp_intake *in);
void smtp_intake_free(struct smtp_intake *in);

#endif
