/* pop3_presession.c: the porch's half of a session: the AUTHORIZATION state (RFC 1939 §4), STLS (RFC 2595) and AUTH
 * (RFC 5034). */
#include "pop3/pop3.h"

#include "base/arena.h"
#include "pop3/pop3_command.h"

#define ERRORS_MAX 20
#define NAME_MAX_BYTES 4096

struct before {
	struct guest g;
	struct arena arena; /* of the session: the USER name */
	struct slice user;
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
	guest_say(&b->g, bytes);
}

static void
bad(struct before *b, struct slice reply)
{
	guest_bad(&b->g, reply);
}

static void
forget_user(struct before *b)
{
	b->user = SLICE_EMPTY;
	arena_reset(&b->arena);
}

static void
pop3_before_capa(struct before *b, const struct pop3_command *c)
{
	bool may_sign_in = guest_may_sign_in(&b->g);
	unsigned when = POP3_CAP_ALWAYS | (may_sign_in ? POP3_CAP_SIGN_IN : 0) |
	    (guest_may_start_tls(&b->g) ? POP3_CAP_STLS : 0);
	struct buf BUF_CLEANUP out;

	(void)c;
	buf_init(&out, 4096);
	buf_put(&out, SLICE("+OK capabilities\r\n"));
	if (may_sign_in) {
		buf_put(&out, SLICE("SASL"));
		sasl_put_mechanisms(&out, b->g.st, SERVICE_POP3, false, SLICE(" "), SLICE(""));
		buf_put(&out, SLICE("\r\n"));
	}
	pop3_put_capabilities(&out, b->g.limits, when);
	say(b, buf_slice(&out));
}

static void
pop3_before_lang(struct before *b, const struct pop3_command *c)
{
	struct buf BUF_CLEANUP out;

	buf_init(&out, 1000);
	pop3_put_language(&out, c);
	say(b, buf_slice(&out));
}

static void
pop3_before_utf8(struct before *b, const struct pop3_command *c)
{
	if (c->has_argument) {
		bad(b, SLICE("-ERR unexpected argument\r\n"));
		return;
	}
	b->g.utf8 = true;
	say(b, SLICE("+OK\r\n"));
}

static void
pop3_before_quit(struct before *b, const struct pop3_command *c)
{
	(void)c;
	guest_end(&b->g, ERR_CLOSED, SLICE("+OK good-bye\r\n"));
}

static void
pop3_before_stls(struct before *b, const struct pop3_command *c)
{
	(void)c;
	/* RFC 6856 §2.1: not after UTF8. */
	if (!guest_may_start_tls(&b->g) || b->g.utf8) {
		bad(b, SLICE("-ERR TLS is not available now\r\n"));
		return;
	}
	/* What came before our answer may be somebody else's. */
	if (stream_pending(b->g.st).n > 0) {
		guest_end(&b->g, ERR_SYNTAX, SLICE("-ERR nothing may follow STLS before its answer\r\n"));
		return;
	}
	say(b, SLICE("+OK begin TLS\r\n"));
	guest_start_tls(&b->g);
	/* RFC 2595 §4: what was learned before TLS is forgotten. */
	forget_user(b);
}

/* RFC 3206 and RFC 2449 §8 have the codes. */
static void
answer(struct before *b, enum sasl_outcome o)
{
	switch (o) {
	case SASL_SIGNED_IN:
	case SASL_ENDED: break;
	case SASL_DENIED:
		if (guest_is_guessing(&b->g))
			guest_end(
			    &b->g, ERR_DENIED, SLICE("-ERR [AUTH] wrong name or password; too many failures\r\n"));
		else
			say(b, SLICE("-ERR [AUTH] wrong name or password\r\n"));
		break;
	case SASL_BUSY: say(b, SLICE("-ERR [SYS/TEMP] signing in is not possible now; try again later\r\n")); break;
	case SASL_MALFORMED: bad(b, SLICE("-ERR not a message of this mechanism in base64\r\n")); break;
	case SASL_CANCELLED: bad(b, SLICE("-ERR given up\r\n")); break;
	case SASL_NO_MECHANISM: bad(b, SLICE("-ERR no such mechanism\r\n")); break;
	}
}

