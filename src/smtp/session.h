/* session.h: the state of a server session that takes messages; shared by its files: session.c (commands),
 * intake.c (the text of a message). */
#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include "smtp/channel.h"
#include "smtp/data.h"
#include "smtp/envelope.h"
#include "smtp/header_fix.h"
#include "smtp/header_watch.h"

/* The text of a message while it arrives: in memory up to limits.body_inline_bytes, then in a file. */
struct smtp_intake {
	bool open;
	struct smtp_data data;
	struct smtp_header_watch watch;
	struct smtp_header_fix fix;
	struct buf body;       /* all of it, or what is not yet in the file */
	struct slice blob;     /* the file's name, or empty */
	int fd;                /* -1: none */
	int64_t written_bytes; /* in the file */
	int64_t kept_bytes;    /* of the message, without what was taken out */
	const char *bad_field; /* which says a sender that is not theirs */
	const struct smtp_checks *checks;
	void *check; /* NULL: none */
	struct smtp_finding finding;
	bool too_large;
	int err; /* could not be kept: 451 at the end (ERR_FULL: 452) */
	/* A block must come in time (RFC 5321 §4.5.3.2.5), not a byte: limits.smtp_data_rate of limits.smtp_data_timeout_ms. */
	int64_t deadline_ms;
	int64_t progress; /* bytes of the block so far */
};

struct smtp_server {
	struct smtp_channel ch;
	const struct smtp_session_config *c;
	struct slice client, client_literal; /* as in the configuration, or what XCLIENT told */
	char client_text[NET_ADDRESS_TEXT_MAX], literal_text[NET_ADDRESS_TEXT_MAX];
	bool listed;                               /* a stranger who may also submit */
	int64_t idle_commands;                     /* since the last message */
	struct arena arena;                        /* of the transaction; empty between two */
	bool in_mail;                              /* MAIL was accepted */
	bool submitting;                           /* this transaction is a submission */
	int64_t message_bytes_max, recipients_max; /* of this transaction */
	struct slice reverse_path;
	struct smtp_mail_envelope mail;
	struct slice *recipients, *envelopes; /* of the arena; parallel */
	size_t recipients_count, recipients_cap, envelopes_cap;
	size_t accepted;       /* RCPT commands that were, be it twice the same: so many replies LMTP gives */
	int64_t rcpts, mails;  /* commands of the transaction, of the session */
	struct smtp_intake in; /* open from the first BDAT to the last */
	bool chunks_failed;    /* a BDAT was refused: all is, until RSET */
};

/* After the 354: reads the text to its end and gives the message to the backend, and answers. */
void smtp_intake_run(struct smtp_server *s);
/* BDAT: reads a chunk; after the last one gives the message to the backend. Answers. With a `refusal` other than SMTP_R_OK the
 * chunk is read and forgotten, and that is the answer. */
void smtp_intake_chunk(struct smtp_server *s, uint64_t size, bool last, enum smtp_reply_id refusal);
/* Forgets what has come. */
void smtp_intake_free(struct smtp_intake *in);

#endif
