/* build.h: writing messages: fields, plain messages and delivery status notifications (RFC 3464, 6522). Lines end with
 * CRLF, are folded at 78 columns and stay below 998 octets; everything is ASCII unless the caller gives raw parts.
 * Bytes of others (addresses, texts) cannot start a field or a line of their own. Errors are out->err. */
#ifndef MESSAGE_BUILD_H
#define MESSAGE_BUILD_H

#include "base/house.h"
#include "message/address.h"

/* `Name: text`, UTF-8 text as encoded words. */
void build_field(struct buf *out, struct slice name, struct slice utf8);
/* `Name: value` of a structured field that is ASCII: folded at spaces only; CR, LF and NUL become spaces. */
void build_field_raw(struct buf *out, struct slice name, struct slice value);
/* `Name: Alice <alice@example.test>, …`, names UTF-8, folded between addresses. */
void build_field_addresses(struct buf *out, struct slice name, const struct address_list *l);
void build_field_date(struct buf *out, struct slice name, int64_t epoch_s);
/* `Message-ID: <ulid@domain>`; the id (without <>) goes to *id when not NULL. */
#define BUILD_MESSAGE_ID_MAX 300
void build_field_message_id(struct buf *out, struct house *h, struct slice domain, char id[BUILD_MESSAGE_ID_MAX]);
/* A boundary that occurs in no message: random. NUL-terminated, 1..70 characters. */
#define BUILD_BOUNDARY_MAX 71
void build_boundary(struct house *h, char out[BUILD_BOUNDARY_MAX]);
/* Content-Type: text/plain; charset, Content-Transfer-Encoding, the empty line and the encoded text, which is UTF-8. */
void build_text_body(struct buf *out, struct slice utf8);

/* A plain message: a draft, a notice. */
struct build_message {
	const struct address_list *from, *to, *cc; /* may be NULL */
	struct slice subject;                      /* UTF-8 */
	struct slice text;                         /* UTF-8, any line ends */
	struct slice message_id_domain;
	struct slice in_reply_to; /* msg-id without <>; or empty */
	struct slice_list references;
	struct slice_list extra; /* whole raw field lines without line end: "Auto-Submitted: auto-replied" */
};
NODISCARD int build_message(struct house *h, const struct build_message *m, struct buf *out);

/* ---- delivery status notifications
 * -------------------------------------------------------------------------------- */

enum build_dsn_action {
	BUILD_DSN_FAILED,
	BUILD_DSN_DELAYED,
	BUILD_DSN_DELIVERED,
	BUILD_DSN_RELAYED,
	BUILD_DSN_EXPANDED
};

struct build_dsn_recipient {
	struct slice original; /* ORCPT as given, "rfc822;addr", xtext removed; or empty */
	struct slice final;    /* address */
	enum build_dsn_action action;
	struct slice status;        /* "5.1.1"; made "5.0.0", "4.0.0" or "2.0.0" if it is not of that form */
	struct slice remote_mta;    /* host name, or empty */
	struct slice diagnostic;    /* the reply of the other side ("550 5.1.1 …"), or empty */
	struct slice explanation;   /* a sentence for people, UTF-8 */
	int64_t last_attempt_s;     /* 0: left out */
	int64_t will_retry_until_s; /* 0: left out */
};

struct build_dsn {
	struct slice reporting_mta; /* our host name */
	struct slice from;          /* address of the From field, e.g. mailer-daemon@… */
	struct slice from_name;     /* e.g. "Mail Delivery System" */
	struct slice to;            /* the original sender: where this goes */
	struct slice subject;       /* UTF-8 */
	struct slice text; /* UTF-8, for people: what happened; the recipients' explanations are added below it */
	struct slice envelope_id; /* ENVID, xtext removed; or empty */
	struct slice queue_id;    /* ULID of the original, named in the text; or empty */
	int64_t arrival_s;        /* 0: left out */
	const struct build_dsn_recipient *recipients;
	size_t recipients_n;
	struct slice original; /* the original message, or as much of it as there is */
	bool headers_only;     /* return its header alone (text/rfc822-headers) */
	bool utf8; /* the message came with SMTPUTF8: so may the report go, with addresses as they are (RFC 6533) */
};
/* The whole notification, from its first field. An original with 8-bit or with lines over 998 octets is returned as
 * its header, encoded safely. */
NODISCARD int build_dsn(struct house *h, const struct build_dsn *d, struct buf *out);

#endif
