/* imap_parse.c: flags, STATUS items and ID parameters. */
#include "imap/imap_parse.h"

#include "store/store.h"

static const struct {
	struct slice name;
	uint8_t flag;
} system_flags[] = {
    {SLICE_INIT("answered"), STORE_ANSWERED},
    {SLICE_INIT("flagged"), STORE_FLAGGED},
    {SLICE_INIT("deleted"), STORE_DELETED},
    {SLICE_INIT("seen"), STORE_SEEN},
    {SLICE_INIT("draft"), STORE_DRAFT},
};

static void
parse_system_flag(struct imap_lex *x, struct imap_flags *out)
{
	struct slice name = imap_lex_atom(x);

	for (size_t i = 0; i < COUNT_OF(system_flags); i++) {
		if (slice_ieq(name, system_flags[i].name)) {
			out->flags |= system_flags[i].flag;
			return;
		}
	}
	imap_lex_fail(x, slice_ieq(name, SLICE("recent")) ? "\\Recent cannot be set" : "no such system flag");
}

void
imap_parse_flags(struct imap_lex *x, const struct limits *l, bool bare_allowed, struct imap_flags *out)
{
	bool in_list = imap_lex_accept(x, '(');
	struct slice *v = NULL;
	size_t n = 0, cap = 0;

	*out = (struct imap_flags){0};
	if (!in_list && !bare_allowed)
		imap_lex_fail(x, "expected a list of flags");
	if (in_list && imap_lex_accept(x, ')'))
		return;
	do {
		struct slice keyword;

		if (imap_lex_accept(x, '\\')) {
			parse_system_flag(x, out);
			continue;
		}
		keyword = imap_lex_atom(x);
		if (imap_lex_failed(x))
			return;
		if (!store_keyword_valid(l, keyword)) {
			imap_lex_fail(x, "a keyword is too long");
			return;
		}
		v = arena_grow(x->arena, v, n, &cap, sizeof(*v), (size_t)l->imap_line_bytes);
		if (v == NULL) {
			imap_lex_fail(x, "the command is too large");
			return;
		}
		v[n++] = keyword;
	} while (imap_lex_accept(x, ' '));
	if (in_list)
		imap_lex_expect(x, ')');
	out->keywords = (struct slice_list){v, n};
}

unsigned
imap_parse_status(struct imap_lex *x)
{
	static const struct {
		struct slice name;
		unsigned item;
	} table[] = {
	    {SLICE_INIT("MESSAGES"), IMAP_STATUS_MESSAGES},
	    {SLICE_INIT("RECENT"), IMAP_STATUS_RECENT},
	    {SLICE_INIT("UIDNEXT"), IMAP_STATUS_UIDNEXT},
	    {SLICE_INIT("UIDVALIDITY"), IMAP_STATUS_UIDVALIDITY},
	    {SLICE_INIT("UNSEEN"), IMAP_STATUS_UNSEEN},
	    {SLICE_INIT("DELETED"), IMAP_STATUS_DELETED},
	    {SLICE_INIT("SIZE"), IMAP_STATUS_SIZE},
	    {SLICE_INIT("HIGHESTMODSEQ"), IMAP_STATUS_HIGHESTMODSEQ},
	    {SLICE_INIT("MAILBOXID"), IMAP_STATUS_MAILBOXID},
	    {SLICE_INIT("APPENDLIMIT"), IMAP_STATUS_APPENDLIMIT},
	    {SLICE_INIT("DELETED-STORAGE"), IMAP_STATUS_DELETED_STORAGE},
	};
	unsigned items = 0;

	imap_lex_expect(x, '(');
	do {
		struct slice name = imap_lex_atom(x);
		unsigned item = 0;

		for (size_t i = 0; i < COUNT_OF(table); i++)
			if (slice_ieq(name, table[i].name))
				item = table[i].item;
		if (item == 0)
			imap_lex_fail(x, "no such STATUS item");
		items |= item;
	} while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
	return items;
}

void
imap_parse_id(struct imap_lex *x, struct slice *name, struct slice *version)
{
	*name = *version = SLICE_EMPTY;
	if (cursor_iaccept(&x->c, SLICE("NIL")))
		return;
	imap_lex_expect(x, '(');
	if (imap_lex_accept(x, ')'))
		return;
	for (int pairs = 1;; pairs++) {
		struct slice field = imap_lex_string(x), value;

		imap_lex_space(x);
		(void)imap_lex_nstring(x, &value);
		if (imap_lex_failed(x))
			return;
		if (pairs > 30 || field.n > 30 || value.n > 1024) {
			imap_lex_fail(x, "too many or too long ID parameters");
			return;
		}
		if (slice_ieq(field, SLICE("name")))
			*name = value;
		else if (slice_ieq(field, SLICE("version")))
			*version = value;
		if (!imap_lex_accept(x, ' '))
			break;
	}
	imap_lex_expect(x, ')');
}
