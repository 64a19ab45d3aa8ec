/* imap_parse_search.c: the program of SEARCH (RFC 3501 §6.4.4 and the extensions of it) as a tree. NOT is a mark on a key and a chain of ORs one key
 * with many children, so only parentheses and an OR on the left of an OR go deeper. */
#include "imap/imap_parse.h"

#include "store/store.h"

enum argument {
	ARG_NONE,
	ARG_TEXT,
	ARG_NAME_TEXT,
	ARG_DATE,
	ARG_NUMBER,
	ARG_POSITIVE,
	ARG_SET,
	ARG_KEYWORD,
	ARG_MODSEQ,
	ARG_ID
};

static const struct key_row {
	struct slice name;
	enum imap_key_kind kind;
	enum argument argument;
	uint8_t flag;
	bool negated;
	struct slice field; /* of keys that read one header field */
} key_rows[] = {
    {SLICE_INIT("ALL"), IMAP_KEY_ALL, ARG_NONE, 0, false, {0}},
    {SLICE_INIT("ANSWERED"), IMAP_KEY_FLAG, ARG_NONE, STORE_ANSWERED, false, {0}},
    {SLICE_INIT("BCC"), IMAP_KEY_HEADER, ARG_TEXT, 0, false, SLICE_INIT("Bcc")},
    {SLICE_INIT("BEFORE"), IMAP_KEY_BEFORE, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("BODY"), IMAP_KEY_BODY, ARG_TEXT, 0, false, {0}},
    {SLICE_INIT("CC"), IMAP_KEY_HEADER, ARG_TEXT, 0, false, SLICE_INIT("Cc")},
    {SLICE_INIT("DELETED"), IMAP_KEY_FLAG, ARG_NONE, STORE_DELETED, false, {0}},
    {SLICE_INIT("DRAFT"), IMAP_KEY_FLAG, ARG_NONE, STORE_DRAFT, false, {0}},
    {SLICE_INIT("EMAILID"), IMAP_KEY_EMAILID, ARG_ID, 0, false, {0}},
    {SLICE_INIT("FLAGGED"), IMAP_KEY_FLAG, ARG_NONE, STORE_FLAGGED, false, {0}},
    {SLICE_INIT("FROM"), IMAP_KEY_HEADER, ARG_TEXT, 0, false, SLICE_INIT("From")},
    {SLICE_INIT("HEADER"), IMAP_KEY_HEADER, ARG_NAME_TEXT, 0, false, {0}},
    {SLICE_INIT("KEYWORD"), IMAP_KEY_KEYWORD, ARG_KEYWORD, 0, false, {0}},
    {SLICE_INIT("LARGER"), IMAP_KEY_LARGER, ARG_NUMBER, 0, false, {0}},
    {SLICE_INIT("MODSEQ"), IMAP_KEY_MODSEQ, ARG_MODSEQ, 0, false, {0}},
    {SLICE_INIT("NEW"), IMAP_KEY_NEW, ARG_NONE, 0, false, {0}},
    {SLICE_INIT("OLD"), IMAP_KEY_RECENT, ARG_NONE, 0, true, {0}},
    {SLICE_INIT("OLDER"), IMAP_KEY_OLDER, ARG_POSITIVE, 0, false, {0}},
    {SLICE_INIT("ON"), IMAP_KEY_ON, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("RECENT"), IMAP_KEY_RECENT, ARG_NONE, 0, false, {0}},
    {SLICE_INIT("SAVEDATESUPPORTED"), IMAP_KEY_ALL, ARG_NONE, 0, false, {0}},
    {SLICE_INIT("SAVEDBEFORE"), IMAP_KEY_SAVEDBEFORE, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("SAVEDON"), IMAP_KEY_SAVEDON, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("SAVEDSINCE"), IMAP_KEY_SAVEDSINCE, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("SEEN"), IMAP_KEY_FLAG, ARG_NONE, STORE_SEEN, false, {0}},
    {SLICE_INIT("SENTBEFORE"), IMAP_KEY_SENTBEFORE, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("SENTON"), IMAP_KEY_SENTON, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("SENTSINCE"), IMAP_KEY_SENTSINCE, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("SINCE"), IMAP_KEY_SINCE, ARG_DATE, 0, false, {0}},
    {SLICE_INIT("SMALLER"), IMAP_KEY_SMALLER, ARG_NUMBER, 0, false, {0}},
    {SLICE_INIT("SUBJECT"), IMAP_KEY_HEADER, ARG_TEXT, 0, false, SLICE_INIT("Subject")},
    {SLICE_INIT("TEXT"), IMAP_KEY_TEXT, ARG_TEXT, 0, false, {0}},
    {SLICE_INIT("THREADID"), IMAP_KEY_THREADID, ARG_ID, 0, false, {0}},
    {SLICE_INIT("TO"), IMAP_KEY_HEADER, ARG_TEXT, 0, false, SLICE_INIT("To")},
    {SLICE_INIT("UID"), IMAP_KEY_UID, ARG_SET, 0, false, {0}},
    {SLICE_INIT("UIDAFTER"), IMAP_KEY_UIDAFTER, ARG_POSITIVE, 0, false, {0}},
    {SLICE_INIT("UIDBEFORE"), IMAP_KEY_UIDBEFORE, ARG_POSITIVE, 0, false, {0}},
    {SLICE_INIT("UNANSWERED"), IMAP_KEY_FLAG, ARG_NONE, STORE_ANSWERED, true, {0}},
    {SLICE_INIT("UNDELETED"), IMAP_KEY_FLAG, ARG_NONE, STORE_DELETED, true, {0}},
    {SLICE_INIT("UNDRAFT"), IMAP_KEY_FLAG, ARG_NONE, STORE_DRAFT, true, {0}},
    {SLICE_INIT("UNFLAGGED"), IMAP_KEY_FLAG, ARG_NONE, STORE_FLAGGED, true, {0}},
    {SLICE_INIT("UNKEYWORD"), IMAP_KEY_KEYWORD, ARG_KEYWORD, 0, true, {0}},
    {SLICE_INIT("UNSEEN"), IMAP_KEY_FLAG, ARG_NONE, STORE_SEEN, true, {0}},
    {SLICE_INIT("YOUNGER"), IMAP_KEY_YOUNGER, ARG_POSITIVE, 0, false, {0}},
};

