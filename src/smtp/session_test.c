/* Sessions as scripts of sent and expected lines, over a stream pair, with a small fake house behind them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "smtp/smtp.h"

#include <fcntl.h>

struct world {
	struct house house;
	struct loop *loop;
	struct smtp_sessions sessions;
	struct smtp_session_config config;
	struct smtp_presession_config presession;
	bool before_sign_in;
	/* the message taken last */
	int submits;
	struct buf body, head, recipients, reverse_path, envelope, recipient_envelopes;
	char id[ULID_LEN + 1];
	int64_t size_bytes;
	int64_t own_message_bytes, own_recipients;
	bool over_rate;
	int64_t submit_result; /* what the backend says */
	int blob_fd;           /* a copy of the one handed out */
	int blobs;
	/* sign-in */
	struct stream *desk_side;
	struct buf signed_in; /* "login password authzid" */
	int sign_in_result;
	/* the test */
	struct stream *client, *server;
	const char *const *script;
	struct slice raw; /* instead of a script: sent in two pieces, cut at `cut` */
	size_t cut;
	struct buf replies; /* to raw */
	bool failed;
};

static void
problem(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	w->failed = true;
}

/* ---- the house behind the session ----------------------------------------------------------------------- */

static int
fake_rcpt(
    void *ctx, struct slice reverse_path, struct slice address, struct arena *a, int64_t *result, struct slice *detail)
{
	static const struct {
		const char *address;
		int64_t result;
	} known[] = {{"alice@example.test", RCPT_OK}, {"bob@example.test", RCPT_OK}, {"postmaster", RCPT_OK},
	    {"postmaster@example.test", RCPT_OK}, {"off@example.test", RCPT_DISABLED},
	    {"later@example.test", RCPT_TEMPFAIL}, {"full@example.test", RCPT_NO_SPACE},
	    {"staff@example.test", RCPT_NOT_ALLOWED}, {"srs0=old@example.test", RCPT_BAD_RETURN},
	    {"circle@example.test", RCPT_LOOP}, {"brim@example.test", RCPT_FULL},
	    {"dead@elsewhere.test", RCPT_SUPPRESSED}};
	size_t at = slice_rfind_byte(address, '@');

	(void)ctx;
	(void)reverse_path;
	*detail = arena_copy(a, SLICE("It is suppressed"));
	*result = at != SLICE_NONE && slice_ieq(slice_from(address, at + 1), SLICE("example.test")) ? RCPT_UNKNOWN
												    : RCPT_REMOTE;
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (slice_ieq(address, slice_z(known[i].address)))
			*result = known[i].result;
	return slice_eq(address, SLICE("broken@example.test")) ? ERR_CLOSED : 0;
}

static int
fake_sender(void *ctx, struct slice address, bool begins, struct arena *a, struct smtp_submitter *out)
{
	struct world *w = ctx;
	size_t at = slice_rfind_byte(address, '@');
	bool own = slice_ieq(address, SLICE("alice@example.test")) || slice_ieq(address, SLICE("info@example.test"));

	*out = (struct smtp_submitter){.result = SENDER_FOREIGN,
	    .message_bytes = w->own_message_bytes,
	    .recipients = w->own_recipients,
	    .detail = arena_copy(a, SLICE("enough"))};
	if (own || (begins && address.n == 0))
		out->result = begins && w->over_rate ? SENDER_RATE : SENDER_OK;
	else if (at != SLICE_NONE && slice_ieq(slice_from(address, at + 1), SLICE("example.test")))
		out->result = SENDER_OTHER;
	return 0;
}

static int
fake_blob(void *ctx, struct arena *a, struct slice *name, int *fd)
{
	struct world *w = ctx;

	*name = arena_copy(a, SLICE("blob-1"));
	*fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (*fd < 0)
		return ERR_IO;
	if (w->blob_fd >= 0)
		close(w->blob_fd);
	w->blob_fd = dup(*fd);
	w->blobs++;
	return 0;
}

static void
set(struct buf *b, struct slice s)
{
	buf_reset(b);
	buf_put(b, s);
}

static int
fake_submit(void *ctx, const struct smtp_message *m, struct arena *a, int64_t *result, struct slice *detail)
{
	struct world *w = ctx;

	w->submits++;
	set(&w->body, m->body);
	set(&w->head, m->head);
	set(&w->reverse_path, m->reverse_path);
	set(&w->envelope, m->envelope);
	buf_reset(&w->recipients);
	buf_reset(&w->recipient_envelopes);
	for (size_t i = 0; i < m->recipients.n; i++) {
		buf_put(&w->recipient_envelopes, m->recipient_envelopes.v[i]);
		buf_put_u8(&w->recipient_envelopes, ';');
		buf_put(&w->recipients, m->recipients.v[i]);
		buf_put_u8(&w->recipients, ';');
	}
	w->size_bytes = m->size_bytes;
	if (slice_to_z(m->id, w->id, sizeof(w->id)) != 0 || !ulid_is_valid(m->id))
		problem(w, "bad id");
	*result = w->submit_result;
	*detail = arena_copy(a, SLICE("We do not want this"));
	/* As the real one, it takes a while. */
	return fiber_yield(w->loop);
}

static void
desk_main(void *arg)
{
	struct world *w = arg;
	struct slice line;

	(void)!stream_write(w->desk_side, SLICE("235 2.7.0 from the desk\r\n"));
	(void)!stream_flush(w->desk_side);
	while (stream_read_line(w->desk_side, SLICE("\r\n"), 1000, &line) == 0) {
		(void)!stream_printf(w->desk_side, "250 desk got %.*s\r\n", SLICE_ARG(line));
		(void)!stream_flush(w->desk_side);
	}
	stream_close(&w->desk_side);
}

static int
fake_sign_in(void *ctx, const struct signin_request *r, struct stream **desk)
{
	struct world *w = ctx;

	buf_printf(&w->signed_in, "[%.*s|%.*s|%.*s|%.*s]", SLICE_ARG(r->authzid), SLICE_ARG(r->login),
	    SLICE_ARG(r->password), SLICE_ARG(r->helo));
	if (w->sign_in_result != 0)
		return w->sign_in_result;
	if (!slice_eq(r->password, SLICE("secret")))
		return ERR_DENIED;
	if (stream_pair(w->loop, desk, &w->desk_side) != 0 || fiber_start(w->loop, "desk", desk_main, w, NULL) != 0)
		return ERR_UNAVAILABLE;
	return 0;
}

