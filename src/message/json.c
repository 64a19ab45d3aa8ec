/* json.c: prints the parse of a message. The tree of parts is printed flat, in the order of the bytes, each part
 * with its depth and the index of its parent. */
#include "message/json.h"

#include "message/address.h"
#include "message/date.h"
#include "message/mime.h"
#include "message/text.h"
#include "message/threads.h"
#include "message/words.h"

#include <jansson.h>

struct printer {
	struct house *h;
	struct arena a;
	struct mime m;
	struct header header; /* of the message */
};

static void
printer_free(struct printer *pr)
{
	arena_free(&pr->a);
}

static int
printer_init(struct printer *pr, struct house *h, struct slice raw)
{
	int err;

	*pr = (struct printer){.h = h};
	/* Addresses, decoded headers and ids come on top of the tree. */
	arena_init(&pr->a, mime_arena_max(&h->limits, raw.n) + 32 * (size_t)h->limits.message_header_bytes);
	err = mime_parse(&pr->a, raw, &h->limits, CHARSET_THREAD, &pr->m);
	if (err == 0)
		err = mime_header(&pr->a, &pr->m, &pr->m.v[0], &h->limits, &pr->header);
	return err;
}

static void
json_cleanup(json_t **j)
{
	json_decref(*j);
}

/* Always valid: bytes that are no UTF-8 are read as windows-1252. */
static json_t *
js(struct slice s)
{
	BUF_CLEANUP struct buf b;

	if (slice_is_utf8(s, false))
		return json_stringn(s.n == 0 ? "" : (const char *)s.p, s.n);
	buf_init(&b, s.n * 3);
	charset_guess_to_utf8(s, &b);
	return json_stringn(b.n == 0 ? "" : (const char *)b.p, b.n);
}

static json_t *
js_size(size_t n)
{
	return json_integer((json_int_t)n);
}

/* Decoded text of a raw field value. */
static json_t *
js_text(struct printer *pr, struct slice value)
{
	struct arena_mark mark = arena_mark(&pr->a);
	json_t *j = js(header_text(&pr->a, value, CHARSET_THREAD));

	arena_release(&pr->a, mark);
	return j;
}

static json_t *
js_headers(struct printer *pr)
{
	json_t *all = json_array();

	for (size_t i = 0; i < pr->header.n; i++) {
		const struct header_field *f = &pr->header.v[i];

		json_array_append_new(all, json_pack("{s:o,s:o}", "name", js(f->name), "value", js_text(pr, f->value)));
	}
	return all;
}

static json_t *
js_address(struct printer *pr, const struct address *ad)
{
	BUF_CLEANUP struct buf spec;

	if (ad->kind == ADDRESS_GROUP_START)
		return json_pack("{s:o}", "group", js_text(pr, ad->name));
	if (ad->kind == ADDRESS_GROUP_END)
		return json_pack("{s:n}", "group");
	buf_init(&spec, 2 * ad->local.n + ad->domain.n + 8);
	address_put_spec(&spec, ad->local, ad->domain);
	return json_pack("{s:o,s:o,s:o,s:o}", "name", js_text(pr, ad->name), "address", js(buf_slice(&spec)), "local",
	    js(ad->local), "domain", js(ad->domain));
}

static json_t *
js_addresses(struct printer *pr, struct slice name)
{
	struct arena_mark mark = arena_mark(&pr->a);
	struct address_list l;
	json_t *all = json_array();
	int err = address_parse(&pr->a, header_value(&pr->header, name), (size_t)pr->h->limits.message_addresses, &l);

	for (size_t i = 0; err == 0 && i < l.n; i++)
		json_array_append_new(all, js_address(pr, &l.v[i]));
	arena_release(&pr->a, mark);
	return all;
}

static json_t *
js_date(struct printer *pr)
{
	const struct header_field *f = header_find(&pr->header, SLICE("Date"));
	struct message_date d;
	char z[RFC3339_MAX];

	if (f == NULL || date_parse(f->value, &d) != 0)
		return json_null();
	time_rfc3339(d.epoch_s * 1000000, z);
	return json_pack("{s:s,s:i,s:b}", "utc", z, "offset_minutes", d.offset_min, "zone_known", d.zone_known);
}

