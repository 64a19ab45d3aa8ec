/* imap_parse_list.c: the arguments of LIST and LSUB: options, reference, patterns (RFC 9051 §9 list, RFC 5258, 5819, 6154). */
#include "imap/imap_list.h"

#include "imap/imap_metadata.h"

#define REFERENCE_BYTES_MAX 4096

struct option_row {
	struct slice name;
	unsigned option;
};

/* One option's name, which the table must have. */
static unsigned
parse_option(struct imap_lex *x, const struct option_row *rows, size_t n)
{
	struct slice name = imap_lex_atom(x);

	for (size_t i = 0; i < n; i++)
		if (slice_ieq(name, rows[i].name))
			return rows[i].option;
	imap_lex_fail(x, "no such option of LIST");
	return 0;
}

static void
parse_selection(struct imap_lex *x, struct imap_listing *l)
{
	static const struct option_row rows[] = {
	    {SLICE_INIT("SUBSCRIBED"), IMAP_LIST_SUBSCRIBED},
	    {SLICE_INIT("SPECIAL-USE"), IMAP_LIST_SPECIAL_USE},
	    {SLICE_INIT("REMOTE"), IMAP_LIST_REMOTE},
	    {SLICE_INIT("RECURSIVEMATCH"), IMAP_LIST_RECURSIVEMATCH},
	};

	l->options |= IMAP_LIST_EXTENDED;
	if (imap_lex_accept(x, ')'))
		return;
	do
		l->options |= parse_option(x, rows, COUNT_OF(rows));
	while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
	/* RFC 9051 §6.3.9.1: it says what of the tree counts, so something else must say what is looked for. */
	if ((l->options & IMAP_LIST_RECURSIVEMATCH) != 0 &&
	    (l->options & (IMAP_LIST_SUBSCRIBED | IMAP_LIST_SPECIAL_USE)) == 0)
		imap_lex_fail(x, "RECURSIVEMATCH needs another option beside it");
	if ((l->options & IMAP_LIST_SUBSCRIBED) != 0)
		l->options |= IMAP_LIST_RETURN_SUBSCRIBED;
}

static void
parse_return(struct imap_lex *x, struct imap_listing *l)
{
	/* \HasChildren and special uses are always told. */
	static const struct option_row rows[] = {
	    {SLICE_INIT("SUBSCRIBED"), IMAP_LIST_RETURN_SUBSCRIBED},
	    {SLICE_INIT("CHILDREN"), IMAP_LIST_EXTENDED},
	    {SLICE_INIT("SPECIAL-USE"), IMAP_LIST_EXTENDED},
	    {SLICE_INIT("STATUS"), IMAP_LIST_RETURN_STATUS},
	    {SLICE_INIT("METADATA"), IMAP_LIST_RETURN_METADATA},
	    {SLICE_INIT("MYRIGHTS"), IMAP_LIST_RETURN_MYRIGHTS},
	};

	if (!slice_ieq(imap_lex_atom(x), SLICE("RETURN")))
		imap_lex_fail(x, "expected RETURN");
	l->options |= IMAP_LIST_EXTENDED;
	imap_lex_space(x);
	imap_lex_expect(x, '(');
	if (imap_lex_accept(x, ')'))
		return;
	do {
		unsigned option = parse_option(x, rows, COUNT_OF(rows));

		l->options |= option;
		if (option == IMAP_LIST_RETURN_STATUS) {
			imap_lex_space(x);
			l->status_items = imap_parse_status(x);
		} else if (option == IMAP_LIST_RETURN_METADATA) {
			imap_lex_space(x);
			if (imap_lex_peek(x) != '(')
				imap_lex_fail(x, "expected the entries in parentheses");
			imap_lex_entries(x, l->s->limits, &l->entries);
		}
	} while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
}

/* One pattern behind the reference. What is no possible name in either matches nothing. */
static void
add_pattern(struct imap_listing *l, struct slice reference, struct slice raw)
{
	struct imap_session *s = l->s;
	struct buf BUF_CLEANUP pattern;

	l->root = raw.n == 0;
	l->percent = l->percent || slice_find_byte(raw, '%') != SLICE_NONE;
	buf_init(&pattern, (size_t)s->limits->imap_command_bytes * 3);
	if (reference.p == NULL || imap_name_decode(s, raw, &pattern) != 0)
		return;
	l->patterns[l->patterns_n] = imap_pattern_new(
	    &s->arena, reference, buf_slice(&pattern), (size_t)s->limits->mailbox_name_bytes);
	if (l->patterns[l->patterns_n] != NULL)
		l->patterns_n++;
}

static void
parse_patterns(struct imap_lex *x, bool extended, struct imap_listing *l, struct slice reference)
{
	size_t n = 0, max = (size_t)l->s->limits->imap_list_patterns;

	l->patterns = ARENA_ARRAY(&l->s->arena, struct imap_pattern *, max);
	if (l->patterns == NULL) {
		imap_lex_fail(x, "out of memory");
		return;
	}
	if (!extended || !imap_lex_accept(x, '(')) {
		add_pattern(l, reference, imap_lex_list_mailbox(x));
		return;
	}
	l->options |= IMAP_LIST_EXTENDED;
	do {
		struct slice raw = imap_lex_list_mailbox(x);

		if (imap_lex_failed(x))
			return;
		if (++n > max) {
			imap_lex_fail(x, "too many patterns");
			return;
		}
		add_pattern(l, reference, raw);
	} while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
}

bool
imap_parse_listing(struct imap_session *s, struct imap_lex *x, bool extended, struct imap_listing *l)
{
	struct buf BUF_CLEANUP reference;
	struct slice raw;

	*l = (struct imap_listing){.s = s};
	imap_lex_space(x);
	if (extended && imap_lex_accept(x, '(')) {
		parse_selection(x, l);
		imap_lex_space(x);
	}
	raw = imap_lex_astring(x);
	imap_lex_space(x);
	buf_init(&reference, REFERENCE_BYTES_MAX);
	if (imap_lex_failed(x) || imap_name_decode(s, raw, &reference) != 0)
		parse_patterns(x, extended, l, SLICE_EMPTY);
	else
		parse_patterns(x, extended, l, reference.n == 0 ? SLICE("") : buf_slice(&reference));
	if (extended && imap_lex_accept(x, ' '))
		parse_return(x, l);
	imap_lex_end(x);
	/* Only the plain command asks for the delimiter with an empty name (RFC 9051 §6.3.9). */
	l->root = l->root && (l->options & IMAP_LIST_EXTENDED) == 0;
	return !imap_bad_syntax(s, x);
}

static bool
is_under_inbox(struct slice name)
{
	return slice_starts(name, SLICE("INBOX")) && (name.n == 5 || slice_at(name, 5) == '/');
}

bool
imap_listing_matches(const struct imap_listing *l, struct slice name)
{
	bool inbox = is_under_inbox(name);

	for (size_t i = 0; i < l->patterns_n; i++)
		if (imap_pattern_match(l->patterns[i], name, inbox))
			return true;
	return false;
}
