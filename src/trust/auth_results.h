/* auth_results.h: the header field Authentication-Results (RFC 8601), in which a server tells those behind it what it found out about
 * a message: writing ours, recognising what others wrote in our name, and reading that of servers that are trusted. */
#ifndef TRUST_AUTH_RESULTS_H
#define TRUST_AUTH_RESULTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "trust/trust_result.h"

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* Writes the value of a field, piece by piece: "mx.example.org;\r\n\tspf=pass smtp.mailfrom=a@example.net;\r\n\t…". Words of strangers
 * are quoted where they need to be, and cannot end a line. */
struct auth_results {
	struct buf *out;
	bool any;
};

/* `id`: the authserv-id, a host name. */
void auth_results_begin(struct auth_results *w, struct buf *out, struct slice id);
/* A method ("spf") and its result; `reason` may be empty. */
void auth_results_put(struct auth_results *w, const char *method, enum trust_result result, struct slice reason);
/* A property of the last result: "smtp.mailfrom", "header.d". Nothing when the value is empty. */
void auth_results_property(struct auth_results *w, const char *name, struct slice value);
/* A comment behind it. */
void auth_results_comment(struct auth_results *w, struct slice comment);
/* Without any result: "none". No line end follows. */
void auth_results_end(struct auth_results *w);

/* ---- others' ---------------------------------------------------------------------------------------------------- */

/* What a field's value, or the beginning of one, says of who wrote it. */
enum auth_results_author {
	AUTH_RESULTS_UNKNOWN, /* more of the value has to come */
	AUTH_RESULTS_OTHER,   /* some other server */
	AUTH_RESULTS_OWN      /* one of ours; or it is in no version that can be known; or nobody, which is as bad */
};
/* `own`: our names. `complete`: nothing more of the value comes, and the answer is not AUTH_RESULTS_UNKNOWN. */
enum auth_results_author auth_results_author(struct slice value, struct slice_list own, bool complete);

#define AUTH_RESULTS_ITEMS_MAX 50
#define AUTH_RESULTS_PROPERTIES_MAX 20

struct auth_results_property {
	struct slice name; /* "header.d", in lower case */
	struct slice value;
};

struct auth_results_item {
	struct slice method; /* in lower case */
	struct slice result; /* likewise */
	struct auth_results_property v[AUTH_RESULTS_PROPERTIES_MAX];
	size_t n;
};

struct auth_results_field {
	struct slice id;
	const struct auth_results_item *v;
	size_t n;
};

/* Reads a value (raw, folded). All lies in the arena. 0; ERR_SYNTAX: it is none (what was read before the mistake is in *out); ERR_LIMIT: too many
 * results; ERR_NOMEM. */
NODISCARD int auth_results_parse(struct arena *a, struct slice value, struct auth_results_field *out);
/* The value of a property, or empty. */
struct slice auth_results_find(const struct auth_results_item *i, struct slice name);

#endif
