/* imap_presession.c: the porch's half of a session (RFC 3501 §3.1): nothing is served here but the way to a sign-in. Everything a
 * stranger can make it keep is small: PRESESSION_BYTES for a command with its literals. */
#include "imap/imap_session.h"

/* Enough for a name and a password of limits.password_bytes in base64 or as literals. */
#define PRESESSION_BYTES 8192u

struct before {
	struct guest g;
	struct arena arena;
	struct imap_command command;
	struct slice tag;
};

typedef void before_handler(struct before *b, struct imap_lex *x);
#define BEFORE(name, handler, help) static before_handler imap_before_##handler;
#include "imap/commands.def"

static const struct {
	struct slice name;
	before_handler *handler;
} before_rows[] = {
#define BEFORE(name, handler, help) {SLICE_INIT(name), imap_before_##handler},
#include "imap/commands.def"
};

static void
say(struct before *b, struct slice bytes)
{
	guest_say(&b->g, bytes);
}

static void
answer(struct before *b, const char *what, const char *text)
{
	say(b, b->tag.n == 0 ? SLICE("*") : b->tag);
	say(b, SLICE(" "));
	say(b, slice_z(what));
	say(b, SLICE(" "));
	say(b, slice_z(text));
	say(b, SLICE("\r\n"));
}

static void
end_with_bye(struct before *b, int why, const char *text)
{
	char line[200];

	(void)snprintf(line, sizeof(line), "* BYE %s\r\n", text);
	guest_end(&b->g, why, slice_z(line));
}

static void
bad(struct before *b, const char *text)
{
	guest_bad(&b->g, SLICE_EMPTY);
	answer(b, "BAD", text);
}

static bool
bad_syntax(struct before *b, struct imap_lex *x)
{
	if (!imap_lex_failed(x))
		return false;
	bad(b, x->why != NULL ? x->why : "syntax error");
	return true;
}

static void
put_capabilities(struct before *b, struct buf *out)
{
	unsigned when = IMAP_CAP_ALWAYS | IMAP_CAP_BEFORE;

	if (guest_may_start_tls(&b->g))
		when |= IMAP_CAP_STARTTLS;
	when |= guest_may_sign_in(&b->g) ? IMAP_CAP_SIGN_IN : IMAP_CAP_NO_SIGN_IN;
	buf_put(out, SLICE("CAPABILITY "));
	imap_put_capabilities(out, when, b->g.limits);
	if (guest_may_sign_in(&b->g))
		sasl_put_mechanisms(out, b->g.st, SERVICE_IMAP, false, SLICE(" AUTH="), SLICE(""));
}

static void
imap_before_capability(struct before *b, struct imap_lex *x)
{
	struct buf BUF_CLEANUP out;

	imap_lex_end(x);
	if (bad_syntax(b, x))
		return;
	buf_init(&out, 1024);
	buf_put(&out, SLICE("* "));
	put_capabilities(b, &out);
	buf_put(&out, SLICE("\r\n"));
	say(b, buf_slice(&out));
	answer(b, "OK", "done");
}

static void
imap_before_noop(struct before *b, struct imap_lex *x)
{
	imap_lex_end(x);
	if (!bad_syntax(b, x))
		answer(b, "OK", "done");
}

static void
imap_before_logout(struct before *b, struct imap_lex *x)
{
	imap_lex_end(x);
	if (bad_syntax(b, x))
		return;
	say(b, SLICE("* BYE good-bye\r\n"));
	answer(b, "OK", "done");
	guest_end(&b->g, ERR_CLOSED, SLICE_EMPTY);
}

static void
imap_before_id(struct before *b, struct imap_lex *x)
{
	struct slice name, version;
	struct buf BUF_CLEANUP out;

	imap_lex_space(x);
	imap_parse_id(x, &name, &version);
	imap_lex_end(x);
	if (bad_syntax(b, x))
		return;
	buf_init(&out, 1024);
	imap_put_id(&out);
	say(b, buf_slice(&out));
	answer(b, "OK", "done");
}

static void
imap_before_starttls(struct before *b, struct imap_lex *x)
{
	imap_lex_end(x);
	if (bad_syntax(b, x))
		return;
	if (stream_is_tls(b->g.st)) {
		bad(b, "TLS is in use already");
		return;
	}
	if (!guest_may_start_tls(&b->g)) {
		answer(b, "NO", "[UNAVAILABLE] TLS is not available");
		return;
	}
	/* RFC 3501 §6.2.1: a client waits for our word. What came before it may be somebody else's. */
	if (stream_pending(b->g.st).n > 0) {
		bad(b, "nothing may follow STARTTLS before its answer");
		end_with_bye(b, ERR_SYNTAX, "commands before TLS began");
		return;
	}
	answer(b, "OK", "begin TLS");
	guest_start_tls(&b->g);
}

