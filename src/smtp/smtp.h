/* smtp.h: SMTP (RFC 5321), both sides of it.
 *
 *   smtp_session()     the server: strangers and local programs (gate; LMTP, RFC 2033), and users after sign-in (desk, RFC
 *                      6409)
 *   smtp_presession()  submission before sign-in (porch): STARTTLS and AUTH, then the bytes are joined to the desk
 *   smtp_send()        the client: one message to one host (courier)
 *
 * Each runs on the calling fiber and returns when the session is over. What a session may know and do lies behind
 * the function tables given to it: this room holds no address book, no queue and no key. */
#ifndef SMTP_SMTP_H
#define SMTP_SMTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/histogram.h"
#include "bus/values.h"
#include "directory/signin.h"
#include "rt/net.h"
#include "rt/stream.h"
#include "rt/tls.h"
#include "rt/work.h"

/* The sessions of one role, so that it can end them politely. Embed one in the role's state. */
struct smtp_sessions {
	struct list running;
	size_t count;
	bool stopping;
	int64_t delayed; /* sessions whose reply to an error is held back */
	/* counters for status */
	uint64_t started, messages, recipients_refused, messages_refused, bytes;
	/* From a command to its answer, without those that bring a message; and from a message's end to its answer.
	 * HISTOGRAM_COMMANDS. */
	struct histogram times, message_times;
};
void smtp_sessions_init(struct smtp_sessions *s);
/* Sessions that wait for a command say 421 and end now; the others after the command or data under way. */
void smtp_sessions_stop(struct smtp_sessions *s);

/* ---- server ------------------------------------------------------------------------------------------------- */

/* A message as it is handed to the queue; all slices are valid during the call. The message is `head` (trace fields
 * that the session made, CRLF lines) followed by the body, which is in `body` or, when `blob` is not empty, in that
 * file. */
struct smtp_message {
	bool submission;                       /* not a stranger's */
	struct slice id;                       /* ULID, also in the Received field and in the 250 reply */
	struct slice reverse_path;             /* without <>; empty: the null one */
	struct slice envelope;                 /* parameters of MAIL, `NAME=value` lines ended by LF */
	struct slice_list recipients;          /* without <> */
	struct slice_list recipient_envelopes; /* parallel */
	struct slice helo, client, tls;
	struct slice head, body, blob;
	int64_t size_bytes;    /* of the body */
	int64_t judged;        /* enum bus_judged */
	struct slice findings; /* sentences for the message's history */
};

/* What the house says to a sender in a submission. */
struct smtp_submitter {
	int64_t result;                    /* enum bus_sender */
	int64_t message_bytes, recipients; /* the most that one message of theirs may have; 0: as anybody's */
	struct slice detail;               /* a sentence for SENDER_RATE */
};

/* What a server session asks its role. All functions may park; they return 0 or an error, which the client sees as
 * 451 4.3.0. */
struct smtp_backend {
	/* May this recipient be accepted from this reverse-path (as in smtp_message)? `result` is enum bus_rcpt; the detail of
	 * RCPT_SUPPRESSED lies in `a`. The address is local-part@domain, cut at the last @: the domain in lower case and without final
	 * dot, the local part unquoted; or a bare "postmaster". */
	int (*rcpt)(void *ctx, struct slice reverse_path, struct slice address, struct arena *a, int64_t *result,
	    struct slice *detail);
	/* Submission only (else NULL): may who submits send as the address? `begins`: this is MAIL, where the null reverse-path
	 * ("") may be asked for, and where the rates are looked at. The detail lies in `a`. */
	int (*sender)(void *ctx, struct slice address, bool begins, struct arena *a, struct smtp_submitter *out);
	/* A file for a body over limits.body_inline_bytes: its name (in `a`) and a descriptor, which the session closes. */
	int (*blob_create)(void *ctx, struct arena *a, struct slice *name, int *fd);
	/* Takes the message; returns when it is durable. `result` is enum bus_submit, detail (in `a`) a sentence for
	 * SUBMIT_REFUSED and SUBMIT_RATE. */
	int (*submit)(void *ctx, const struct smtp_message *m, struct arena *a, int64_t *result, struct slice *detail);
	void *ctx;
};

enum smtp_beginning {
	SMTP_BEGINS_GREETING,
	SMTP_BEGINS_SIGNED_IN, /* with 235: EHLO and AUTH were heard by the porch */
	SMTP_BEGINS_SILENT     /* with the client's MAIL: the porch has answered everything before it */
};

/* What holds for the clients of one listener; zeroed: the house's limits. */
struct smtp_policy {
	int64_t message_bytes; /* the largest message; 0: limits.smtp_message_bytes */
	bool require_tls;      /* MAIL is refused in the clear */
	bool plain;            /* for measuring: a session may have any number of messages */
	bool early_talker_check;
	bool xclient; /* the client is a proxy that may say whose mail it brings */
};