static json_t *
js_list(struct slice_list l)
{
	json_t *all = json_array();

	for (size_t i = 0; i < l.n; i++)
		json_array_append_new(all, js(l.v[i]));
	return all;
}

static json_t *
js_params(const struct mime_params *p)
{
	json_t *all = json_object();

	for (size_t i = 0; i < p->n; i++)
		json_object_setn_new(all, (const char *)p->v[i].name.p, p->v[i].name.n, js(p->v[i].value));
	return all;
}

/* Size of the decoded body, and its text where it is text. */
static int
put_content(struct printer *pr, const struct mime_part *p, json_t *j)
{
	BUF_CLEANUP struct buf b;
	int err = 0;

	buf_init(&b, pr->m.raw.n * 2 + 64);
	json_object_set_new(j, "damaged", json_boolean(!mime_decode(&pr->m, p, &b)));
	json_object_set_new(j, "decoded_bytes", js_size(b.n));
	if (b.err == ERR_NOMEM)
		return ERR_NOMEM;
	if (!mime_is(p, SLICE("text"), SLICE_EMPTY))
		return 0;
	buf_free(&b);
	buf_init(&b, (size_t)pr->h->limits.message_text_bytes + 1);
	err = text_of_part(&pr->m, p, &pr->h->limits, CHARSET_THREAD, &b);
	if (err == 0)
		json_object_set_new(j, "text", js(buf_slice(&b)));
	return err;
}

static json_t *
js_section(struct printer *pr, const struct mime_part *p)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, 4096);
	mime_put_number(&pr->m, p, &b);
	return js(buf_slice(&b));
}

static int
js_part(struct printer *pr, size_t i, json_t **out)
{
	const struct mime_part *p = &pr->m.v[i];
	json_t *j = json_pack("{s:o,s:o,s:o,s:I,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o}", "section",
	    js_section(pr, p), "index", js_size(i), "parent", p->parent == MIME_NONE ? json_null() : js_size(p->parent),
	    "depth", (json_int_t)p->depth, "is_message", p->is_message, "type", js(p->type), "subtype", js(p->subtype),
	    "parameters", js_params(&p->params), "disposition", js(p->disposition), "disposition_parameters",
	    js_params(&p->disposition_params), "filename", js(p->filename), "charset", js(p->charset), "encoding",
	    encoding_name(p->encoding), "id", js(p->id), "description", js_text(pr, p->description), "languages",
	    js_list(p->languages));

	*out = j;
	if (j == NULL)
		return ERR_NOMEM;
	json_object_set_new(j, "header_start", js_size(p->header_start));
	json_object_set_new(j, "body_start", js_size(p->header_end));
	json_object_set_new(j, "body_end", js_size(p->body_end));
	json_object_set_new(j, "size_bytes", js_size(p->body_end - p->header_end));
	json_object_set_new(j, "lines", js_size(p->body_lines));
	if (p->boundary_missing)
		json_object_set_new(j, "boundary_missing", json_true());
	return p->is_multipart || p->has_message ? 0 : put_content(pr, p, j);
}

static int
js_parts(struct printer *pr, json_t **out)
{
	json_t *all = json_array();
	int err = 0;

	*out = all;
	for (size_t i = 0; i < pr->m.n && err == 0; i++) {
		json_t *j;

		err = js_part(pr, i, &j);
		json_array_append_new(all, j);
	}
	return err;
}

static int
put_json(const char *bytes, size_t n, void *ctx)
{
	struct buf *out = ctx;

	buf_put(out, slice_of(bytes, n));
	return out->err != 0 ? -1 : 0;
}

static void
set_threads(struct printer *pr, json_t *top)
{
	struct message_thread t;

	if (message_thread_parse(&pr->a, &pr->header, CHARSET_THREAD, &t) != 0)
		return;
	json_object_set_new(top, "message_id", js(t.message_id));
	json_object_set_new(top, "references", js_list(t.references));
	json_object_set_new(top, "base_subject", js(t.base_subject));
	json_object_set_new(top, "is_reply", json_boolean(t.is_reply));
}