/* ---- running -------------------------------------------------------------------------------------------- */

static void
server_main(void *arg)
{
	struct world *w = arg;

	if (w->before_sign_in)
		smtp_presession(w->server, &w->presession);
	else
		smtp_session(w->server, &w->config);
	stream_close(&w->server);
}

static void
expect(struct world *w, const char *want)
{
	struct slice line;
	int e = stream_read_line(w->client, SLICE("\r\n"), 4096, &line);

	if (strcmp(want, "EOF") == 0) {
		if (e != ERR_CLOSED)
			problem(w, "expected the end, got %s %.*s", err_name(e), SLICE_ARG(line));
	} else if (e != 0) {
		problem(w, "expected %s, got %s", want, err_name(e));
	} else if (!slice_starts(line, slice_z(want))) {
		problem(w, "expected %s, got %.*s", want, SLICE_ARG(line));
	}
}

/* Lines of a script: ">" sent with CR LF, "=" sent as it is, "<" expected beginning of a line, "!" waits, and
 * alone has the role stop. */
static void
script_run(struct world *w)
{
	for (size_t i = 0; w->script[i] != NULL && !w->failed; i++) {
		struct slice text = slice_z(w->script[i] + 1);

		switch (w->script[i][0]) {
		case '>':
			(void)!stream_write(w->client, text);
			(void)!stream_write(w->client, SLICE("\r\n"));
			break;
		case '=': (void)!stream_write(w->client, text); break;
		case '<':
			(void)!stream_flush(w->client);
			expect(w, w->script[i] + 1);
			break;
		default:
			(void)!stream_flush(w->client);
			(void)!fiber_sleep(w->loop, 20);
			if (text.n == 0)
				smtp_sessions_stop(&w->sessions);
		}
	}
}

static void
raw_run(struct world *w)
{
	struct slice line;

	(void)!stream_write(w->client, slice_head(w->raw, w->cut));
	(void)!stream_flush(w->client);
	for (int i = 0; i < 3; i++)
		(void)!fiber_yield(w->loop);
	(void)!stream_write(w->client, slice_from(w->raw, w->cut));
	(void)!stream_flush(w->client);
	buf_reset(&w->replies);
	while (stream_read_line(w->client, SLICE("\r\n"), 4096, &line) == 0) {
		if (slice_starts(slice_from(line, 3), SLICE("-")))
			continue;
		buf_put(&w->replies, slice_head(line, 3));
		buf_put_u8(&w->replies, ' ');
	}
}

static void
client_main(void *arg)
{
	struct world *w = arg;

	stream_set_timeouts(w->client, 5000, 5000);
	if (w->script != NULL)
		script_run(w);
	else
		raw_run(w);
	stream_close(&w->client);
}

static void
run(struct world *w)
{
	assert_int_equal(stream_pair(w->loop, &w->server, &w->client), 0);
	assert_int_equal(fiber_start(w->loop, "server", server_main, w, NULL), 0);
	assert_int_equal(fiber_start(w->loop, "client", client_main, w, NULL), 0);
	loop_run(w->loop);
	assert_int_equal(w->sessions.count, 0);
	assert_false(w->failed);
}

static void
play(struct world *w, const char *const *script)
{
	w->script = script;
	run(w);
	w->script = NULL;
}

#define PLAY(w, ...) play((w), (const char *const[]){__VA_ARGS__, NULL})

static void
play_raw(struct world *w, struct slice raw, size_t cut)
{
	w->raw = raw;
	w->cut = cut;
	run(w);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	house_init(&w->house, "test");
	w->house.log_level = LOG_ERROR;
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	smtp_sessions_init(&w->sessions);
	w->config = (struct smtp_session_config){.loop = w->loop,
	    .sessions = &w->sessions,
	    .hostname = SLICE("mx.example.test"),
	    .backend = {fake_rcpt, fake_sender, fake_blob, fake_submit, w},
	    .client = SLICE("192.0.2.1"),
	    .client_literal = SLICE("[192.0.2.1]")};
	w->presession = (struct smtp_presession_config){.loop = w->loop,
	    .sessions = &w->sessions,
	    .hostname = SLICE("mx.example.test"),
	    .client = SLICE("192.0.2.1"),
	    .signin = {.sign_in = fake_sign_in, .ctx = w}};
	w->submit_result = SUBMIT_OK;
	w->blob_fd = -1;
	buf_init(&w->body, 10 << 20);
	buf_init(&w->head, 100000);
	buf_init(&w->recipients, 100000);
	buf_init(&w->reverse_path, 1000);
	buf_init(&w->envelope, 1000);
	buf_init(&w->recipient_envelopes, 10000);
	buf_init(&w->signed_in, 10000);
	buf_init(&w->replies, 100000);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	loop_free(&w->loop);
	buf_free(&w->body);
	buf_free(&w->head);
	buf_free(&w->recipients);
	buf_free(&w->reverse_path);
	buf_free(&w->envelope);
	buf_free(&w->recipient_envelopes);
	buf_free(&w->signed_in);
	buf_free(&w->replies);
	if (w->blob_fd >= 0)
		close(w->blob_fd);
	free(w);
	return 0;
}

static void
want(const struct buf *b, const char *text)
{
	if (!slice_eq(buf_slice(b), slice_z(text)))
		fail_msg("got %.*s instead of %s", SLICE_ARG(buf_slice(b)), text);
}

#define OTHERS \
	"<250-SMTPUTF8", "<250-CHUNKING", "<250-BINARYMIME", "<250-DSN", "<250-DELIVERBY", "<250-MT-PRIORITY", \
	    "<250-LIMITS MAILMAX=10000 RCPTMAX=1", "<250 ENHANCEDSTATUSCODES"
