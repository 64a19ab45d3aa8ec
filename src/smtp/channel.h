/* channel.h: the server's half of a connection, before and after sign-in: reads command lines, writes replies by
 * their table, counts errors, ends politely when the role stops, and answers the commands that need no message:
 * EHLO, HELO, LHLO, NOOP, RSET, HELP, VRFY, QUIT, STARTTLS. Replies are sent when no more input is pending
 * (RFC 2920 §3.2). */
#ifndef SMTP_CHANNEL_H
#define SMTP_CHANNEL_H

#include "smtp/command.h"
#include "smtp/replies.h"
#include "smtp/smtp.h"

struct smtp_channel {
	struct list_node node; /* in sessions->running */
	struct smtp_sessions *sessions;
	struct stream *st;
	struct loop *loop;
	struct house *house;
	struct slice hostname;
	struct tls_server *tls;         /* for STARTTLS, or NULL */
	struct fiber *waiting;          /* the session's fiber while it waits for a command */
	unsigned where;                 /* SMTP_GATE, SMTP_PORCH, SMTP_DESK or SMTP_LMTP */
	int64_t message_bytes;          /* the largest message, as announced */
	int64_t mails_max;              /* transactions of the session; 0: any number */
	const struct smtp_guard *guard; /* or NULL */
	bool xclient;                   /* the client is a proxy that may say whose mail it brings */
	bool tls_outside;               /* SMTP_DESK: the client's bytes came to the porch under TLS */
	bool cleartext_sign_in;         /* SMTP_PORCH: AUTH is offered without TLS */
	bool channel_binding;           /* SMTP_PORCH: AUTH offers what binds to the TLS connection too */
	bool over;                      /* the session ends: every later read fails */
	bool extended;                  /* EHLO, not HELO */
	bool greeted;                   /* either */
	char helo[SMTP_DOMAIN_MAX + 1];
	int64_t errors;
	int64_t deadline_ms; /* of all commands together: for signing in; DEADLINE_NEVER */
};

/* Registers the session. The channel does not own the stream. */
void smtp_channel_open(struct smtp_channel *ch, struct stream *st, struct loop *loop, struct smtp_sessions *sessions);
/* Sends what is unsent and takes the session off the list. */
void smtp_channel_close(struct smtp_channel *ch);

/* Writes a reply; `more` is appended to its text. Codes from 400 count as errors; too many end the session with 421. */
void smtp_reply(struct smtp_channel *ch, enum smtp_reply_id id);
void smtp_reply_more(struct smtp_channel *ch, enum smtp_reply_id id, struct slice more);
/* The same, without being counted: one more of the replies that LMTP gives for one failure. */
void smtp_reply_again(struct smtp_channel *ch, enum smtp_reply_id id, struct slice more);
/* Writes a reply of code 421 (or the last reply for other reasons) and ends the session. */
void smtp_channel_end(struct smtp_channel *ch, enum smtp_reply_id id);

/* Waits for more input than is pending until the deadline, after sending what is unsent: 0, or an error with the
 * session ended (421 4.4.2 after a timeout). `command`: this is the place to end when the role stops. */
NODISCARD int smtp_channel_wait(struct smtp_channel *ch, size_t max, int64_t deadline_ms, bool command);
/* The next command line without its CR LF; valid until the next read. ERR_LIMIT: it was too long, was
 * skipped and answered; others: the session has ended. */
NODISCARD int smtp_channel_line(struct smtp_channel *ch, size_t max, struct slice *line);

/* Answers a command that is the same for all sessions; false if it is none of them. RSET is only answered; EHLO and HELO
 * set helo and list the extensions. */
bool smtp_channel_common(struct smtp_channel *ch, const struct smtp_command *c);
/* Checks that this session knows the command and that the argument is there or not; answers if not. */
bool smtp_channel_accepts(struct smtp_channel *ch, const struct smtp_command *c);
/* The lines that answer EHLO and LHLO (extension.c). */
void smtp_reply_extensions(struct smtp_channel *ch);
/* True when what the client sends is under TLS. */
bool smtp_channel_is_tls(const struct smtp_channel *ch);
/* The text of the stream's TLS ("TLSv1.3 TLS_AES_256_GCM_SHA384"), or empty in the clear. */
struct slice smtp_tls_text(struct stream *st, struct arena *a);

#endif
