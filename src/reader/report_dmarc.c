#include "reader/report_dmarc.h"

#include <expat.h>

#define METHODS_MAX 20 /* results of one record that are told */
#define RECORD_ARENA_BYTES ((size_t)4 << 20)

/* What is done with an element. */
enum use {
	USE_LIST,
	USE_ORGANISATION,
	USE_CONTACT,
	USE_REPORT_ID,
	USE_BEGIN,
	USE_END,
	USE_DOMAIN,
	USE_POLICY_LINE,
	USE_RECORD,
	USE_SOURCE,
	USE_COUNT,
	USE_DISPOSITION,
	USE_ALIGNED_DKIM,
	USE_ALIGNED_SPF,
	USE_REASON,
	USE_COMMENT,
	USE_HEADER_FROM,
	USE_ROW_LINE,
	USE_DKIM,
	USE_SPF,
	USE_METHOD_DOMAIN,
	USE_METHOD_SCOPE,
	USE_METHOD_RESULT,
	USE_METHOD_HUMAN
};

enum element {
	ELEMENT_NONE, /* what everything stands in */
#define ELEMENT(id, in, name, use) ELEMENT_##id,
#include "reader/report_dmarc_elements.def"
#undef ELEMENT
	ELEMENT_COUNT
};

static const struct {
	enum element in;
	const char *name;
	enum use use;
} elements[ELEMENT_COUNT] = {
#define ELEMENT(id, in, name, use) [ELEMENT_##id] = {ELEMENT_##in, name, USE_##use},
#include "reader/report_dmarc_elements.def"
#undef ELEMENT
};

struct method {
	struct slice domain, scope, result, human;
};

/* The record that is being read. */
struct record {
	struct slice source, domain, outcome;
	int64_t count;
	bool dkim, spf;
	struct slice passed[METHODS_MAX]; /* domains that have authenticated the messages */
	size_t passed_n;
	struct method method;
	size_t methods;
	struct buf detail;
};

struct report_dmarc {
	struct report *r;
	XML_Parser parser;
	enum element at;
	int64_t depth, unknown, seen; /* unknown: how deep within an element that nobody knows; seen: elements */
	bool complete;                /* its last tag was read: what follows does not count */
	bool in_record;
	int err;
	struct slice domain; /* of the first record, where the policy has none */
	struct record record;
	struct arena scratch, *kept; /* a record's texts lie in `scratch`, which is then r->a in the place of `kept` */
	struct buf text;
};