int
message_print_json(struct house *h, struct slice raw, struct buf *out)
{
	static const struct {
		const char *key;
		struct slice name;
	} lists[] = {{"from", SLICE_INIT("From")}, {"sender", SLICE_INIT("Sender")},
	    {"reply_to", SLICE_INIT("Reply-To")}, {"to", SLICE_INIT("To")}, {"cc", SLICE_INIT("Cc")},
	    {"bcc", SLICE_INIT("Bcc")}};
	__attribute__((cleanup(printer_free))) struct printer pr;
	__attribute__((cleanup(json_cleanup))) json_t *top = json_object();
	json_t *parts;
	int err = printer_init(&pr, h, raw);

	if (err != 0)
		return err;
	json_object_set_new(top, "size_bytes", js_size(raw.n));
	json_object_set_new(top, "subject", js_text(&pr, header_value(&pr.header, SLICE("Subject"))));
	json_object_set_new(top, "date", js_date(&pr));
	for (size_t i = 0; i < COUNT_OF(lists); i++)
		json_object_set_new(top, lists[i].key, js_addresses(&pr, lists[i].name));
	set_threads(&pr, top);
	json_object_set_new(top, "headers", js_headers(&pr));
	err = js_parts(&pr, &parts);
	json_object_set_new(top, "parts", parts);
	json_object_set_new(top, "limited", json_boolean(pr.m.limited || pr.header.truncated));
	if (err != 0)
		return err;
	if (json_dump_callback(top, put_json, out, JSON_COMPACT) != 0)
		return out->err != 0 ? out->err : ERR_NOMEM;
	buf_put_u8(out, '\n');
	return out->err;
}

/* ---- for people ------------------------------------------------------------------------------------------------ */

static void
put_line(struct printer *pr, const char *name, struct buf *out)
{
	const struct header_field *f = header_find(&pr->header, slice_z(name));

	if (f == NULL)
		return;
	buf_printf(out, "%-12s ", name);
	words_decode(slice_trim(f->value), CHARSET_THREAD, out);
	buf_put_u8(out, '\n');
}

static void
put_part(struct printer *pr, const struct mime_part *p, struct buf *out)
{
	for (size_t i = 0; i < p->depth; i++)
		buf_put(out, SLICE("  "));
	mime_put_number(&pr->m, p, out);
	if (p->parent != MIME_NONE)
		buf_put_u8(out, ' ');
	buf_printf(out, "%.*s/%.*s", SLICE_ARG(p->type), SLICE_ARG(p->subtype));
	if (p->is_message && p->parent != MIME_NONE)
		buf_put(out, SLICE(" (embedded message)"));
	if (p->charset.n > 0) {
		buf_put(out, SLICE(", "));
		words_decode(p->charset, CHARSET_THREAD, out);
	}
	if (!p->is_multipart)
		buf_printf(out, ", %s", encoding_name(p->encoding));
	buf_printf(out, ", %zu bytes, %zu lines", p->body_end - p->header_end, p->body_lines);
	if (p->filename.n > 0) {
		buf_put(out, SLICE(", \""));
		words_decode(p->filename, CHARSET_THREAD, out);
		buf_put_u8(out, '"');
	}
	if (p->boundary_missing)
		buf_put(out, SLICE(", without its closing boundary"));
	buf_put_u8(out, '\n');
}

int
message_print_text(struct house *h, struct slice raw, struct buf *out)
{
	static const char *const shown[] = {
	    "Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Message-ID"};
	__attribute__((cleanup(printer_free))) struct printer pr;
	int err = printer_init(&pr, h, raw);

	if (err != 0)
		return err;
	for (size_t i = 0; i < COUNT_OF(shown); i++)
		put_line(&pr, shown[i], out);
	buf_printf(out, "%zu bytes, %zu header fields, %zu parts\n\n", raw.n, pr.header.n, pr.m.n);
	for (size_t i = 0; i < pr.m.n; i++)
		put_part(&pr, &pr.m.v[i], out);
	if (pr.m.limited || pr.header.truncated)
		buf_put(out, SLICE("A limit was reached: the rest is not shown.\n"));
	return out->err;
}