#define OTHERS_SUBMISSION \
	"<250-SMTPUTF8", "<250-CHUNKING", "<250-BINARYMIME", "<250-DSN", "<250-DELIVERBY", "<250-MT-PRIORITY", \
	    "<250-FUTURERELEASE 2592000 2", "<250-LIMITS MAILMAX=10000 RCPTMAX=1", "<250 ENHANCEDSTATUSCODES"
#define HELLO \
	"<220 mx.example.test ESMTP", ">EHLO c.test", "<250-mx.example.test", "<250-PIPELINING", "<250-SIZE 52428800", \
	    "<250-8BITMIME", OTHERS
#define BYE ">QUIT", "<221 2.0.0", "<EOF"
#define GO ">MAIL FROM:<x@a.test>", "<250 2.1.0", ">RCPT TO:<bob@example.test>", "<250 2.1.5", ">DATA", "<354 "

/* ---- strangers ------------------------------------------------------------------------------------------ */

static void
a_message_comes_in(void **state)
{
	struct world *w = *state;
	char want_reply[128];

	PLAY(w, HELLO, ">MAIL FROM:<x@A.test> SIZE=100 BODY=8BITMIME", "<250 2.1.0", ">RCPT TO:<bob@EXAMPLE.test.>",
	    "<250 2.1.5", ">DATA", "<354 ", ">Subject: hi", ">", ">..dot", ">.", "<250 2.0.0 OK id=", BYE);
	(void)snprintf(want_reply, sizeof(want_reply), "with ESMTP\r\n\tid %s\r\n\tfor <bob@example.test>;", w->id);
	assert_int_equal(w->submits, 1);
	want(&w->body, "Subject: hi\r\n\r\n.dot\r\n");
	want(&w->reverse_path, "x@a.test");
	want(&w->recipients, "bob@example.test;");
	want(&w->envelope, "BODY=8BITMIME\n");
	assert_int_equal(w->size_bytes, 21);
	assert_true(
	    slice_starts(buf_slice(&w->head), SLICE("Received: from c.test ([192.0.2.1])\r\n\tby mx.example.test ")));
	assert_int_not_equal(slice_find(buf_slice(&w->head), slice_z(want_reply)), SLICE_NONE);
}

static void
commands_in_the_wrong_order(void **state)
{
	struct world *w = *state;

	PLAY(w, "<220 ", ">MAIL FROM:<a@b.test>", "<503 5.5.1", ">RCPT TO:<bob@example.test>", "<503 5.5.1", ">DATA",
	    "<503 5.5.1", ">HELO c.test", "<250 mx.example.test", ">RCPT TO:<bob@example.test>", "<503 5.5.1",
	    ">MAIL FROM:<>", "<250 2.1.0", ">MAIL FROM:<>", "<503 5.5.1", ">DATA", "<503 5.5.1",
	    ">RCPT TO:<nobody@example.test>", "<550 5.1.1", ">DATA", "<503 5.5.1", ">RSET", "<250 2.0.0", ">DATA",
	    "<503 5.5.1", ">STARTTLS", "<502 5.5.1", ">AUTH PLAIN AGE=", "<502 5.5.1", ">EXPN x", "<502 5.5.1",
	    ">XYZZY", "<500 5.5.1", ">", "<500 5.5.1", ">QUIT now", "<501 5.5.4", ">NOOP x", "<250 2.0.0", ">VRFY bob",
	    "<252 2.0.0", ">EHLO", "<501 5.5.4", ">EHLO a(b", "<501 5.5.4", BYE);
	assert_int_equal(w->submits, 0);
}

static void
parameters_and_paths(void **state)
{
	struct world *w = *state;

	w->house.limits.smtp_errors = 100;
	PLAY(w, HELLO, ">MAIL FROM:<x@a.test> SIZE=52428801", "<552 5.3.4",
	    ">MAIL FROM:<x@a.test> SIZE=99999999999999999999", "<552 5.3.4",
	    ">MAIL FROM:<x@a.test> SIZE=999999999999999999999", "<501 5.5.4", ">MAIL FROM:<x@a.test> SIZE=x",
	    "<501 5.5.4", ">MAIL FROM:<x@a.test> BODY=EBCDIC", "<501 5.5.4", ">MAIL FROM:<x@a.test> FOO=1",
	    "<555 5.5.4", ">MAIL FROM:<x@a.test> AUTH=<>", "<555 5.5.4", ">MAIL x", "<501 5.5.4", ">MAIL FROM:<x@>",
	    "<501 5.1.7", ">MAIL FROM:<x>", "<501 5.1.7", ">MAIL FROM:<\xc3\xa9@a.test>", "<550 5.6.7",
	    ">mail from: <x@a.test>", "<250 2.1.0", ">RCPT TO:<>", "<501 5.1.3",
	    ">RCPT TO:<bob@example.test> NOTIFY=ALWAYS", "<501 5.5.4", ">RCPT TO:<bob@example.test> SIZE=1",
	    "<555 5.5.4", ">RCPT TO:<later@example.test>", "<451 4.3.0", ">RCPT TO:<full@example.test>", "<452 4.3.1",
	    ">RCPT TO:<off@example.test>", "<550 5.2.1", ">RCPT TO:<staff@example.test>",
	    "<550 5.7.1 This address takes", ">RCPT TO:<srs0=old@example.test>", "<550 5.7.1 This return",
	    ">RCPT TO:<circle@example.test>", "<550 5.4.6", ">RCPT TO:<broken@example.test>", "<451 4.3.0", ">RCPT bob",
	    "<501 5.5.4", ">rcpt to: bob@example.test", "<250 2.1.5", ">RCPT TO:<Postmaster>", "<250 2.1.5",
	    ">RCPT TO:<bob@example.test>", "<250 2.1.5", ">DATA", "<354 ", ">.", "<250 2.0.0", BYE);
	want(&w->recipients, "bob@example.test;Postmaster;");
	want(&w->body, "");
}

