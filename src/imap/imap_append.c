/* imap_append.c: APPEND (RFC 9051 §6.3.12) of one or several messages (RFC 3502), sent whole, as binary (RFC 3516), as UTF-8 (RFC 9755
 * §4) or put together from parts (RFC 4469), and REPLACE (RFC 8508). A message goes from the stream to the store piece by
 * piece, and whatever is wrong is said before the client sends it, where it waits for our word. */
#include "imap/imap_catenate.h"
#include "imap/imap_incoming.h"
#include "imap/imap_move_in.h"
#include "imap/imap_place.h"

struct append {
	struct imap_incoming in;
	struct slice mailbox;
	struct imap_place at;
	struct store_append *v;
	size_t n, cap;
	uint32_t replaced_uid; /* REPLACE: of the message that goes; else 0 */
	bool answered;
};

static void
append_free(struct append *a)
{
	for (size_t i = 0; i < a->n; i++)
		store_upload_free(&a->v[i].upload);
}

/* NO with an error of the store, in the words of APPEND. */
static void
refuse(struct append *a, int err)
{
	struct imap_session *s = a->in.s;

	a->answered = true;
	if (err == ERR_NOTFOUND)
		imap_no(s, "[TRYCREATE]", "no such mailbox");
	else if (err == ERR_INVALID)
		imap_no(s, "[CANNOT]", "not a possible mailbox name");
	else if (err == ERR_LIMIT)
		imap_no(s, "[TOOBIG]", "the message is too large");
	else
		imap_no_err(s, err);
}

/* What can be known before the message is sent. False: a reply has been given. */
static bool
check_target(struct append *a)
{
	struct imap_session *s = a->in.s;
	int err = a->mailbox.p == NULL ? ERR_INVALID : imap_place_allow(s, a->mailbox, STORE_RIGHT_INSERT, &a->at);

	if (err == 0)
		err = store_append_check(a->at.account, a->at.inner);
	if (err != 0)
		refuse(a, err);
	return err == 0;
}

static void
parse_options(struct append *a, struct store_append *one)
{
	struct imap_session *s = a->in.s;
	struct imap_lex *x = a->in.x;
	struct imap_flags flags = {0};

	imap_lex_space(x);
	if (imap_lex_peek(x) == '(') {
		imap_parse_flags(x, s->limits, false, &flags);
		imap_lex_space(x);
	}
	one->flags = flags.flags;
	one->keywords = flags.keywords;
	one->internal_s = INT64_MIN;
	if (imap_lex_peek(x) == '"') {
		one->internal_s = imap_lex_date_time(x);
		imap_lex_space(x);
	}
	if (s->c->moving && (imap_lex_peek(x) | 0x20) == 'x')
		imap_parse_origin(x, &one->origin);
}

/* A message in one literal. */
static bool
take_literal(struct append *a, struct store_upload *u)
{
	struct imap_session *s = a->in.s;
	int stored = 0;

	if (a->in.announced && a->in.size > (uint64_t)s->limits->smtp_message_bytes) {
		refuse(a, ERR_LIMIT);
		return false;
	}
	if (a->in.announced && a->in.size == 0) {
		a->answered = true;
		imap_no(s, "[CANNOT]", "an empty message");
		return false;
	}
	if (!imap_incoming_message(&a->in, u, &stored))
		return false;
	if (stored != 0)
		refuse(a, stored);
	return stored == 0;
}

/* "UTF8 (~{n}": the form in which a client says that it knows of UTF-8 headers. They are taken in the plain form too. */
static bool
take_utf8(struct append *a, struct store_upload *u)
{
	imap_lex_space(a->in.x);
	imap_lex_expect(a->in.x, '(');
	if (imap_lex_failed(a->in.x) || !take_literal(a, u))
		return false;
	imap_lex_expect(a->in.x, ')');
	return !imap_lex_failed(a->in.x);
}

static bool
take_data(struct append *a, struct store_upload *u)
{
	struct slice word;

	if (imap_lex_peek(a->in.x) == '{' || imap_lex_peek(a->in.x) == '~')
		return take_literal(a, u);
	word = imap_lex_atom(a->in.x);
	if (slice_ieq(word, SLICE("UTF8")))
		return take_utf8(a, u);
	if (slice_ieq(word, SLICE("CATENATE")))
		return imap_catenate(&a->in, u, &a->answered);
	imap_lex_fail(a->in.x, "expected the message as a literal");
	return false;
}

/* One message with its options. False: a reply has been given, the syntax was wrong, or there is nobody to answer. */
static bool
take_message(struct append *a)
{
	struct imap_session *s = a->in.s;
	struct store_append one = {0}, *v;
	size_t max = (size_t)s->limits->imap_append_messages;
	int err;

	parse_options(a, &one);
	if (imap_lex_failed(a->in.x))
		return false;
	v = a->n >= max ? NULL : arena_grow(&s->arena, a->v, a->n, &a->cap, sizeof(*v), max);
	if (v == NULL) {
		refuse(a, ERR_LIMIT);
		return false;
	}
	a->v = v;
	err = store_upload_new(a->at.account, (size_t)s->limits->smtp_message_bytes, &one.upload);
	if (err != 0) {
		refuse(a, err);
		return false;
	}
	a->v[a->n++] = one;
	return take_data(a, one.upload);
}

