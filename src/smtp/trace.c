#include "smtp/trace.h"

#include "message/address.h"
#include "message/date.h"

struct slice
smtp_protocol_name(struct smtp_protocol p)
{
	static const struct slice names[4][4] = {
	    {SLICE_INIT("ESMTP"), SLICE_INIT("ESMTPA"), SLICE_INIT("ESMTPS"), SLICE_INIT("ESMTPSA")},
	    {SLICE_INIT("LMTP"), SLICE_INIT("LMTPA"), SLICE_INIT("LMTPS"), SLICE_INIT("LMTPSA")},
	    {SLICE_INIT("UTF8SMTP"), SLICE_INIT("UTF8SMTPA"), SLICE_INIT("UTF8SMTPS"), SLICE_INIT("UTF8SMTPSA")},
	    {SLICE_INIT("UTF8LMTP"), SLICE_INIT("UTF8LMTPA"), SLICE_INIT("UTF8LMTPS"), SLICE_INIT("UTF8LMTPSA")}};

	if (!p.extended && !p.tls && !p.signed_in)
		return SLICE("SMTP");
	return names[(p.utf8 ? 2 : 0) + (p.lmtp ? 1 : 0)][(p.tls ? 2 : 0) + (p.signed_in ? 1 : 0)];
}

/* A client's word in a structured field: what could end it or begin a comment becomes a question mark. */
static void
put_clean(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		buf_put_u8(out, ascii_is_alnum(c) || (c != 0 && c < 127 && strchr(" .-_:[]/", c) != NULL) ? c : '?');
	}
}

void
smtp_received_put(struct buf *out, const struct smtp_received *r)
{
	buf_put_z(out, "Received: from ");
	if (r->helo.n == 0)
		buf_put_z(out, "unknown");
	put_clean(out, r->helo);
	if (r->client_literal.n > 0) {
		buf_put_z(out, " (");
		buf_put(out, r->client_literal);
		buf_put_z(out, ")");
	}
	if (r->remark.n > 0)
		buf_printf(out, " (%.*s)", SLICE_ARG(r->remark));
	buf_put_z(out, "\r\n\tby ");
	buf_put(out, r->hostname);
	buf_put_z(out, " with ");
	buf_put(out, r->protocol);
	if (r->tls.n > 0) {
		buf_put_z(out, " (");
		put_clean(out, r->tls);
		buf_put_z(out, ")");
	}
	buf_put_z(out, "\r\n\tid ");
	buf_put(out, r->id);
	if (r->recipient.n > 0) {
		size_t at = slice_rfind_byte(r->recipient, '@');

		buf_put_z(out, "\r\n\tfor <");
		/* Its local part came without its quotes, which here keep it from being anything else. */
		if (at != SLICE_NONE)
			address_put_spec(out, slice_head(r->recipient, at), slice_from(r->recipient, at + 1));
		else
			put_clean(out, r->recipient);
		buf_put_z(out, ">");
	}
	if (r->priority_given)
		buf_printf(out, "\r\n\tPRIORITY %lld", (long long)r->priority);
	buf_put_z(out, ";\r\n\t");
	date_put(out, r->time_s, 0);
	buf_put_z(out, "\r\n");
}
