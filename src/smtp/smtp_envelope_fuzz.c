/* Parameters of MAIL (first line) and RCPT (the rest), for strangers and for users: what is accepted comes out as lines, one a
 * parameter and no more, within their sizes; and BDAT's argument. */
#include "base/buf.h"
#include "smtp/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool
parse(struct arena *a, struct slice text, struct smtp_parameters *ps)
{
	struct smtp_path path;
	BUF_CLEANUP struct buf argument;

	buf_init(&argument, text.n + 100);
	buf_put_z(&argument, "FROM:<a@b.test> ");
	buf_put(&argument, text);
	return smtp_path_argument_parse(arena_copy(a, buf_slice(&argument)), SLICE("FROM"), a, &path, ps) == 0;
}

/* Each line is NAME=value, printable, and no name is there twice. */
static void
check_lines(const struct buf *out, bool utf8)
{
	struct slice rest = buf_slice(out), names[SMTP_PARAMETERS_MAX];
	size_t n = 0;

	ASSERT(out->err == 0);
	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n'), name = slice_cut(&line, '=');

		ASSERT(rest.p != NULL && name.n > 0 && line.p != NULL && n < SMTP_PARAMETERS_MAX);
		for (size_t i = 0; i < line.n; i++)
			ASSERT(
			    slice_at(line, i) > ' ' && slice_at(line, i) != 127 && (utf8 || slice_at(line, i) < 127));
		for (size_t i = 0; i < n; i++)
			ASSERT(!slice_eq(names[i], name));
		names[n++] = name;
	}
}

static void
check_mail(const struct smtp_parameters *ps, const struct smtp_envelope_rules *rules)
{
	struct smtp_mail_envelope e;
	BUF_CLEANUP struct buf out;

	if (smtp_mail_envelope_read(ps, rules, &e) != SMTP_R_OK)
		return;
	ASSERT(e.priority >= -9 && e.priority <= rules->priority_max);
	ASSERT(!e.hold || (rules->hold_max_s > 0 && e.hold_until_s <= rules->now_s + rules->hold_max_s));
	ASSERT(e.by_mode != 'R' || e.by_s > rules->now_s);
	ASSERT(!e.require_tls || rules->tls);
	buf_init(&out, SMTP_MAIL_LINES_MAX);
	smtp_mail_envelope_put(&e, true, true, &out);
	check_lines(&out, false);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct smtp_envelope_rules stranger = {.now_s = 1795330000, .message_bytes = 1000},
						user = {.now_s = 1795330000,
						    .message_bytes = 1 << 30,
						    .hold_max_s = 86400,
						    .priority_max = 9,
						    .tls = true,
						    .auth = true};
	struct slice rcpt = slice_of(p, n), mail = slice_cut(&rcpt, '\n');
	ARENA_CLEANUP struct arena a;
	struct smtp_parameters ps;
	uint64_t size;
	bool last;

	arena_init(&a, 4 * n + 100000);
	if (parse(&a, mail, &ps)) {
		check_mail(&ps, &stranger);
		check_mail(&ps, &user);
	}
	for (int utf8 = 0; utf8 < 2 && parse(&a, rcpt, &ps); utf8++) {
		BUF_CLEANUP struct buf out;

		buf_init(&out, SMTP_RCPT_LINES_MAX);
		if (smtp_rcpt_envelope_read(&ps, utf8 == 1, &out) == SMTP_R_OK)
			check_lines(&out, utf8 == 1);
	}
	if (smtp_bdat_argument_parse(mail, &size, &last) == 0)
		ASSERT(size < 1000000000000000000);
	return 0;
}
