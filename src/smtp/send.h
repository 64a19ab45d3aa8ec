/* send.h: the state of one smtp_send(); shared by its files:
 *
 *   send.c             results, the whole
 *   send_connection.c  from connecting to EHLO under TLS; connections that are kept
 *   send_auth.c        AUTH
 *   send_message.c     transactions: MAIL to the end of the data
 *   send_envelope.c    the lines of MAIL and RCPT: which parameters this server is told
 *   send_text.c        the message itself: DATA or BDAT
 *   send_convert.c     another form of the message, for a server that takes no 8-bit or binary text */
#ifndef SMTP_SEND_H
#define SMTP_SEND_H

#include "smtp/capabilities.h"
#include "smtp/reply.h"
#include "smtp/smtp.h"

#define SMTP_TLS_TEXT_MAX 200

struct smtp_connection {
	struct loop *loop;
	struct stream *st;
	struct smtp_capabilities can;
	bool dead; /* nothing more can be said */
	size_t messages;
	char tls_text[SMTP_TLS_TEXT_MAX];
};

/* Which octets a message has. */
enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BIT, SMTP_BODY_BINARY };

/* The message in the form in which this server gets it. */
struct smtp_content {
	struct slice head, body;
	int fd;             /* >= 0: instead of body */
	int64_t size_bytes; /* of the body */
	enum smtp_body form;
	bool utf8; /* needs SMTPUTF8 */
};

struct smtp_sender {
	struct smtp_send_job *job;
	struct house *house;
	struct smtp_connection *c;
	bool warm;               /* nothing has been heard over a connection that was kept */
	struct smtp_reply reply; /* the last one */
	struct smtp_content content;
	struct buf converted; /* content.body, when it is another than the job's */
};

/* ---- replies and commands (send.c) ---- */

/* Reads a whole reply into s->reply within timeout_ms; `can`, when not NULL, takes EHLO's keywords. An error (connection
 * lost, timeout, not SMTP) or code 421 makes the connection dead; 421 itself is no error. */
NODISCARD int smtp_sender_reply(struct smtp_sender *s, int64_t timeout_ms, struct smtp_capabilities *can);
/* Starts a command, without its CRLF; it is sent at the next flush. */
void smtp_sender_command(struct smtp_sender *s, struct slice line);

/* ---- results (send.c) ---- */

/* Fills a recipient's result. code 0: no reply caused it. */
void smtp_sender_result(struct smtp_sender *s, struct smtp_send_recipient *r, int result, int code, const char *status,
    struct slice text, bool final);
/* The same for all recipients without a final result. */
void smtp_sender_result_all(struct smtp_sender *s, int result, const char *status, struct slice text, bool final);
/* The result that s->reply (4xx, 5xx or a code that has no place here) means for a recipient. other_host: even a 5xx is not
 * final, since another host may be more willing. */
void smtp_sender_result_of_reply(struct smtp_sender *s, struct smtp_send_recipient *r, bool other_host);
/* The same for all recipients without a final result. */
void smtp_sender_refused(struct smtp_sender *s, bool other_host);
/* For all recipients without a final result: an error before or between replies, in words ("after MAIL"). */
void smtp_sender_lost(struct smtp_sender *s, int e, const char *when);
/* Who it is, for a sentence. */
struct slice smtp_sender_host(const struct smtp_sender *s);

/* ---- the steps ---- */

/* Opens s->c up to a server that waits for MAIL. On failure the results are set. */
NODISCARD int smtp_sender_open(struct smtp_sender *s);
/* Signs in. On failure the results are set. */
NODISCARD int smtp_sender_sign_in(struct smtp_sender *s, const struct smtp_sign_in *in);
/* Sends the message to all recipients without a final result, in as many transactions as it takes. */
NODISCARD int smtp_send_message(struct smtp_sender *s);

/* Writes an address as a path's inside, quoted where it must be, a domain outside ASCII as A-labels unless utf8. False when
 * it cannot be said in SMTP, or only with SMTPUTF8. */
bool smtp_path_put(struct buf *out, struct slice address, bool utf8);
/* What keeps this message from this server for good: false with all results set. Fills s->content. */
NODISCARD int smtp_sender_fit(struct smtp_sender *s, bool *fits);
/* Say MAIL and RCPT, with the parameters that the server knows. */
void smtp_sender_mail(struct smtp_sender *s);
void smtp_sender_rcpt(struct smtp_sender *s, const struct smtp_send_recipient *r);

/* Sends s->content after 354 to DATA. An error with stream_error() 0 is our own trouble. */
NODISCARD int smtp_sender_data(struct smtp_sender *s);
/* The same with BDAT (RFC 3030): reads the replies to all chunks; the one that counts is in s->reply. */
NODISCARD int smtp_sender_bdat(struct smtp_sender *s);
/* Reads content that lies in a file into `out`, at most max bytes from its beginning. ERR_DAMAGED: shorter than it should be. */
NODISCARD int smtp_sender_load(struct smtp_sender *s, size_t max, struct buf *out);

#endif
