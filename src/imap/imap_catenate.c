/* imap_catenate.c: see imap_catenate.h. Messages are found by URL among the account's own; their trees are read on a worker
 * thread. */
#include "imap/imap_catenate.h"

#include "imap/imap_place.h"

#include "imap/imap_url.h"
#include "rt/work.h"

#define URL_BYTES_MAX 4096
#define COPY_BYTES 65536

/* Finding a section of a message. */
struct section_job {
	const struct limits *limits;
	const struct imap_section *section;
	struct slice raw;
	size_t from, n; /* result */
};

static int
find_section(void *arg)
{
	struct section_job *j = arg;
	struct arena ARENA_CLEANUP a;
	struct mime m;
	struct slice bytes;
	int err;

	arena_init(&a, mime_arena_max(j->limits, j->raw.n));
	err = mime_parse(&a, j->raw, j->limits, CHARSET_THREAD, &m);
	if (err == 0)
		err = mime_section(&m, j->section->numbers, j->section->numbers_n, j->section->section, &bytes);
	if (err != 0)
		return err;
	j->n = bytes.n;
	j->from = bytes.n == 0 ? 0 : (size_t)(bytes.p - j->raw.p);
	return 0;
}

/* "1.2.MIME" as FETCH names it, without field names. */
static bool
parse_section(struct imap_session *s, struct slice text, struct imap_section *out)
{
	struct slice closed = arena_printf(&s->arena, "%.*s]", SLICE_ARG(text));
	struct imap_lex x = imap_lex_of(closed, &s->arena, s->limits->imap_nesting);

	if (arena_failed(&s->arena))
		return false;
	*out = (struct imap_section){.form = IMAP_FORM_BODY};
	imap_parse_section(&x, out);
	imap_lex_end(&x);
	return !imap_lex_failed(&x) && !out->fields && !out->fields_not && !out->partial;
}

/* The mailbox that a URL names. */
static int
find_mailbox(struct imap_session *s, struct slice mailbox, struct store_view **view)
{
	struct buf BUF_CLEANUP utf8;
	struct imap_place at;
	struct slice name;
	int err;

	buf_init(&utf8, (size_t)s->limits->mailbox_name_bytes + IMAP_OTHER_BYTES);
	buf_put(&utf8, mailbox);
	err = utf8.err != 0 ? ERR_NOTFOUND : imap_name_normal(s, buf_slice(&utf8), &s->arena, &name);
	if (err == 0)
		err = imap_place_allow(s, name, STORE_RIGHT_READ, &at);
	if (err == 0)
		err = store_view_open(at.account, at.inner, true, view);
	return err == ERR_INVALID || err == ERR_LIMIT || err == ERR_DENIED ? ERR_NOTFOUND : err;
}

/* The message that a URL names: 0, ERR_NOTFOUND, or an error of the store. */
static int
find_email(struct imap_session *s, const struct imap_url *url, struct store_body **body)
{
	struct store_view *view STORE_VIEW_CLEANUP = NULL;
	struct store_view *in = s->view;
	size_t seq;
	int err = url->mailbox.n > 0 ? find_mailbox(s, url->mailbox, &view) : 0;

	if (err != 0)
		return err;
	if (view != NULL)
		in = view;
	if (in == NULL || store_view_gone(in) ||
	    (url->uidvalidity != 0 && url->uidvalidity != store_view_uidvalidity(in)))
		return ERR_NOTFOUND;
	seq = store_view_seq(in, url->uid);
	if (seq == 0)
		return ERR_NOTFOUND;
	return store_body_open(store_view_account(in), store_view_at(in, seq).email, body);
}

static int
copy_bytes(struct store_body *body, size_t from, size_t n, struct store_upload *u)
{
	struct buf BUF_CLEANUP block;
	int err = 0;

	buf_init(&block, COPY_BYTES);
	while (n > 0 && err == 0) {
		size_t step = n < COPY_BYTES ? n : COPY_BYTES;

		buf_reset(&block);
		err = store_body_read(body, from, step, &block);
		if (err == 0 && block.n != step)
			err = ERR_NOTFOUND;
		if (err == 0)
			err = store_upload_write(u, buf_slice(&block));
		from += step;
		n -= step;
	}
	return err;
}

