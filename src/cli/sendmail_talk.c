#include "cli/sendmail.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define SILENCE_S 600 /* RFC 5321 §4.5.3.2.6: the reply to a message may take so long */
#define REPLY_BYTES 8192u
#define OUT_BYTES 65536u
#define JOIN_BYTES 4096u

/* A connection with what is to be sent and the last reply. */
struct talk {
	struct sendmail *s;
	struct buf out, in, reply; /* reply: its text, without codes */
	int code;
	bool dead;
};

/* ---- connecting ---------------------------------------------------------------------------------------------------------- */

static int
connect_failed(struct sendmail *s, const char *dir)
{
	if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
		return cli_fail(s->c, EX_TEMPFAIL,
		    "no house runs in %s, so nothing was sent; try again when it does (systemctl start posthouse)",
		    dir);
	if (errno == EACCES)
		return cli_fail(s->c, EX_NOPERM,
		    "%s/run/sendmail is closed for this user; the folder is passable when the house runs as a system "
		    "service, with users of its own",
		    dir);
	return cli_fail(s->c, EX_TEMPFAIL, "%s/run/sendmail: %s; nothing was sent", dir, strerror(errno));
}

/* ---- commands and replies ------------------------------------------------------------------------------------------------ */

static void
flush(struct talk *t)
{
	struct slice left = buf_slice(&t->out);

	if (t->out.err != 0)
		t->dead = true;
	while (!t->dead && left.n > 0) {
		ssize_t n = send(t->s->fd, left.p, left.n, MSG_NOSIGNAL);

		if (n > 0)
			left = slice_from(left, (size_t)n);
		else if (n == 0 || errno != EINTR)
			t->dead = true;
	}
	t->out.n = 0;
}

/* One line of a reply: 1 when it is the last. */
static int
take_reply_line(struct talk *t, struct slice line)
{
	uint64_t code = 0;
	bool last;

	if (line.n < 3 || slice_to_u64(slice_head(line, 3), 599, &code) != 0 || code < 200) {
		t->dead = true;
		return 1;
	}
	last = line.n == 3 || slice_at(line, 3) != '-';
	t->code = (int)code;
	if (t->reply.n > 0)
		buf_put_z(&t->reply, " ");
	buf_put(&t->reply, line.n > 4 ? slice_from(line, 4) : SLICE_EMPTY);
	return last;
}

/* The next reply: its code, 0 when the connection is lost. */
static int
read_reply(struct talk *t)
{
	bool last = false;

	flush(t);
	buf_reset(&t->reply);
	t->code = 0;
	while (!t->dead && !last) {
		size_t end = slice_find_byte(buf_slice(&t->in), '\n');
		uint8_t *at;
		ssize_t n;

		if (end != SLICE_NONE) {
			last = take_reply_line(t, slice_trim(slice_head(buf_slice(&t->in), end))) == 1;
			buf_consume(&t->in, end + 1);
			continue;
		}
		at = buf_reserve(&t->in, 1024);
		n = at == NULL ? 0 : read(t->s->fd, at, 1024);
		if (n > 0)
			buf_added(&t->in, (size_t)n);
		else if (n == 0 || errno != EINTR)
			t->dead = true;
	}
	return t->dead ? 0 : t->code;
}

static int command(struct talk *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int
command(struct talk *t, const char *fmt, ...)
{
	char line[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line)) {
		t->code = 500;
		return t->code;
	}
	buf_put_z(&t->out, line);
	buf_put_z(&t->out, "\r\n");
	return read_reply(t);
}

static int
code_of(const struct talk *t)
{
	if (t->code < 500) /* 0: no reply */
		return EX_TEMPFAIL;
	if (slice_starts(buf_slice(&t->reply), SLICE("5.1.")))
		return EX_NOUSER;
	return slice_starts(buf_slice(&t->reply), SLICE("5.7.")) ? EX_NOPERM : EX_UNAVAILABLE;
}

/* What was not taken, and in whose words why. */
static int
refused(struct talk *t, const char *what)
{
	if (t->code == 0)
		return cli_fail(t->s->c, EX_TEMPFAIL, "%s: the house ended the connection; nothing was sent", what);
	return cli_fail(t->s->c, code_of(t), "%s: %d %.*s", what, t->code, SLICE_ARG(buf_slice(&t->reply)));
}

static void
talk_init(struct talk *t, struct sendmail *s)
{
	*t = (struct talk){.s = s};
	buf_init(&t->out, 4 * OUT_BYTES);
	buf_init(&t->in, REPLY_BYTES);
	buf_init(&t->reply, REPLY_BYTES);
}

static void
talk_free(struct talk *t)
{
	buf_free(&t->out);
	buf_free(&t->in);
	buf_free(&t->reply);
}

int
sendmail_connect(struct sendmail *s, const char *dir)
{
	struct talk t;
	struct slice text;
	size_t from, to;
	int code = EX_OK;

	s->fd = cli_connect_to(dir, "sendmail", SILENCE_S);
	if (s->fd < 0)
		return connect_failed(s, dir);
	if (s->mode == SENDMAIL_SMTP)
		return EX_OK;
	talk_init(&t, s);
	if (read_reply(&t) != 220)
		code = refused(&t, "the house");
	text = buf_slice(&t.reply);
	from = slice_find_byte(text, '<');
	to = slice_rfind_byte(text, '>');
	if (from != SLICE_NONE && to != SLICE_NONE && from < to)
		s->own_address = arena_copy(&s->arena, slice_range(text, from + 1, to));
	else if (code == EX_OK)
		code = cli_fail(s->c, EX_PROTOCOL, "what answers in %s/run is of another version of Posthouse", dir);
	talk_free(&t);
	return code;
}

