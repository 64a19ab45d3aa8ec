/* tls_report.h: reports on the encryption of connections (RFC 8460): the TXT record of _smtp._tls.DOMAIN that asks for them, and the
 * report of a day. No I/O. */
#ifndef TRUST_TLS_REPORT_H
#define TRUST_TLS_REPORT_H

#include "base/arena.h"
#include "base/buf.h"

/* Places of one record that are used. */
#define TLS_REPORT_PLACES_MAX 5

struct tls_report_places {
	struct slice_list mail;  /* mail addresses: what is behind mailto:, decoded */
	struct slice_list https; /* URLs */
};

/* Chooses among the texts of the TXT records (§3): 0 with at least one place; ERR_NOTFOUND: there is no record, or more than one; or it names
 * no place that can be used; ERR_NOMEM. What *out points at lies in the arena or in the texts. */
NODISCARD int tls_report_record(struct slice_list texts, struct arena *a, struct tls_report_places *out);

/* An https: URL in its parts, which lie in it: a host name and no address, so that a certificate can be checked. */
struct https_url {
	struct slice host; /* as it is written */
	uint16_t port;
	struct slice target; /* path and query; empty is "/" */
};
/* 0 or ERR_SYNTAX. */
NODISCARD int https_url_parse(struct slice url, struct https_url *out);

struct tls_report_row {
	struct slice policy; /* its type ("sts", "tlsa", "no-policy-found"), and behind it, a line each, what it said */
	struct slice host, address; /* of the server; may be empty */
	struct slice result;        /* "successful", or a result type (§4.3) */
	struct slice detail;        /* a sentence, or empty */
	int64_t sessions;
};

struct tls_report {
	struct slice organisation, contact; /* who reports; a mail address */
	struct slice id;
	struct slice domain;               /* about whom: A-labels */
	int64_t begin_s, end_s;            /* the first and the last second */
	const struct tls_report_row *rows; /* those of one policy together */
	size_t rows_n;
};

/* Writes the report as JSON (§4.4). All texts are UTF-8. 0 or ERR_NOMEM, ERR_LIMIT. */
NODISCARD int tls_report_put_json(const struct tls_report *r, struct buf *out);

#endif