/* What must not be relayed, in every dress. None of it is accepted, and nothing is taken. */
static void
no_relay(void **state)
{
	static const struct {
		const char *to, *reply;
	} v[] = {{"<victim@other.test>", "550 5.7.1"}, {"<victim@OTHER.TEST>", "550 5.7.1"},
	    {"<victim@other.test.>", "550 5.7.1"}, {"victim@other.test", "550 5.7.1"},
	    {"<victim%other.test@example.test>", "550 5.1.1"}, {"<victim%other.test@EXAMPLE.test.>", "550 5.1.1"},
	    {"<other.test!victim@example.test>", "550 5.1.1"}, {"<other.test!victim>", "550 5.7.1"},
	    {"<victim%other.test>", "550 5.7.1"}, {"<\"victim@other.test\"@example.test>", "550 5.1.1"},
	    {"<\"victim@other.test\">", "550 5.7.1"}, {"<\"victim\"@other.test>", "550 5.7.1"},
	    {"<victim@other.test@example.test>", "501 5.1.3"}, {"<victim@example.test@other.test>", "501 5.1.3"},
	    {"<@example.test:victim@other.test>", "550 5.7.1"},
	    {"<@example.test,@other.test:victim@other.test>", "550 5.7.1"},
	    {"<@other.test:bob@other.test>", "550 5.7.1"}, {"<victim@[127.0.0.1]>", "550 5.7.1"},
	    {"<victim@[192.0.2.1]>", "550 5.7.1"}, {"<victim@[IPv6:::1]>", "550 5.7.1"},
	    {"<bob@[127.0.0.1]>", "550 5.7.1"}, {"<victim@localhost>", "550 5.7.1"},
	    {"<victim@sub.example.test>", "550 5.7.1"}, {"<victim@example.test.other.test>", "550 5.7.1"},
	    {"<victim@notexample.test>", "550 5.7.1"}, {"<bob@example.test,victim@other.test>", "501 5.1.3"},
	    {"<bob@example.test> <victim@other.test>", "501 5.5.4"},
	    {"<bob@example.test;victim@other.test>", "501 5.1.3"},
	    {"<bob@example.test victim@other.test>", "501 5.1.3"}, {"<victim@other.test\\@example.test>", "501 5.1.3"},
	    {"<\"victim@other.test\\\"\"@example.test>", "550 5.1.1"}, {"<victim+bob@other.test>", "550 5.7.1"},
	    {"<root@other.test>", "550 5.7.1"}, {"<dead@elsewhere.test>", "550 5.7.1 This server"},
	    {"<brim@example.test>", "452 4.2.2"}, {"<postmaster@other.test>", "550 5.7.1"},
	    {"<victim@example.test%other.test>", "501 5.1.3"}, {"<other.test!bob@example.test>", "550 5.1.1"},
	    {"<bob@example.test\xc2\xa0>", "553 5.6.7"}, {"<>", "501 5.1.3"}, {"<bob@example..test>", "501 5.1.3"},
	    {"<bob@example.test:25>", "501 5.1.3"}};
	struct world *w = *state;

	w->house.limits.smtp_errors = 100;
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		char rcpt[256], reply[64];

		(void)snprintf(rcpt, sizeof(rcpt), ">RCPT TO:%s", v[i].to);
		(void)snprintf(reply, sizeof(reply), "<%s", v[i].reply);
		PLAY(
		    w, HELLO, ">MAIL FROM:<alice@example.test>", "<250 2.1.0", rcpt, reply, ">DATA", "<503 5.5.1", BYE);
	}
	assert_int_equal(w->submits, 0);
}

/* Every false end of data, the stream cut in two at every place: one message, refused, and no second one. */
static void
no_smuggling(void **state)
{
	static const char *const ends[] = {
	    "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n\n.\r\n", "\r.\n"};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		BUF_CLEANUP struct buf in;

		buf_init(&in, 10000);
		buf_put_z(&in,
		    "EHLO c.test\r\nMAIL FROM:<x@a.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: "
		    "x\r\n\r\nfirst");
		buf_put_z(&in, ends[i]);
		buf_put_z(&in,
		    "MAIL FROM:<evil@a.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: "
		    "second\r\n\r\nevil\r\n.\r\nQUIT\r\n");
		for (size_t cut = 0; cut < in.n; cut++) {
			play_raw(w, buf_slice(&in), cut);
			want(&w->replies, "220 250 250 250 354 550 221 ");
		}
	}
	assert_int_equal(w->submits, 0);
}

static void
lines_that_end_wrongly(void **state)
{
	struct world *w = *state;

	PLAY(w, "<220 ", "=EHLO c.test\n", "<500 5.5.2", "<EOF");
	PLAY(w, HELLO, "=NOOP\r\nNOOP\nQUIT\r\n", "<250 2.0.0", "<500 5.5.2", "<EOF");
	PLAY(w, HELLO, "=NOOP a\rQUIT\r\n", "<500 5.5.2", "<EOF");
	PLAY(w, HELLO, "=\n", "<500 5.5.2", "<EOF");
	PLAY(w, "<220 ", ">GET / HTTP/1.1", "<421 4.7.0", "<EOF");
}

static void
text_of_any_bytes_is_kept(void **state)
{
	struct world *w = *state;
	struct slice text = SLICE("EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nA: "
				  "\0\xff\xfe\r\n\r\n\0\0\x1a\x80..\r\n.\r\nQUIT\r\n");

	play_raw(w, text, 3);
	assert_int_equal(w->submits, 1);
	assert_true(slice_eq(buf_slice(&w->body), SLICE("A: \0\xff\xfe\r\n\r\n\0\0\x1a\x80..\r\n")));
	want(&w->envelope, "BODY=8BITMIME\n");
}