int
sendmail_join(struct sendmail *s)
{
	struct pollfd p[2] = {{fileno(s->c->in), POLLIN, 0}, {s->fd, POLLIN, 0}};
	int to[2] = {s->fd, fileno(s->c->out)};
	char block[JOIN_BYTES];

	while (p[1].fd >= 0 && poll(p, 2, -1) >= 0) {
		for (int i = 0; i < 2; i++) {
			ssize_t n, put = 0;

			if (p[i].fd < 0 || p[i].revents == 0)
				continue;
			n = read(p[i].fd, block, sizeof(block));
			for (ssize_t at = 0; at < n && put >= 0; at += put)
				put = write(to[i], block + at, (size_t)(n - at));
			if (n > 0 && put >= 0)
				continue;
			p[i].fd = -1;
			if (i == 0) /* the program has said all; what the house answers is still of interest */
				(void)shutdown(s->fd, SHUT_WR);
		}
	}
	return EX_OK;
}

/* ---- the message ---------------------------------------------------------------------------------------------------------- */

/* Parameters of DSN (RFC 3461); the values are checked by the house. */
static int
say_mail(struct talk *t)
{
	struct sendmail *s = t->s;
	char ret[32] = "", envid[512] = "";
	bool utf8 = !slice_is_ascii(s->sender);

	for (size_t i = 0; i < s->recipients_n; i++)
		utf8 = utf8 || !slice_is_ascii(s->recipients[i]);
	if (s->ret != NULL)
		(void)snprintf(ret, sizeof(ret), " RET=%.20s", s->ret);
	if (s->envid != NULL) {
		size_t n = (size_t)snprintf(envid, sizeof(envid), " ENVID=");

		for (const char *c = s->envid; *c != '\0' && n + 4 < sizeof(envid); c++)
			n += (size_t)snprintf(envid + n, sizeof(envid) - n,
			    *c > 32 && *c < 127 && *c != '+' && *c != '=' ? "%c" : "+%02X", (unsigned char)*c);
	}
	return command(t, "MAIL FROM:<%.*s>%s%s%s", SLICE_ARG(s->sender), utf8 ? " SMTPUTF8" : "", ret, envid);
}

/* How many recipients were taken; *code: the exit code of those that were not. */
static size_t
say_recipients(struct talk *t, int *code)
{
	struct sendmail *s = t->s;
	char notify[64] = "";
	size_t taken = 0;

	if (s->notify != NULL)
		(void)snprintf(notify, sizeof(notify), " NOTIFY=%.50s", s->notify);
	for (size_t i = 0; i < s->recipients_n && !t->dead; i++) {
		bool ok = command(t, "RCPT TO:<%.*s>%s", SLICE_ARG(s->recipients[i]), notify) / 100 == 2;
		char what[400];

		(void)snprintf(what, sizeof(what), "%.*s", SLICE_ARG(slice_head(s->recipients[i], 300)));
		taken += ok;
		if (!ok)
			*code = refused(t, what);
		else if (s->mode == SENDMAIL_VERIFY)
			(void)fprintf(s->c->out, "%s: would be taken\n", what);
	}
	return taken;
}

static void
put_line(struct talk *t, struct slice line)
{
	if (line.n > 0 && slice_at(line, 0) == '.')
		buf_put_z(&t->out, ".");
	buf_put(&t->out, line);
	buf_put_z(&t->out, "\r\n");
	if (t->out.n > OUT_BYTES)
		flush(t);
}

static void
put_header(struct talk *t, struct slice header)
{
	while (header.n > 0) {
		struct slice line = slice_cut(&header, '\n');

		put_line(t, line.n > 0 && slice_at(line, line.n - 1) == '\r' ? slice_head(line, line.n - 1) : line);
	}
	put_line(t, SLICE_EMPTY);
}

static int
say_text(struct talk *t, struct slice header, struct slice first_body, struct sendmail_input *in)
{
	struct slice line;
	int r;

	if (command(t, "DATA") != 354)
		return refused(t, "the message");
	put_header(t, header);
	if (first_body.n > 0)
		put_line(t, first_body);
	while ((r = sendmail_input_line(in, &line)) == 1 && !t->dead)
		put_line(t, line);
	/* Half a message is none: without its end the house drops it. */
	if (r < 0)
		return cli_fail(t->s->c, EX_IOERR, "standard input cannot be read: %s; nothing was sent", err_text(r));
	if (command(t, ".") != 250)
		return refused(t, "the message");
	if (t->s->verbose)
		(void)fprintf(t->s->c->out, "%.*s\n", SLICE_ARG(buf_slice(&t->reply)));
	return EX_OK;
}

static int
run_transaction(struct talk *t, struct slice header, struct slice first_body, struct sendmail_input *in)
{
	int code = EX_OK, result;

	if (command(t, "EHLO localhost") != 250)
		return refused(t, "the house");
	if (say_mail(t) != 250)
		return refused(t, "the sender");
	if (say_recipients(t, &code) == 0 || t->s->mode == SENDMAIL_VERIFY)
		return t->dead && code == EX_OK ? refused(t, "the house") : code;
	result = say_text(t, header, first_body, in);
	return result != EX_OK ? result : code;
}

int
sendmail_send(struct sendmail *s, struct slice header, struct slice first_body, struct sendmail_input *in)
{
	struct talk t;
	int code;

	talk_init(&t, s);
	code = run_transaction(&t, header, first_body, in);
	if (!t.dead && t.code != 354)
		(void)command(&t, "QUIT");
	talk_free(&t);
	return code;
}
