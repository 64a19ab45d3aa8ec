/* move_answer.c: see move_answer.h. */
#include "move/move_answer.h"

#include "imap/imap_lex.h"
#include "message/date.h"

#define DEPTH_MAX 32
#define NUMBERS_MAX 100000

/* ---- words ----------------------------------------------------------------------------------------------------- */

/* Up to a space, a parenthesis, or the end: what servers take for atoms. Brackets hold what is in them together. */
static struct slice
take_word(struct cursor *c)
{
	struct slice rest = cursor_rest(c);
	size_t n = 0, depth = 0;

	for (; n < rest.n; n++) {
		uint8_t b = slice_at(rest, n);

		if (b == '[')
			depth++;
		else if (b == ']' && depth > 0)
			depth--;
		else if (depth == 0 && (b == ' ' || b == '(' || b == ')'))
			break;
		else if (b == '\r' || b == '\n')
			break;
	}
	return cursor_take(c, n);
}

/* Any value: a list, a string, a word. Passed over. */
static void
skip_value(struct imap_lex *x)
{
	size_t depth = 0;

	do {
		int b = imap_lex_peek(x);

		if (b == '(') {
			cursor_skip(&x->c, 1);
			if (++depth > DEPTH_MAX)
				imap_lex_fail(x, "nested too deeply");
		} else if (b == ')' && depth > 0) {
			cursor_skip(&x->c, 1);
			depth--;
		} else if (b == ' ' && depth > 0) {
			cursor_skip(&x->c, 1);
		} else if (b == '"' || b == '{') {
			(void)imap_lex_string(x);
		} else if (take_word(&x->c).n == 0) {
			imap_lex_fail(x, "expected a value");
		}
	} while (depth > 0 && !imap_lex_failed(x));
}

/* ---- OK, NO, BAD, BYE, PREAUTH ------------------------------------------------------------------------------------ */

static bool
parse_status(struct imap_lex *x, struct slice word, struct move_answer *out)
{
	static const struct {
		struct slice name;
		enum move_answer_kind kind;
	} table[] = {{SLICE_INIT("OK"), MOVE_ANSWER_OK}, {SLICE_INIT("NO"), MOVE_ANSWER_NO},
	    {SLICE_INIT("BAD"), MOVE_ANSWER_BAD}, {SLICE_INIT("BYE"), MOVE_ANSWER_BYE},
	    {SLICE_INIT("PREAUTH"), MOVE_ANSWER_PREAUTH}};
	struct slice rest;
	size_t end;

	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (slice_ieq(word, table[i].name))
			out->kind = table[i].kind;
	if (out->kind == MOVE_ANSWER_OTHER)
		return false;
	(void)imap_lex_accept(x, ' ');
	rest = cursor_rest(&x->c);
	if (rest.n > 0 && slice_at(rest, 0) == '[' && (end = slice_find_byte(rest, ']')) != SLICE_NONE) {
		out->code = slice_range(rest, 1, end);
		rest = slice_from(rest, end + 1);
	}
	out->text = slice_trim(rest);
	return true;
}

static bool
code_number(struct slice code, struct slice name, uint64_t max, uint64_t *out)
{
	struct slice rest = code, word = slice_cut(&rest, ' ');

	return slice_ieq(word, name) && slice_to_u64(slice_cut(&rest, ' '), max, out) == 0;
}

