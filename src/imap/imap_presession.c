/* imap_presession.c: the porch's half of a session (RFC 3501 §3.1): nothing is served here but the way to a sign-in. Everything a
 * stranger can make it keep is small: PRESESSION_BYTES for a command with its literals. */
#include "imap/imap_session.h"

#include "base/log.h"
#include "directory/sasl.h"

/* Enough for a name and a password of limits.password_bytes in base64 or as literals. */
#define PRESESSION_BYTES 8192u

struct before {
	struct stream *st;
	const struct imap_presession_config *c;
	const struct signin_ops *ops;
	const struct limits *limits;
	struct arena arena;
	struct imap_command command;
	struct slice tag;
	int64_t deadline_ms;
	int64_t failures; /* of signing in */
	int64_t errors;
	struct stream *desk;
	int end; /* why the session is over; 0: it is not */
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
	int err = stream_write(b->st, bytes);

	if (err != 0 && b->end == 0)
		b->end = err;
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
flush(struct before *b)
{
	int err = stream_flush(b->st);

	if (err != 0 && b->end == 0)
		b->end = err;
}

static void
end_with_bye(struct before *b, int why, const char *text)
{
	say(b, SLICE("* BYE "));
	say(b, slice_z(text));
	say(b, SLICE("\r\n"));
	flush(b);
	b->end = why;
}

static void
bad(struct before *b, const char *text)
{
	b->c->counters->commands_bad++;
	b->errors++;
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

static bool
may_sign_in(const struct before *b)
{
	return b->c->cleartext_sign_in || stream_is_tls(b->st);
}

static void
put_capabilities(struct before *b, struct buf *out)
{
	unsigned when = IMAP_CAP_ALWAYS | IMAP_CAP_BEFORE;

	if (b->c->tls != NULL && !stream_is_tls(b->st))
		when |= IMAP_CAP_STARTTLS;
	when |= may_sign_in(b) ? IMAP_CAP_SIGN_IN : IMAP_CAP_NO_SIGN_IN;
	buf_put(out, SLICE("CAPABILITY "));
	imap_put_capabilities(out, when);
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
	flush(b);
	b->end = ERR_CLOSED;
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
	int err;

	imap_lex_end(x);
	if (bad_syntax(b, x))
		return;
	if (stream_is_tls(b->st)) {
		bad(b, "TLS is in use already");
		return;
	}
	if (b->c->tls == NULL) {
		answer(b, "NO", "[UNAVAILABLE] TLS is not available");
		return;
	}
	/* RFC 3501 §6.2.1: a client waits for our word. What came before it may be somebody else's. */
	if (stream_pending(b->st).n > 0) {
		bad(b, "nothing may follow STARTTLS before its answer");
		end_with_bye(b, ERR_SYNTAX, "commands before TLS began");
		return;
	}
	answer(b, "OK", "begin TLS");
	err = stream_flush(b->st);
	if (err == 0)
		err = stream_start_tls_server(
		    b->st, b->c->tls, loop_deadline(b->c->loop, b->limits->handshake_timeout_ms));
	if (err != 0)
		b->end = err;
}

static void
refuse_cleartext(struct before *b)
{
	/* The password may have been sent all the same: the client must be told not to. */
	answer(b, "NO", "[PRIVACYREQUIRED] TLS must be begun first");
}

/* RFC 3501 §11.1 and common sense: each failure costs more time. */
static void
sign_in_failed(struct before *b, int err)
{
	int64_t delay_ms = (int64_t)1000 << (b->failures < 4 ? b->failures : 4);

	b->c->counters->sign_ins_failed++;
	if (err != ERR_DENIED) {
		answer(b, "NO", "[UNAVAILABLE] signing in is not possible now; try again later");
		return;
	}
	b->failures++;
	flush(b);
	if (fiber_sleep(b->c->loop, delay_ms) != 0) {
		b->end = ERR_CANCELLED;
		return;
	}
	answer(b, "NO", "[AUTHENTICATIONFAILED] wrong name or password");
	if (b->failures >= b->limits->sign_in_attempts)
		end_with_bye(b, ERR_DENIED, "too many failed sign-ins");
}

static void
sign_in(struct before *b, struct slice authzid, struct slice login, struct slice password)
{
	const struct tls_info *info = stream_is_tls(b->st) ? stream_tls_info(b->st) : NULL;
	struct signin_request r = {
	    .service = SERVICE_IMAP,
	    .authzid = authzid,
	    .login = login,
	    .password = password,
	    .client = b->c->client,
	    .tag = b->tag,
	};
	int err;

	if (info != NULL)
		r.tls = arena_printf(&b->arena, "%s %s", info->version, info->cipher);
	err = password.n > (size_t)b->limits->password_bytes ? ERR_DENIED : b->ops->sign_in(b->ops->ctx, &r, &b->desk);
	if (err != 0)
		sign_in_failed(b, err);
	else
		b->c->counters->sign_ins++;
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
	if (!may_sign_in(b))
		refuse_cleartext(b);
	else
		sign_in(b, SLICE_EMPTY, login, password);
}

/* The client's answer to our empty challenge: 0, ERR_CANCELLED for "*", or the session is over. */
static int
read_response(struct before *b, struct slice *out)
{
	struct slice line;
	int err;

	say(b, SLICE("+ \r\n"));
	err = stream_flush(b->st);
	if (err == 0)
		err = stream_read_line(b->st, SLICE("\r\n"), PRESESSION_BYTES, &line);
	if (err != 0) {
		b->end = err;
		return err;
	}
	if (slice_eq(line, SLICE("*")))
		return ERR_CANCELLED;
	*out = arena_copy(&b->arena, line);
	return 0;
}

static void
imap_before_authenticate(struct before *b, struct imap_lex *x)
{
	struct slice mechanism, response = SLICE_EMPTY;
	struct sasl_plain plain;
	struct buf BUF_CLEANUP decoded;
	bool initial;

	imap_lex_space(x);
	mechanism = imap_lex_atom(x);
	initial = imap_lex_accept(x, ' ');
	if (initial && !imap_lex_failed(x)) {
		response = cursor_rest(&x->c);
		cursor_skip(&x->c, response.n);
	}
	if (bad_syntax(b, x))
		return;
	if (!may_sign_in(b)) {
		refuse_cleartext(b);
		return;
	}
	if (!slice_ieq(mechanism, SLICE("PLAIN"))) {
		answer(b, "NO", "[CANNOT] no such mechanism");
		return;
	}
	if (!initial && read_response(b, &response) != 0) {
		if (b->end == 0)
			bad(b, "given up");
		return;
	}
	buf_init(&decoded, PRESESSION_BYTES);
	if (buf_put_unbase64(&decoded, response) != 0 || sasl_plain_parse(buf_slice(&decoded), &plain) != 0)
		bad(b, "not a PLAIN message in base64");
	else
		sign_in(b, plain.authzid, plain.authcid, plain.password);
	if (decoded.p != NULL)
		explicit_bzero(decoded.p, decoded.n);
}

static void
serve(struct before *b)
{
	const struct imap_command_limits l = {PRESESSION_BYTES, PRESESSION_BYTES};
	int err = imap_command_read(b->st, &l, &b->command);
	struct imap_lex x;
	struct slice name;

	if (err != 0 && err != ERR_SYNTAX && err != ERR_LIMIT) {
		b->end = err;
		return;
	}
	b->c->counters->commands++;
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

/* Until there is input: false when the session is over. */
static bool
wait_for_command(struct before *b)
{
	while (b->end == 0) {
		int err;

		if (*b->c->stopping) {
			end_with_bye(b, ERR_CLOSED, "the server is shutting down");
			break;
		}
		if (stream_readable_now(b->st))
			return true;
		err = stream_flush(b->st);
		if (err == 0)
			err = stream_wait_readable_or_wake(b->st, b->deadline_ms);
		if (err == ERR_TIMEOUT)
			end_with_bye(b, err, "no sign-in in time");
		else if (err != 0)
			b->end = err;
	}
	return false;
}

int
imap_presession(
    struct stream *st, const struct imap_presession_config *c, const struct signin_ops *ops, struct stream **desk)
{
	struct before b = {
	    .st = st,
	    .c = c,
	    .ops = ops,
	    .limits = &c->house->limits,
	    .deadline_ms = loop_deadline(c->loop, c->house->limits.sign_in_timeout_ms),
	};

	arena_init(&b.arena, 65536);
	buf_init(&b.command.text, 3 * PRESESSION_BYTES);
	stream_set_timeouts(st, b.limits->sign_in_timeout_ms, b.limits->write_timeout_ms);
	stream_set_deadline(st, b.deadline_ms);
	c->counters->sessions++;
	c->counters->sessions_open++;
	greet(&b);
	while (b.desk == NULL && wait_for_command(&b)) {
		serve(&b);
		if (b.errors > b.limits->imap_errors && b.end == 0)
			end_with_bye(&b, ERR_LIMIT, "too many errors");
		/* It may have held a password. */
		if (b.command.text.p != NULL)
			explicit_bzero(b.command.text.p, b.command.text.n);
		buf_free(&b.command.text);
		buf_reset(&b.command.text);
		arena_free(&b.arena);
	}
	arena_free(&b.arena);
	buf_free(&b.command.text);
	c->counters->sessions_open--;
	stream_set_deadline(st, DEADLINE_NEVER);
	*desk = b.desk;
	return b.desk != NULL ? 0 : b.end;
}
