/* move_client.c: see move_client.h. */
#include "move/move_client.h"

#include "imap/imap_lex.h"

#include <sodium.h>
#include <stdarg.h>
#include <unistd.h>

#define CRLF SLICE("\r\n")
#define LINE_BYTES ((size_t)1 << 20)
#define RESPONSE_BYTES ((size_t)4 << 20)
#define ARENA_BYTES ((size_t)16 << 20)
#define BLOCK_BYTES 65536
#define CONNECT_MS 60000
#define READ_MS 300000

static void
say(struct move_client *c, const char *what, struct slice words)
{
	buf_reset(&c->words);
	buf_put_z(&c->words, what);
	for (size_t i = 0; i < words.n && i < 500; i++) {
		uint8_t b = slice_at(words, i);

		buf_put_u8(&c->words, b < ' ' || b >= 0x7f ? '?' : b);
	}
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Is the literal announced at the end of this line the body of a message? */
static bool
announces_body(struct slice line)
{
	size_t open = slice_rfind_byte(line, '{');
	struct slice before = slice_head(line, open == SLICE_NONE ? 0 : open);

	return slice_iends(before, SLICE("BODY[] ")) || slice_iends(before, SLICE("RFC822 "));
}

static int
read_body(struct move_client *c, uint64_t n)
{
	bool keep = c->sink != NULL && n <= c->body_bytes_max;

	c->sunk = true;
	if (c->sink != NULL) {
		move_body_reset(c->sink);
		if (!keep)
			c->sink->err = ERR_LIMIT;
	}
	while (n > 0) {
		struct slice pending = stream_pending(c->st);
		size_t part = pending.n < n ? pending.n : (size_t)n;

		if (part == 0) {
			int err = stream_fill(c->st, BLOCK_BYTES);

			if (err != 0)
				return err;
			continue;
		}
		if (keep)
			move_body_put(c->sink, slice_head(pending, part));
		stream_consume(c->st, part);
		n -= part;
	}
	return 0;
}

static int
read_literal(struct move_client *c, size_t n)
{
	uint8_t *p;
	int err;

	buf_put(&c->line, CRLF);
	p = buf_reserve(&c->line, n);
	if (p == NULL)
		return c->line.err;
	err = n == 0 ? 0 : stream_read_exact(c->st, p, n);
	if (err == 0)
		buf_added(&c->line, n);
	return err;
}

/* One response; bodies leave an empty literal in their place. */
static int
read_response(struct move_client *c)
{
	buf_reset(&c->line);
	c->sunk = false;
	for (;;) {
		struct slice line;
		size_t before = c->line.n;
		uint64_t n;
		bool nonsync;
		int err = stream_read_line(c->st, CRLF, LINE_BYTES, &line);

		if (err != 0)
			return err;
		buf_put(&c->line, line);
		if (c->line.err != 0)
			return c->line.err;
		line = slice_from(buf_slice(&c->line), before);
		err = imap_literal_at_end(line, &n, &nonsync);
		if (err <= 0)
			return err;
		if (announces_body(line)) {
			if ((err = read_body(c, n)) != 0)
				return err;
			buf_truncate(&c->line, before + slice_rfind_byte(line, '{'));
			buf_put_z(&c->line, "{0}\r\n");
		} else if (n > RESPONSE_BYTES - c->line.n) {
			return ERR_LIMIT;
		} else if ((err = read_literal(c, (size_t)n)) != 0) {
			return err;
		}
	}
}

static void
note_capabilities(struct move_client *c, struct slice text)
{
	while (text.n > 0) {
		struct slice word = slice_cut(&text, ' ');

		c->literal_plus = c->literal_plus || slice_ieq(word, SLICE("LITERAL+"));
		c->special_use = c->special_use || slice_ieq(word, SLICE("SPECIAL-USE"));
		c->uidplus = c->uidplus || slice_ieq(word, SLICE("UIDPLUS"));
		c->auth_plain = c->auth_plain || slice_ieq(word, SLICE("AUTH=PLAIN"));
	}
}

static int
next_answer(struct move_client *c, struct move_answer *a)
{
	int err;

	arena_reset(&c->arena);
	if ((err = read_response(c)) != 0)
		return err;
	move_answer_parse(buf_slice(&c->line), c->limits, &c->arena, a);
	if (a->kind == MOVE_ANSWER_CAPABILITY)
		note_capabilities(c, a->text);
	else if (slice_istarts(a->code, SLICE("CAPABILITY ")))
		note_capabilities(c, a->code);
	if (a->kind == MOVE_ANSWER_BYE) {
		c->bye = true;
		c->throttled = true;
		say(c, "the server said BYE: ", a->text);
	}
	return 0;
}

/* ---- commands ------------------------------------------------------------------------------------------------------ */

int
move_client_begin(struct move_client *c, const char *fmt, ...)
{
	struct buf BUF_CLEANUP text;
	char small[1024];
	va_list ap;
	int n;

	buf_init(&text, LINE_BYTES);
	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(small))
		return ERR_LIMIT;
	buf_printf(&text, "m%u %s", ++c->tag, small);
	return text.err != 0 ? text.err : stream_write(c->st, buf_slice(&text));
}

