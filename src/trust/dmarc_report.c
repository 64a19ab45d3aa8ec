#include "trust/dmarc_report.h"

/* ---- what is remembered ------------------------------------------------------------------------------------------ */

bool
dmarc_report_wanted(const struct assessment *r)
{
	return (r->dmarc.result == TRUST_PASS || r->dmarc.result == TRUST_FAIL) && r->dmarc.record.rua.n > 0;
}

/* One line; what could end it is left out, and what is no text becomes a question mark. */
static void
put_line(struct buf *out, const char *name, struct slice value)
{
	bool utf8 = slice_is_utf8(value, true);

	buf_printf(out, "%s=", name);
	for (size_t i = 0; i < value.n && i < 300; i++) {
		uint8_t c = slice_at(value, i);

		buf_put_u8(out, c < 32 || c == 127 || (c >= 0x80 && (!utf8 || value.n > 300)) ? '?' : c);
	}
	buf_put_u8(out, '\n');
}

static const char *
pass_or_fail(bool passed)
{
	return passed ? "pass" : "fail";
}

static bool
dkim_passed(const struct assessment *r)
{
	for (size_t i = 0; i < r->dkim.n; i++)
		if (r->signatures[i].aligned && r->dkim.v[i].result == TRUST_PASS)
			return true;
	return false;
}

static struct slice
domain_of(struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');

	return at == SLICE_NONE ? address : slice_from(address, at + 1);
}

static void
put_signatures(const struct assessment *r, struct buf *out)
{
	for (size_t i = 0; i < r->dkim.n && i < DMARC_REPORT_SIGNATURES_MAX; i++) {
		const struct dkim_result *d = &r->dkim.v[i];

		if (d->domain.n == 0)
			continue;
		put_line(out, "dkim_domain", d->domain);
		put_line(out, "dkim_selector", d->selector);
		put_line(out, "dkim_result", slice_z(trust_result_name(d->result)));
	}
}

void
dmarc_report_put_row(const struct assess_question *q, const struct assessment *r, struct buf *out)
{
	bool passed = r->dmarc.result == TRUST_PASS;
	char client[NET_ADDRESS_TEXT_MAX];

	net_address_text(&q->client, client);
	put_line(out, "source_ip", slice_z(client));
	put_line(out, "disposition",
	    slice_z(
		passed && r->dmarc.policy != DMARC_POLICY_NONE ? "pass" : dmarc_policy_name(assess_disposition(r))));
	put_line(out, "dkim", slice_z(pass_or_fail(dkim_passed(r))));
	put_line(out, "spf", slice_z(pass_or_fail(r->dmarc.spf_aligned && r->spf.result == TRUST_PASS)));
	if (r->override != ASSESS_AS_ASKED) {
		put_line(out, "reason", slice_z(assess_override_name(r->override)));
		put_line(out, "comment", slice_z(r->override_comment));
	}
	put_line(out, "header_from", r->dmarc.author);
	put_line(out, "envelope_from", domain_of(q->sender));
	put_signatures(r, out);
	put_line(out, "spf_domain", r->spf.domain);
	put_line(out, "spf_result", slice_z(trust_result_name(r->spf.result)));
}

static void
put_failures(unsigned bits, struct buf *out)
{
	static const struct {
		unsigned bit;
		char letter;
	} letters[] = {
	    {DMARC_FAILURE_ALL, '0'}, {DMARC_FAILURE_ANY, '1'}, {DMARC_FAILURE_DKIM, 'd'}, {DMARC_FAILURE_SPF, 's'}};
	bool any = false;

	buf_put_z(out, "fo=");
	for (size_t i = 0; i < COUNT_OF(letters); i++) {
		if ((bits & letters[i].bit) == 0)
			continue;
		if (any)
			buf_put_u8(out, ':');
		buf_put_u8(out, (uint8_t)letters[i].letter);
		any = true;
	}
	buf_put_u8(out, '\n');
}

void
dmarc_report_put_policy(const struct dmarc_result *d, struct buf *out)
{
	const struct dmarc_record *p = &d->record;

	put_line(out, "p", slice_z(dmarc_policy_name(p->p)));
	put_line(out, "sp", slice_z(dmarc_policy_name(p->sp)));
	put_line(out, "np", slice_z(dmarc_policy_name(p->np)));
	put_line(out, "adkim", slice_z(p->dkim_strict ? "s" : "r"));
	put_line(out, "aspf", slice_z(p->spf_strict ? "s" : "r"));
	put_failures(p->failures, out);
	put_line(out, "testing", slice_z(p->testing ? "y" : "n"));
}

/* ---- where it goes -------------------------------------------------------------------------------------------------- */

