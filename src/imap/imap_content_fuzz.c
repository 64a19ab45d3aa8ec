/* Any message: its ENVELOPE and BODYSTRUCTURE must read back as nested lists of strings and numbers, and what FETCH tells of it must
 * lie within it or within what was rendered. */
#include "imap/imap_content.h"
#include "imap/imap_fetch.h"

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
check_extent(const struct imap_extent *e, struct slice raw, const struct buf *out)
{
	size_t size = e->where == IMAP_EXTENT_MESSAGE ? raw.n : e->where == IMAP_EXTENT_RENDERED ? out->n : 0;

	ASSERT(e->where == IMAP_EXTENT_NIL || (e->from <= size && e->n <= size - e->from));
}

static void
fetch(struct slice raw, const struct limits *l)
{
	struct arena ARENA_CLEANUP a;
	struct imap_fetch f;
	struct imap_extent extents[16] = {{0}};
	struct imap_fetch_one one = {.raw = raw, .extents = extents};
	struct imap_fetch_job job = {.fetch = &f, .limits = l, .tree = true, .v = &one, .n = 1};
	struct imap_lex x;

	arena_init(&a, 1 << 20);
	x = imap_lex_of(
	    SLICE("(ENVELOPE PREVIEW BODY BODY[1] BODY[1.MIME] BODY[2.1.HEADER] BODY[1.2.TEXT] "
		  "BODY[2.HEADER.FIELDS (To)] BODY[HEADER.FIELDS.NOT (To)] BINARY[1] BINARY[2.2] BINARY[])"),
	    &a, 50);
	imap_parse_fetch(&x, l, &f);
	ASSERT(!imap_lex_failed(&x) && f.sections_n <= COUNT_OF(extents));
	job.items = f.items;
	buf_init(&job.out, 64u << 20);
	ASSERT(imap_fetch_render(&job) == 0);
	for (size_t i = 0; i < f.sections_n && !one.failed; i++)
		check_extent(&extents[i], raw, &job.out);
	check_extent(&one.preview, raw, &job.out);
	buf_free(&job.out);
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
	if (raw.n > 0)
		fetch(raw, &l);
	return 0;
}
