/* imap_unauthenticate.c: UNAUTHENTICATE (RFC 8437): the client leaves the account and stays. All that the session has is freed with it;
 * the connection goes back to where it was before the sign-in. There is no way to refuse but to end it. */
#include "imap/imap_session.h"

#include "imap/imap_notify.h"

void
imap_do_unauthenticate(struct imap_session *s, struct imap_lex *x)
{
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	/* What was compressed after it would have to be read by somebody who knows nothing of that. */
	if (s->c->back == NULL || (stream_is_deflate(s->st) && stream_pending(s->st).n > 0)) {
		imap_bye(s, "this connection cannot be used again");
		return;
	}
	imap_notify_end(s);
	imap_deselect(s);
	imap_ok(s, "", "signed out");
	/* §4.1: the answer is compressed, what follows is not. A failure sticks in the stream. */
	if (stream_stop_deflate(s->st) == 0)
		*s->c->back = true;
	s->ended = true;
}
