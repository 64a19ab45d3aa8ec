/* The client against a server that can do anything wrong at any step. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "smtp/smtp.h"

#include <fcntl.h>

/* The steps at which a server speaks. */
enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_TEXT, STEP_COUNT };

enum fault {
	FAULT_NONE,
	FAULT_CLOSE,
	FAULT_421,
	FAULT_4XX,
	FAULT_5XX,
	FAULT_GARBAGE,
	FAULT_ENDLESS,
	FAULT_SILENCE,
	FAULT_3XX,
	FAULT_PARTIAL,
	FAULT_COUNT
};

struct world {
	struct house house;
	struct loop *loop;
	struct arena arena;
	/* the server */
	bool pipelining, ehlo, tls_broken;
	const char *extra; /* EHLO lines */
	enum step at;
	enum fault fault;
	const char *refuse;  /* RCPT commands with this inside are refused */
	const char *refusal; /* with this reply */
	int connections, transactions, rsets;
	bool took; /* 250 to the text was sent */
	struct stream *server;
	struct buf commands, text;
	/* the job */
	struct smtp_send_job job;
	struct smtp_send_recipient recipients[3];
	int result;
};

/* Says the line, or does what is wrong with it. False: the connection is over. */
static bool
say(struct world *w, enum step step, const char *line)
{
	struct stream *st = w->server;

	if (w->fault == FAULT_NONE || w->at != step) {
		(void)!stream_printf(st, "%s\r\n", line);
		return true;
	}
	switch (w->fault) {
	case FAULT_421: (void)!stream_write(st, SLICE("421 4.3.2 going down\r\n")); return false;
	case FAULT_4XX: (void)!stream_write(st, SLICE("451 4.7.1 later\r\n")); return true;
	case FAULT_5XX: (void)!stream_write(st, SLICE("550-5.7.1 go\r\n550 5.7.1 away\r\n")); return true;
	case FAULT_3XX: (void)!stream_write(st, SLICE("399 hm\r\n")); return true;
	case FAULT_GARBAGE: (void)!stream_write(st, SLICE("HTTP/1.1 200 OK\r\n\r\n")); return true;
	case FAULT_PARTIAL: (void)!stream_write(st, SLICE("250-and\r\n25")); return false;
	case FAULT_ENDLESS:
		for (int i = 0; i < 2000; i++)
			if (stream_printf(st, "250-line %d\r\n", i) != 0)
				break;
		return false;
	case FAULT_SILENCE:
		(void)!stream_flush(st);
		(void)!fiber_sleep(w->loop, 200);
		return false;
	default: return false;
	}
}

static bool
read_text(struct world *w)
{
	struct slice line;

	buf_reset(&w->text);
	while (stream_read_line(w->server, SLICE("\r\n"), 1000000, &line) == 0) {
		if (slice_eq(line, SLICE(".")))
			return true;
		buf_put(&w->text, line);
		buf_put_z(&w->text, "\r\n");
	}
	return false;
}

/* RFC 3030 §2. */
static bool
take_chunk(struct world *w, struct slice line, size_t accepted)
{
	struct slice rest = slice_from(line, 5), number = slice_cut(&rest, ' ');
	bool last = slice_ieq(rest, SLICE("LAST"));
	uint8_t *p;
	uint64_t n;

	assert_int_equal(slice_to_u64(number, 1 << 20, &n), 0);
	p = buf_reserve(&w->text, n + 1);
	if (stream_read_exact(w->server, p, n) != 0)
		return false;
	buf_added(&w->text, n);
	if (accepted == 0)
		return say(w, STEP_COUNT, "503 5.5.1 no recipients");
	w->took = last && (w->fault == FAULT_NONE || w->at != STEP_TEXT);
	return say(w, STEP_TEXT, last ? "250 2.0.0 taken as 42" : "250 2.0.0 more");
}

