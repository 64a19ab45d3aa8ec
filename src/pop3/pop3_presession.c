/* pop3_presession.c: the porch's half of a session: the AUTHORIZATION state (RFC 1939 §4), STLS (RFC 2595) and AUTH
 * PLAIN (RFC 5034). */
#include "pop3/pop3.h"

#include "base/arena.h"
#include "directory/sasl.h"
#include "pop3/pop3_command.h"

/* A PLAIN message in base64 with a password of limits.password_bytes fits. */
#define RESPONSE_BYTES 8192u
#define ERRORS_MAX 20

struct before {
	struct stream *st;
	const struct pop3_presession_config *c;
	const struct signin_ops *ops;
	const struct limits *limits;
	struct arena arena; /* of the session: the USER name */
	struct slice user;
	int64_t deadline_ms;
	int64_t failures;
	int64_t errors;
	struct stream *desk;
	int end; /* why the session is over; 0: it is not */
};

typedef void before_handler(struct before *b, const struct pop3_command *c);
#define BEFORE(name, handler, help) static before_handler pop3_before_##handler;
#include "pop3/commands.def"

static const struct {
	struct slice name;
	before_handler *handler;
} before_rows[] = {
#define BEFORE(name, handler, help) {SLICE_INIT(name), pop3_before_##handler},
#include "pop3/commands.def"
};

static void
say(struct before *b, struct slice bytes)
{
	int err = stream_write(b->st, bytes);

	if (err != 0 && b->end == 0)
		b->end = err;
}

static void
flush(struct before *b)
{
	int err = stream_flush(b->st);

	if (err != 0 && b->end == 0)
		b->end = err;
}

static void
bad(struct before *b, struct slice reply)
{
	b->c->counters->commands_bad++;
	b->errors++;
	say(b, reply);
}

static void
end_with(struct before *b, int why, struct slice reply)
{
	say(b, reply);
	flush(b);
	b->end = why;
}

static bool
may_sign_in(const struct before *b)
{
	return b->c->cleartext_sign_in || stream_is_tls(b->st);
}

static void
pop3_before_capa(struct before *b, const struct pop3_command *c)
{
	unsigned when = POP3_CAP_ALWAYS | (may_sign_in(b) ? POP3_CAP_SIGN_IN : 0);
	struct buf BUF_CLEANUP out;

	(void)c;
	if (b->c->tls != NULL && !stream_is_tls(b->st))
		when |= POP3_CAP_STLS;
	buf_init(&out, 4096);
	buf_put(&out, SLICE("+OK capabilities\r\n"));
	pop3_put_capabilities(&out, when);
	say(b, buf_slice(&out));
}

static void
pop3_before_quit(struct before *b, const struct pop3_command *c)
{
	(void)c;
	end_with(b, ERR_CLOSED, SLICE("+OK good-bye\r\n"));
}

static void
pop3_before_stls(struct before *b, const struct pop3_command *c)
{
	int err;

	(void)c;
	if (stream_is_tls(b->st) || b->c->tls == NULL) {
		bad(b, SLICE("-ERR TLS is not available now\r\n"));
		return;
	}
	/* What came before our answer may be somebody else's. */
	if (stream_pending(b->st).n > 0) {
		end_with(b, ERR_SYNTAX, SLICE("-ERR nothing may follow STLS before its answer\r\n"));
		return;
	}
	say(b, SLICE("+OK begin TLS\r\n"));
	flush(b);
	if (b->end != 0)
		return;
	err = stream_start_tls_server(b->st, b->c->tls, loop_deadline(b->c->loop, b->limits->handshake_timeout_ms));
	if (err != 0)
		b->end = err;
	/* RFC 2595 §4: what was learned before TLS is forgotten. */
	b->user = SLICE_EMPTY;
}

static void
sign_in_failed(struct before *b, int err)
{
	int64_t delay_ms = (int64_t)1000 << (b->failures < 4 ? b->failures : 4);

	b->c->counters->sign_ins_failed++;
	if (err != ERR_DENIED) {
		say(b, SLICE("-ERR [SYS/TEMP] signing in is not possible now; try again later\r\n"));
		return;
	}
	b->failures++;
	flush(b);
	if (fiber_sleep(b->c->loop, delay_ms) != 0) {
		b->end = ERR_CANCELLED;
		return;
	}
	if (b->failures >= b->limits->sign_in_attempts)
		end_with(b, ERR_DENIED, SLICE("-ERR [AUTH] wrong name or password; too many failures\r\n"));
	else
		say(b, SLICE("-ERR [AUTH] wrong name or password\r\n"));
}

static void
sign_in(struct before *b, struct slice authzid, struct slice login, struct slice password)
{
	const struct tls_info *info = stream_is_tls(b->st) ? stream_tls_info(b->st) : NULL;
	struct signin_request r = {
	    .service = SERVICE_POP3,
	    .authzid = authzid,
	    .login = login,
	    .password = password,
	    .client = b->c->client,
	};
	int err;

	if (info != NULL)
		r.tls = arena_printf(&b->arena, "%s %s", info->version, info->cipher);
	err = password.n > (size_t)b->limits->password_bytes ? ERR_DENIED : b->ops->sign_in(b->ops->ctx, &r, &b->desk);
	b->user = SLICE_EMPTY;
	if (err != 0)
		sign_in_failed(b, err);
	else
		b->c->counters->sign_ins++;
}

static bool
refuse_cleartext(struct before *b)
{
	if (may_sign_in(b))
		return false;
	say(b, SLICE("-ERR TLS must be begun first\r\n"));
	return true;
}

