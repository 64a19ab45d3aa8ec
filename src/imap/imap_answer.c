/* imap_answer.c: tagged and untagged responses (RFC 3501 §7), and the news of the selected mailbox. */
#include "imap/imap_context.h"
#include "imap/imap_notify.h"
#include "imap/imap_place.h"

#include <inttypes.h>
#include <stdarg.h>

void
imap_write(struct imap_session *s, struct slice bytes)
{
	if (stream_write(s->st, bytes) != 0)
		s->ended = s->ended || stream_error(s->st) != 0;
}

void
imap_write_buf(struct imap_session *s, const struct buf *b)
{
	if (b->err == 0)
		imap_write(s, buf_slice(b));
	else
		imap_bye(s, "out of memory");
}

void
imap_printf(struct imap_session *s, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	ASSERT(n >= 0 && (size_t)n < sizeof(line));
	imap_write(s, slice_of(line, (size_t)n));
}

void
imap_put_capabilities(struct buf *out, unsigned when, const struct limits *l)
{
	static const struct {
		struct slice name;
		unsigned when;
	} rows[] = {
#define CAPABILITY(name, when) {SLICE_INIT(name), when},
#include "imap/capabilities.def"
#undef CAPABILITY
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if ((rows[i].when & when) == 0)
			continue;
		if (i > 0)
			buf_put_u8(out, ' ');
		buf_put(out, rows[i].name);
		if (slice_eq(rows[i].name, SLICE("MESSAGELIMIT=")))
			buf_put_u64(out, (uint64_t)l->imap_messages);
	}
}

void
imap_put_id(struct buf *out)
{
	buf_put(out, SLICE("* ID (\"name\" \"Posthouse\" \"version\" \"" POSTHOUSE_VERSION "\")\r\n"));
}

static void
tagged(struct imap_session *s, const char *what, const char *code, const char *text)
{
	imap_write(s, s->tag.n == 0 ? SLICE("*") : s->tag);
	imap_printf(s, " %s %s%s%s\r\n", what, code, code[0] == 0 ? "" : " ", text);
}

/* RFC 3501 §7.4.1, RFC 5256 §3: no EXPUNGE while sequence numbers of these are in the air. */
static bool
expunges_allowed(const struct imap_session *s)
{
	static const struct slice numbered[] = {
	    SLICE_INIT("FETCH"), SLICE_INIT("STORE"), SLICE_INIT("SEARCH"), SLICE_INIT("SORT"), SLICE_INIT("THREAD")};

	for (size_t i = 0; i < COUNT_OF(numbered); i++)
		if (slice_ieq(s->name, numbered[i]))
			return false;
	return true;
}

void
imap_ok(struct imap_session *s, const char *code, const char *text)
{
	imap_tell_news(s, expunges_allowed(s));
	tagged(s, "OK", code, text);
}

void
imap_ok_limited(struct imap_session *s, uint32_t lowest, const char *code)
{
	char limit[80];

	(void)snprintf(limit, sizeof(limit), "[MESSAGELIMIT %" PRId64 " %u]", s->limits->imap_messages, lowest);
	if (lowest != 0 && code[0] != 0)
		imap_printf(s, "* NO %s only the newest messages\r\n", limit);
	if (lowest != 0 && code[0] == 0)
		imap_ok(s, limit, "done with the newest messages only");
	else
		imap_ok(s, code, "done");
}

void
imap_no(struct imap_session *s, const char *code, const char *text)
{
	imap_tell_news(s, expunges_allowed(s));
	tagged(s, "NO", code, text);
}

void
imap_bad(struct imap_session *s, const char *text)
{
	s->errors++;
	s->c->counters->commands_bad++;
	tagged(s, "BAD", "", text);
}

bool
imap_bad_syntax(struct imap_session *s, struct imap_lex *x)
{
	if (!imap_lex_failed(x))
		return false;
	imap_bad(s, x->why != NULL ? x->why : "syntax error");
	return true;
}

void
imap_bye(struct imap_session *s, const char *text)
{
	imap_printf(s, "* BYE %s\r\n", text);
	s->ended = true;
}