struct parse {
	struct imap_lex *x;
	struct imap_search *out;
	int64_t keys_left;
	int64_t texts_left;
	bool fuzzy; /* FUZZY stands before or around */
};

static struct imap_key *parse_key(struct parse *p, int64_t depth);

static struct imap_key *
new_key(struct parse *p, enum imap_key_kind kind)
{
	struct imap_key *k;

	if (p->keys_left-- <= 0) {
		imap_lex_fail(p->x, "too many search keys");
		return NULL;
	}
	if ((kind == IMAP_KEY_BODY || kind == IMAP_KEY_TEXT) && p->texts_left-- <= 0) {
		imap_lex_fail(p->x, "too many BODY and TEXT keys");
		return NULL;
	}
	k = ARENA_NEW(p->x->arena, struct imap_key);
	if (k == NULL) {
		imap_lex_fail(p->x, "the command is too large");
		return NULL;
	}
	k->kind = kind;
	if (imap_key_is_id(k))
		p->out->needs_ids = true;
	else if (imap_key_is_sent(k))
		p->out->needs_dates = true;
	else if (imap_key_is_text(k))
		p->out->has_texts = true;
	else if (kind == IMAP_KEY_SEQUENCE)
		p->out->by_number = true;
	else if (kind == IMAP_KEY_SAVED)
		p->out->by_saved = true;
	else if (kind == IMAP_KEY_MODSEQ)
		p->out->by_modseq = true;
	k->fuzzy = p->fuzzy;
	return k;
}

/* Keys separated by single spaces up to ')' or the end. */
static struct imap_key *
parse_and(struct parse *p, int64_t depth)
{
	struct imap_key *k = new_key(p, IMAP_KEY_AND), **tail;

	if (k == NULL)
		return NULL;
	tail = &k->first;
	do {
		*tail = parse_key(p, depth);
		if (*tail == NULL)
			return NULL;
		tail = &(*tail)->next;
	} while (imap_lex_accept(p->x, ' '));
	return k;
}