/* What the other organisation says to reports about this domain (§4): 0 with the address, its own instead of ours if it wants; ERR_NOTFOUND. */
static int
ask_other(
    const struct trust_dns *dns, struct arena *a, struct slice policy_domain, struct slice host, struct slice *address)
{
	struct slice name = arena_printf(a, "%.*s._report._dmarc.%.*s", SLICE_ARG(policy_domain), SLICE_ARG(host));
	struct trust_answer answer;
	struct dmarc_record record;
	int e = name.n == 0 ? ERR_NOMEM : trust_dns_ask(dns, name, TRUST_DNS_TXT, a, &answer);

	if (e != 0)
		return e;
	if (answer.status == TRUST_DNS_TEMPORARY)
		return ERR_UNAVAILABLE;
	for (size_t i = 0; answer.status == TRUST_DNS_FOUND && i < answer.n; i++) {
		e = dmarc_record_parse(a, answer.v[i].data, &record);
		if (e == ERR_NOTFOUND)
			continue;
		if (e != 0)
			return e;
		if (record.rua.n > 0)
			*address = record.rua.v[0];
		/* It may choose another mailbox, but not one elsewhere. */
		return slice_ieq(domain_of(*address), host) ? 0 : ERR_NOTFOUND;
	}
	return ERR_NOTFOUND;
}

static int
check_destination(const struct trust_dns *dns, struct arena *a, struct slice policy_domain, struct slice *address)
{
	struct slice host = domain_of(*address), own, other;
	bool found;
	int e;

	if (slice_ieq(host, policy_domain))
		return 0;
	e = dmarc_organisation(dns, a, policy_domain, &own, &found);
	if (e == 0)
		e = dmarc_organisation(dns, a, host, &other, &found);
	if (e != 0)
		return e;
	return slice_ieq(own, other) ? 0 : ask_other(dns, a, policy_domain, host, address);
}

int
dmarc_report_destinations(const struct trust_dns *dns, struct arena *a, struct slice policy_domain,
    struct slice_list addresses, struct slice_list *out)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, addresses.n + 1);
	size_t n = 0;

	*out = (struct slice_list){v, 0};
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < addresses.n; i++) {
		struct slice address = addresses.v[i];
		int e = check_destination(dns, a, policy_domain, &address);

		if (e != 0 && e != ERR_NOTFOUND)
			return e;
		if (e == 0)
			v[n++] = address;
	}
	out->n = n;
	return 0;
}

/* ---- the file ---------------------------------------------------------------------------------------------------------- */

static void
put_text(struct buf *out, struct slice s)
{
	bool utf8 = slice_is_utf8(s, true);

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '<')
			buf_put_z(out, "&lt;");
		else if (c == '>')
			buf_put_z(out, "&gt;");
		else if (c == '&')
			buf_put_z(out, "&amp;");
		else
			buf_put_u8(out, c < 32 || c == 127 || (c >= 0x80 && !utf8) ? '?' : c);
	}
}

static void
put_element(struct buf *out, int depth, const char *name, struct slice value)
{
	buf_printf(out, "%*s<%s>", 2 * depth, "", name);
	put_text(out, value);
	buf_printf(out, "</%s>\n", name);
}

static void
put_number(struct buf *out, int depth, const char *name, int64_t value)
{
	buf_printf(out, "%*s<%s>%lld</%s>\n", 2 * depth, "", name, (long long)value, name);
}

/* The value of the first line of that name, or empty. */
static struct slice
line_value(struct slice lines, const char *name)
{
	while (lines.p != NULL) {
		struct slice value = slice_cut(&lines, '\n'), key = slice_cut(&value, '=');

		if (slice_eq(key, slice_z(name)))
			return value;
	}
	return SLICE_EMPTY;
}

static bool
is_one_of(struct slice value, const char *words)
{
	struct slice rest = slice_z(words);

	while (rest.p != NULL)
		if (slice_eq(value, slice_cut(&rest, ' ')))
			return true;
	return false;
}

#define POLICIES "none quarantine reject"
#define RESULTS "none neutral pass fail softfail policy temperror permerror"
#define REASONS "local_policy mailing_list other policy_test_mode trusted_forwarder"

/* What the schema wants of a row. */
static bool
is_sound(struct slice row)
{
	struct slice reason = line_value(row, "reason");

	return line_value(row, "source_ip").n > 0 && is_one_of(line_value(row, "disposition"), POLICIES " pass") &&
	    is_one_of(line_value(row, "dkim"), "pass fail") && is_one_of(line_value(row, "spf"), "pass fail") &&
	    (reason.n == 0 || is_one_of(reason, REASONS)) && line_value(row, "header_from").n > 0 &&
	    is_one_of(line_value(row, "spf_result"), RESULTS);
}