void
imap_no_err(struct imap_session *s, int err)
{
	static const struct {
		int err;
		const char *code, *text;
	} rows[] = {
	    {ERR_NOTFOUND, "[NONEXISTENT]", "no such mailbox"},
	    {ERR_EXISTS, "[ALREADYEXISTS]", "a mailbox of that name exists"},
	    {ERR_CONFLICT, "[ALREADYEXISTS]", "another mailbox has that use"},
	    {ERR_INVALID, "[CANNOT]", "that cannot be done"},
	    {ERR_DENIED, "[NOPERM]", "not permitted"},
	    {ERR_LIMIT, "[LIMIT]", "a limit was reached"},
	    {ERR_QUOTA, "[OVERQUOTA]", "the account is over its quota"},
	    {ERR_FULL, "[UNAVAILABLE]", "the server has no space left"},
	    {ERR_DAMAGED, "[CORRUPTION]", "the data of this account is damaged; the operator must look at it"},
	    {ERR_BUSY, "[INUSE]", "busy; try again"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].err == err) {
			imap_no(s, rows[i].code, rows[i].text);
			return;
		}
	}
	imap_no(s, "[UNAVAILABLE]", "the server has trouble; try again later");
}

void
imap_put_entry_flags(struct imap_session *s, struct buf *out, const struct store_entry *e, uint8_t more)
{
	size_t n = e->keywords == 0 ? 0 : store_view_keywords(s->view, e, NULL, 0);
	struct slice few[16], *keywords = few;
	struct arena_mark mark = arena_mark(&s->arena);

	if (n > COUNT_OF(few))
		keywords = ARENA_ARRAY(&s->arena, struct slice, n);
	if (keywords == NULL)
		n = 0;
	if (n > 0)
		n = store_view_keywords(s->view, e, keywords, n);
	buf_put(out, SLICE("FLAGS ("));
	(void)imap_put_flags(out, e->flags | more, e->recent && !imap_is_on(s, IMAP_ON_REV2), keywords, n);
	buf_put_u8(out, ')');
	arena_release(&s->arena, mark);
}

void
imap_put_fetch_start(const struct imap_session *s, struct buf *out, size_t seq, uint32_t uid)
{
	bool only = imap_is_on(s, IMAP_ON_UIDONLY);

	buf_put(out, SLICE("* "));
	buf_put_u64(out, only ? uid : seq);
	buf_put(out, only ? SLICE(" UIDFETCH (") : SLICE(" FETCH ("));
}

void
imap_tell_flags(struct imap_session *s, size_t seq, bool flags)
{
	struct store_entry e = store_view_at(s->view, seq);
	bool uid = (s->uid || s->notify != NULL || imap_is_on(s, IMAP_ON_QRESYNC)) && !imap_is_on(s, IMAP_ON_UIDONLY);
	size_t start;

	buf_reset(&s->line);
	imap_put_fetch_start(s, &s->line, seq, e.uid);
	start = s->line.n;
	if (uid) {
		buf_put(&s->line, SLICE("UID "));
		buf_put_u64(&s->line, e.uid);
	}
	if (flags) {
		if (s->line.n > start)
			buf_put_u8(&s->line, ' ');
		imap_put_entry_flags(s, &s->line, &e, 0);
	}
	if (imap_is_on(s, IMAP_ON_CONDSTORE)) {
		buf_put(&s->line, s->line.n > start ? SLICE(" MODSEQ (") : SLICE("MODSEQ ("));
		buf_put_u64(&s->line, e.modseq);
		buf_put_u8(&s->line, ')');
	}
	buf_put(&s->line, SLICE(")\r\n"));
	imap_write_buf(s, &s->line);
}

void
imap_tell_flag_names(struct imap_session *s)
{
	struct slice *keywords;
	size_t n = imap_view_keywords(s, &keywords);
	struct store_filter may = imap_filter_of(s->rights);
	struct buf BUF_CLEANUP out;

	s->keywords_known = store_view_all_keywords(s->view, NULL, 0);
	s->keywords_told = n;
	buf_init(&out, 1 << 20);
	buf_put(&out, SLICE("* FLAGS ("));
	(void)imap_put_flags(&out, STORE_FLAGS_ALL, false, keywords, n);
	buf_put(&out, SLICE(")\r\n* OK [PERMANENTFLAGS ("));
	if (!store_view_read_only(s->view)) {
		bool any = imap_put_flags(&out, may.flags, false, keywords, may.keywords ? n : 0);

		if (may.keywords)
			buf_put(&out, any ? SLICE(" \\*") : SLICE("\\*"));
	}
	buf_put(&out, SLICE(")] Flags that are kept\r\n"));
	imap_write_buf(s, &out);
}

