#include "trust/failure_report.h"

#define SIGNATURES_MAX 10
#define VALUE_MAX 900u /* of a line */

/* ---- whether ------------------------------------------------------------------------------------------------------ */

static bool
dkim_passed(const struct assessment *r)
{
	for (size_t i = 0; i < r->dkim.n; i++)
		if (r->signatures[i].aligned && r->dkim.v[i].result == TRUST_PASS)
			return true;
	return false;
}

static bool
spf_passed(const struct assessment *r)
{
	return r->dmarc.spf_aligned && r->spf.result == TRUST_PASS;
}

static bool
spf_failed(const struct assessment *r)
{
	return r->spf.result == TRUST_FAIL || r->spf.result == TRUST_SOFTFAIL;
}

static bool
signature_failed(const struct assessment *r)
{
	for (size_t i = 0; i < r->dkim.n; i++)
		if (r->dkim.v[i].result == TRUST_FAIL)
			return true;
	return false;
}

bool
failure_report_wanted(const struct assess_question *q, const struct assessment *r)
{
	const struct dmarc_record *p = &r->dmarc.record;
	const struct header_field *type = header_find(dkim_reader_header(q->reader), SLICE("Content-Type"));
	bool dkim, spf;

	if ((r->dmarc.result != TRUST_PASS && r->dmarc.result != TRUST_FAIL) || p->ruf.n == 0 ||
	    p->psd == DMARC_PSD_YES)
		return false;
	/* A report that fails here must not lead to a report of that. */
	if (type != NULL && slice_istarts(slice_trim(type->value), SLICE("multipart/report")))
		return false;
	dkim = dkim_passed(r);
	spf = spf_passed(r);
	return ((p->failures & DMARC_FAILURE_ALL) != 0 && !dkim && !spf) ||
	    ((p->failures & DMARC_FAILURE_ANY) != 0 && (!dkim || !spf)) ||
	    ((p->failures & DMARC_FAILURE_DKIM) != 0 && signature_failed(r)) ||
	    ((p->failures & DMARC_FAILURE_SPF) != 0 && spf_failed(r));
}

/* ---- fields --------------------------------------------------------------------------------------------------------- */

/* One line of ASCII: what strangers chose cannot end it. */
static void
put_field(struct buf *out, const char *name, struct slice value)
{
	buf_printf(out, "%s: ", name);
	for (size_t i = 0; i < value.n && i < VALUE_MAX; i++) {
		uint8_t c = slice_at(value, i);

		buf_put_u8(out, c < 32 || c > 126 ? '?' : c);
	}
	buf_put_z(out, "\r\n");
}

static const char *
delivery_result(const struct assessment *r)
{
	if (r->verdict == ASSESS_REFUSE || r->verdict == ASSESS_REFUSE_SPF)
		return "reject";
	return r->verdict == ASSESS_TO_JUNK ? "spam" : "delivered";
}

static void
put_signatures(const struct assessment *r, struct buf *out)
{
	/* The fields may be there once (RFC 6591 §3.2): the first aligned signature that did not pass. */
	for (size_t i = 0; i < r->dkim.n && i < SIGNATURES_MAX; i++) {
		const struct dkim_result *d = &r->dkim.v[i];

		if (!r->signatures[i].aligned || d->result == TRUST_PASS || d->domain.n == 0)
			continue;
		put_field(out, "DKIM-Domain", d->domain);
		buf_put_z(out, "DKIM-Identity: @");
		buf_put(out, d->domain);
		buf_put_z(out, "\r\n");
		put_field(out, "DKIM-Selector", d->selector);
		return;
	}
}

/* The record that SPF failed by; its answer is in the cache. */
static int
put_spf(const struct assess_question *q, const struct assessment *r, struct arena *a, struct buf *out)
{
	struct trust_answer answer;
	int e;

	if (!r->dmarc.spf_aligned || spf_passed(r) || r->spf.domain.n == 0)
		return 0;
	e = trust_dns_ask(&q->dns, r->spf.domain, TRUST_DNS_TXT, a, &answer);
	for (size_t i = 0; e == 0 && answer.status == TRUST_DNS_FOUND && i < answer.n; i++)
		if (slice_istarts(answer.v[i].data, SLICE("v=spf1")) &&
		    slice_find_byte(answer.v[i].data, '"') == SLICE_NONE) {
			put_field(out, "SPF-DNS",
			    arena_printf(a, "txt : %.*s : \"%.*s\"", SLICE_ARG(r->spf.domain),
				SLICE_ARG(slice_head(answer.v[i].data, 500))));
			break;
		}
	return e == ERR_UNAVAILABLE ? 0 : e;
}

int
failure_report_put_fields(
    const struct assess_question *q, const struct assessment *r, struct arena *a, const char *version, struct buf *out)
{
	const struct header_field *id = header_find(dkim_reader_header(q->reader), SLICE("Message-ID"));
	char client[NET_ADDRESS_TEXT_MAX];
	bool dkim = dkim_passed(r), spf = spf_passed(r);
	int e;

	net_address_text(&q->client, client);
	buf_printf(out,
	    "Feedback-Type: auth-failure\r\nUser-Agent: Posthouse/%s\r\nVersion: 1\r\nAuth-Failure: dmarc\r\n",
	    version);
	buf_printf(out, "Identity-Alignment: %s%s%s%s\r\n", dkim ? "" : "dkim", !dkim && !spf ? ", " : "",
	    spf ? "" : "spf", dkim && spf ? "none" : "");
	put_field(out, "Delivery-Result", slice_z(delivery_result(r)));
	put_field(out, "Source-IP", slice_z(client));
	put_field(out, "Reported-Domain", r->dmarc.author);
	if (q->sender.n > 0)
		put_field(out, "Original-Mail-From", arena_printf(a, "<%.*s>", SLICE_ARG(q->sender)));
	if (id != NULL)
		put_field(out, "Message-ID", slice_trim(id->value));
	put_signatures(r, out);
	e = put_spf(q, r, a, out);
	buf_put_z(out, "Authentication-Results: ");
	assess_put_results(q, r, out);
	buf_put_z(out, "\r\n");
	return e;
}

/* ---- the header ------------------------------------------------------------------------------------------------------ */

void
failure_report_put_header(const struct assess_question *q, struct buf *out)
{
	static const char *const shown[] = {"From", "Sender", "Reply-To", "Date", "Subject", "Message-ID",
	    "MIME-Version", "Content-Type", "List-Id", "DKIM-Signature"};
	const struct header *h = dkim_reader_header(q->reader);

	for (size_t i = 0; i < h->n; i++)
		for (size_t k = 0; k < COUNT_OF(shown); k++) {
			struct slice rest = h->v[i].raw;

			if (!slice_ieq(h->v[i].name, slice_z(shown[k])) ||
			    out->n + 2 * rest.n > FAILURE_REPORT_BYTES_MAX)
				continue;
			while (rest.n > 0) {
				struct slice line = slice_cut(&rest, '\n');

				if (slice_ends(line, SLICE("\r")))
					line = slice_head(line, line.n - 1);
				buf_put(out, line);
				buf_put_z(out, "\r\n");
			}
		}
}