static void
fail(struct report_dmarc *d, int err)
{
	if (d->err == 0)
		d->err = err;
	(void)XML_StopParser(d->parser, XML_FALSE);
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* One of some words, in lower case, or `otherwise`. */
static struct slice
word_of(struct slice value, const struct slice *words, size_t n, struct slice otherwise)
{
	for (size_t i = 0; i < n; i++)
		if (slice_ieq(value, words[i]))
			return words[i];
	return otherwise;
}

static struct slice
disposition_of(struct slice value)
{
	static const struct slice words[] = {
	    SLICE_INIT("none"), SLICE_INIT("quarantine"), SLICE_INIT("reject"), SLICE_INIT("pass")};

	return word_of(value, words, COUNT_OF(words), SLICE("unknown"));
}

static int64_t
count_of(struct slice value)
{
	uint64_t v;

	return slice_to_u64(value, REPORT_COUNT_MAX, &v) == 0 ? (int64_t)v : -1;
}

static void
end_method(struct report_dmarc *d, bool dkim)
{
	struct record *w = &d->record;
	struct method m = w->method;

	w->method = (struct method){.domain = SLICE_EMPTY};
	if (w->methods++ >= METHODS_MAX)
		return;
	if (slice_ieq(m.result, SLICE("pass")))
		w->passed[w->passed_n++] = report_domain(d->r, m.domain);
	report_put(d->r, &w->detail, dkim ? "dkim_domain" : "spf_domain", m.domain);
	report_put(d->r, &w->detail, dkim ? "dkim_selector" : "spf_scope", m.scope);
	report_put(d->r, &w->detail, dkim ? "dkim_result" : "spf_result", m.result);
	report_put(d->r, &w->detail, dkim ? "dkim_detail" : "spf_detail", m.human);
}

/* ---- records --------------------------------------------------------------------------------------------------- */

static void
begin_record(struct report_dmarc *d)
{
	struct record *w = &d->record;
	struct buf detail = w->detail;

	buf_reset(&detail);
	*w = (struct record){.count = -1, .outcome = SLICE("unknown"), .detail = detail};
	d->in_record = true;
	d->kept = d->r->a;
	d->r->a = &d->scratch;
}

static struct slice
means_of(const struct record *w)
{
	return w->dkim && w->spf ? SLICE("spf dkim") : w->dkim ? SLICE("dkim") : w->spf ? SLICE("spf") : SLICE_EMPTY;
}

/* One is the other, or a name below it. */
static bool
is_below(struct slice name, struct slice top)
{
	return slice_eq(name, top) ||
	    (name.n > top.n && slice_ends(name, top) && slice_at(name, name.n - top.n - 1) == '.');
}

/* Who sent it: a domain that has authenticated the messages, rather another than that of their From. */
static struct slice
who_of(const struct record *w)
{
	struct slice any = SLICE_EMPTY;

	for (size_t i = 0; i < w->passed_n; i++) {
		struct slice p = w->passed[i];

		if (p.n > 0 && !is_below(p, w->domain) && !is_below(w->domain, p))
			return p;
		if (any.n == 0)
			any = p;
	}
	return any;
}

/* A record without a sound address or count is none; empty ones are common. */
static int
end_record(struct report_dmarc *d)
{
	struct record *w = &d->record;
	struct report_row row = {.domain = w->domain,
	    .source = w->source,
	    .count = w->source.n == 0 ? -1 : w->count,
	    .outcome = w->outcome,
	    .means = means_of(w),
	    .who = who_of(w),
	    .detail = buf_slice(&w->detail)};
	int e;

	d->in_record = false;
	d->r->a = d->kept;
	if (arena_failed(&d->scratch))
		return report_refuse(d->r, "a record of the report is too large");
	if (d->domain.n == 0 && w->domain.n > 0)
		d->domain = arena_copy(d->r->a, w->domain);
	e = report_add(d->r, &row);
	arena_reset(&d->scratch);
	return e;
}

static void
use_in_method(struct report_dmarc *d, enum use use, struct slice text)
{
	struct method *m = &d->record.method;

	if (d->record.methods >= METHODS_MAX)
		return;
	switch (use) {
	case USE_METHOD_DOMAIN: m->domain = report_text(d->r, text); break;
	case USE_METHOD_SCOPE: m->scope = report_text(d->r, text); break;
	case USE_METHOD_RESULT: m->result = report_text(d->r, text); break;
	default: m->human = report_text(d->r, text); break;
	}
}

static int
use_in_record(struct report_dmarc *d, enum use use, const char *name, struct slice text)
{
	struct record *w = &d->record;

	switch (use) {
	case USE_SOURCE: w->source = report_address(d->r, text); break;
	case USE_COUNT: w->count = count_of(text); break;
	case USE_DISPOSITION: w->outcome = disposition_of(text); break;
	case USE_ALIGNED_DKIM: w->dkim = slice_ieq(text, SLICE("pass")); break;
	case USE_ALIGNED_SPF: w->spf = slice_ieq(text, SLICE("pass")); break;
	case USE_REASON: report_put(d->r, &w->detail, "reason", text); break;
	case USE_COMMENT: report_put(d->r, &w->detail, "comment", text); break;
	case USE_HEADER_FROM: w->domain = report_domain(d->r, text); break;
	case USE_ROW_LINE: report_put(d->r, &w->detail, name, text); break;
	case USE_METHOD_DOMAIN:
	case USE_METHOD_SCOPE:
	case USE_METHOD_RESULT:
	case USE_METHOD_HUMAN: use_in_method(d, use, text); break;
	case USE_DKIM: end_method(d, true); break;
	case USE_SPF: end_method(d, false); break;
	case USE_RECORD: return end_record(d);
	default: break;
	}
	return 0;
}

static void
use_in_head(struct report_dmarc *d, enum use use, const char *name, struct slice text)
{
	struct report *r = d->r;

	switch (use) {
	case USE_ORGANISATION: r->organisation = report_text(r, text); break;
	case USE_CONTACT: r->contact = report_text(r, text); break;
	case USE_REPORT_ID: r->id = report_text(r, text); break;
	case USE_BEGIN: r->begin_s = report_time(text); break;
	case USE_END: r->end_s = report_time(text); break;
	case USE_DOMAIN: r->domain = report_domain(r, text); break;
	case USE_POLICY_LINE: report_put(r, &r->policy, name, text); break;
	default: break;
	}
}

/* ---- what the parser tells -------------------------------------------------------------------------------------- */

/* Without the prefix of a namespace. */
static struct slice
local_name(const XML_Char *name)
{
	struct slice s = slice_z(name);
	size_t colon = slice_rfind_byte(s, ':');

	return colon == SLICE_NONE ? s : slice_from(s, colon + 1);
}

static enum element
find_element(enum element in, struct slice name)
{
	for (enum element e = ELEMENT_NONE + 1; e < ELEMENT_COUNT; e++)
		if (elements[e].in == in && slice_ieq(name, slice_z(elements[e].name)))
			return e;
	return ELEMENT_NONE;
}

static void XMLCALL
on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct report_dmarc *d = arg;
	enum element e;

	(void)attributes;
	buf_reset(&d->text);
	if (++d->depth > d->r->limits->report_depth || ++d->seen > d->r->limits->report_elements) {
		fail(d,
		    report_refuse(d->r, "the XML has %s",
			d->depth > d->r->limits->report_depth ? "too many levels" : "too many elements"));
		return;
	}
	if (d->unknown > 0 || (e = find_element(d->at, local_name(name))) == ELEMENT_NONE) {
		if (d->at == ELEMENT_NONE)
			fail(d, report_refuse(d->r, "the XML is no DMARC report"));
		d->unknown++;
		return;
	}
	d->at = e;
	if (elements[e].use == USE_RECORD)
		begin_record(d);
}