/* What a client does is counted over all its sessions. */
enum smtp_counted { SMTP_COUNTED_MESSAGE, SMTP_COUNTED_RECIPIENT, SMTP_COUNTED_ERROR };
enum smtp_guarded {
	SMTP_GUARD_FREE, /* no limits hold for this client */
	SMTP_GUARD_FINE,
	SMTP_GUARD_OVER /* one too many */
};
struct smtp_guard {
	enum smtp_guarded (*count)(void *ctx, enum smtp_counted what);
	/* XCLIENT: the session is another client's; false when he may not have it. */
	bool (*renamed)(void *ctx, const struct net_address *client);
	void *ctx;
};

/* Who brings a stranger's message, and in whose name. */
struct smtp_checked {
	struct slice client, helo, reverse_path;
};

enum smtp_checked_result {
	SMTP_CHECKED_FINE,
	SMTP_CHECKED_LATER, /* 451 4.7.0 */
	SMTP_CHECKED_SPF,   /* 550 5.7.23 */
	SMTP_CHECKED_DMARC  /* 550 5.7.26 */
};

struct smtp_finding {
	enum smtp_checked_result result;
	struct slice reply;    /* a sentence for a reply that refuses, ASCII */
	int64_t judged;        /* enum bus_judged */
	struct slice results;  /* the value of Authentication-Results, folded, without the last line end; or empty */
	struct slice findings; /* sentences for the message's history */
};

/* What the role finds out about strangers' messages while their text comes. The functions may park, but for feed and end. */
struct smtp_checks {
	/* A text begins. 0; *check is NULL when it is not to be checked. */
	int (*begin)(void *ctx, const struct smtp_checked *who, void **check);
	/* A run of the text, as the client sent it, unstuffed. */
	void (*feed)(void *check, struct slice run);
	/* The text is over. *out lives until the end. */
	int (*judge)(void *check, struct smtp_finding *out);
	void (*end)(void *check);
	void *ctx;
};

struct smtp_session_config {
	struct loop *loop;
	struct smtp_sessions *sessions;
	struct workers *workers; /* for writing large bodies; NULL: written on the loop */
	struct slice hostname;
	struct slice_list own_names; /* in which only we write Authentication-Results; of others it is taken out */
	struct smtp_backend backend;
	struct slice client;         /* address text */
	struct slice client_literal; /* "[192.0.2.1]": for Received */
	struct tls_server *tls;      /* NULL: STARTTLS is not offered */
	bool refused;                /* too many sessions from this address: 421 4.7.0 instead of the greeting */
	struct smtp_policy policy;
	const struct smtp_guard *guard;   /* NULL: nothing is counted */
	const struct smtp_checks *checks; /* NULL: nothing is checked */
	bool lmtp;                        /* RFC 2033: LHLO, and a reply for each recipient */
	/* A submission (RFC 6409): the session may send to anywhere, and sends only as the addresses that backend.sender allows. */
	bool submission;
	bool signed_in; /* the submitter has given a password; else a listed one */
	/* A stranger who may also submit: a transaction whose sender backend.sender allows is a submission. */
	bool listed;
	struct slice
	    local_sender; /* a program of this machine: its own address, which the greeting tells it; else empty */
	/* Of a submission: how it begins, and what the porch saw before ("" in the clear). */
	enum smtp_beginning beginning;
	struct slice helo, tls_text;
};
/* Serves until QUIT, the end of the input, an error or a limit. The caller closes the stream. */
void smtp_session(struct stream *st, const struct smtp_session_config *c);

/* ---- submission before sign-in --------------------------------------------------------------------------------- */

struct smtp_presession_config {
	struct loop *loop;
	struct smtp_sessions *sessions;
	struct slice hostname;
	struct tls_server *tls; /* for STARTTLS; NULL: not offered. Implicit TLS is up before the call */
	bool cleartext_sign_in; /* AUTH is offered without TLS too */
	bool channel_binding;   /* under TLS AUTH offers what binds to it too (SCRAM-…-PLUS) */
	struct slice client;    /* address text */
	/* The client need not sign in: its MAIL, and all behind it, goes to this session's other end. NULL: it must. `ctx` is that of
	 * signin. 0, or an error: it is asked to sign in. */
	int (*unsigned_session)(void *ctx, struct slice helo, struct slice tls, struct stream **session);
	struct signin_ops
	    signin; /* `pending` stays empty: unread input stays in the stream and is proxied to the desk */
};
/* Greets, and serves until QUIT, an error, or sign-in and the end of the desk's session. The caller closes st. */
void smtp_presession(struct stream *st, const struct smtp_presession_config *c);

/* ---- client ------------------------------------------------------------------------------------------------------ */

#define SMTP_STATUS_MAX 12 /* "5.999.999" and a NUL */

