#include "reader/report_file.h"

#include "reader/report_dmarc.h"
#include "reader/report_tls.h"
#include "reader/report_unpack.h"

enum form { FORM_NONE, FORM_XML, FORM_JSON };

struct opened {
	struct report *r;
	enum form form;
	struct report_dmarc *dmarc;
	struct buf json;
};

static struct slice
without_space(struct slice s)
{
	while (s.n > 0 && ascii_is_space(slice_at(s, 0)))
		s = slice_from(s, 1);
	return s;
}

/* A byte order mark is XML's: nobody sends JSON in anything but UTF-8. */
static enum form
form_of(struct slice start)
{
	if (slice_starts(start, SLICE("\xff\xfe")) || slice_starts(start, SLICE("\xfe\xff")))
		return FORM_XML;
	if (slice_starts(start, SLICE("\xef\xbb\xbf")))
		start = slice_from(start, 3);
	start = without_space(start);
	if (slice_starts(start, SLICE("<")))
		return FORM_XML;
	return slice_starts(start, SLICE("{")) ? FORM_JSON : FORM_NONE;
}

bool
report_file_is(struct slice file)
{
	return report_is_gzip(file) || report_is_zip(file) || form_of(file) != FORM_NONE;
}

static int
take_piece(void *ctx, struct slice piece)
{
	struct opened *o = ctx;

	if (o->form == FORM_NONE) {
		/* The declaration of XML has to stand at the very front, and does not always. */
		if (slice_starts(piece, SLICE("\xef\xbb\xbf")))
			piece = slice_from(piece, 3);
		if ((piece = without_space(piece)).n == 0)
			return 0;
		o->form = form_of(piece);
		if (o->form == FORM_NONE)
			return report_refuse(o->r, "what is packed is neither XML nor JSON");
		if (o->form == FORM_XML && report_dmarc_new(&o->dmarc, o->r) != 0)
			return ERR_NOMEM;
	}
	if (o->form == FORM_XML)
		return report_dmarc_feed(o->dmarc, piece);
	buf_put(&o->json, piece);
	if (o->json.err == ERR_LIMIT)
		return report_refuse(o->r, "the JSON has more than %lld bytes, which no report has",
		    (long long)o->r->limits->report_json_bytes);
	return o->json.err;
}

int
report_file_read(struct report *r, struct slice file)
{
	struct opened o = {.r = r};
	int e;

	buf_init(&o.json, (size_t)r->limits->report_json_bytes);
	e = report_unpack(r, file, take_piece, &o);
	if (e == 0 && o.form == FORM_NONE)
		e = report_refuse(r, "the report is empty");
	if (e == 0)
		e = o.form == FORM_XML ? report_dmarc_end(o.dmarc) : report_tls_read(r, buf_slice(&o.json));
	report_dmarc_free(&o.dmarc);
	buf_free(&o.json);
	return e;
}
