/* imap_testing.h: what the tests of sessions share: clients that talk to imap_session() over a pair of streams, with a
 * real store behind it. Only tests include it. */
#ifndef IMAP_IMAP_TESTING_H
#define IMAP_IMAP_TESTING_H

#include "imap/imap.h"
#include "reader/reader_texts.h"
#include "store/store_testing.h"

struct world {
	struct place *p;
	struct store_account *account;
	struct workers *workers;
	struct imap_counters counters;
	bool stopping;
};

struct client {
	struct world *w;
	struct stream *st, *server;
	struct fiber *fiber;
	int result;
	struct buf out; /* of the last command, with a NUL behind it */
};

/* A reader within this process. */
struct reading {
	struct limits *l;
	struct bus_reader_texts_request q;
	struct bus_reader_texts_reply reply;
	struct arena *a;
};

HELPER int
read_texts_worker(void *arg)
{
	struct reading *r = arg;

	return reader_texts(r->l, &r->q, r->a, &r->reply);
}

HELPER int
read_texts(void *arg, struct slice account_id, const struct store_text_input *v, size_t n, struct arena *a,
    struct slice *texts)
{
	struct world *w = arg;
	static const struct slice names[] = {SLICE_INIT("plain"), SLICE_INIT("html"), SLICE_INIT("words")};
	struct slice kinds[64], charsets[64], inputs[64];
	struct reading r = {.l = &w->p->house.limits, .q = {{kinds, n}, {charsets, n}, {inputs, n}}, .a = a};
	int err;

	(void)account_id;
	assert_true(n <= COUNT_OF(kinds));
	for (size_t i = 0; i < n; i++) {
		kinds[i] = names[v[i].kind];
		charsets[i] = v[i].charset;
		inputs[i] = v[i].bytes;
	}
	err = work_run(w->workers, read_texts_worker, &r);
	for (size_t i = 0; i < n && err == 0; i++)
		texts[i] = r.reply.texts.v[i];
	return err;
}

HELPER void
client_session(void *arg)
{
	struct client *c = arg;
	struct imap_session_config config = {.house = &c->w->p->house,
	    .loop = c->w->p->loop,
	    .workers = c->w->workers,
	    .login = SLICE("alice"),
	    .client = SLICE("127.0.0.1"),
	    .tag = SLICE("T0"),
	    .counters = &c->w->counters,
	    .stopping = &c->w->stopping};

	c->result = imap_session(c->server, c->w->account, &config);
	stream_close(&c->server);
}

/* Reads a line and the literals in it into out. */
HELPER int
client_line(struct client *c)
{
	for (;;) {
		struct slice line;
		uint64_t n = 0;
		size_t open;
		int err = stream_read_line(c->st, SLICE("\r\n"), 1u << 24, &line);

		if (err != 0)
			return err;
		buf_put(&c->out, line);
		buf_put(&c->out, SLICE("\r\n"));
		open = slice_rfind_byte(line, '{');
		if (!slice_ends(line, SLICE("}")) || open == SLICE_NONE ||
		    slice_to_u64(slice_range(line, open + 1, line.n - 1), 1u << 30, &n) != 0)
			return 0;
		if (n > 0) {
			uint8_t *p = buf_reserve(&c->out, (size_t)n);

			assert_non_null(p);
			err = stream_read_exact(c->st, p, (size_t)n);
			if (err != 0)
				return err;
			buf_added(&c->out, (size_t)n);
		}
	}
}

/* Reads up to and with the first line that starts so. */
HELPER const char *
client_until(struct client *c, const char *start)
{
	buf_reset(&c->out);
	for (;;) {
		size_t before = c->out.n;
		int err = client_line(c);

		if (err != 0)
			break;
		if (slice_starts(slice_from(buf_slice(&c->out), before), slice_z(start)))
			break;
	}
	buf_put_u8(&c->out, 0);
	buf_truncate(&c->out, c->out.n - 1);
	return (const char *)c->out.p;
}

HELPER void
client_send(struct client *c, struct slice s)
{
	assert_int_equal(stream_write(c->st, s), 0);
	assert_int_equal(stream_flush(c->st), 0);
}

/* Sends the command with the tag "x" and returns all that comes up to its answer. */
HELPER const char *
ask(struct client *c, const char *command)
{
	assert_int_equal(stream_write(c->st, SLICE("x ")), 0);
	assert_int_equal(stream_write(c->st, slice_z(command)), 0);
	client_send(c, SLICE("\r\n"));
	return client_until(c, "x ");
}

/* A failed assertion cannot jump out of a fiber: the test program ends. */
HELPER void
give_up(const char *command, const char *got, const char *want)
{
	(void)fprintf(stderr, "%s\ngave: %s\nwanted: %s\n", command, got, want);
	abort();
}

HELPER void
wants(const char *got, const char *want, const char *command)
{
	if (strstr(got, want) == NULL)
		give_up(command, got, want);
}

HELPER void
expect(struct client *c, const char *command, const char *want)
{
	wants(ask(c, command), want, command);
}

/* The whole answer but for the tagged line. */
HELPER void
exactly(struct client *c, const char *command, const char *want)
{
	const char *got = ask(c, command);
	size_t n = strlen(want);

	if (strncmp(got, want, n) != 0 || strncmp(got + n, "x OK", 4) != 0)
		give_up(command, got, want);
}

HELPER void
client_start(struct client *c, struct world *w)
{
	*c = (struct client){.w = w};
	buf_init(&c->out, 1u << 28);
	assert_int_equal(stream_pair(w->p->loop, &c->st, &c->server), 0);
	assert_int_equal(fiber_start(w->p->loop, "session", client_session, c, &c->fiber), 0);
	wants(client_until(c, "T0 "), "T0 OK [CAPABILITY IMAP4rev1 ", "(greeting)");
}

HELPER void
client_end(struct client *c)
{
	stream_close(&c->st);
	fiber_join(c->w->p->loop, &c->fiber);
	buf_free(&c->out);
}

HELPER void
append(struct client *c, const char *mailbox_and_flags, struct slice message)
{
	char line[300];
	int n = snprintf(line, sizeof(line), "x APPEND %s {%zu+}\r\n", mailbox_and_flags, message.n);

	assert_int_equal(stream_write(c->st, slice_of(line, (size_t)n)), 0);
	assert_int_equal(stream_write(c->st, message), 0);
	client_send(c, SLICE("\r\n"));
	wants(client_until(c, "x "), "x OK [APPENDUID ", line);
}

struct world_call {
	void (*body)(struct world *w);
};

HELPER void
world_body(struct place *p)
{
	struct world_call *call = p->extra;
	struct world w = {.p = p};

	w.account = make_account(p, "01ALICE");
	assert_int_equal(workers_new(&w.workers, p->loop, "test", 2, 100), 0);
	assert_int_equal(workers_start(w.workers), 0);
	p->store->hooks.texts = read_texts;
	p->store->hooks.texts_arg = &w;
	call->body(&w);
	p->store->hooks.texts = NULL;
	store_account_put(&w.account);
	workers_free(&w.workers);
}

HELPER void
with_world(void (*body)(struct world *w))
{
	struct place p;
	struct world_call call = {body};

	place_init(&p);
	p.extra = &call;
	place_run(&p, world_body);
	place_free(&p);
}

#define WORLD_TEST(name) \
	static void name##_body(struct world *w); \
	static void name(void **state) \
	{ \
		(void)state; \
		with_world(name##_body); \
	} \
	static void name##_body(struct world *w)

#endif