static void
limits_of_text(void **state)
{
	struct world *w = *state;

	w->house.limits.smtp_message_bytes = 100;
	w->house.limits.smtp_text_line_bytes = 40;
	w->house.limits.smtp_received_hops = 2;
	PLAY(w, "<220", ">HELO c.test", "<250 ", GO, ">12345678901234567890123456789012345678", ">.", "<250 2.0.0", GO,
	    ">123456789012345678901234567890123456789", ">.", "<550 5.6.0", GO,
	    ">12345678901234567890123456789012345678", ">12345678901234567890123456789012345678", ">123456789012345678",
	    ">.", "<250 2.0.0", GO, ">12345678901234567890123456789012345678",
	    ">12345678901234567890123456789012345678", ">1234567890123456789", ">.", "<552 5.3.4", GO, ">Received: a",
	    ">Received: b", ">.", "<250 2.0.0", GO, ">Received: a", ">Received: b", ">received: c", ">.", "<554 5.4.6",
	    BYE);
	assert_int_equal(w->submits, 3);
	assert_int_equal(w->sessions.messages, 3);
	assert_int_equal(w->sessions.messages_refused, 3);
}

static void
limits_of_commands(void **state)
{
	struct world *w = *state;
	char line[5000];

	memset(line, 'x', sizeof(line));
	memcpy(line, ">NOOP ", 6);
	line[4095] = '\0'; /* 4094 bytes and CR LF */
	PLAY(w, HELLO, line, "<250 2.0.0", BYE);
	memset(line, 'x', sizeof(line));
	memcpy(line, ">NOOP ", 6);
	line[4999] = '\0';
	PLAY(w, HELLO, line, "<500 5.5.2", ">NOOP", "<250 2.0.0", BYE);
	w->house.limits.smtp_recipients = 1;
	PLAY(w, HELLO, ">MAIL FROM:<>", "<250", ">RCPT TO:<bob@example.test>", "<250", ">RCPT TO:<alice@example.test>",
	    "<452 4.5.3", ">DATA", "<354", ">.", "<250 2.0.0", BYE);
	want(&w->recipients, "bob@example.test;");
	w->house.limits.smtp_errors = 3;
	PLAY(w, HELLO, ">A", "<500", ">B", "<500", ">C", "<500", "<421 4.7.0", "<EOF");
	w->config.refused = true;
	PLAY(w, "<421 4.7.0", "<EOF");
}

static void
slow_clients_are_told_and_left(void **state)
{
	struct world *w = *state;

	w->house.limits.smtp_command_timeout_ms = 50;
	w->house.limits.smtp_data_timeout_ms = 50;
	PLAY(w, "<220 ", "<421 4.4.2", "<EOF");
	PLAY(w, HELLO, "=NOO", "<421 4.4.2", "<EOF");
	PLAY(w, HELLO, GO, ">half a message", "<421 4.4.2", "<EOF");
	assert_int_equal(w->submits, 0);
}

static void
what_the_queue_says_reaches_the_client(void **state)
{
	struct world *w = *state;

	w->submit_result = SUBMIT_TEMPFAIL;
	PLAY(w, HELLO, GO, ">.", "<451 4.3.0", BYE);
	w->submit_result = SUBMIT_NO_SPACE;
	PLAY(w, HELLO, GO, ">.", "<452 4.3.1", BYE);
	w->submit_result = SUBMIT_REFUSED;
	PLAY(w, HELLO, GO, ">.", "<554 5.7.1 We do not want this", BYE);
	w->submit_result = 0;
	PLAY(w, HELLO, GO, ">.", "<451 4.3.0", BYE);
}

static void
a_stopping_role_says_goodbye(void **state)
{
	struct world *w = *state;

	PLAY(w, HELLO, "!", "<421 4.3.2", "<EOF");
	w->sessions.stopping = false;
	/* Data under way is finished first. */
	PLAY(w, HELLO, GO, ">text", "!", ">.", "<250 2.0.0", "<421 4.3.2", "<EOF");
	assert_int_equal(w->submits, 1);
}

static void
large_messages_go_to_a_file(void **state)
{
	struct world *w = *state;
	BUF_CLEANUP struct buf in, got;
	uint8_t block[65536];
	ssize_t n;
	size_t from;

	buf_init(&in, 10 << 20);
	buf_init(&got, 10 << 20);
	buf_put_z(&in, "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n");
	from = in.n;
	for (int i = 0; in.n < (3 << 20); i++)
		buf_printf(&in, "line %d of a large message%s\r\n", i, i % 7 == 0 ? " with more in it" : "");
	buf_put_z(&in, ".\r\nQUIT\r\n");
	play_raw(w, buf_slice(&in), 100000);
	want(&w->replies, "220 250 250 250 354 250 221 ");
	assert_int_equal(w->blobs, 1);
	assert_int_equal(w->body.n, 0);
	(void)lseek(w->blob_fd, 0, SEEK_SET);
	while ((n = read(w->blob_fd, block, sizeof(block))) > 0)
		buf_put(&got, slice_of(block, (size_t)n));
	assert_int_equal(got.n, w->size_bytes);
	assert_true(slice_eq(buf_slice(&got), slice_range(buf_slice(&in), from, in.n - 9)));
}

/* ---- chunks and parameters ------------------------------------------------------------------------------ */

static void
chunks_make_a_message(void **state)
{
	struct world *w = *state;

	/* Pipelined, with an empty last one; the dots are text. */
	PLAY(w, HELLO, ">MAIL FROM:<x@a.test>", ">RCPT TO:<bob@example.test>", "=BDAT 16\r\nSubject: x\r\n\r\n.\r",
	    "=BDAT 8\r\n\n.\r\n..a\n", "=BDAT 0 LAST\r\n", "<250 2.1.0", "<250 2.1.5", "<250 2.0.0 OK, octets: 16",
	    "<550 5.6.11", "<503 5.5.1", ">RSET", "<250", ">MAIL FROM:<x@a.test>", ">RCPT TO:<bob@example.test>",
	    "=BDAT 16\r\nSubject: x\r\n\r\n.\r", "=BDAT 8\r\n\n.\r\n..a\r", "=bdat 1\r\n\n", "=BDAT 0 last\r\n",
	    "<250 2.1.0", "<250 2.1.5", "<250", "<250", "<250", "<250 2.0.0 OK id=", "=BDAT 0 LAST\r\n", "<503", BYE);
	assert_int_equal(w->submits, 1);
	want(&w->body, "Subject: x\r\n\r\n.\r\n.\r\n..a\r\n");
	assert_int_equal(w->size_bytes, 25);
	want(&w->envelope, "");
}