bool
move_answer_code_number(struct slice code, struct slice name, uint32_t *out)
{
	uint64_t n;

	if (!code_number(code, name, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

bool
move_answer_code_number64(struct slice code, struct slice name, uint64_t *out)
{
	uint64_t n;

	if (!code_number(code, name, INT64_MAX, &n))
		return false;
	*out = n;
	return true;
}

bool
move_answer_is_throttle(const struct move_answer *a)
{
	static const struct slice codes[] = {SLICE_INIT("THROTTLED"), SLICE_INIT("UNAVAILABLE"), SLICE_INIT("INUSE"),
	    SLICE_INIT("LIMIT"), SLICE_INIT("OVERQUOTA"), SLICE_INIT("SERVERBUG"), SLICE_INIT("CONTACTADMIN")};
	struct slice rest = a->code, word = slice_cut(&rest, ' ');

	if (a->kind == MOVE_ANSWER_BYE)
		return true;
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (slice_ieq(word, codes[i]))
			return true;
	return slice_ifind(a->text, SLICE("throttl")) != SLICE_NONE ||
	    slice_ifind(a->text, SLICE("too many")) != SLICE_NONE ||
	    slice_ifind(a->text, SLICE("bandwidth")) != SLICE_NONE ||
	    slice_ifind(a->text, SLICE("try again")) != SLICE_NONE;
}

/* ---- LIST, LSUB, NAMESPACE ----------------------------------------------------------------------------------------- */

static enum store_role
role_of(struct slice attribute)
{
	static const struct {
		struct slice name;
		enum store_role role;
	} table[] = {{SLICE_INIT("\\Drafts"), STORE_ROLE_DRAFTS}, {SLICE_INIT("\\Sent"), STORE_ROLE_SENT},
	    {SLICE_INIT("\\Junk"), STORE_ROLE_JUNK}, {SLICE_INIT("\\Spam"), STORE_ROLE_JUNK},
	    {SLICE_INIT("\\Trash"), STORE_ROLE_TRASH}, {SLICE_INIT("\\Archive"), STORE_ROLE_ARCHIVE}};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (slice_ieq(attribute, table[i].name))
			return table[i].role;
	return STORE_ROLE_NONE;
}

static void
parse_delimiter(struct imap_lex *x, struct move_answer *out)
{
	struct slice s;

	if (!imap_lex_nstring(x, &s) && s.n == 1)
		out->delimiter = slice_at(s, 0);
}

static void
parse_list(struct imap_lex *x, struct move_answer *out)
{
	out->selectable = true;
	imap_lex_space(x);
	imap_lex_expect(x, '(');
	while (!imap_lex_accept(x, ')') && !imap_lex_failed(x)) {
		struct slice word = take_word(&x->c);
		enum store_role role = role_of(word);

		if (word.n == 0)
			imap_lex_fail(x, "expected an attribute");
		if (slice_ieq(word, SLICE("\\Noselect")) || slice_ieq(word, SLICE("\\NonExistent")))
			out->selectable = false;
		if (role != STORE_ROLE_NONE)
			out->role = role;
		(void)imap_lex_accept(x, ' ');
	}
	imap_lex_space(x);
	parse_delimiter(x, out);
	imap_lex_space(x);
	out->name = imap_lex_peek(x) == '"' || imap_lex_peek(x) == '{' ? imap_lex_string(x) : take_word(&x->c);
	if (out->name.n == 0)
		imap_lex_fail(x, "expected a name");
}

/* "((prefix delimiter) ...) ..." (RFC 2342 §5): of the first personal one. */
static void
parse_namespace(struct imap_lex *x, struct move_answer *out)
{
	imap_lex_space(x);
	if (cursor_iaccept(&x->c, SLICE("NIL")))
		return;
	imap_lex_expect(x, '(');
	imap_lex_expect(x, '(');
	out->name = imap_lex_string(x);
	imap_lex_space(x);
	parse_delimiter(x, out);
}

/* ---- FETCH --------------------------------------------------------------------------------------------------------- */

static void
take_flag(
    struct imap_lex *x, const struct limits *l, struct slice word, struct slice *v, size_t *n, struct move_answer *out)
{
	static const struct {
		struct slice name;
		uint8_t flag;
	} table[] = {{SLICE_INIT("\\Seen"), STORE_SEEN}, {SLICE_INIT("\\Answered"), STORE_ANSWERED},
	    {SLICE_INIT("\\Flagged"), STORE_FLAGGED}, {SLICE_INIT("\\Deleted"), STORE_DELETED},
	    {SLICE_INIT("\\Draft"), STORE_DRAFT}, {SLICE_INIT("\\Recent"), 0}};

	if (word.n == 0) {
		imap_lex_fail(x, "expected a flag");
		return;
	}
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (slice_ieq(word, table[i].name)) {
			out->flags = (uint8_t)(out->flags | table[i].flag);
			return;
		}
	if (store_keyword_valid(l, word) && imap_is_atom(word))
		v[(*n)++] = word;
	else
		out->keywords_lost++;
}

static void
parse_flags(struct imap_lex *x, const struct limits *l, struct move_answer *out)
{
	struct slice rest = cursor_rest(&x->c), *v;
	size_t end = slice_find_byte(rest, ')'), n = 0, words = 1;

	out->has_flags = true;
	for (size_t i = 0; i < rest.n && i < end; i++)
		words += slice_at(rest, i) == ' ';
	v = ARENA_ARRAY(x->arena, struct slice, words);
	imap_lex_expect(x, '(');
	if (v == NULL)
		imap_lex_fail(x, "too many flags");
	while (!imap_lex_failed(x) && !imap_lex_accept(x, ')')) {
		if (n < words)
			take_flag(x, l, take_word(&x->c), v, &n, out);
		else
			imap_lex_fail(x, "too many flags");
		(void)imap_lex_accept(x, ' ');
	}
	out->keywords = (struct slice_list){v, n};
}

static void
parse_date(struct imap_lex *x, struct move_answer *out)
{
	struct message_date d;
	struct slice s = imap_lex_string(x);

	/* One that is none costs the message its date, not more. */
	out->has_date = !imap_lex_failed(x) && date_parse_imap(s, &d) == 0;
	if (out->has_date)
		out->internal_s = d.epoch_s;
}

static void
parse_item(struct imap_lex *x, const struct limits *l, struct move_answer *out)
{
	struct slice item = take_word(&x->c);

	imap_lex_space(x);
	if (slice_ieq(item, SLICE("UID"))) {
		out->uid = imap_lex_nz_number(x);
		out->has_uid = true;
	} else if (slice_ieq(item, SLICE("FLAGS"))) {
		parse_flags(x, l, out);
	} else if (slice_ieq(item, SLICE("INTERNALDATE"))) {
		parse_date(x, out);
	} else if (slice_ieq(item, SLICE("RFC822.SIZE"))) {
		out->size = imap_lex_number(x);
		out->has_size = true;
	} else if (slice_ieq(item, SLICE("BODY[]")) || slice_ieq(item, SLICE("RFC822"))) {
		out->has_body = !imap_lex_nstring(x, &out->body);
	} else if (slice_istarts(item, SLICE("BODY["))) {
		(void)imap_lex_nstring(x, &out->other);
	} else {
		skip_value(x);
	}
}

static void
parse_fetch(struct imap_lex *x, const struct limits *l, struct move_answer *out)
{
	imap_lex_space(x);
	imap_lex_expect(x, '(');
	while (!imap_lex_failed(x) && !imap_lex_accept(x, ')')) {
		parse_item(x, l, out);
		if (!imap_lex_accept(x, ' ') && imap_lex_peek(x) != ')')
			imap_lex_fail(x, "expected the end of the items");
	}
}

/* ---- the house's own -------------------------------------------------------------------------------------------------- */

static void
parse_missing(struct imap_lex *x, struct move_answer *out)
{
	int64_t *v = NULL;
	size_t n = 0, cap = 0;

	imap_lex_space(x);
	imap_lex_expect(x, '(');
	while (!imap_lex_failed(x) && !imap_lex_accept(x, ')')) {
		v = arena_grow(x->arena, v, n, &cap, sizeof(*v), NUMBERS_MAX);
		if (v == NULL) {
			imap_lex_fail(x, "too many numbers");
			return;
		}
		v[n++] = (int64_t)imap_lex_number64(x);
		(void)imap_lex_accept(x, ' ');
	}
	out->numbers = v;
	out->numbers_n = n;
}

/* ---- all of them --------------------------------------------------------------------------------------------------------- */

static void
parse_numbered(struct imap_lex *x, const struct limits *l, struct move_answer *out)
{
	struct slice word;

	out->number = imap_lex_number(x);
	imap_lex_space(x);
	word = take_word(&x->c);
	if (slice_ieq(word, SLICE("EXISTS")))
		out->kind = MOVE_ANSWER_EXISTS;
	else if (slice_ieq(word, SLICE("EXPUNGE")))
		out->kind = MOVE_ANSWER_EXPUNGE;
	else if (slice_ieq(word, SLICE("FETCH"))) {
		out->kind = MOVE_ANSWER_FETCH;
		parse_fetch(x, l, out);
	}
}

static void
parse_named(struct imap_lex *x, struct move_answer *out)
{
	struct slice word = take_word(&x->c);

	if (parse_status(x, word, out))
		return;
	if (slice_ieq(word, SLICE("CAPABILITY"))) {
		out->kind = MOVE_ANSWER_CAPABILITY;
		out->text = slice_trim(cursor_rest(&x->c));
	} else if (slice_ieq(word, SLICE("LIST"))) {
		out->kind = MOVE_ANSWER_LIST;
		parse_list(x, out);
	} else if (slice_ieq(word, SLICE("LSUB"))) {
		out->kind = MOVE_ANSWER_LSUB;
		parse_list(x, out);
	} else if (slice_ieq(word, SLICE("NAMESPACE"))) {
		out->kind = MOVE_ANSWER_NAMESPACE;
		parse_namespace(x, out);
	} else if (slice_ieq(word, SLICE("XMOVE-MISSING"))) {
		out->kind = MOVE_ANSWER_MISSING;
		parse_missing(x, out);
	} else if (slice_ieq(word, SLICE("XMOVE-ADOPTED"))) {
		out->kind = MOVE_ANSWER_ADOPTED;
		imap_lex_space(x);
		out->number = imap_lex_number(x);
	} else if (slice_ieq(word, SLICE("XMOVE-DROPPED"))) {
		out->kind = MOVE_ANSWER_DROPPED;
		imap_lex_space(x);
		out->number = imap_lex_number(x);
	}
}

void
move_answer_parse(struct slice text, const struct limits *l, struct arena *a, struct move_answer *out)
{
	struct imap_lex x = imap_lex_of(text, a, DEPTH_MAX);

	*out = (struct move_answer){.kind = MOVE_ANSWER_OTHER, .internal_s = INT64_MIN};
	if (imap_lex_accept(&x, '+')) {
		out->kind = MOVE_ANSWER_CONTINUE;
		return;
	}
	if (!imap_lex_accept(&x, '*'))
		out->tag = imap_lex_tag(&x);
	imap_lex_space(&x);
	if (out->tag.n > 0)
		(void)parse_status(&x, take_word(&x.c), out);
	else if (imap_lex_peek(&x) >= '0' && imap_lex_peek(&x) <= '9')
		parse_numbered(&x, l, out);
	else
		parse_named(&x, out);
	if (imap_lex_failed(&x))
		*out = (struct move_answer){.kind = MOVE_ANSWER_OTHER, .tag = out->tag, .internal_s = INT64_MIN};
}
