/* send.h: the state of one smtp_send(); shared by its files: send.c (from the connection to the capabilities) and
 * send_message.c (MAIL to the end of the data). */
#ifndef SMTP_SEND_H
#define SMTP_SEND_H

#include "smtp/reply.h"
#include "smtp/smtp.h"

struct smtp_capabilities {
	bool pipelining, size, eight_bit, starttls;
	uint64_t size_max; /* 0: none said */
};

struct smtp_sender {
	struct smtp_send_job *job;
	struct house *house;
	struct stream *st;
	struct smtp_reply reply; /* the last one */
	struct smtp_capabilities can;
	bool dead; /* nothing more can be said on this connection */
};

/* Reads a whole reply into s->reply within timeout_ms; `can`, when not NULL, takes EHLO's keywords. An error (connection
 * lost, timeout, not SMTP) or code 421 makes the connection dead; 421 itself is no error. */
NODISCARD int smtp_sender_reply(struct smtp_sender *s, int64_t timeout_ms, struct smtp_capabilities *can);
/* Starts a command; it is sent at the next flush. */
void smtp_sender_command(struct smtp_sender *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Fills a recipient's result. code 0: no reply caused it. */
void smtp_sender_result(struct smtp_sender *s, struct smtp_send_recipient *r, int result, int code, const char *status,
    struct slice text, bool final);
/* The result that s->reply (4xx, 5xx or a code that has no place here) means for a recipient. other_host: even a 5xx is not
 * final, since another host may be more willing. */
void smtp_sender_result_of_reply(struct smtp_sender *s, struct smtp_send_recipient *r, bool other_host);
/* For all recipients without a final result: an error before or between replies, in words ("after MAIL"). */
void smtp_sender_lost(struct smtp_sender *s, int e, const char *when);
/* The same for all recipients without a final result. */
void smtp_sender_refused(struct smtp_sender *s, bool other_host);

/* Sends the message to all recipients without a final result, in as many transactions as it takes. */
NODISCARD int smtp_send_message(struct smtp_sender *s);

#endif