static void XMLCALL
on_end(void *arg, const XML_Char *name)
{
	struct report_dmarc *d = arg;
	struct slice text = slice_trim(buf_slice(&d->text));
	enum element e = d->at;
	int err = 0;

	(void)name;
	d->depth--;
	if (d->unknown > 0) {
		d->unknown--;
		return;
	}
	if (d->in_record)
		err = use_in_record(d, elements[e].use, elements[e].name, text);
	else
		use_in_head(d, elements[e].use, elements[e].name, text);
	if (err == 0 && !d->in_record && arena_failed(d->r->a))
		err = ERR_NOMEM;
	buf_reset(&d->text);
	d->at = elements[e].in;
	d->complete = d->at == ELEMENT_NONE;
	if (err != 0)
		fail(d, err);
}

static void XMLCALL
on_text(void *arg, const XML_Char *s, int n)
{
	struct report_dmarc *d = arg;

	if (d->unknown == 0 && elements[d->at].use != USE_LIST)
		buf_put(&d->text, slice_head(slice_of(s, (size_t)n), d->text.max - d->text.n));
}

/* Entities can only come from a document type, so that nothing multiplies and nothing else is opened. */
static void XMLCALL
on_doctype(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public, int has_internal_subset)
{
	struct report_dmarc *d = arg;

	(void)name;
	(void)system;
	(void)public;
	(void)has_internal_subset;
	fail(d, report_refuse(d->r, "the XML has a document type, which no report has"));
}

