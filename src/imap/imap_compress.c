/* imap_compress.c: COMPRESS=DEFLATE (RFC 4978). The desk compresses; the porch, which has the TLS, only passes the bytes on. */
#include "imap/imap_session.h"

void
imap_do_compress(struct imap_session *s, struct imap_lex *x)
{
	struct slice mechanism;

	imap_lex_space(x);
	mechanism = imap_lex_atom(x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	if (!slice_ieq(mechanism, SLICE("DEFLATE"))) {
		imap_no(s, "", "only DEFLATE is known here");
		return;
	}
	if (stream_is_deflate(s->st)) {
		imap_no(s, "[COMPRESSIONACTIVE]", "DEFLATE is on already");
		return;
	}
	if (stream_pending(s->st).n > 0) {
		imap_bad(s, "nothing may be sent after COMPRESS before its answer");
		return;
	}
	imap_ok(s, "", "from here on DEFLATE");
	/* A failure sticks in the stream and ends the session. */
	if (stream_start_deflate(s->st) != 0)
		s->ended = true;
}