/* The messages may have taken their time: what may be done is looked at again. */
static int
permit(struct append *a)
{
	struct store_account *account = a->at.account;
	struct store_filter may;
	int err = imap_place_allow(a->in.s, a->mailbox, STORE_RIGHT_INSERT, &a->at);

	if (err == 0 && a->at.account != account)
		err = ERR_NOTFOUND;
	may = imap_filter_of(a->at.rights);
	for (size_t i = 0; i < a->n; i++) {
		a->v[i].flags &= may.flags;
		if (!may.keywords)
			a->v[i].keywords = (struct slice_list){NULL, 0};
	}
	return err;
}

/* All messages are here. */
static void
store_messages(struct append *a)
{
	struct imap_session *s = a->in.s;
	struct store_copied out;
	struct buf BUF_CLEANUP code;
	int err = permit(a);

	if (err == 0)
		err = store_append(a->at.account, s->view, a->at.inner, a->v, a->n, &s->arena, &out);
	if (err != 0) {
		refuse(a, err);
		return;
	}
	s->c->counters->messages_appended += (int64_t)out.n;
	/* RFC 4315 §3: nothing about a mailbox that may not be read. */
	if ((a->at.rights & STORE_RIGHT_READ) == 0)
		out.n = 0;
	buf_init(&code, 64 + out.n * 12);
	if (out.n > 0) {
		buf_printf(&code, "[APPENDUID %u ", out.uidvalidity);
		imap_sequence_print(&code, out.target, out.n);
		buf_put_u8(&code, ']');
	}
	if (a->replaced_uid != 0) {
		char modseq[64];

		imap_write(s, SLICE("* OK "));
		imap_write_buf(s, &code);
		imap_write(s, SLICE(" the replacement is here\r\n"));
		err = store_expunge(s->view, &a->replaced_uid, 1, false);
		if (err != 0)
			imap_no_err(s, err);
		else
			imap_ok(s, imap_modseq_code(s, modseq), "done");
		return;
	}
	buf_put_u8(&code, 0);
	imap_ok(s, code.err == 0 ? (const char *)code.p : "", "done");
}

/* The command from its mailbox on. */
static void
serve(struct append *a, bool several)
{
	struct imap_session *s = a->in.s;
	bool ok;

	a->mailbox = imap_lex_mailbox(s, a->in.x);
	ok = !imap_lex_failed(a->in.x) && check_target(a);
	while (ok) {
		ok = take_message(a);
		if (!several || imap_lex_peek(a->in.x) != ' ')
			break;
	}
	if (ok)
		imap_lex_end(a->in.x);
	if (a->in.lost)
		return;
	if (!a->answered && !imap_bad_syntax(s, a->in.x)) {
		if (ok)
			store_messages(a);
		return;
	}
	/* Where the next command begins is only known when the last literal has been read. */
	if (!a->answered && !a->in.announced && a->in.x == &a->in.line)
		imap_bye(s, "that was no APPEND");
	else
		imap_incoming_skip(&a->in);
}

void
imap_do_append(struct imap_session *s, struct imap_lex *x)
{
	struct append a __attribute__((cleanup(append_free))) = {0};

	imap_incoming_begin(&a.in, s, x);
	imap_lex_space(x);
	serve(&a, true);
}

/* RFC 8508: the new message is there before the old one goes. */
void
imap_do_replace(struct imap_session *s, struct imap_lex *x)
{
	struct append a __attribute__((cleanup(append_free))) = {0};
	uint32_t number;

	imap_incoming_begin(&a.in, s, x);
	imap_lex_space(x);
	number = imap_lex_nz_number(x);
	imap_lex_space(x);
	if (!imap_lex_failed(x)) {
		size_t seq = s->uid ? store_view_seq(s->view, number) : number;

		if (store_view_read_only(s->view)) {
			a.answered = true;
			imap_no(s, "[READ-ONLY]", "the mailbox is open for reading only");
		} else if (!imap_view_allows(s, STORE_RIGHT_DELETED | STORE_RIGHT_EXPUNGE)) {
			a.answered = true; /* RFC 8508 §4.1 */
		} else if (seq == 0 || seq > store_view_count(s->view)) {
			a.answered = true;
			imap_no(s, "[NONEXISTENT]", "no such message");
		} else {
			a.replaced_uid = store_view_at(s->view, seq).uid;
		}
	}
	if (a.answered)
		imap_incoming_skip(&a.in);
	else
		serve(&a, false);
}