/* Expunged messages that are told by UID: as many as lie together in one response. */
struct vanished {
	uint32_t uids[256];
	size_t n;
};

static void
tell_vanished(struct imap_session *s, struct vanished *v)
{
	if (v->n == 0)
		return;
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* VANISHED "));
	imap_sequence_print(&s->line, v->uids, v->n);
	buf_put(&s->line, SLICE("\r\n"));
	v->n = 0;
	imap_write_buf(s, &s->line);
}

static void
tell_expunge(struct imap_session *s, const struct store_event *e, struct vanished *v)
{
	if (!imap_tells_vanished(s)) {
		imap_printf(s, "* %zu EXPUNGE\r\n", e->seq);
		return;
	}
	/* Those that were expunged behind the others come again from below. */
	if (v->n == COUNT_OF(v->uids) || (v->n > 0 && v->uids[v->n - 1] >= e->uid))
		tell_vanished(s, v);
	v->uids[v->n++] = e->uid;
}

/* `*known`: up to this UID messages were there before. */
static void
tell_exists(struct imap_session *s, uint32_t *known)
{
	for (size_t seq = store_view_seq_from(s->view, *known + 1); seq <= store_view_count(s->view); seq++) {
		*known = store_view_at(s->view, seq).uid;
		imap_contexts_touched(s, *known, true);
	}
	imap_printf(s, "* %zu EXISTS\r\n", store_view_count(s->view));
	if (!imap_is_on(s, IMAP_ON_REV2))
		imap_printf(s, "* %zu RECENT\r\n", store_view_recent(s->view));
}

static void
tell_new_keywords(struct imap_session *s)
{
	struct slice *keywords;

	if (store_view_all_keywords(s->view, NULL, 0) == s->keywords_known)
		return;
	s->keywords_known = store_view_all_keywords(s->view, NULL, 0);
	if (imap_view_keywords(s, &keywords) != s->keywords_told)
		imap_tell_flag_names(s);
}

void
imap_tell_news(struct imap_session *s, bool expunges)
{
	struct vanished v = {.n = 0};
	struct store_event e;
	const struct imap_fetch *fetch = imap_notify_fetch(s);
	size_t count;
	uint32_t known, first;
	bool fetch_them = false;

	if (s->view == NULL || store_view_gone(s->view) || !imap_notify_allows(s))
		return;
	count = store_view_count(s->view);
	known = first = count == 0 ? 0 : store_view_at(s->view, count).uid;
	tell_new_keywords(s);
	/* Writing may park, and the mailbox may go meanwhile. */
	while (!s->ended && !store_view_gone(s->view) &&
	    (e = store_view_next(s->view, expunges)).kind != STORE_EVENT_NONE) {
		if (e.kind == STORE_EVENT_EXPUNGE) {
			imap_contexts_expunged(s, &e);
			tell_expunge(s, &e, &v);
			continue;
		}
		tell_vanished(s, &v);
		if (e.kind == STORE_EVENT_FLAGS)
			imap_contexts_touched(s, e.uid, false);
		/* What this session did itself has been answered by its command. */
		if (e.kind == STORE_EVENT_FLAGS && !e.own && imap_notify_allows_flags(s))
			imap_tell_flags(s, e.seq, true);
		else if (e.kind == STORE_EVENT_EXISTS)
			tell_exists(s, &known);
		fetch_them = fetch_them || (e.kind == STORE_EVENT_EXISTS && !e.own);
	}
	tell_vanished(s, &v);
	imap_contexts_update(s);
	/* RFC 5465 §5.2 */
	if (fetch != NULL && fetch_them)
		imap_fetch_beside(s, fetch, &(struct imap_sequence){&(struct imap_range){first + 1, UINT32_MAX}, 1});
}

void
imap_condstore_on(struct imap_session *s)
{
	if (imap_is_on(s, IMAP_ON_CONDSTORE))
		return;
	s->on |= IMAP_ON_CONDSTORE;
	if (s->view != NULL && !store_view_gone(s->view))
		imap_printf(s, "* OK [HIGHESTMODSEQ %" PRIu64 "] From now on modseqs are told\r\n",
		    store_view_highestmodseq(s->view));
}

void
imap_deselect(struct imap_session *s)
{
	imap_forget_result(s);
	imap_contexts_free(s);
	if (s->view != NULL)
		store_view_watch(s->view, NULL);
	store_view_close(&s->view);
	imap_view_left(s);
}