int
move_client_put(struct move_client *c, struct slice s)
{
	return stream_write(c->st, s);
}

/* After "{n}": until the server asks for what follows. */
static int
wait_for_go(struct move_client *c)
{
	int err = stream_flush(c->st);

	while (err == 0) {
		struct move_answer a;

		if ((err = next_answer(c, &a)) != 0)
			break;
		if (a.kind == MOVE_ANSWER_CONTINUE)
			return 0;
		if (a.tag.n > 0) {
			say(c, "", a.text);
			return ERR_DENIED;
		}
	}
	return err;
}

static int
announce(struct move_client *c, uint64_t n)
{
	int err = stream_printf(c->st, c->literal_plus ? "{%llu+}\r\n" : "{%llu}\r\n", (unsigned long long)n);

	return err != 0 || c->literal_plus ? err : wait_for_go(c);
}

int
move_client_string(struct move_client *c, struct slice s)
{
	struct buf BUF_CLEANUP q;
	int err;

	if (!imap_is_quotable(s)) {
		err = announce(c, s.n);
		return err != 0 ? err : stream_write(c->st, s);
	}
	buf_init(&q, 2 * s.n + 2);
	buf_put_u8(&q, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (slice_at(s, i) == '"' || slice_at(s, i) == '\\')
			buf_put_u8(&q, '\\');
		buf_put_u8(&q, slice_at(s, i));
	}
	buf_put_u8(&q, '"');
	return q.err != 0 ? q.err : stream_write(c->st, buf_slice(&q));
}

int
move_client_body(struct move_client *c, struct move_body *b)
{
	struct buf BUF_CLEANUP part;
	int err = announce(c, b->n);

	buf_init(&part, BLOCK_BYTES);
	for (uint64_t at = 0; at < b->n && err == 0; at += part.n) {
		err = move_body_read(b, at, BLOCK_BYTES, &part);
		if (err == 0)
			err = stream_write(c->st, buf_slice(&part));
	}
	return err;
}

static bool
is_ours(const struct move_client *c, struct slice tag)
{
	char own[24];

	(void)snprintf(own, sizeof(own), "m%u", c->tag);
	return slice_eq(tag, slice_z(own));
}