static bool
answer(struct world *w, struct slice line, size_t *accepted, bool *over)
{
	buf_put(&w->commands, line);
	buf_put_z(&w->commands, "\n");
	if (slice_istarts(line, SLICE("EHLO"))) {
		if (!w->ehlo)
			return say(w, STEP_COUNT, "502 5.5.1 what?");
		if (w->at == STEP_EHLO && w->fault != FAULT_NONE)
			return say(w, STEP_EHLO, "");
		(void)!stream_printf(w->server, "250-server.test hello\r\n%s%s250 8BITMIME\r\n",
		    w->pipelining ? "250-PIPELINING\r\n" : "", w->extra);
		return true;
	}
	if (slice_istarts(line, SLICE("HELO")))
		return say(w, STEP_EHLO, "250 server.test");
	if (slice_istarts(line, SLICE("MAIL"))) {
		*accepted = 0;
		w->transactions++;
		return say(w, STEP_MAIL, "250 2.1.0 fine");
	}
	if (slice_istarts(line, SLICE("RCPT"))) {
		if (w->at == STEP_MAIL && w->fault != FAULT_NONE)
			return say(w, STEP_COUNT, "503 5.5.1 no sender");
		if (w->refuse != NULL && slice_find(line, slice_z(w->refuse)) != SLICE_NONE)
			return say(w, STEP_COUNT, w->refusal);
		*accepted += w->at != STEP_RCPT || w->fault == FAULT_NONE;
		return say(w, STEP_RCPT, "250 2.1.5 fine");
	}
	if (slice_ieq(line, SLICE("DATA"))) {
		if (*accepted == 0 && w->refuse == NULL)
			return say(w, STEP_COUNT, "503 5.5.1 no recipients");
		if (!say(w, STEP_DATA, "354 go on"))
			return false;
		if (w->at == STEP_DATA && w->fault != FAULT_NONE)
			return true;
		(void)!stream_flush(w->server);
		if (!read_text(w))
			return false;
		w->took = w->fault == FAULT_NONE || w->at != STEP_TEXT;
		return say(w, STEP_TEXT, "250 2.0.0 taken as 42");
	}
	if (slice_istarts(line, SLICE("BDAT ")))
		return take_chunk(w, line, *accepted);
	if (slice_ieq(line, SLICE("STARTTLS"))) {
		(void)!stream_write(w->server, SLICE("220 2.0.0 go on\r\n"));
		(void)!stream_write(w->server, SLICE("this is not TLS\r\n"));
		return false;
	}
	if (slice_ieq(line, SLICE("RSET"))) {
		w->rsets++;
		return say(w, STEP_COUNT, "250 2.0.0 forgotten");
	}
	*over = slice_ieq(line, SLICE("QUIT"));
	return say(w, STEP_COUNT, *over ? "221 2.0.0 bye" : "500 5.5.1 what?");
}

static void
server_main(void *arg)
{
	struct world *w = arg;
	struct slice line;
	size_t accepted = 0;
	bool over = false;

	stream_set_timeouts(w->server, 2000, 2000);
	if (say(w, STEP_GREETING, "220 server.test ESMTP"))
		while (!over && stream_flush(w->server) == 0 &&
		    stream_read_line(w->server, SLICE("\r\n"), 10000, &line) == 0)
			if (!answer(w, line, &accepted, &over))
				break;
	(void)!stream_flush(w->server);
	stream_close(&w->server);
}

static int
connect_server(void *ctx, struct stream **out)
{
	struct world *w = ctx;
	int e;

	/* The server of a connection that was given up is gone before the next. */
	while (w->server != NULL)
		(void)!fiber_sleep(w->loop, 1);
	w->connections++;
	e = stream_pair(w->loop, out, &w->server);
	return e != 0 ? e : fiber_start(w->loop, "server", server_main, w, NULL);
}

static int
connect_nobody(void *ctx, struct stream **out)
{
	(void)ctx;
	(void)out;
	return ERR_UNAVAILABLE;
}

static void
client_main(void *arg)
{
	struct world *w = arg;

	w->result = smtp_send(&w->job);
}

static void
run(struct world *w)
{
	w->connections = w->transactions = w->rsets = 0;
	w->took = false;
	buf_reset(&w->commands);
	buf_reset(&w->text);
	arena_reset(&w->arena);
	for (size_t i = 0; i < COUNT_OF(w->recipients); i++)
		w->recipients[i].r = (struct smtp_send_result){0};
	assert_int_equal(fiber_start(w->loop, "client", client_main, w, NULL), 0);
	loop_run(w->loop);
	assert_null(w->server);
}