/* What became of one recipient. */
struct smtp_send_result {
	int result;                   /* enum bus_send; 0 while nothing is known */
	int code;                     /* 250, 550, …; 0 when no reply caused it */
	char status[SMTP_STATUS_MAX]; /* RFC 3463, always set with result */
	struct slice text; /* what the remote said, or our own sentence; valid UTF-8, one line; in the job's arena */
	bool dsn;          /* with SEND_OK: the remote obeys NOTIFY and ORCPT (RFC 3461) */
	bool final; /* not to be tried at another host in this attempt (also for a message that may have been taken) */
};

struct smtp_send_recipient {
	struct slice address;  /* without <> */
	struct slice envelope; /* its parameters, `NAME=value` lines */
	struct smtp_send_result r;
};

enum smtp_tls_level {
	SMTP_TLS_NEVER,
	SMTP_TLS_MAY, /* RFC 7435: where it works, else in the clear */
	SMTP_TLS_MUST /* else the message does not go */
};

/* How a connection to one host has to be secured. */
struct smtp_security {
	enum smtp_tls_level level;
	bool implicit;             /* TLS from the first byte (RFC 8314 §3.3), instead of STARTTLS */
	struct tls_client *client; /* NULL: SMTP_TLS_NEVER */
	struct tls_expect expect;
	struct slice demanded_by; /* for sentences: "the domain's MTA-STS policy"; empty: nobody */
	struct slice verified_by; /* likewise, when the check succeeds: "DANE" */
};

/* What came of it (RFC 8460 §4.3.1). */
enum smtp_tls_result {
	SMTP_TLS_NOT_TRIED, /* no connection, or no answer before STARTTLS */
	SMTP_TLS_FINE,
	SMTP_TLS_NOT_OFFERED,
	SMTP_TLS_WRONG_NAME,
	SMTP_TLS_EXPIRED,
	SMTP_TLS_UNTRUSTED,
	SMTP_TLS_FAILED /* the handshake, or another trouble with the certificate */
};

/* How to sign in. Only under TLS. */
struct smtp_sign_in {
	struct slice user, password;
};

/* An open connection after EHLO, TLS and sign-in, fit for a transaction. */
struct smtp_connection;
/* Says QUIT when the connection still works, does not wait, frees. NULL is fine. */
void smtp_connection_close(struct smtp_connection **c);
/* The server has not spoken since (a word out of turn is its goodbye). */
bool smtp_connection_is_quiet(struct smtp_connection *c);
/* Messages that have been sent over it, and how many the server allows (RFC 9422; SIZE_MAX: it does not say). */
size_t smtp_connection_messages(const struct smtp_connection *c);
size_t smtp_connection_messages_max(const struct smtp_connection *c);

struct smtp_send_job {
	struct loop *loop;
	struct workers *workers; /* for reading `fd`, converting, key derivation; NULL: on the loop */
	struct arena *arena;     /* for the texts of results */
	struct slice hostname;   /* for EHLO */
	struct slice reverse_path, envelope;
	struct smtp_send_recipient *recipients;
	size_t recipients_count;
	struct slice head;
	struct slice body; /* or, with fd >= 0, size_bytes of that file from its beginning (read with pread) */
	int fd;
	int64_t size_bytes; /* of the body */
	struct smtp_security security;
	/* RFC 8689: the message goes only to a server that offers REQUIRETLS, over a connection whose certificate is checked.
	 * The caller has made sure of the host's name and has set `security` accordingly. */
	bool require_tls;
	const struct smtp_sign_in *sign_in; /* NULL: none */
	struct slice host;                  /* for people: "mx.b.test [192.0.2.1]:25"; empty: "the remote server" */
	/* Opens a connection to the host; called again, once, when TLS failed and the message goes in the clear. */
	int (*connect)(void *ctx, struct stream **out);
	void *connect_ctx;
	/* A connection to use instead, or NULL; taken over. With it nothing else of `security`, `sign_in` and `connect` is
	 * looked at: it was opened with the same. */
	struct smtp_connection *connection;
	/* Leave a connection that is good for another message in `connection`. */
	bool keep;
	/* out: */
	struct slice tls_text; /* "TLSv1.3 TLS_AES_256_GCM_SHA384, certificate verified by DANE", or "" in the clear */
	enum smtp_tls_result tls_result;
	struct slice tls_error; /* a sentence for a result that is not fine, or empty */
};

/* The value of a parameter in `NAME=value` lines; false: it is not there. */
bool smtp_envelope_get(struct slice envelope, struct slice name, struct slice *value);
/* Tries to send the message to all recipients whose r.final is false, in one transaction (or several, over
 * limits.queue_send_recipients or what the server allows). Fills their results; what another host said before is only
 * replaced by what this one says, not by its silence. Returns
 * 0 when the host answered to the transaction; an error when it could not be talked to at all (no connection, no
 * or a bad greeting, EHLO refused, no TLS where it must be, lost before MAIL): results are then SEND_TEMPFAIL, and the next
 * host may be tried. ERR_CLOSED with a `connection` that was given: it was lost while idle, nothing has been said and no
 * result is touched. ERR_CANCELLED and ERR_NOMEM end the attempt. */
NODISCARD int smtp_send(struct smtp_send_job *job);

#endif
