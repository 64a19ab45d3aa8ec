/* build.c: fields and plain messages. */
#include "message/build.h"

#include "message/date.h"
#include "message/encoding.h"
#include "message/header.h"
#include "message/words.h"

#define COLUMN_MAX 76
#define TOKEN_MAX 900 /* longer ones are broken, so that no line exceeds 998 octets */

void
build_field(struct buf *out, struct slice name, struct slice utf8)
{
	buf_put(out, name);
	buf_put(out, SLICE(": "));
	words_encode(utf8, name.n + 2, out);
	buf_put(out, SLICE("\r\n"));
}

/* One word of a structured value, broken when no line could hold it. */
static void
put_token(struct buf *out, struct slice token, size_t *column)
{
	while (token.n > TOKEN_MAX) {
		buf_put(out, slice_head(token, TOKEN_MAX));
		buf_put(out, SLICE("\r\n "));
		token = slice_from(token, TOKEN_MAX);
		*column = 1;
	}
	buf_put(out, token);
	*column += token.n;
}

void
build_field_raw(struct buf *out, struct slice name, struct slice value)
{
	size_t column = name.n + 1;
	bool first = true;

	buf_put(out, name);
	buf_put_u8(out, ':');
	for (size_t i = 0; i < value.n;) {
		size_t from;

		while (i < value.n && (slice_at(value, i) <= ' ' || slice_at(value, i) == 0x7f))
			i++;
		from = i;
		while (i < value.n && slice_at(value, i) > ' ' && slice_at(value, i) != 0x7f)
			i++;
		if (i == from)
			break;
		if (!first && column + 1 + (i - from) > COLUMN_MAX) {
			buf_put(out, SLICE("\r\n"));
			column = 0;
		}
		buf_put_u8(out, ' ');
		column++;
		put_token(out, slice_range(value, from, i), &column);
		first = false;
	}
	buf_put(out, SLICE("\r\n"));
}

/* An address as it stands in a field, its name encoded where needed; *last is the width of its last line. */
static void
put_address(struct buf *out, const struct address *ad, size_t column, size_t *last)
{
	struct address plain = *ad;
	size_t before = out->n, line;

	if (words_needed(ad->name)) {
		/* Adjacent encoded words and the address: the name is written apart from it. */
		words_encode(ad->name, column, out);
		plain.name = SLICE_EMPTY;
		if (ad->kind == ADDRESS_GROUP_START) {
			buf_put_u8(out, ':');
		} else {
			buf_put(out, SLICE(" <"));
			address_put(out, &plain);
			buf_put_u8(out, '>');
		}
	} else {
		address_put(out, &plain);
	}
	line = slice_rfind_byte(slice_from(buf_slice(out), before), '\n');
	*last = line == SLICE_NONE ? column + (out->n - before) : out->n - before - line - 1;
}

void
build_field_addresses(struct buf *out, struct slice name, const struct address_list *l)
{
	size_t column = name.n + 2;
	bool comma = false;

	buf_put(out, name);
	buf_put(out, SLICE(": "));
	for (size_t i = 0; i < l->n && out->err == 0; i++) {
		const struct address *ad = &l->v[i];
		size_t width = ad->name.n + ad->local.n + ad->domain.n + 5;

		/* What no line can hold is no address that could be used. */
		if (ad->local.n + ad->domain.n > TOKEN_MAX || (ad->name.n > TOKEN_MAX && !words_needed(ad->name)))
			continue;
		if (ad->kind == ADDRESS_GROUP_END) {
			buf_put_u8(out, ';');
			comma = true;
			continue;
		}
		if (comma)
			buf_put_u8(out, ',');
		if (column > name.n + 2 && column + width > COLUMN_MAX) {
			buf_put(out, SLICE("\r\n "));
			column = 1;
		} else if (column > name.n + 2) {
			buf_put_u8(out, ' ');
			column++;
		}
		put_address(out, ad, column, &column);
		comma = ad->kind != ADDRESS_GROUP_START;
	}
	buf_put(out, SLICE("\r\n"));
}