static void
pop3_before_user(struct before *b, const struct pop3_command *c)
{
	if (refuse_cleartext(b))
		return;
	if (c->argument.n == 0) {
		bad(b, SLICE("-ERR expected a name\r\n"));
		return;
	}
	arena_reset(&b->arena);
	b->user = arena_copy(&b->arena, c->argument);
	say(b, SLICE("+OK now the password\r\n"));
}

static void
pop3_before_pass(struct before *b, const struct pop3_command *c)
{
	struct slice password;

	if (refuse_cleartext(b))
		return;
	if (b->user.n == 0) {
		bad(b, SLICE("-ERR USER comes first\r\n"));
		return;
	}
	/* The line lies in the stream's buffer, which signing in may reuse. */
	password = arena_copy(&b->arena, c->argument);
	sign_in(b, SLICE_EMPTY, b->user, password);
	if (password.n > 0)
		explicit_bzero((void *)(uintptr_t)password.p, password.n);
}

static int
read_response(struct before *b, struct slice *out)
{
	struct slice line;
	int err;

	say(b, SLICE("+ \r\n"));
	flush(b);
	if (b->end != 0)
		return b->end;
	err = stream_read_line(b->st, SLICE("\r\n"), RESPONSE_BYTES, &line);
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
sign_in_plain(struct before *b, struct slice response)
{
	struct buf BUF_CLEANUP decoded;
	struct sasl_plain plain;

	buf_init(&decoded, RESPONSE_BYTES);
	if (buf_put_unbase64(&decoded, response) != 0 || sasl_plain_parse(buf_slice(&decoded), &plain) != 0)
		bad(b, SLICE("-ERR not a PLAIN message in base64\r\n"));
	else
		sign_in(b, plain.authzid, plain.authcid, plain.password);
	if (decoded.p != NULL)
		explicit_bzero(decoded.p, decoded.n);
}

static void
pop3_before_auth(struct before *b, const struct pop3_command *c)
{
	struct slice rest = c->argument, mechanism = slice_cut(&rest, ' '), response;

	/* RFC 5034 §4: AUTH alone was once used to ask for mechanisms. */
	if (c->argument.n == 0) {
		say(b, may_sign_in(b) ? SLICE("+OK\r\nPLAIN\r\n.\r\n") : SLICE("+OK\r\n.\r\n"));
		return;
	}
	if (refuse_cleartext(b))
		return;
	if (!slice_ieq(mechanism, SLICE("PLAIN"))) {
		bad(b, SLICE("-ERR no such mechanism\r\n"));
		return;
	}
	arena_reset(&b->arena);
	b->user = SLICE_EMPTY;
	if (rest.p != NULL) {
		response = arena_copy(&b->arena, rest);
	} else if (read_response(b, &response) != 0) {
		if (b->end == 0)
			bad(b, SLICE("-ERR given up\r\n"));
		return;
	}
	sign_in_plain(b, response);
	if (response.n > 0)
		explicit_bzero((void *)(uintptr_t)response.p, response.n);
}

static void
serve(struct before *b)
{
	struct pop3_command c;
	struct slice line;
	int err = stream_read_line(b->st, SLICE("\r\n"), (size_t)b->limits->pop3_line_bytes, &line);

	if (err == ERR_LIMIT) {
		/* A line of a stranger without an end is not worth reading to it. */
		end_with(b, err, SLICE("-ERR the line is too long\r\n"));
		return;
	}
	if (err != 0) {
		b->end = err;
		return;
	}
	b->c->counters->commands++;
	if (pop3_command_parse(line, &c) != 0) {
		bad(b, SLICE("-ERR not a command\r\n"));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(before_rows); i++) {
		if (slice_ieq(c.verb, before_rows[i].name)) {
			before_rows[i].handler(b, &c);
			return;
		}
	}
	bad(b, SLICE("-ERR no such command, or not before signing in\r\n"));
}

static bool
wait_for_command(struct before *b)
{
	while (b->end == 0) {
		int err;

		if (*b->c->stopping) {
			end_with(b, ERR_CLOSED, SLICE("-ERR [SYS/TEMP] the server is shutting down\r\n"));
			break;
		}
		if (stream_readable_now(b->st))
			return true;
		err = stream_flush(b->st);
		if (err == 0)
			err = stream_wait_readable_or_wake(b->st, b->deadline_ms);
		if (err == ERR_TIMEOUT)
			end_with(b, err, SLICE("-ERR no sign-in in time\r\n"));
		else if (err != 0)
			b->end = err;
	}
	return false;
}

int
pop3_presession(
    struct stream *st, const struct pop3_presession_config *c, const struct signin_ops *ops, struct stream **desk)
{
	struct before b = {
	    .st = st,
	    .c = c,
	    .ops = ops,
	    .limits = &c->house->limits,
	    .deadline_ms = loop_deadline(c->loop, c->house->limits.sign_in_timeout_ms),
	};

	arena_init(&b.arena, 8 * RESPONSE_BYTES);
	stream_set_timeouts(st, b.limits->sign_in_timeout_ms, b.limits->write_timeout_ms);
	stream_set_deadline(st, b.deadline_ms + b.limits->handshake_timeout_ms);
	c->counters->sessions++;
	c->counters->sessions_open++;
	say(&b, SLICE("+OK Posthouse\r\n"));
	while (b.desk == NULL && wait_for_command(&b)) {
		serve(&b);
		if (b.errors > ERRORS_MAX && b.end == 0)
			end_with(&b, ERR_LIMIT, SLICE("-ERR too many errors\r\n"));
	}
	arena_free(&b.arena);
	c->counters->sessions_open--;
	stream_set_deadline(st, DEADLINE_NEVER);
	*desk = b.desk;
	return b.desk != NULL ? 0 : b.end;
}