static int
setup(void **state)
{
	static const char *const to[] = {"bob@b.test", "carol x@b.test", "dan@b.test"};
	struct world *w = calloc(1, sizeof(*w));

	house_init(&w->house, "test");
	w->house.log_level = LOG_ERROR;
	w->house.limits.send_greeting_timeout_ms = w->house.limits.send_command_timeout_ms =
	    w->house.limits.send_data_timeout_ms = 100;
	assert_int_equal(loop_new(&w->loop, &w->house), 0);
	arena_init(&w->arena, 1 << 20);
	w->ehlo = w->pipelining = true;
	w->extra = "";
	w->refusal = "550 5.1.1 nobody";
	for (size_t i = 0; i < COUNT_OF(to); i++)
		w->recipients[i].address = slice_z(to[i]);
	buf_init(&w->commands, 100000);
	buf_init(&w->text, 10 << 20);
	w->job = (struct smtp_send_job){.loop = w->loop,
	    .arena = &w->arena,
	    .hostname = SLICE("mx.a.test"),
	    .reverse_path = SLICE("alice@a.test"),
	    .recipients = w->recipients,
	    .recipients_count = 3,
	    .head = SLICE("Received: x\r\n"),
	    .body = SLICE("Subject: y\r\n\r\n.dot\r\nend"),
	    .fd = -1,
	    .connect = connect_server,
	    .connect_ctx = w};
	w->job.size_bytes = (int64_t)w->job.body.n;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	loop_free(&w->loop);
	arena_free(&w->arena);
	buf_free(&w->commands);
	buf_free(&w->text);
	free(w);
	return 0;
}

static void
want(const struct buf *b, const char *text)
{
	if (!slice_eq(buf_slice(b), slice_z(text)))
		fail_msg("got\n%.*s\ninstead of\n%s", SLICE_ARG(buf_slice(b)), text);
}

static void
want_result(const struct smtp_send_result *r, int result, int code, const char *status, const char *text)
{
	if (r->result != result || r->code != code || strcmp(r->status, status) != 0 ||
	    !slice_eq(r->text, slice_z(text)))
		fail_msg("got %d %d %s %.*s", r->result, r->code, r->status, SLICE_ARG(r->text));
}

static void
a_message_goes_out(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 2; i++) {
		w->pipelining = i == 0;
		run(w);
		assert_int_equal(w->result, 0);
		want(&w->commands,
		    "EHLO mx.a.test\nMAIL FROM:<alice@a.test>\nRCPT TO:<bob@b.test>\nRCPT TO:<\"carol "
		    "x\"@b.test>\nRCPT TO:<dan@b.test>\nDATA\nQUIT\n");
		want(&w->text, "Received: x\r\nSubject: y\r\n\r\n..dot\r\nend\r\n");
		for (size_t j = 0; j < 3; j++)
			want_result(&w->recipients[j].r, SEND_OK, 250, "2.0.0", "taken as 42");
	}
}

static void
capabilities_are_used(void **state)
{
	struct world *w = *state;

	w->job.recipients_count = 1;
	w->job.envelope = SLICE("BODY=8BITMIME\n");
	w->job.reverse_path = SLICE_EMPTY;
	w->extra = "250-SIZE 100\r\n";
	run(w);
	want(&w->commands, "EHLO mx.a.test\nMAIL FROM:<> SIZE=36 BODY=8BITMIME\nRCPT TO:<bob@b.test>\nDATA\nQUIT\n");
	w->extra = "250-SIZE 35\r\n";
	run(w);
	want(&w->commands, "EHLO mx.a.test\nQUIT\n");
	want_result(
	    &w->recipients[0].r, SEND_FAIL, 0, "5.3.4", "The message has 36 bytes; the remote server takes at most 35");
	w->ehlo = false;
	run(w);
	want(&w->commands, "EHLO mx.a.test\nHELO mx.a.test\nMAIL FROM:<>\nRCPT TO:<bob@b.test>\nDATA\nQUIT\n");
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
}

static void
recipients_are_judged_one_by_one(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 2; i++) {
		w->pipelining = i == 0;
		w->refuse = "carol";
		run(w);
		assert_int_equal(w->result, 0);
		want_result(&w->recipients[0].r, SEND_OK, 250, "2.0.0", "taken as 42");
		want_result(&w->recipients[1].r, SEND_FAIL, 550, "5.1.1", "nobody");
		want_result(&w->recipients[2].r, SEND_OK, 250, "2.0.0", "taken as 42");
		assert_true(w->took);
		/* Nobody accepted: whatever was said ahead, no message. */
		w->refuse = "b.test";
		run(w);
		assert_int_equal(w->result, 0);
		for (size_t j = 0; j < 3; j++)
			want_result(&w->recipients[j].r, SEND_FAIL, 550, "5.1.1", "nobody");
		assert_int_equal(w->text.n, 0);
		assert_int_equal(w->rsets, w->pipelining ? 0 : 1);
		/* Final results stay, and are not asked again. */
		w->refuse = NULL;
	}
}