void
build_field_date(struct buf *out, struct slice name, int64_t epoch_s)
{
	buf_put(out, name);
	buf_put(out, SLICE(": "));
	date_put(out, epoch_s, 0);
	buf_put(out, SLICE("\r\n"));
}

void
build_field_message_id(struct buf *out, struct house *h, struct slice domain, char id[BUILD_MESSAGE_ID_MAX])
{
	char ulid[ULID_LEN + 1], both[BUILD_MESSAGE_ID_MAX];

	house_ulid(h, ulid);
	(void)snprintf(both, sizeof(both), "%s@%.*s", ulid, (int)(domain.n > 255 ? 255 : domain.n),
	    domain.n == 0 ? "" : (const char *)domain.p);
	buf_printf(out, "Message-ID: <%s>\r\n", both);
	if (id != NULL)
		memcpy(id, both, sizeof(both));
}

void
build_boundary(struct house *h, char out[BUILD_BOUNDARY_MAX])
{
	/* "=_" occurs in no quoted-printable or base64 text (RFC 2045 §6.7). */
	(void)snprintf(out, BUILD_BOUNDARY_MAX, "=_%016llx%016llx", (unsigned long long)house_random_u64(h),
	    (unsigned long long)house_random_u64(h));
}

void
build_text_body(struct buf *out, struct slice utf8)
{
	enum encoding e = encoding_choose(utf8);

	buf_printf(out, "Content-Type: text/plain; charset=%s\r\n", slice_is_ascii(utf8) ? "us-ascii" : "utf-8");
	buf_printf(out, "Content-Transfer-Encoding: %s\r\n\r\n", encoding_name(e));
	encoding_encode(e, utf8, out);
	if (utf8.n > 0 && !slice_ends(buf_slice(out), SLICE("\r\n")))
		buf_put(out, SLICE("\r\n"));
}

static void
put_ids(struct buf *out, struct slice name, struct slice_list ids)
{
	BUF_CLEANUP struct buf b;

	if (ids.n == 0)
		return;
	buf_init(&b, out->max);
	for (size_t i = 0; i < ids.n; i++) {
		buf_put(&b, SLICE(" <"));
		for (size_t k = 0; k < ids.v[i].n; k++)
			if (slice_at(ids.v[i], k) > ' ' && strchr("<>", slice_at(ids.v[i], k)) == NULL)
				buf_put_u8(&b, slice_at(ids.v[i], k));
		buf_put_u8(&b, '>');
	}
	build_field_raw(out, name, buf_slice(&b));
	if (b.err != 0 && out->err == 0)
		out->err = b.err;
}

int
build_message(struct house *h, const struct build_message *m, struct buf *out)
{
	struct slice_list reply = {&m->in_reply_to, m->in_reply_to.n > 0 ? 1 : 0};

	build_field_date(out, SLICE("Date"), house_now_s(h));
	if (m->from != NULL)
		build_field_addresses(out, SLICE("From"), m->from);
	if (m->to != NULL)
		build_field_addresses(out, SLICE("To"), m->to);
	if (m->cc != NULL)
		build_field_addresses(out, SLICE("Cc"), m->cc);
	build_field(out, SLICE("Subject"), m->subject);
	build_field_message_id(out, h, m->message_id_domain, NULL);
	put_ids(out, SLICE("In-Reply-To"), reply);
	put_ids(out, SLICE("References"), m->references);
	for (size_t i = 0; i < m->extra.n; i++) {
		struct slice value = m->extra.v[i], name = slice_cut(&value, ':');

		if (header_name_is_valid(name))
			build_field_raw(out, name, value);
	}
	buf_put(out, SLICE("MIME-Version: 1.0\r\n"));
	build_text_body(out, m->text);
	return out->err;
}
