/* dkim_sign.c: see the header. */
#include "trust/dkim_sign.h"

#define FOLD_COLUMN 72
#define FIELD_MAX 65536   /* bytes of a signature field */
#define SAME_NAME_MAX 150 /* fields of one name; so all that are signed fit into FIELD_MAX */

/* RFC 6376 §5.4.1, and what a reader sees. `sealed`: named once more than it is there. */
static const struct {
	const char *name;
	bool sealed;
} fields[] = {
    {"From", true},
    {"To", true},
    {"Cc", true},
    {"Subject", true},
    {"Date", true},
    {"Reply-To", true},
    {"Sender", false},
    {"Message-ID", true},
    {"In-Reply-To", false},
    {"References", false},
    {"MIME-Version", true},
    {"Content-Type", true},
    {"Content-Transfer-Encoding", true},
    {"Content-Disposition", false},
    {"Content-ID", false},
    {"Resent-From", false},
    {"Resent-To", false},
    {"Resent-Cc", false},
    {"Resent-Date", false},
    {"Resent-Message-ID", false},
    {"List-Id", false},
    {"List-Unsubscribe", false},
    {"List-Unsubscribe-Post", false},
    {"List-Post", false},
    {"Autocrypt", false},
    {"TLS-Report-Domain", false},
    {"TLS-Report-Submitter", false},
};

static void
put_name(const char *name, bool fold, size_t *column, bool *any, struct buf *out)
{
	size_t n = strlen(name) + 1;

	if (*any)
		buf_put_u8(out, ':');
	if (fold && *column + n > FOLD_COLUMN) {
		buf_put_z(out, "\r\n\t");
		*column = 8;
	}
	buf_put_z(out, name);
	*column += n;
	*any = true;
}

void
dkim_put_names(const struct dkim_headers *h, bool fold, struct buf *out)
{
	size_t column = 12;
	bool any = false;

	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		size_t n = dkim_headers_count(h, slice_z(fields[i].name));

		n = (n < SAME_NAME_MAX ? n : SAME_NAME_MAX) + fields[i].sealed;
		while (n-- > 0)
			put_name(fields[i].name, fold, &column, &any, out);
	}
}

/* In base64, folded. */
static void
put_signature(struct slice signature, struct buf *out)
{
	struct buf text BUF_CLEANUP;
	struct slice rest;

	buf_init(&text, FIELD_MAX);
	buf_put_base64(&text, signature);
	rest = buf_slice(&text);
	while (rest.n > FOLD_COLUMN) {
		buf_put(out, slice_head(rest, FOLD_COLUMN));
		buf_put_z(out, "\r\n\t");
		rest = slice_from(rest, FOLD_COLUMN);
	}
	buf_put(out, rest);
	if (text.err != 0)
		out->err = text.err;
}

/* The field up to and with `b=`. */
static void
put_field(const struct dkim_reader *r, const struct dkim_headers *h, const struct dkim_signing_key *k, int64_t now_s,
    struct buf *out)
{
	uint8_t body[DKIM_HASH_BYTES];
	uint64_t bytes;

	dkim_reader_body_hash(r, 0, body, &bytes);
	buf_printf(out, "DKIM-Signature: v=1; a=%s; c=relaxed/relaxed;\r\n\td=%.*s; s=%.*s;\r\n\tt=%lld; h=",
	    dkim_algorithm_name(k->algorithm), SLICE_ARG(k->domain), SLICE_ARG(k->selector), (long long)now_s);
	dkim_put_names(h, true, out);
	buf_put_z(out, ";\r\n\tbh=");
	buf_put_base64(out, slice_of(body, sizeof(body)));
	buf_put_z(out, ";\r\n\tb=");
}

int
dkim_sign(struct dkim_reader *r, const struct dkim_signing_key *keys, size_t n, int64_t now_s,
    const struct dkim_signer *signer, struct arena *a, struct buf *out)
{
	struct dkim_headers *h = dkim_reader_headers(r);
	uint8_t hashes[DKIM_SIGNING_KEYS_MAX][DKIM_HASH_BYTES];
	struct slice texts[DKIM_SIGNING_KEYS_MAX], signatures[DKIM_SIGNING_KEYS_MAX];
	struct buf names BUF_CLEANUP;
	int err = 0;

	if (dkim_reader_fault(r) != NULL || h == NULL || dkim_headers_count(h, SLICE("From")) == 0)
		return ERR_INVALID;
	n = n < DKIM_SIGNING_KEYS_MAX ? n : DKIM_SIGNING_KEYS_MAX;
	buf_init(&names, FIELD_MAX);
	dkim_put_names(h, false, &names);
	for (size_t i = 0; err == 0 && i < n; i++) {
		struct buf field BUF_CLEANUP, canonical BUF_CLEANUP;

		buf_init(&field, FIELD_MAX);
		buf_init(&canonical, FIELD_MAX);
		put_field(r, h, &keys[i], now_s, &field);
		texts[i] = arena_copy(a, buf_slice(&field));
		dkim_canon_field(DKIM_RELAXED, texts[i], true, &canonical);
		err = names.err != 0 || field.err != 0 || canonical.err != 0 || arena_failed(a)
		    ? ERR_NOMEM
		    : dkim_headers_hash(
			  h, buf_slice(&names), DKIM_RELAXED, SLICE_EMPTY, buf_slice(&canonical), hashes[i]);
	}
	if (err == 0)
		err = signer->sign(signer->of, keys, hashes, n, a, signatures);
	for (size_t i = 0; err == 0 && i < n; i++) {
		buf_put(out, texts[i]);
		put_signature(signatures[i], out);
		buf_put_z(out, "\r\n");
	}
	return err != 0 ? err : out->err;
}
