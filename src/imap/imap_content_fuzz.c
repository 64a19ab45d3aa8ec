/* Any message: its ENVELOPE and BODYSTRUCTURE must read back as nested lists of strings and numbers, and searching it must
 * come to a verdict. */
#include "imap/imap_content.h"
#include "imap/imap_match.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* One value: a list, a string, NIL or a number. The depth is bounded by limits.message_depth. */
static void
read_value(struct imap_lex *x, int depth)
{
	struct slice ignored;

	ASSERT(depth < 400);
	if (imap_lex_accept(x, '(')) {
		while (!imap_lex_failed(x) && !imap_lex_accept(x, ')')) {
			read_value(x, depth + 1);
			(void)imap_lex_accept(x, ' ');
		}
	} else if (imap_lex_peek(x) >= '0' && imap_lex_peek(x) <= '9') {
		(void)imap_lex_number(x);
	} else {
		(void)imap_lex_nstring(x, &ignored);
	}
}

static void
check(const struct buf *out)
{
	struct arena ARENA_CLEANUP a;
	struct imap_lex x;

	ASSERT(out->err == 0);
	arena_init(&a, 1 << 26);
	x = imap_lex_of(buf_slice(out), &a, 400);
	read_value(&x, 0);
	imap_lex_end(&x);
	ASSERT(!imap_lex_failed(&x));
}

static void
search(struct slice raw, const struct limits *l)
{
	static const uint64_t bits[1] = {0};
	struct arena ARENA_CLEANUP a;
	struct imap_search s;
	struct imap_lex x;

	arena_init(&a, 1 << 20);
	x = imap_lex_of(SLICE("OR SENTBEFORE 1-Jan-2000 OR SENTON 1-Jan-2010 SENTSINCE 1-Jan-2020"), &a, 50);
	imap_parse_search(&x, l, &s);
	ASSERT(!imap_lex_failed(&x));
	ASSERT(imap_match_prepare(&s, &a) == 0);
	(void)imap_match_header(&s, &(struct imap_leaves){bits}, raw, l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena ARENA_CLEANUP a;
	struct buf BUF_CLEANUP out;
	struct slice raw = slice_of(p, n);
	struct limits l;
	struct header h;
	struct mime m;

	limits_default(&l);
	arena_init(&a, mime_arena_max(&l, n) + (64u << 20));
	buf_init(&out, 64u << 20);
	ASSERT(mime_parse(&a, raw, &l, CHARSET_THREAD, &m) == 0);
	ASSERT(header_parse(&a, raw, &l, &h) == 0);
	imap_put_envelope(&out, &a, &h, &l);
	check(&out);
	buf_reset(&out);
	imap_put_structure(&out, &a, &m, &l, true);
	check(&out);
	buf_reset(&out);
	imap_put_structure(&out, &a, &m, &l, false);
	check(&out);
	search(raw, &l);
	return 0;
}