static void
chunks_in_the_wrong_order(void **state)
{
	struct world *w = *state;

	w->house.limits.smtp_errors = 100;
	/* Whatever is refused, its bytes are not taken for commands. */
	PLAY(w, HELLO, "=BDAT 6\r\nQUIT\r\n", "<503 5.5.1 Say MAIL", ">MAIL FROM:<x@a.test>", "<250",
	    "=BDAT 6 LAST\r\nQUIT\r\n", "<503 5.5.1 No valid", "=BDAT 6 LAST\r\nQUIT\r\n", "<503 5.5.1 This message",
	    ">RCPT TO:<bob@example.test>", "<503 5.5.1 This message", ">DATA", "<503", ">RSET", "<250",
	    ">MAIL FROM:<x@a.test>", "<250", ">RCPT TO:<bob@example.test>", "<250", "=BDAT 3\r\na\r\n", "<250", ">DATA",
	    "<503 5.5.1 The text", ">RCPT TO:<alice@example.test>", "<503 5.5.1 The text", ">MAIL FROM:<>", "<503",
	    "=BDAT 0 LAST\r\n", "<250 2.0.0 OK id=", ">MAIL FROM:<x@a.test> BODY=BINARYMIME", "<250",
	    ">RCPT TO:<bob@example.test>", "<250", ">DATA", "<503 5.5.1 BODY", "=BDAT 5 LAST\r\n\r.\n\n\n",
	    "<250 2.0.0 OK id=", BYE);
	want(&w->envelope, "BODY=BINARYMIME\n");
	want(&w->body, "\r.\n\n\n");
	for (size_t i = 0; i < 6; i++) {
		static const char *const bad[] = {
		    ">BDAT", ">BDAT x", ">BDAT -1", ">BDAT 1 FIRST", ">BDAT 1x LAST", ">BDAT 9999999999999999999"};

		PLAY(w, HELLO, ">MAIL FROM:<>", "<250", ">RCPT TO:<bob@example.test>", "<250", bad[i], "<501 5.5.4",
		    i == 0 ? "=" : "<EOF");
	}
	/* What is much too large is not read for ever. */
	w->house.limits.smtp_message_bytes = 10;
	PLAY(w, "<220", ">HELO c.test", "<250", ">MAIL FROM:<>", "<250", ">RCPT TO:<bob@example.test>", "<250",
	    "=BDAT 20\r\n12345678901234567890", "<552 5.3.4", "=BDAT 1 LAST\r\n1", "<503", ">RSET", "<250",
	    ">MAIL FROM:<>", "<250", ">RCPT TO:<bob@example.test>", "<250", "=BDAT 999999 LAST\r\n",
	    ">123456789012345678", ">123456789012345678", ">123456789012345678", ">123456789012345678",
	    ">123456789012345678", ">123456789012345678", "<421 4.3.4", "<EOF");
	/* A chunk that does not come. */
	w->house.limits.smtp_data_timeout_ms = 50;
	PLAY(w, "<220", ">HELO c.test", "<250", ">MAIL FROM:<>", "<250", ">RCPT TO:<bob@example.test>", "<250",
	    "=BDAT 5 LAST\r\nab", "<421 4.4.2", "<EOF");
}

static void
parameters_travel_as_lines(void **state)
{
	struct world *w = *state;

	PLAY(w, HELLO, ">MAIL FROM:<x@a.test> RET=hdrs ENVID=a+20b MT-PRIORITY=5 BY=-60;nt SMTPUTF8 BODY=7BIT",
	    "<250 2.3.6 0 ", ">RCPT TO:<bob@example.test> NOTIFY=delay,success ORCPT=rfc822;B+2Bob@example.test",
	    "<250 2.1.5", ">RCPT TO:<\xc3\xa4@example.test>", "<550 5.1.1", ">RCPT TO:<alice@example.test>",
	    "<250 2.1.5", ">DATA", "<354", ">TLS-Required: No", ">", ">.", "<250", BYE);
	assert_true(
	    slice_starts(buf_slice(&w->envelope), SLICE("SMTPUTF8=\nRET=HDRS\nENVID=a+20b\nTLS-REQUIRED=NO\nBY=")));
	assert_true(slice_ends(buf_slice(&w->envelope), SLICE(";NT\nMT-PRIORITY=0\n")));
	want(&w->recipient_envelopes, "NOTIFY=SUCCESS,DELAY\nORCPT=rfc822;B+2Bob@example.test\n;;");
	assert_int_not_equal(slice_find(buf_slice(&w->head), SLICE("with UTF8SMTP\r\n")), SLICE_NONE);
	assert_int_not_equal(slice_find(buf_slice(&w->head), SLICE("\r\n\tPRIORITY 0;\r\n")), SLICE_NONE);
	/* Addresses outside ASCII: with SMTPUTF8 only, and both forms of a domain are one recipient. */
	PLAY(w, HELLO,
	    ">MAIL FROM:<\xc3\xa9@b\xc3\xbc"
	    "cher.test>",
	    "<550 5.6.7",
	    ">MAIL FROM:<a@b\xc3\xbc"
	    "cher.test>",
	    "<550 5.6.7",
	    ">MAIL FROM:<\xc3\xa9@B\xc3\x9c"
	    "cher.test> SMTPUTF8",
	    "<250 2.1.0", ">RCPT TO:<alice@xn--bcher-kva.test>", "<550 5.7.1", ">RSET", "<250", ">MAIL FROM:<x@a.test>",
	    "<250", ">RCPT TO:<\xc3\xa9@example.test>", "<553 5.6.7",
	    ">RCPT TO:<bob@example.test> ORCPT=utf-8;\xc3\xa9@a", "<501 5.5.4",
	    ">RCPT TO:<bob@example.test> ORCPT=utf-8;\\x{E9}@a", "<250", BYE);
	want(&w->recipient_envelopes, "NOTIFY=SUCCESS,DELAY\nORCPT=rfc822;B+2Bob@example.test\n;;");
}

