/* imap_enable.c: ENABLE (RFC 5161, RFC 9051 §6.3.1): what the client wants to be told from now on. */
#include "imap/imap_session.h"

static const struct {
	struct slice name;
	unsigned on;
} enables[] = {
    {SLICE_INIT("IMAP4rev2"), IMAP_ON_REV2},
    {SLICE_INIT("CONDSTORE"), IMAP_ON_CONDSTORE},
    {SLICE_INIT("QRESYNC"), IMAP_ON_QRESYNC}, /* and CONDSTORE (RFC 7162 §3.2.3) */
    {SLICE_INIT("UIDONLY"), IMAP_ON_UIDONLY},
    {SLICE_INIT("UTF8=ACCEPT"), IMAP_ON_UTF8},
};

void
imap_do_enable(struct imap_session *s, struct imap_lex *x)
{
	unsigned wanted = 0;

	do {
		struct slice name;

		imap_lex_space(x);
		name = imap_lex_atom(x);
		for (size_t i = 0; i < COUNT_OF(enables); i++)
			if (slice_ieq(name, enables[i].name))
				wanted |= enables[i].on;
	} while (!imap_lex_failed(x) && imap_lex_peek(x) == ' ');
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	imap_write(s, SLICE("* ENABLED"));
	for (size_t i = 0; i < COUNT_OF(enables); i++) {
		if ((wanted & enables[i].on) == 0 || imap_is_on(s, enables[i].on))
			continue;
		imap_write(s, SLICE(" "));
		imap_write(s, enables[i].name);
	}
	imap_write(s, SLICE("\r\n"));
	if (wanted & (IMAP_ON_CONDSTORE | IMAP_ON_QRESYNC))
		imap_condstore_on(s);
	s->on |= wanted;
	imap_ok(s, "", "done");
}