static void
put_signature(struct buf *out, struct slice domain, struct slice selector, struct slice result)
{
	if (domain.n == 0 || selector.n == 0 || !is_one_of(result, RESULTS))
		return;
	buf_put_z(out, "      <dkim>\n");
	put_element(out, 4, "domain", domain);
	put_element(out, 4, "selector", selector);
	/* A word of SPF's only. */
	put_element(out, 4, "result", slice_eq(result, SLICE("softfail")) ? SLICE("fail") : result);
	buf_put_z(out, "      </dkim>\n");
}

static void
put_results(struct buf *out, struct slice row)
{
	struct slice lines = row, domain = SLICE_EMPTY, selector = SLICE_EMPTY;

	buf_put_z(out, "    <auth_results>\n");
	while (lines.p != NULL) {
		struct slice value = slice_cut(&lines, '\n'), key = slice_cut(&value, '=');

		if (slice_eq(key, SLICE("dkim_domain")))
			domain = value;
		else if (slice_eq(key, SLICE("dkim_selector")))
			selector = value;
		else if (slice_eq(key, SLICE("dkim_result")))
			put_signature(out, domain, selector, value);
	}
	buf_put_z(out, "      <spf>\n");
	put_element(out, 4, "domain", line_value(row, "spf_domain"));
	put_element(out, 4, "scope", SLICE("mfrom"));
	put_element(out, 4, "result", line_value(row, "spf_result"));
	buf_put_z(out, "      </spf>\n    </auth_results>\n");
}

static void
put_record(struct buf *out, const struct dmarc_report_row *r)
{
	struct slice reason = line_value(r->text, "reason"), envelope_from = line_value(r->text, "envelope_from");

	buf_put_z(out, "  <record>\n    <row>\n");
	put_element(out, 3, "source_ip", line_value(r->text, "source_ip"));
	put_number(out, 3, "count", r->count);
	buf_put_z(out, "      <policy_evaluated>\n");
	put_element(out, 4, "disposition", line_value(r->text, "disposition"));
	put_element(out, 4, "dkim", line_value(r->text, "dkim"));
	put_element(out, 4, "spf", line_value(r->text, "spf"));
	if (reason.n > 0) {
		buf_put_z(out, "        <reason>\n");
		put_element(out, 5, "type", reason);
		put_element(out, 5, "comment", line_value(r->text, "comment"));
		buf_put_z(out, "        </reason>\n");
	}
	buf_put_z(out, "      </policy_evaluated>\n    </row>\n    <identifiers>\n");
	put_element(out, 3, "header_from", line_value(r->text, "header_from"));
	if (envelope_from.n > 0)
		put_element(out, 3, "envelope_from", envelope_from);
	buf_put_z(out, "    </identifiers>\n");
	put_results(out, r->text);
	buf_put_z(out, "  </record>\n");
}

static void
put_policy(struct buf *out, const struct dmarc_report *r)
{
	static const struct {
		const char *name, *words;
	} tags[] = {
	    {"p", POLICIES}, {"sp", POLICIES}, {"np", POLICIES}, {"adkim", "r s"}, {"aspf", "r s"}, {"testing", "n y"}};
	struct slice fo = line_value(r->policy, "fo");

	buf_put_z(out, "  <policy_published>\n");
	put_element(out, 2, "domain", r->domain);
	for (size_t i = 0; i < COUNT_OF(tags); i++) {
		struct slice value = line_value(r->policy, tags[i].name);

		if (is_one_of(value, tags[i].words))
			put_element(out, 2, tags[i].name, value);
	}
	if (fo.n > 0)
		put_element(out, 2, "fo", fo);
	put_element(out, 2, "discovery_method", SLICE("treewalk"));
	buf_put_z(out, "  </policy_published>\n");
}

size_t
dmarc_report_put_xml(const struct dmarc_report *r, struct buf *out)
{
	size_t written = 0;

	buf_put_z(out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n  <version>1.0</version>\n"
	    "  <report_metadata>\n");
	put_element(out, 2, "org_name", r->organisation);
	put_element(out, 2, "email", r->email);
	put_element(out, 2, "report_id", r->id);
	buf_put_z(out, "    <date_range>\n");
	put_number(out, 3, "begin", r->begin_s);
	put_number(out, 3, "end", r->end_s);
	buf_put_z(out, "    </date_range>\n    <generator>Posthouse</generator>\n  </report_metadata>\n");
	put_policy(out, r);
	for (size_t i = 0; i < r->rows_n; i++) {
		if (!is_sound(r->rows[i].text))
			continue;
		put_record(out, &r->rows[i]);
		written++;
	}
	buf_put_z(out, "</feedback>\n");
	return written;
}
