/* zone_reader.h: the syntax of master files (RFC 1035 §5.1), an entry at a time; only zone_file.c uses it. */
#ifndef TRUST_ZONE_READER_H
#define TRUST_ZONE_READER_H

#include "base/buf.h"
#include "base/cursor.h"
#include "trust/trust_dns.h"

enum zone_kind {
	ZONE_RECORD,    /* of a type that is kept */
	ZONE_OTHER,     /* of another known type */
	ZONE_FAILS,     /* $TEMPFAIL name */
	ZONE_FAILS_FOR, /* $TEMPFAIL name TYPE, one entry for each type */
};

/* A word or a quoted string, escapes resolved. */
struct zone_token {
	struct slice text;
	bool quoted;
	bool dotted; /* an escape stands for a full stop: this is no name that we could keep */
};

struct zone_entry {
	enum zone_kind kind;
	struct slice owner; /* lower case, without final dot; empty for the root */
	enum trust_dns_type type;
	const struct zone_token *v; /* rdata, valid until the next entry is read */
	size_t n;
};

struct zone_reader {
	struct cursor c;
	struct arena *a;
	struct buf *detail;
	unsigned line, entry_line;
	struct slice origin, owner;
	bool has_owner;
	struct zone_token *v;
	size_t n, cap;
	size_t types_left; /* of a $TEMPFAIL line that is being handed out */
};

/* The names lie in `a`; `text` must outlive it. */
void zone_reader_init(struct zone_reader *r, struct slice text, struct arena *a, struct buf *detail);
/* 0; ERR_NOTFOUND at the end; ERR_SYNTAX (told in detail); ERR_NOMEM. */
NODISCARD int zone_reader_next(struct zone_reader *r, struct zone_entry *out);
/* The token as an absolute name: 0, ERR_SYNTAX (told), ERR_NOMEM. */
NODISCARD int zone_reader_name(struct zone_reader *r, struct zone_token token, struct slice *out);
/* Tells what is wrong with the present entry: ERR_SYNTAX. */
NODISCARD int zone_reader_fail(struct zone_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