static void
limits_of_a_session(void **state)
{
	struct world *w = *state;

	w->house.limits.smtp_session_messages = 2;
	PLAY(w, "<220", ">HELO c.test", "<250", ">MAIL FROM:<>", "<250", ">RSET", "<250", ">MAIL FROM:<>", "<250",
	    ">RSET", "<250", ">MAIL FROM:<>", "<421 4.7.0", "<EOF");
	w->config.policy = (struct smtp_policy){.message_bytes = 10, .plain = true, .require_tls = true};
	PLAY(w, "<220", ">EHLO c.test", "<250-mx", "<250-PIPELINING", "<250-SIZE 10", "<250-8BITMIME", "<250-SMTPUTF8",
	    "<250-CHUNKING", "<250-BINARYMIME", "<250-DSN", "<250-DELIVERBY", "<250-MT-PRIORITY",
	    "<250-LIMITS RCPTMAX=1000", "<250 ENHANCED", ">MAIL FROM:<>", "<530 5.7.0", BYE);
	/* Nobody stays by saying NOOP. */
	w->config.policy = (struct smtp_policy){.plain = true};
	w->house.limits.smtp_idle_timeout_ms = 50;
	PLAY(w, "<220", ">NOOP", "<250", "!wait", ">NOOP", "<250", "!wait", "!wait", "<421 4.4.2", "<EOF");
}

static void
lmtp_replies_for_each_recipient(void **state)
{
	struct world *w = *state;

	w->config.lmtp = true;
	PLAY(w, "<220 mx.example.test LMTP", ">EHLO c.test", "<502 5.5.1", ">HELO c.test", "<502 5.5.1", ">LHLO c.test",
	    "<250-mx", "<250-PIPELINING", "<250-SIZE", "<250-8BITMIME", OTHERS, ">MAIL FROM:<x@a.test> MT-PRIORITY=3",
	    "<250 2.1.0", ">DATA", "<503", ">RCPT TO:<bob@example.test>", "<250", ">RCPT TO:<nobody@example.test>",
	    "<550", ">RCPT TO:<x@other.test>", "<550 5.7.1", ">RCPT TO:<alice@example.test>", "<250",
	    ">RCPT TO:<bob@example.test>", "<250", ">DATA", "<354", ">Subject: x", ">.",
	    "<250 2.0.0 OK id=", "<250 2.0.0 OK id=", "<250 2.0.0 OK id=", ">MAIL FROM:<x@a.test>", "<250",
	    ">RCPT TO:<bob@example.test>", "<250", ">RCPT TO:<alice@example.test>", "<250", "=BDAT 4\r\na\r\n\r",
	    "<250 2.0.0 OK, oct", "=BDAT 2 LAST\r\n\nx",
	    "<250 2.0.0 OK id=", "<250 2.0.0 OK id=", ">MAIL FROM:<x@a.test>", "<250", "=BDAT 2 LAST\r\nab", ">RSET",
	    "<250", BYE);
	want(&w->recipients, "bob@example.test;alice@example.test;");
	assert_int_not_equal(slice_find(buf_slice(&w->head), SLICE("with LMTP\r\n")), SLICE_NONE);
	w->submit_result = SUBMIT_NO_SPACE;
	PLAY(w, "<220", ">LHLO c.test", "<250-mx", "<250-PIPELINING", "<250-SIZE", "<250-8BITMIME", OTHERS,
	    ">MAIL FROM:<x@a.test>", "<250", ">RCPT TO:<bob@example.test>", "<250", ">RCPT TO:<alice@example.test>",
	    "<250", ">DATA", "<354", ">.", "<452", "<452", BYE);
}

/* ---- users ---------------------------------------------------------------------------------------------- */

static void
submission_sends_as_its_own(void **state)
{
	struct world *w = *state;

	w->config.submission = w->config.signed_in = true;
	w->config.beginning = SMTP_BEGINS_SIGNED_IN;
	w->config.helo = SLICE("laptop");
	w->config.tls_text = SLICE("TLSv1.3 X");
	PLAY(w, "<235 2.7.0", ">AUTH PLAIN x", "<503 5.5.1", ">STARTTLS", "<502 5.5.1", ">MAIL FROM:<bob@example.test>",
	    "<550 5.7.1", ">MAIL FROM:<x@other.test>", "<550 5.7.1", ">MAIL FROM:<alice@example.test> AUTH=<>",
	    "<250 2.1.0", ">RCPT TO:<x@other.test>", "<250 2.1.5", ">RCPT TO:<nobody@example.test>", "<550 5.1.1",
	    ">RCPT TO:<dead@elsewhere.test>", "<550 5.1.1 It is suppressed", ">DATA", "<354",
	    ">From: Alice <alice@example.test>", ">Subject: x", ">", ">text", ">.", "<250 2.0.0", BYE);
	assert_int_equal(slice_find(buf_slice(&w->head), SLICE("192.0.2.1")), SLICE_NONE);
	assert_int_equal(slice_find(buf_slice(&w->head), SLICE("laptop")), SLICE_NONE);
	assert_int_not_equal(slice_find(buf_slice(&w->head), SLICE("with ESMTPSA (TLSv1.3 X)")), SLICE_NONE);
	assert_int_not_equal(slice_find(buf_slice(&w->head), SLICE("\r\nDate: ")), SLICE_NONE);
	assert_int_not_equal(slice_find(buf_slice(&w->head), SLICE("\r\nMessage-ID: <01")), SLICE_NONE);
	assert_int_equal(slice_find(buf_slice(&w->head), SLICE("\r\nFrom: ")), SLICE_NONE);
}