/* 552 to RCPT: too many recipients as RFC 5321 §4.5.3.1.10 has it, unless its status says more. */
static void
a_full_mailbox_is_not_too_many_recipients(void **state)
{
	static const struct {
		const char *refusal;
		int result;
		const char *status, *text;
	} cases[] = {
	    {"552 too many", SEND_TEMPFAIL, "4.5.3", "too many"},
	    {"552 5.5.3 too many", SEND_TEMPFAIL, "4.5.3", "too many"},
	    {"552-5.5.3 too\r\n552 5.5.3 many", SEND_TEMPFAIL, "4.5.3", "too many"},
	    {"552 4.2.2 of another class", SEND_TEMPFAIL, "4.5.3", "4.2.2 of another class"},
	    {"552 5.2.2 full", SEND_FAIL, "5.2.2", "full"},
	    {"552-5.2.2 very\r\n552 5.2.2 full", SEND_FAIL, "5.2.2", "very full"},
	    {"552 5.3.4 too big", SEND_FAIL, "5.3.4", "too big"},
	    {"552 5.5.30 no such status", SEND_FAIL, "5.5.30", "no such status"},
	};
	struct world *w = *state;

	w->refuse = "carol";
	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		w->pipelining = i % 2 == 0;
		w->refusal = cases[i / 2].refusal;
		run(w);
		want_result(&w->recipients[0].r, SEND_OK, 250, "2.0.0", "taken as 42");
		want_result(&w->recipients[1].r, cases[i / 2].result, 552, cases[i / 2].status, cases[i / 2].text);
		assert_int_equal(w->recipients[1].r.final, cases[i / 2].result == SEND_FAIL);
		want_result(&w->recipients[2].r, SEND_OK, 250, "2.0.0", "taken as 42");
	}
}

static void
what_is_settled_stays(void **state)
{
	struct world *w = *state;

	w->recipients[0].r = (struct smtp_send_result){0};
	run(w);
	w->recipients[1].r = (struct smtp_send_result){.result = SEND_TEMPFAIL};
	buf_reset(&w->commands);
	assert_int_equal(fiber_start(w->loop, "client", client_main, w, NULL), 0);
	loop_run(w->loop);
	want(&w->commands, "EHLO mx.a.test\nMAIL FROM:<alice@a.test>\nRCPT TO:<\"carol x\"@b.test>\nDATA\nQUIT\n");
}

static void
groups_of_recipients(void **state)
{
	struct world *w = *state;

	w->house.limits.queue_send_recipients = 2;
	run(w);
	assert_int_equal(w->transactions, 2);
	assert_int_equal(w->connections, 1);
	for (size_t j = 0; j < 3; j++)
		assert_int_equal(w->recipients[j].r.result, SEND_OK);
	/* The second does not get what the first got when the server ends after it. */
	w->at = STEP_TEXT;
	w->fault = FAULT_421;
	run(w);
	for (size_t j = 0; j < 3; j++) {
		assert_int_equal(w->recipients[j].r.result, SEND_TEMPFAIL);
		assert_int_equal(w->recipients[j].r.code, 421);
	}
}

static void
addresses_that_smtp_cannot_say(void **state)
{
	struct world *w = *state;

	w->recipients[0].address = SLICE("bob\r\nDATA@b.test");
	w->recipients[1].address = SLICE("b\xc3\xb6"
					 "b@b.test");
	w->recipients[2].address = SLICE("bob@b.test> NOTIFY=NEVER");
	run(w);
	for (size_t j = 0; j < 3; j++)
		assert_string_equal(w->recipients[j].r.status, "5.6.7");
	want(&w->commands, "EHLO mx.a.test\nQUIT\n");
	w->job.reverse_path = SLICE("a@b\n.test");
	w->recipients[0].address = SLICE("bob@b.test");
	run(w);
	want(&w->commands, "EHLO mx.a.test\nQUIT\n");
	assert_string_equal(w->recipients[0].r.status, "5.6.7");
}

static void
nobody_there(void **state)
{
	struct world *w = *state;

	w->job.connect = connect_nobody;
	run(w);
	assert_int_equal(w->result, ERR_UNAVAILABLE);
	assert_int_equal(w->recipients[0].r.result, SEND_TEMPFAIL);
	assert_string_equal(w->recipients[0].r.status, "4.4.1");
	assert_false(w->recipients[0].r.final);
}

