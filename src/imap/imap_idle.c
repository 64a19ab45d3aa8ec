/* imap_idle.c: IDLE (RFC 2177): the session waits for DONE on its own small stack, and is woken by the mailbox. */
#include "imap/imap_notify.h"
#include "imap/imap_session.h"

void
imap_do_idle(struct imap_session *s, struct imap_lex *x)
{
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	memcpy(s->idle_tag_bytes, s->tag.p, s->tag.n);
	s->idle_tag = slice_of(s->idle_tag_bytes, s->tag.n);
	s->idling = true;
	s->c->counters->idling++;
	imap_write(s, SLICE("+ idling\r\n"));
	imap_tell_news(s, true);
	imap_watch_view(s);
}

static void
stop_idling(struct imap_session *s)
{
	s->idling = false;
	imap_watch_view(s);
	s->c->counters->idling--;
	s->tag = s->idle_tag;
	s->name = SLICE("IDLE");
}

void
imap_idle_step(struct imap_session *s)
{
	struct slice line;
	int err;

	imap_push_news(s);
	if (!stream_readable_now(s->st))
		return;
	err = stream_read_line(s->st, SLICE("\r\n"), (size_t)s->limits->imap_line_bytes, &line);
	if (err != 0 && err != ERR_LIMIT)
		return;
	stop_idling(s);
	if (err == ERR_LIMIT) {
		imap_bad(s, "expected DONE");
		imap_bye(s, "expected DONE");
	} else if (slice_ieq(line, SLICE("DONE"))) {
		imap_ok(s, "", "done");
	} else {
		imap_bad(s, "expected DONE");
	}
}