static bool
refuse_cleartext(struct before *b)
{
	if (guest_may_sign_in(&b->g))
		return false;
	say(b, SLICE("-ERR TLS must be begun first\r\n"));
	return true;
}

static void
pop3_before_user(struct before *b, const struct pop3_command *c)
{
	if (refuse_cleartext(b))
		return;
	forget_user(b);
	if (c->argument.n == 0) {
		bad(b, SLICE("-ERR expected a name\r\n"));
		return;
	}
	b->user = arena_copy(&b->arena, c->argument);
	say(b, SLICE("+OK now the password\r\n"));
}

static void
pop3_before_pass(struct before *b, const struct pop3_command *c)
{
	if (refuse_cleartext(b))
		return;
	if (b->user.n == 0) {
		bad(b, SLICE("-ERR USER comes first\r\n"));
		return;
	}
	/* Spaces belong to the password (RFC 1939 §7). */
	answer(b, guest_password(&b->g, SLICE_EMPTY, b->user, c->argument));
	forget_user(b);
}

static void
pop3_before_auth(struct before *b, const struct pop3_command *c)
{
	struct slice rest = c->argument, mechanism = slice_cut(&rest, ' ');

	/* RFC 5034 §4: AUTH alone was once used to ask for mechanisms. */
	if (c->argument.n == 0) {
		struct buf BUF_CLEANUP out;

		buf_init(&out, 4096);
		buf_put(&out, SLICE("+OK\r\n"));
		if (guest_may_sign_in(&b->g))
			sasl_put_mechanisms(&out, b->g.st, SERVICE_POP3, false, SLICE(""), SLICE("\r\n"));
		buf_put(&out, SLICE(".\r\n"));
		say(b, buf_slice(&out));
		return;
	}
	if (refuse_cleartext(b))
		return;
	forget_user(b);
	answer(b, guest_sasl(&b->g, SLICE_EMPTY, mechanism, rest));
}

static void
serve(struct before *b)
{
	struct pop3_command c;
	struct slice line;
	int err = stream_read_line(b->g.st, SLICE("\r\n"), SASL_LINE_MAX, &line);

	/* RFC 5034 §4: the line of AUTH may be as long as its initial response wants. A stranger's line without an end is not worth
	 * reading to it. */
	if (err == 0 && line.n > (size_t)b->g.limits->pop3_line_bytes && !slice_istarts(line, SLICE("AUTH ")))
		err = ERR_LIMIT;
	if (err == ERR_LIMIT) {
		guest_end(&b->g, err, SLICE("-ERR the line is too long\r\n"));
		return;
	}
	if (err != 0) {
		b->g.end = err;
		return;
	}
	b->g.c->counters->commands++;
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

int
pop3_presession(struct stream *st, const struct guest_config *c, const struct signin_ops *ops, struct stream **desk)
{
	struct before b = {.user = SLICE_EMPTY};

	guest_begin(&b.g, st, c, ops, SERVICE_POP3);
	arena_init(&b.arena, NAME_MAX_BYTES);
	say(&b, SLICE("+OK Posthouse\r\n"));
	while (b.g.desk == NULL &&
	    guest_wait(
		&b.g, SLICE("-ERR [SYS/TEMP] the server is shutting down\r\n"), SLICE("-ERR no sign-in in time\r\n"))) {
		serve(&b);
		if (b.g.errors > ERRORS_MAX && b.g.end == 0)
			guest_end(&b.g, ERR_LIMIT, SLICE("-ERR too many errors\r\n"));
	}
	arena_free(&b.arena);
	return guest_finish(&b.g, desk);
}