/* Every fault at every step: results are always complete and honest, and nothing hangs. */
static void
every_fault_at_every_step(void **state)
{
	struct world *w = *state;

	for (int pipelining = 0; pipelining < 2; pipelining++)
		for (enum step at = STEP_GREETING; at < STEP_COUNT; at++)
			for (enum fault fault = FAULT_CLOSE; fault < FAULT_COUNT; fault++) {
				w->pipelining = pipelining;
				w->at = at;
				w->fault = fault;
				run(w);
				assert_false(w->took);
				for (size_t i = 0; i < 3; i++) {
					const struct smtp_send_result *r = &w->recipients[i].r;
					bool lost = fault == FAULT_CLOSE || fault == FAULT_GARBAGE ||
					    fault == FAULT_ENDLESS || fault == FAULT_SILENCE || fault == FAULT_PARTIAL;
					int result = fault == FAULT_5XX ? SEND_FAIL : SEND_TEMPFAIL;
					bool final = at > STEP_EHLO &&
					    (result == SEND_FAIL || (at == STEP_TEXT && lost));

					if (r->result != result || r->final != final || r->text.n == 0 ||
					    r->status[0] != (result == SEND_FAIL ? '5' : '4'))
						fail_msg("step %d fault %d pipelining %d: result %d code %d final %d "
							 "%s %.*s",
						    at, fault, pipelining, r->result, r->code, r->final, r->status,
						    SLICE_ARG(r->text));
					if (lost || fault == FAULT_421 || at <= STEP_EHLO)
						assert_true(at == STEP_TEXT || w->result != 0);
					if (fault == FAULT_421)
						assert_int_equal(r->code, 421);
				}
			}
}

static void
again(struct world *w)
{
	assert_int_equal(fiber_start(w->loop, "client", client_main, w, NULL), 0);
	loop_run(w->loop);
}

/* As the courier does with the MX hosts of a domain. */
static void
of_several_hosts_the_hopeful_one_counts(void **state)
{
	struct world *w = *state;
	struct smtp_send_result *r = &w->recipients[0].r;

	w->at = STEP_RCPT;
	w->fault = FAULT_4XX;
	run(w);
	want_result(r, SEND_TEMPFAIL, 451, "4.7.1", "later");
	w->job.connect = connect_nobody;
	again(w);
	want_result(r, SEND_TEMPFAIL, 451, "4.7.1", "later");
	w->job.connect = connect_server;
	w->at = STEP_GREETING;
	w->fault = FAULT_5XX;
	again(w);
	want_result(r, SEND_TEMPFAIL, 451, "4.7.1", "later");
	assert_false(r->final);
	w->fault = FAULT_NONE;
	again(w);
	want_result(r, SEND_OK, 250, "2.0.0", "taken as 42");
	/* A host that refuses everybody, and one that is not there. */
	w->fault = FAULT_5XX;
	run(w);
	want_result(r, SEND_FAIL, 550, "5.7.1", "go away");
	assert_false(r->final);
	w->job.connect = connect_nobody;
	w->job.host = SLICE("mx2.b.test [192.0.2.1]:25");
	again(w);
	want_result(r, SEND_TEMPFAIL, 0, "4.4.1",
	    "Could not connect to mx2.b.test [192.0.2.1]:25: the service is not available");
}

static void
without_tls_when_tls_is_broken(void **state)
{
	struct tls_client_config config = {.opportunistic = true};
	struct world *w = *state;
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	assert_int_equal(tls_client_new(&w->job.security.client, w->loop, &config, &detail), 0);
	w->job.security.level = SMTP_TLS_MAY;
	w->extra = "250-STARTTLS\r\n";
	run(w);
	assert_int_equal(w->result, 0);
	assert_int_equal(w->connections, 2);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	assert_int_equal(w->job.tls_text.n, 0);
	tls_client_free(&w->job.security.client);
}

static void
files_are_sent(void **state)
{
	struct world *w = *state;
	BUF_CLEANUP struct buf body;

	buf_init(&body, 1 << 20);
	w->job.head = SLICE_EMPTY;
	w->job.fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	assert_true(w->job.fd >= 0);
	for (int i = 0; body.n < 300000; i++)
		buf_printf(&body, "line %d\r\n", i);
	assert_int_equal(write(w->job.fd, body.p, body.n), body.n);
	w->job.size_bytes = (int64_t)body.n;
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	assert_true(slice_eq(buf_slice(&w->text), buf_slice(&body)));
	/* A file that is shorter than it should be is not sent as a whole message. */
	w->job.size_bytes++;
	run(w);
	assert_false(w->took);
	want_result(&w->recipients[0].r, SEND_TEMPFAIL, 0, "4.3.0", "The message could not be read here");
	close(w->job.fd);
}