int
move_client_run(struct move_client *c, move_answer_fn *fn, void *arg)
{
	int err = stream_write(c->st, CRLF);

	if (err == 0)
		err = stream_flush(c->st);
	while (err == 0) {
		struct move_answer a;

		if ((err = next_answer(c, &a)) != 0)
			break;
		if (a.tag.n == 0) {
			err = fn == NULL ? 0 : fn(arg, &a);
			continue;
		}
		if (!is_ours(c, a.tag))
			return ERR_SYNTAX;
		if (a.kind == MOVE_ANSWER_OK)
			return 0;
		c->throttled = move_answer_is_throttle(&a);
		say(c, "", slice_trim(slice_from(buf_slice(&c->line), a.tag.n)));
		return c->throttled ? ERR_BUSY : ERR_DENIED;
	}
	if (!c->bye)
		say(c, "the connection ended: ", slice_z(err_text(err)));
	return err;
}

int
move_client_command(struct move_client *c, const char *text, move_answer_fn *fn, void *arg)
{
	int err = move_client_begin(c, "%s", text);

	return err != 0 ? err : move_client_run(c, fn, arg);
}

/* ---- beginning and ending -------------------------------------------------------------------------------------------- */

static void
init(struct move_client *c, struct loop *l, const struct limits *limits)
{
	*c = (struct move_client){.loop = l, .limits = limits, .body_bytes_max = (uint64_t)limits->smtp_message_bytes};
	buf_init(&c->line, RESPONSE_BYTES + LINE_BYTES);
	buf_init(&c->words, 1024);
	arena_init(&c->arena, ARENA_BYTES);
}

void
move_client_close(struct move_client *c)
{
	stream_close(&c->st);
	buf_free(&c->line);
	buf_free(&c->words);
	arena_free(&c->arena);
}

static int
greeting(struct move_client *c, bool *signed_in)
{
	struct move_answer a;
	int err = next_answer(c, &a);

	*signed_in = err == 0 && a.kind == MOVE_ANSWER_PREAUTH;
	if (err == 0 && a.kind == MOVE_ANSWER_BYE)
		return ERR_BUSY;
	if (err == 0 && a.kind != MOVE_ANSWER_OK && a.kind != MOVE_ANSWER_PREAUTH)
		err = ERR_SYNTAX;
	if (err != 0)
		say(c, "no IMAP server greets there: ", slice_z(err_text(err)));
	return err;
}

/* The handshake goes through whatever the certificate is, so that its fingerprint can be told; then it is looked at. */
static int
start_tls(struct move_client *c, const struct move_server *s)
{
	struct tls_tlsa pin = {.usage = TLSA_DANE_EE, .selector = 0, .matching = 1};
	struct tls_expect expect = {.check = !s->verify ? TLS_CHECK_NONE
		: s->fingerprint != NULL                ? TLS_CHECK_DANE
							: TLS_CHECK_ROOTS,
	    .lenient = true,
	    .name = s->host,
	    .tlsa = &pin,
	    .tlsa_n = s->fingerprint == NULL ? 0 : 1};
	const struct tls_info *info;
	char hex[2 * TLS_PEER_FINGERPRINT_BYTES + 1];
	int err;

	if (s->fingerprint != NULL)
		pin.data = slice_of(s->fingerprint, TLS_PEER_FINGERPRINT_BYTES);
	err = stream_start_tls_expect(c->st, s->tls_client, &expect, loop_deadline(c->loop, CONNECT_MS));
	info = stream_tls_info(c->st);
	if (err != 0) {
		say(c, "TLS failed: ", slice_z(info == NULL || info->error[0] == 0 ? err_text(err) : info->error));
		return err;
	}
	if (!s->verify || info->verified)
		return 0;
	say(c, "", slice_z(info->error));
	(void)sodium_bin2hex(hex, sizeof(hex), info->fingerprint, sizeof(info->fingerprint));
	buf_printf(&c->words,
	    "; its SHA-256 fingerprint is %s: if that is the certificate of this server, as you know from elsewhere, "
	    "add "
	    "--fingerprint %s, or name its authority with --ca FILE. Nothing was sent",
	    hex, hex);
	return ERR_DENIED;
}