static void
refuse_cleartext(struct before *b)
{
	/* The password may have been sent all the same: the client must be told not to. */
	answer(b, "NO", "[PRIVACYREQUIRED] TLS must be begun first");
}

/* RFC 5530 has the codes. */
static void
answer_sign_in(struct before *b, enum sasl_outcome o)
{
	switch (o) {
	case SASL_SIGNED_IN:
	case SASL_ENDED: break;
	case SASL_DENIED:
		answer(b, "NO", "[AUTHENTICATIONFAILED] wrong name or password");
		if (guest_is_guessing(&b->g))
			end_with_bye(b, ERR_DENIED, "too many failed sign-ins");
		break;
	case SASL_BUSY: answer(b, "NO", "[UNAVAILABLE] signing in is not possible now; try again later"); break;
	case SASL_MALFORMED: bad(b, "not a message of this mechanism in base64"); break;
	case SASL_CANCELLED: bad(b, "given up"); break;
	case SASL_NO_MECHANISM: answer(b, "NO", "[CANNOT] no such mechanism"); break;
	}
}

static void
imap_before_login(struct before *b, struct imap_lex *x)
{
	struct slice login, password;

	imap_lex_space(x);
	login = imap_lex_astring(x);
	imap_lex_space(x);
	password = imap_lex_astring(x);
	imap_lex_end(x);
	if (bad_syntax(b, x))
		return;
	if (!guest_may_sign_in(&b->g))
		refuse_cleartext(b);
	else
		answer_sign_in(b, guest_password(&b->g, b->tag, login, password));
}

static void
imap_before_authenticate(struct before *b, struct imap_lex *x)
{
	struct slice mechanism, initial = SLICE_EMPTY;

	imap_lex_space(x);
	mechanism = imap_lex_atom(x);
	if (imap_lex_accept(x, ' ') && !imap_lex_failed(x)) {
		initial = cursor_rest(&x->c);
		cursor_skip(&x->c, initial.n);
	}
	if (bad_syntax(b, x))
		return;
	if (!guest_may_sign_in(&b->g))
		refuse_cleartext(b);
	else
		answer_sign_in(b, guest_sasl(&b->g, b->tag, mechanism, initial));
}

static void
serve(struct before *b)
{
	const struct imap_command_limits l = {PRESESSION_BYTES, PRESESSION_BYTES};
	int err = imap_command_read(b->g.st, &l, &b->command);
	struct imap_lex x;
	struct slice name;

	if (err != 0 && err != ERR_SYNTAX && err != ERR_LIMIT) {
		b->g.end = err;
		return;
	}
	b->g.c->counters->commands++;
	b->tag = imap_command_tag(buf_slice(&b->command.text));
	x = imap_lex_of(buf_slice(&b->command.text), &b->arena, 1);
	(void)imap_lex_tag(&x);
	imap_lex_space(&x);
	name = imap_lex_atom(&x);
	if (b->command.has_message)
		b->command.why = "sign in first";
	if (b->command.why != NULL) {
		bad(b, b->command.why);
		if (err == ERR_LIMIT || (b->command.has_message && b->command.message_nonsync))
			end_with_bye(b, ERR_LIMIT, "that was too much");
		return;
	}
	if (bad_syntax(b, &x))
		return;
	for (size_t i = 0; i < COUNT_OF(before_rows); i++) {
		if (slice_ieq(name, before_rows[i].name)) {
			before_rows[i].handler(b, &x);
			return;
		}
	}
	bad(b, "no such command, or not before signing in");
}

static void
greet(struct before *b)
{
	struct buf BUF_CLEANUP out;

	buf_init(&out, 1024);
	buf_put(&out, SLICE("* OK ["));
	put_capabilities(b, &out);
	buf_put(&out, SLICE("] Posthouse\r\n"));
	say(b, buf_slice(&out));
}

int
imap_presession(struct stream *st, const struct guest_config *c, const struct signin_ops *ops, struct stream **desk)
{
	struct before b = {.tag = SLICE_EMPTY};

	guest_begin(&b.g, st, c, ops, SERVICE_IMAP);
	arena_init(&b.arena, 65536);
	buf_init(&b.command.text, 3 * PRESESSION_BYTES);
	if (!c->again)
		greet(&b);
	while (b.g.desk == NULL &&
	    guest_wait(&b.g, SLICE("* BYE the server is shutting down\r\n"), SLICE("* BYE no sign-in in time\r\n"))) {
		serve(&b);
		if (b.g.errors > b.g.limits->imap_errors && b.g.end == 0)
			end_with_bye(&b, ERR_LIMIT, "too many errors");
		/* It may have held a password. */
		if (b.command.text.p != NULL)
			explicit_bzero(b.command.text.p, b.command.text.n);
		buf_free(&b.command.text);
		buf_reset(&b.command.text);
		arena_wipe(&b.arena);
	}
	arena_free(&b.arena);
	buf_free(&b.command.text);
	return guest_finish(&b.g, desk);
}