/* ---- extensions --------------------------------------------------------------------------------------------- */

#define ALL \
	"250-SIZE " \
	"100000\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-REQUIRETLS\r\n250-MT-PRIORITY " \
	"MIXER\r\n250-DELIVERBY 10\r\n"

static void
one_recipient(struct world *w, const char *envelope, const char *body)
{
	w->job.recipients_count = 1;
	w->job.envelope = slice_z(envelope);
	w->job.head = SLICE_EMPTY;
	w->job.body = slice_z(body);
	w->job.size_bytes = (int64_t)strlen(body);
}

static void
parameters_are_passed_on(void **state)
{
	struct world *w = *state;

	one_recipient(w,
	    "BODY=8BITMIME\nSMTPUTF8=\nRET=HDRS\nENVID=QQ314159\nMT-PRIORITY=-3\nREQUIRETLS=\nHOLDUNTIL=99\nUNKNOWN="
	    "1\n",
	    "Subject: y\r\n\r\nx\r\n");
	w->recipients[0].envelope = SLICE("NOTIFY=SUCCESS,DELAY\nORCPT=rfc822;bob+2Bx@b.test\n");
	w->job.require_tls = true;
	w->extra = ALL;
	run(w);
	want(&w->commands,
	    "EHLO mx.a.test\nMAIL FROM:<alice@a.test> SIZE=17 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159 "
	    "REQUIRETLS "
	    "MT-PRIORITY=-3\nRCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+2Bx@b.test\nBDAT 17 "
	    "LAST\nQUIT\n");
	want_result(&w->recipients[0].r, SEND_OK, 250, "2.0.0", "taken as 42");
	assert_true(w->recipients[0].r.dsn);
	/* A server that knows none of them. */
	w->extra = "";
	w->job.require_tls = false;
	run(w);
	want(
	    &w->commands, "EHLO mx.a.test\nMAIL FROM:<alice@a.test> BODY=8BITMIME\nRCPT TO:<bob@b.test>\nDATA\nQUIT\n");
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	assert_false(w->recipients[0].r.dsn);
	/* RFC 8689 §4.2.1 */
	w->job.require_tls = true;
	run(w);
	want(&w->commands, "EHLO mx.a.test\nQUIT\n");
	assert_int_equal(w->recipients[0].r.result, SEND_FAIL);
	assert_string_equal(w->recipients[0].r.status, "5.7.30");
	assert_false(w->recipients[0].r.final);
}

/* What is in the queue cannot add parameters or commands. */
static void
parameters_are_one_word(void **state)
{
	struct world *w = *state;

	one_recipient(w, "ENVID=a b\nRET=FULL\r\nMT-PRIORITY=\n", "Subject: y\r\n\r\nx\r\n");
	w->recipients[0].envelope = SLICE("NOTIFY=NEVER ORCPT=x\nORCPT=rfc822;\x7f\n");
	w->extra = ALL;
	run(w);
	want(&w->commands,
	    "EHLO mx.a.test\nMAIL FROM:<alice@a.test> SIZE=17\nRCPT TO:<bob@b.test>\nBDAT 17 LAST\nQUIT\n");
}

static void
deadlines_are_passed_on(void **state)
{
	struct world *w = *state;
	char envelope[64];

	(void)snprintf(envelope, sizeof(envelope), "BY=%lld;NT\n", (long long)house_now_s(&w->house) - 5);
	one_recipient(w, envelope, "\r\n");
	w->extra = "250-DELIVERBY\r\n";
	run(w);
	assert_true(slice_find(buf_slice(&w->commands), SLICE(" BY=-")) != SLICE_NONE);
	assert_true(slice_find(buf_slice(&w->commands), SLICE(";NT\n")) != SLICE_NONE);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	/* RFC 2852 §4.1.4.1: R goes only where it is obeyed, and not when there is too little time. */
	(void)snprintf(envelope, sizeof(envelope), "BY=%lld;R\n", (long long)house_now_s(&w->house) + 100);
	w->job.envelope = slice_z(envelope);
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	w->extra = "250-DELIVERBY 200\r\n";
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_FAIL);
	assert_string_equal(w->recipients[0].r.status, "5.4.7");
	w->extra = "";
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_FAIL);
	assert_string_equal(w->recipients[0].r.status, "5.7.1");
	want(&w->commands, "EHLO mx.a.test\nQUIT\n");
}

