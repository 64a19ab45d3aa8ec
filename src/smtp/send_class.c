#include "smtp/send_class.h"

#define TEXT_MAX 400 /* bytes of a reply that are looked at */

struct row {
	enum bus_reply_class class;
	int code;
	struct slice status, words;
};

static const struct row rows[] = {
#define SEND_CLASS(class, code, status, words) {REPLY_##class, code, SLICE_INIT(status), SLICE_INIT(words)},
#include "smtp/send_classes.def"
#undef SEND_CLASS
};

static bool
code_fits(int want, int code)
{
	return want == 0 || want == code || (want < 10 && want == code / 100);
}

/* want "1.1" fits "5.1.1", "1." fits "5.1.7". */
static bool
status_fits(struct slice want, struct slice status)
{
	struct slice rest = status;

	if (want.n == 0)
		return true;
	(void)slice_cut(&rest, '.');
	return slice_ends(want, SLICE(".")) ? slice_starts(rest, want) : slice_eq(rest, want);
}

static bool
words_fit(struct slice want, struct slice text)
{
	if (want.n == 0)
		return true;
	while (want.p != NULL)
		if (slice_ifind(text, slice_cut(&want, '|')) != SLICE_NONE)
			return true;
	return false;
}

enum bus_reply_class
smtp_reply_classify(int code, struct slice status, struct slice text)
{
	/* Our own sentences name hosts and quote nobody: only their status counts. */
	bool ours = code == 0;

	text = slice_head(text, TEXT_MAX);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];

		if (code_fits(r->code, code) && status_fits(r->status, status) &&
		    (ours ? r->words.n == 0 : words_fit(r->words, text)))
			return r->class;
	}
	return REPLY_OTHER;
}
