/* Arguments of commands. The first byte chooses the grammar; a FETCH section that parses must print to something that
 * parses to the same print. */
#include "imap/imap_notify.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_sections(const struct imap_fetch *f, const struct limits *l)
{
	for (size_t i = 0; i < f->sections_n; i++) {
		struct arena ARENA_CLEANUP a;
		struct buf BUF_CLEANUP once;
		struct buf BUF_CLEANUP twice;
		struct imap_fetch again;
		struct imap_lex x;

		if (f->sections[i].partial)
			continue; /* the response form has no length */
		arena_init(&a, 1 << 22);
		buf_init(&once, 1 << 20);
		buf_init(&twice, 1 << 20);
		imap_put_section(&once, &f->sections[i]);
		x = imap_lex_of(buf_slice(&once), &a, 50);
		imap_parse_fetch(&x, l, &again);
		imap_lex_end(&x);
		ASSERT(!imap_lex_failed(&x) && again.sections_n == 1);
		imap_put_section(&twice, &again.sections[0]);
		ASSERT(slice_eq(buf_slice(&once), buf_slice(&twice)));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena ARENA_CLEANUP a;
	struct limits l;
	struct imap_lex x;
	struct imap_flags flags;
	struct imap_fetch fetch;
	struct imap_search search;
	struct imap_return ret;
	struct imap_notify_args notify;
	struct slice s1, s2;
	uint64_t size;
	bool nonsync;

	if (n < 1)
		return 0;
	limits_default(&l);
	arena_init(&a, 1 << 22);
	x = imap_lex_of(slice_of(p + 1, n - 1), &a, l.imap_nesting);
	switch (p[0] % 9) {
	case 0: imap_parse_flags(&x, &l, true, &flags); break;
	case 1: (void)imap_parse_status(&x); break;
	case 2: imap_parse_id(&x, &s1, &s2); break;
	case 3:
		imap_parse_fetch(&x, &l, &fetch);
		imap_lex_end(&x);
		if (!imap_lex_failed(&x))
			check_sections(&fetch, &l);
		break;
	case 4:
		imap_parse_return(&x, &l, &ret);
		imap_parse_search(&x, &l, &search);
		break;
	case 5: (void)imap_lex_date_time(&x); break;
	case 6: (void)imap_lex_date(&x); break;
	case 7: (void)imap_literal_at_end(slice_of(p + 1, n - 1), &size, &nonsync); break;
	case 8:
		imap_parse_notify(&x, &l, &notify);
		ASSERT(notify.n <= notify.names && notify.names <= (size_t)l.imap_notify_names + 1);
		break;
	}
	imap_lex_end(&x);
	ASSERT(!imap_lex_failed(&x) || x.why != NULL);
	return 0;
}