static void
utf8_goes_where_it_is_known(void **state)
{
	struct world *w = *state;

	one_recipient(w, "SMTPUTF8=\n", "Subject: gr\xc3\xbc\xc3\x9f\r\n\r\nx\r\n");
	w->recipients[0].address = SLICE("b\xc3\xb6"
					 "b@b\xc3\xbc"
					 "cher.test");
	w->extra = ALL;
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	assert_true(slice_find(buf_slice(&w->commands),
			SLICE(" SMTPUTF8\nRCPT TO:<b\xc3\xb6"
			      "b@b\xc3\xbc"
			      "cher.test>\n")) != SLICE_NONE);
	/* A domain alone has an ASCII form; a local part has none. */
	w->extra = "";
	run(w);
	assert_string_equal(w->recipients[0].r.status, "5.6.7");
	w->recipients[0].address = SLICE("bob@b.test");
	run(w);
	assert_string_equal(w->recipients[0].r.status, "5.6.9");
	w->recipients[0].address = SLICE("b\xc3\xb6"
					 "b@b.test");
	w->job.body = SLICE("Subject: x\r\n\r\nx\r\n");
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_FAIL);
	assert_string_equal(w->recipients[0].r.status, "5.6.7");
	want(&w->commands, "EHLO mx.a.test\nQUIT\n");
	w->recipients[0].address = SLICE("bob@b\xc3\xbc"
					 "cher.test");
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	assert_true(slice_find(buf_slice(&w->commands), SLICE("RCPT TO:<bob@xn--bcher-kva.test>\n")) != SLICE_NONE);
	w->job.reverse_path = SLICE("\xc3\xbc@a.test");
	run(w);
	assert_string_equal(w->recipients[0].r.status, "5.6.7");
}

static void
chunks_carry_everything(void **state)
{
	struct world *w = *state;
	BUF_CLEANUP struct buf body;

	buf_init(&body, 1 << 20);
	for (int i = 0; body.n < 200000; i++)
		buf_printf(&body, ".line %d\r\n", i);
	w->extra = ALL;
	for (int i = 0; i < 4; i++) {
		w->pipelining = i % 2 == 0;
		w->job.recipients_count = 1;
		w->job.head = SLICE_EMPTY;
		w->job.body = buf_slice(&body);
		w->job.size_bytes = (int64_t)body.n;
		w->extra = i < 2 ? ALL : "250-CHUNKING\r\n";
		run(w);
		assert_int_equal(w->recipients[0].r.result, i < 2 ? SEND_FAIL : SEND_OK);
		if (i < 2)
			assert_string_equal(w->recipients[0].r.status, "5.3.4");
		else
			assert_true(slice_eq(buf_slice(&w->text), buf_slice(&body)));
	}
	/* Ends of lines are whole, also at the end, except in BINARYMIME. */
	one_recipient(w, "", "a\nb\rc\r");
	run(w);
	want(&w->text, "a\r\nb\r\nc\r\n");
	one_recipient(w, "BODY=BINARYMIME\n", "a\nb\rc");
	w->extra = ALL;
	run(w);
	want(&w->text, "a\nb\rc");
	assert_true(slice_find(buf_slice(&w->commands), SLICE(" BODY=BINARYMIME\n")) != SLICE_NONE);
}

/* Every fault at the chunks. */
static void
chunks_that_fail(void **state)
{
	struct world *w = *state;
	BUF_CLEANUP struct buf body;

	buf_init(&body, 2 << 20);
	for (int i = 0; body.n < 400000; i++)
		buf_printf(&body, "line %d\r\n", i);
	w->extra = "250-CHUNKING\r\n";
	w->at = STEP_TEXT;
	w->job.body = buf_slice(&body);
	w->job.size_bytes = (int64_t)body.n;
	for (enum fault fault = FAULT_CLOSE; fault < FAULT_COUNT; fault++)
		for (int pipelining = 0; pipelining < 2; pipelining++) {
			w->fault = fault;
			w->pipelining = pipelining;
			run(w);
			assert_false(w->took);
			for (size_t i = 0; i < 3; i++) {
				const struct smtp_send_result *r = &w->recipients[i].r;

				if (r->result != (fault == FAULT_5XX ? SEND_FAIL : SEND_TEMPFAIL) || r->text.n == 0)
					fail_msg("fault %d: %d %d %s", fault, r->result, r->code, r->status);
			}
		}
}