static void
submission_checks_from(void **state)
{
	static const struct {
		const char *from, *reply;
	} v[] = {{">From: alice@example.test", "<250"}, {">FROM: Info <INFO@Example.TEST>", "<250"},
	    {">From: alice@example.test, info@example.test", "<250"}, {">From: bob@example.test", "<550 5.7.1"},
	    {">From: alice@example.test, bob@example.test", "<550 5.7.1"},
	    {">From: Bob <bob@example.test>, alice@example.test", "<550 5.7.1"},
	    {">From: \"alice@example.test\" <bob@example.test>", "<550 5.7.1"},
	    {">From: us: alice@example.test, bob@example.test;", "<550 5.7.1"}, {">From:", "<550 5.6.0"},
	    {">From: alice@example.test\r\nFrom: bob@example.test", "<550 5.7.1"},
	    {">From: alice@example.test,\r\n bob@example.test", "<550 5.7.1"},
	    {">From : bob@example.test", "<550 5.7.1"}, {">From                \t  : bob@example.test", "<550 5.7.1"},
	    {">Date: x\r\nMessage-ID: <y>", "<250"}};
	struct world *w = *state;

	w->config.submission = w->config.signed_in = true;
	w->config.beginning = SMTP_BEGINS_SIGNED_IN;
	w->config.helo = SLICE("laptop");
	for (size_t i = 0; i < COUNT_OF(v); i++)
		PLAY(w, "<235", ">MAIL FROM:<alice@example.test>", "<250", ">RCPT TO:<bob@example.test>", "<250",
		    ">DATA", "<354", v[i].from, ">", ">From: bob@example.test", ">.", v[i].reply, BYE);
	/* The last one had no From at all. */
	assert_int_not_equal(slice_find(buf_slice(&w->head), SLICE("\r\nFrom: <alice@example.test>\r\n")), SLICE_NONE);
	assert_int_equal(slice_find(buf_slice(&w->head), SLICE("\r\nDate: ")), SLICE_NONE);
	assert_int_equal(slice_find(buf_slice(&w->head), SLICE("\r\nMessage-ID: ")), SLICE_NONE);
	PLAY(w, "<235", ">MAIL FROM:<>", "<250", ">RCPT TO:<bob@example.test>", "<250", ">DATA", "<354", ">Subject: x",
	    ">", ">.", "<550 5.6.0", BYE);
}

static void
nothing_before_sign_in(void **state)
{
	struct world *w = *state;

	w->before_sign_in = true;
	PLAY(w, "<220 mx", ">EHLO c.test", "<250-mx", "<250-PIPELINING", "<250-SIZE", "<250-8BITMIME",
	    OTHERS_SUBMISSION, ">MAIL FROM:<alice@example.test>", "<530 5.7.0", ">RCPT TO:<x@a.test>", "<530 5.7.0",
	    ">DATA", "<530 5.7.0", ">AUTH PLAIN AGFsaWNlAHNlY3JldA==", "<538 5.7.11", ">AUTH LOGIN", "<538 5.7.11",
	    ">STARTTLS", "<502 5.5.1", ">NOOP", "<250", ">RSET", "<250", ">VRFY x", "<252", ">BDAT 5", "<530", "<EOF");
	assert_int_equal(w->signed_in.n, 0);
}

static void
sign_in_in_all_ways(void **state)
{
	struct world *w = *state;

	w->before_sign_in = true;
	w->presession.cleartext_sign_in = true;
	w->house.limits.sign_in_attempts = 3;
	PLAY(w, "<220 mx", ">AUTH PLAIN AGFsaWNlAHNlY3JldA==", "<503", ">EHLO c.test", "<250-mx", "<250-PIPELINING",
	    "<250-SIZE", "<250-8BITMIME", "<250-AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN", OTHERS_SUBMISSION,
	    ">AUTH CRAM-MD5", "<504 5.5.4", ">AUTH PLAIN =", "<501 5.5.2", ">AUTH PLAIN ####", "<501 5.5.2",
	    ">AUTH PLAIN YQ==", "<501 5.5.2", ">AUTH LOGIN", "<334 VXNlcm5hbWU6", ">*", "<501 5.0.0",
	    ">AUTH PLAIN AGFsaWNlAHdyb25n", "<535 5.7.8", ">AUTH PLAIN", "<334 ", ">YWxpY2UAYWxpY2UAc2VjcmV0",
	    "<235 2.7.0 from the desk", ">hello", "<250 desk got hello");
	want(&w->signed_in, "[|alice|wrong|c.test][alice|alice|secret|c.test]");
	buf_reset(&w->signed_in);
	/* LOGIN; and what is sent along goes to the desk. */
	PLAY(w, "<220", ">EHLO c.test", "<250-mx", "<250-PIPELINING", "<250-SIZE", "<250-8BITMIME",
	    "<250-AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN", OTHERS_SUBMISSION,
	    ">AUTH LOGIN YWxpY2U=", "<334 UGFzc3dvcmQ6", "=c2VjcmV0\r\nMAIL early\r\n", "<235 2.7.0 from the desk",
	    "<250 desk got MAIL early");
	want(&w->signed_in, "[|alice|secret|c.test]");
	PLAY(w, "<220", ">EHLO c.test", "<250-mx", "<250-PIPELINING", "<250-SIZE", "<250-8BITMIME",
	    "<250-AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN", OTHERS_SUBMISSION, ">AUTH PLAIN AGFsaWNlAHdyb25n",
	    "<535", ">AUTH PLAIN AGFsaWNlAHdyb25n", "<535", ">AUTH PLAIN AGFsaWNlAHdyb25n", "<535", "<421 4.7.0",
	    "<EOF");
	w->sign_in_result = ERR_UNAVAILABLE;
	PLAY(w, "<220", ">HELO c.test", "<250 ", ">AUTH PLAIN AGFsaWNlAHNlY3JldA==", "<454 4.7.0", BYE);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_message_comes_in),
	    T(commands_in_the_wrong_order),
	    T(parameters_and_paths),
	    T(no_relay),
	    T(no_smuggling),
	    T(lines_that_end_wrongly),
	    T(text_of_any_bytes_is_kept),
	    T(limits_of_text),
	    T(limits_of_commands),
	    T(slow_clients_are_told_and_left),
	    T(what_the_queue_says_reaches_the_client),
	    T(a_stopping_role_says_goodbye),
	    T(large_messages_go_to_a_file),
	    T(chunks_make_a_message),
	    T(chunks_in_the_wrong_order),
	    T(parameters_travel_as_lines),
	    T(limits_of_a_session),
	    T(lmtp_replies_for_each_recipient),
	    T(submission_sends_as_its_own),
	    T(submission_checks_from),
	    T(nothing_before_sign_in),
	    T(sign_in_in_all_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