/* Behind "OR ": a chain "OR a OR b OR c d" becomes one key. */
static struct imap_key *
parse_or(struct parse *p, int64_t depth)
{
	struct imap_key *k = new_key(p, IMAP_KEY_OR), **tail;

	if (k == NULL)
		return NULL;
	tail = &k->first;
	do {
		*tail = parse_key(p, depth - 1);
		imap_lex_space(p->x);
		if (*tail == NULL || imap_lex_failed(p->x))
			return NULL;
		tail = &(*tail)->next;
	} while (cursor_iaccept(&p->x->c, SLICE("OR ")));
	*tail = parse_key(p, depth - 1);
	return *tail == NULL ? NULL : k;
}

/* [entry-name SP entry-type SP] mod-sequence: modseqs are kept for a message, not for each flag, so which flag is meant makes no
 * difference (RFC 7162 §3.1.5). */
static void
parse_modseq(struct parse *p, struct imap_key *k)
{
	if (imap_lex_peek(p->x) == '"') {
		struct slice name = imap_lex_string(p->x), type;

		imap_lex_space(p->x);
		type = imap_lex_atom(p->x);
		imap_lex_space(p->x);
		if (!slice_istarts(name, SLICE("/flags/")))
			imap_lex_fail(p->x, "expected the name of a flag, \"/flags/...\"");
		else if (!slice_ieq(type, SLICE("all")) && !slice_ieq(type, SLICE("shared")) &&
		    !slice_ieq(type, SLICE("priv")))
			imap_lex_fail(p->x, "expected all, shared or priv");
	}
	k->modseq = imap_lex_number64(p->x);
}

static void
parse_argument(struct parse *p, struct imap_key *k, enum argument argument)
{
	if (argument == ARG_NONE)
		return;
	imap_lex_space(p->x);
	switch (argument) {
	case ARG_NAME_TEXT:
		k->name = imap_lex_astring(p->x);
		imap_lex_space(p->x);
		k->text = imap_lex_astring(p->x);
		break;
	case ARG_TEXT: k->text = imap_lex_astring(p->x); break;
	case ARG_KEYWORD: k->text = imap_lex_atom(p->x); break;
	case ARG_DATE: k->day = imap_lex_date(p->x); break;
	case ARG_NUMBER: k->number = imap_lex_number(p->x); break;
	case ARG_POSITIVE: k->number = imap_lex_nz_number(p->x); break;
	case ARG_MODSEQ: parse_modseq(p, k); break;
	case ARG_ID: k->text = imap_lex_object_id(p->x); break;
	case ARG_SET: k->set = imap_lex_sequence(p->x); break;
	case ARG_NONE: break;
	}
}

static struct imap_key *
parse_named(struct parse *p)
{
	struct slice rest = cursor_rest(&p->x->c), word;
	size_t n = 0;

	while (n < rest.n && ascii_is_alpha(slice_at(rest, n)))
		n++;
	word = cursor_take(&p->x->c, n);
	for (size_t i = 0; i < COUNT_OF(key_rows); i++) {
		const struct key_row *r = &key_rows[i];
		struct imap_key *k;

		if (!slice_ieq(word, r->name))
			continue;
		k = new_key(p, r->kind);
		if (k == NULL)
			return NULL;
		k->flag = r->flag;
		k->negated = r->negated;
		k->name = r->field;
		parse_argument(p, k, r->argument);
		return imap_lex_failed(p->x) ? NULL : k;
	}
	imap_lex_fail(p->x, "no such search key");
	return NULL;
}

static struct imap_key *
parse_key(struct parse *p, int64_t depth)
{
	struct imap_key *k;
	bool negated = false, fuzzy = p->fuzzy;
	int b;

	if (depth <= 0) {
		imap_lex_fail(p->x, "search keys are nested too deeply");
		return NULL;
	}
	for (;;) {
		if (cursor_iaccept(&p->x->c, SLICE("NOT ")))
			negated = !negated;
		else if (cursor_iaccept(&p->x->c, SLICE("FUZZY ")))
			p->fuzzy = p->out->fuzzy = true;
		else
			break;
	}
	b = imap_lex_peek(p->x);
	if (imap_lex_accept(p->x, '(')) {
		k = parse_and(p, depth - 1);
		imap_lex_expect(p->x, ')');
	} else if (b == '*' || (b >= '0' && b <= '9')) {
		k = new_key(p, IMAP_KEY_SEQUENCE);
		if (k != NULL)
			k->set = imap_lex_sequence(p->x);
	} else if (imap_lex_accept(p->x, '$')) {
		k = new_key(p, IMAP_KEY_SAVED);
	} else if (cursor_iaccept(&p->x->c, SLICE("OR "))) {
		k = parse_or(p, depth);
	} else {
		k = parse_named(p);
	}
	p->fuzzy = fuzzy;
	if (k == NULL || imap_lex_failed(p->x))
		return NULL;
	k->negated ^= negated;
	return k;
}