static void
seven_bit_servers_get_seven_bits(void **state)
{
	struct world *w = *state;

	one_recipient(
	    w, "BODY=8BITMIME\n", "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f\r\n");
	w->ehlo = false;
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	want(&w->text,
	    "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
	    "charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=C3=9F\r\n");
	one_recipient(w, "",
	    "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\xc3\xbc\r\n"
	    "--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n");
	run(w);
	assert_int_equal(w->recipients[0].r.result, SEND_FAIL);
	assert_string_equal(w->recipients[0].r.status, "5.6.3");
	w->house.limits.send_convert_bytes = 10;
	one_recipient(w, "", "Subject: x\r\n\r\n\xff\r\n");
	run(w);
	assert_string_equal(w->recipients[0].r.status, "5.6.3");
}

static void
limits_of_the_server_are_obeyed(void **state)
{
	struct world *w = *state;

	w->extra = "250-LIMITS RCPTMAX=2 MAILMAX=1 X=7\r\n";
	run(w);
	assert_int_equal(w->transactions, 1);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	assert_int_equal(w->recipients[1].r.result, SEND_OK);
	assert_int_equal(w->recipients[2].r.result, SEND_TEMPFAIL);
	w->extra = "250-LIMITS RCPTDOMAINMAX=1\r\n";
	w->recipients[1].address = SLICE("carol@c.test");
	run(w);
	assert_int_equal(w->transactions, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(w->recipients[i].r.result, SEND_OK);
}

/* ---- connections that are kept -------------------------------------------------------------------------------- */

static void
twice_main(void *arg)
{
	struct world *w = arg;
	enum fault fault = w->fault;

	w->fault = FAULT_NONE;
	w->result = smtp_send(&w->job);
	assert_int_equal(w->result, 0);
	assert_non_null(w->job.connection);
	assert_true(smtp_connection_is_quiet(w->job.connection));
	assert_int_equal(smtp_connection_messages(w->job.connection), 1);
	w->recipients[0].r = (struct smtp_send_result){0};
	w->fault = fault;
	w->result = smtp_send(&w->job);
	smtp_connection_close(&w->job.connection);
}

static void
run_twice(struct world *w)
{
	w->job.keep = true;
	w->job.recipients_count = 1;
	w->connections = 0;
	buf_reset(&w->commands);
	w->recipients[0].r = (struct smtp_send_result){0};
	assert_int_equal(fiber_start(w->loop, "client", twice_main, w, NULL), 0);
	loop_run(w->loop);
	assert_int_equal(w->connections, 1);
}

static void
a_connection_is_used_again(void **state)
{
	struct world *w = *state;

	run_twice(w);
	assert_int_equal(w->result, 0);
	assert_int_equal(w->recipients[0].r.result, SEND_OK);
	want(&w->commands,
	    "EHLO mx.a.test\nMAIL FROM:<alice@a.test>\nRCPT TO:<bob@b.test>\nDATA\nMAIL FROM:<alice@a.test>\nRCPT "
	    "TO:<bob@b.test>\nDATA\nQUIT\n");
}

static void
a_connection_is_lost_while_it_waits(void **state)
{
	static const enum fault faults[] = {FAULT_CLOSE, FAULT_421, FAULT_SILENCE, FAULT_GARBAGE};
	struct world *w = *state;

	w->at = STEP_MAIL;
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		w->fault = faults[i];
		run_twice(w);
		assert_int_equal(w->result, ERR_CLOSED);
		assert_int_equal(w->recipients[0].r.result, 0);
		assert_null(w->job.connection);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_message_goes_out),
	    T(capabilities_are_used),
	    T(recipients_are_judged_one_by_one),
	    T(a_full_mailbox_is_not_too_many_recipients),
	    T(what_is_settled_stays),
	    T(groups_of_recipients),
	    T(addresses_that_smtp_cannot_say),
	    T(nobody_there),
	    T(every_fault_at_every_step),
	    T(of_several_hosts_the_hopeful_one_counts),
	    T(without_tls_when_tls_is_broken),
	    T(files_are_sent),
	    T(parameters_are_passed_on),
	    T(parameters_are_one_word),
	    T(deadlines_are_passed_on),
	    T(utf8_goes_where_it_is_known),
	    T(chunks_carry_everything),
	    T(chunks_that_fail),
	    T(seven_bit_servers_get_seven_bits),
	    T(limits_of_the_server_are_obeyed),
	    T(a_connection_is_used_again),
	    T(a_connection_is_lost_while_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