/* For servers without SASL. */
static int
log_in(struct move_client *c, const struct move_server *s)
{
	int err = move_client_begin(c, "LOGIN ");

	if (err == 0)
		err = move_client_string(c, s->user);
	if (err == 0)
		err = move_client_put(c, SLICE(" "));
	if (err == 0)
		err = move_client_string(c, s->password);
	return err != 0 ? err : move_client_run(c, NULL, NULL);
}

/* RFC 4616: "authzid NUL authcid NUL password". */
static int
sign_in(struct move_client *c, const struct move_server *s)
{
	struct buf BUF_CLEANUP plain, text;
	int err;

	buf_init(&plain, 4096);
	buf_init(&text, 8192);
	if (s->master.n > 0)
		buf_put(&plain, s->user);
	buf_put_u8(&plain, 0);
	buf_put(&plain, s->master.n > 0 ? s->master : s->user);
	buf_put_u8(&plain, 0);
	buf_put(&plain, s->password);
	buf_put_base64(&text, buf_slice(&plain));
	if (plain.err != 0 || text.err != 0)
		return ERR_LIMIT;
	/* The form that every server of RFC 3501 with AUTH=PLAIN takes: the answer goes behind its "+". */
	err = move_client_begin(c, "AUTHENTICATE PLAIN");
	if (err == 0)
		err = stream_write(c->st, CRLF);
	if (err == 0)
		err = wait_for_go(c);
	if (err == 0)
		err = stream_write(c->st, buf_slice(&text));
	if (err == 0)
		err = move_client_run(c, NULL, NULL);
	explicit_bzero(plain.p, plain.n);
	explicit_bzero(text.p, text.n);
	return err;
}

int
move_client_open(struct move_client *c, struct loop *l, const struct limits *limits, const struct move_server *s)
{
	bool in = false;
	int fd = -1, err;

	init(c, l, limits);
	err = s->connect(s->arg, &fd);
	if (err == 0 && (err = stream_new(&c->st, l, fd)) != 0)
		(void)close(fd);
	if (err != 0) {
		say(c, "the server cannot be reached: ", slice_z(err_text(err)));
		return err;
	}
	stream_set_timeouts(c->st, READ_MS, READ_MS);
	if (s->tls == MOVE_TLS_IMPLICIT)
		err = start_tls(c, s);
	if (err == 0)
		err = greeting(c, &in);
	if (err == 0 && s->tls == MOVE_TLS_START) {
		err = in ? ERR_DENIED : move_client_command(c, "STARTTLS", NULL, NULL);
		/* What it says of itself in the clear anybody may have said. */
		c->literal_plus = c->special_use = c->uidplus = c->auth_plain = false;
		if (err == 0)
			err = start_tls(c, s);
		else
			say(c, "the server offers no TLS there; ", SLICE("imaps:// may do, or --no-tls on a safe way"));
	}
	if (err == 0)
		err = move_client_command(c, "CAPABILITY", NULL, NULL);
	if (err == 0 && !in)
		err = c->auth_plain || s->master.n > 0 ? sign_in(c, s) : log_in(c, s);
	if (err == 0 && !in)
		err = move_client_command(c, "CAPABILITY", NULL, NULL);
	return err;
}

int
move_client_adopt(struct move_client *c, struct loop *l, const struct limits *limits, int fd)
{
	struct move_answer a;
	int err;

	init(c, l, limits);
	if ((err = stream_new(&c->st, l, fd)) != 0) {
		(void)close(fd);
		return err;
	}
	stream_set_timeouts(c->st, READ_MS, READ_MS);
	if ((err = next_answer(c, &a)) != 0) {
		say(c, "the house does not answer: ", slice_z(err_text(err)));
		return err;
	}
	if (a.kind != MOVE_ANSWER_OK) {
		say(c, "", buf_slice(&c->line));
		return ERR_DENIED;
	}
	note_capabilities(c, a.code);
	return 0;
}