void
imap_parse_search_keys(struct imap_lex *x, const struct limits *l, struct imap_search *out)
{
	struct parse p = {x, out, l->imap_search_keys, l->imap_search_texts, false};

	out->root = parse_and(&p, l->imap_nesting);
	imap_lex_end(x);
}

void
imap_parse_search(struct imap_lex *x, const struct limits *l, struct imap_search *out)
{
	*out = (struct imap_search){0};
	if (cursor_iaccept(&x->c, SLICE("CHARSET "))) {
		out->charset = imap_lex_astring(x);
		imap_lex_space(x);
	}
	imap_parse_search_keys(x, l, out);
}

/* UPDATE may say what to tell of new messages. */
static void
parse_update(struct imap_lex *x, const struct limits *l, struct imap_return *out)
{
	struct imap_lex before = *x;
	struct slice rest;
	struct imap_fetch f;

	if (!imap_lex_accept(x, ' ') || imap_lex_peek(x) != '(') {
		*x = before;
		return;
	}
	rest = cursor_rest(&x->c);
	imap_parse_fetch_items(x, l, &f);
	if (!imap_lex_failed(x))
		out->fetch = slice_head(rest, rest.n - cursor_left(&x->c));
}

void
imap_parse_return(struct imap_lex *x, const struct limits *l, struct imap_return *out)
{
	static const struct {
		struct slice name;
		unsigned option;
	} options[] = {
	    {SLICE_INIT("MIN"), IMAP_RETURN_MIN},
	    {SLICE_INIT("MAX"), IMAP_RETURN_MAX},
	    {SLICE_INIT("ALL"), IMAP_RETURN_ALL},
	    {SLICE_INIT("COUNT"), IMAP_RETURN_COUNT},
	    {SLICE_INIT("SAVE"), IMAP_RETURN_SAVE},
	    {SLICE_INIT("PARTIAL"), IMAP_RETURN_PARTIAL},
	    {SLICE_INIT("UPDATE"), IMAP_RETURN_UPDATE},
	    {SLICE_INIT("CONTEXT"), IMAP_RETURN_CONTEXT},
	    {SLICE_INIT("RELEVANCY"), IMAP_RETURN_RELEVANCY},
	};

	*out = (struct imap_return){0};
	if (!cursor_iaccept(&x->c, SLICE("RETURN (")))
		return;
	out->given = true;
	while (!imap_lex_failed(x) && imap_lex_peek(x) != ')') {
		struct slice name = imap_lex_atom(x);
		unsigned option = 0;

		for (size_t i = 0; i < COUNT_OF(options); i++)
			if (slice_ieq(name, options[i].name))
				option = options[i].option;
		if (option == 0)
			imap_lex_fail(x, "no such search return option");
		if (option == IMAP_RETURN_PARTIAL) {
			imap_lex_space(x);
			if (out->partial.given)
				imap_lex_fail(x, "PARTIAL twice");
			imap_parse_partial(x, &out->partial);
		}
		if (option == IMAP_RETURN_UPDATE)
			parse_update(x, l, out);
		out->options |= option;
		if (imap_lex_peek(x) != ')')
			imap_lex_space(x);
	}
	imap_lex_expect(x, ')');
	imap_lex_space(x);
	if (out->partial.given && (out->options & IMAP_RETURN_ALL))
		imap_lex_fail(x, "ALL and PARTIAL");
	/* CONTEXT is a hint only, and UPDATE tells nothing now (RFC 5267 §4.2, §4.3). */
	if ((out->options & ~(unsigned)IMAP_RETURN_CONTEXT) == 0)
		out->options |= IMAP_RETURN_ALL;
}