/* Single-byte charsets that are not built in: beyond ASCII nobody knows. */
static int XMLCALL
on_charset(void *arg, const XML_Char *name, XML_Encoding *info)
{
	(void)arg;
	(void)name;
	for (int i = 0; i < 256; i++)
		info->map[i] = i < 128 ? i : 0xfffd;
	info->data = NULL;
	info->convert = NULL;
	info->release = NULL;
	return XML_STATUS_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

int
report_dmarc_new(struct report_dmarc **out, struct report *r)
{
	struct report_dmarc *d = calloc(1, sizeof(*d));

	*out = NULL;
	if (d == NULL || (d->parser = XML_ParserCreate(NULL)) == NULL) {
		free(d);
		return ERR_NOMEM;
	}
	d->r = r;
	buf_init(&d->text, (size_t)r->limits->report_text_bytes);
	buf_init(&d->record.detail, REPORT_ROW_DETAIL_MAX);
	arena_init(&d->scratch, RECORD_ARENA_BYTES);
	(void)XML_SetHashSalt(d->parser, (unsigned long)(r->salt | 1));
	XML_SetUserData(d->parser, d);
	XML_SetElementHandler(d->parser, on_start, on_end);
	XML_SetCharacterDataHandler(d->parser, on_text);
	XML_SetStartDoctypeDeclHandler(d->parser, on_doctype);
	XML_SetUnknownEncodingHandler(d->parser, on_charset, NULL);
	*out = d;
	return 0;
}

void
report_dmarc_free(struct report_dmarc **dp)
{
	struct report_dmarc *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	if (d->in_record)
		d->r->a = d->kept;
	arena_free(&d->scratch);
	XML_ParserFree(d->parser);
	buf_free(&d->text);
	buf_free(&d->record.detail);
	free(d);
}

static int
parse(struct report_dmarc *d, struct slice xml, bool last)
{
	enum XML_Error e;

	if (d->complete || d->err != 0)
		return d->err;
	if (XML_Parse(d->parser, (const char *)xml.p, (int)xml.n, last) != XML_STATUS_ERROR || d->complete)
		return d->err;
	if (d->err != 0)
		return d->err;
	e = XML_GetErrorCode(d->parser);
	if (e == XML_ERROR_NO_MEMORY)
		return d->err = ERR_NOMEM;
	return d->err = report_refuse(d->r, "the XML is damaged in line %lu: %s",
		   (unsigned long)XML_GetCurrentLineNumber(d->parser), XML_ErrorString(e));
}

int
report_dmarc_feed(struct report_dmarc *d, struct slice xml)
{
	int e = 0;

	while (e == 0 && xml.n > 0) {
		struct slice piece = slice_head(xml, 1 << 20);

		e = parse(d, piece, false);
		xml = slice_from(xml, piece.n);
	}
	return e;
}

/* What is missing in reports of the world. */
static void
fill(struct report *r)
{
	if (r->id.n == 0)
		r->id = arena_printf(r->a, "%lld-%lld", (long long)r->begin_s, (long long)r->end_s);
	if (r->organisation.n == 0)
		r->organisation = r->contact;
	for (size_t i = 0; i < r->n; i++)
		if (r->rows[i].domain.n == 0)
			r->rows[i].domain = r->domain;
}

int
report_dmarc_end(struct report_dmarc *d)
{
	struct report *r = d->r;
	int e = parse(d, SLICE(""), true);

	if (e != 0)
		return e;
	if (r->domain.n == 0)
		r->domain = d->domain;
	if (r->domain.n == 0)
		return report_refuse(r, "the report does not say which domain it is about");
	if (r->organisation.n == 0 && r->contact.n == 0 && r->id.n == 0)
		return report_refuse(r, "the report does not say whose it is");
	if (r->begin_s == 0 || r->end_s < r->begin_s)
		return report_refuse(r, "the report does not say which days it is about");
	fill(r);
	r->kind = REPORT_DMARC;
	return arena_failed(r->a) ? ERR_NOMEM : 0;
}