static int
copy_url(struct imap_session *s, struct slice text, struct store_upload *u)
{
	struct store_body *body STORE_BODY_CLEANUP = NULL;
	struct imap_section section;
	struct section_job j = {.limits = s->limits, .section = &section};
	struct imap_url url;
	int err = imap_url_parse(text, &s->arena, &url);

	if (err != 0 || !parse_section(s, url.section, &section))
		return err == ERR_NOMEM ? err : ERR_NOTFOUND;
	if ((err = find_email(s, &url, &body)) != 0)
		return err;
	j.n = store_body_size(body);
	if (url.section.n > 0 && (err = store_body_raw(body, &j.raw)) == 0)
		err = work_run(s->c->workers, find_section, &j);
	if (err != 0)
		return err;
	if (url.offset > j.n)
		return ERR_NOTFOUND;
	j.from += url.offset;
	j.n -= url.offset;
	if (url.count > 0 && url.count < j.n)
		j.n = url.count;
	return copy_bytes(body, j.from, j.n, u);
}

static void
refuse(struct imap_session *s, int err, struct slice url)
{
	if (err == ERR_NOTFOUND && url.n > 0) {
		struct buf BUF_CLEANUP out;

		imap_tell_news(s, true);
		buf_init(&out, URL_BYTES_MAX * 2 + 64);
		buf_put(&out, s->tag);
		buf_put(&out, SLICE(" NO [BADURL "));
		imap_put_string(&out, url);
		buf_put(&out, SLICE("] no such message or part of one\r\n"));
		imap_write_buf(s, &out);
	} else if (err == ERR_LIMIT) {
		imap_no(s, "[TOOBIG]", "the message is too large");
	} else {
		imap_no_err(s, err);
	}
}

static bool
take_part(struct imap_incoming *in, struct store_upload *u, bool *answered)
{
	struct imap_session *s = in->s;
	struct slice word = imap_lex_atom(in->x), url = SLICE_EMPTY;
	int err = 0;

	imap_lex_space(in->x);
	if (slice_ieq(word, SLICE("URL"))) {
		url = imap_incoming_astring(in, URL_BYTES_MAX);
		if (imap_lex_failed(in->x) || in->lost)
			return false;
		err = imap_is_quotable(url) ? copy_url(s, url, u) : ERR_NOTFOUND;
		if (err != 0 && !imap_is_quotable(url))
			url = SLICE_EMPTY;
	} else if (slice_ieq(word, SLICE("TEXT"))) {
		if (in->announced && in->size > (uint64_t)s->limits->smtp_message_bytes)
			err = ERR_LIMIT;
		else if (!imap_incoming_message(in, u, &err))
			return false;
	} else {
		imap_lex_fail(in->x, "expected URL or TEXT");
		return false;
	}
	if (err != 0) {
		*answered = true;
		refuse(s, err, url);
	}
	return err == 0;
}

bool
imap_catenate(struct imap_incoming *in, struct store_upload *u, bool *answered)
{
	int64_t parts = 0;

	imap_lex_space(in->x);
	imap_lex_expect(in->x, '(');
	do {
		if (imap_lex_failed(in->x))
			return false;
		if (++parts > in->s->limits->imap_catenate_parts) {
			imap_lex_fail(in->x, "too many parts");
			return false;
		}
		if (!take_part(in, u, answered))
			return false;
	} while (imap_lex_accept(in->x, ' '));
	imap_lex_expect(in->x, ')');
	if (!imap_lex_failed(in->x) && store_upload_size(u) == 0) {
		*answered = true;
		imap_no(in->s, "[CANNOT]", "an empty message");
		return false;
	}
	return !imap_lex_failed(in->x);
}
