#include "role/report_json.h"

const char *
report_json_kind(enum bus_report kind)
{
	switch (kind) {
	case REPORT_DMARC: return "dmarc";
	case REPORT_TLS: return "tls";
	case REPORT_FAILURE: return "failure";
	default: return "unreadable";
	}
}

static json_t *
text_of(struct slice s)
{
	return json_stringn(s.p == NULL ? "" : (const char *)s.p, s.n);
}

json_t *
report_json_lines(struct slice lines)
{
	json_t *v = json_array();

	while (lines.n > 0) {
		struct slice line = slice_cut(&lines, '\n');

		if (line.n > 0)
			(void)json_array_append_new(v, text_of(line));
	}
	return v;
}

static void
set(json_t *o, const char *key, struct slice s)
{
	(void)json_object_set_new(o, key, text_of(s));
}

json_t *
report_json_row(const struct report_json_row *w)
{
	bool tls = w->kind == REPORT_TLS, spf = slice_find(w->means, SLICE("spf")) != SLICE_NONE,
	     dkim = slice_find(w->means, SLICE("dkim")) != SLICE_NONE;
	json_t *o = json_object();

	set(o, tls ? "domain" : "header_from", w->domain);
	if (tls) {
		set(o, "policy", w->means);
		set(o, "result", w->outcome);
	} else {
		set(o, "disposition", w->outcome);
		set(o, "spf", spf ? SLICE("pass") : SLICE("fail"));
		set(o, "dkim", dkim ? SLICE("pass") : SLICE("fail"));
	}
	(void)json_object_set_new(o, tls ? "sessions" : "messages", json_integer(w->total));
	set(o, tls ? "sending_ip" : "source_ip", w->source);
	set(o, tls ? "host" : "who", w->who);
	(void)json_object_set_new(o, "details", report_json_lines(w->detail));
	return o;
}
