/* desk_reader.c: a reader for an account, and what is done when one ends: the texts that it had are asked again of a fresh one, each by itself, so
 * that the one to blame is found; that one stays empty. */
#include "role/desk_reader.h"

#include "base/log.h"
#include "base/cursor.h"
#include "reader/reader_texts.h"
#include "rt/stream.h"

#define OPEN_MS 10000
#define USES_MAX 500 /* then a fresh one: what a text might have left behind goes */

struct reader {
	struct list_node node; /* in desk_readers->idle, the longest unused first */
	struct stream *stream;
	int64_t used_ms;
	int uses;
	size_t account_n;
	char account[STORE_ACCOUNT_ID_MAX];
};

struct desk_readers {
	struct role_context *c;
	struct list idle;
	size_t open; /* idle ones and those in use */
	struct waitq freed;
	struct fiber *closer;
	bool stopping;
	int64_t texts, lost;
};

static void
reader_close(struct desk_readers *d, struct reader *r)
{
	stream_close(&r->stream);
	free(r);
	d->open--;
	waitq_wake_one(&d->freed);
}

/* Ends readers that nobody has used for a while. */
static void
closer_fiber(void *arg)
{
	struct desk_readers *d = arg;

	while (!d->stopping) {
		int64_t idle_ms = d->c->house->limits.reader_idle_ms, until = DEADLINE_NEVER;
		struct list_node *n;

		while ((n = list_first(&d->idle)) != NULL) {
			struct reader *r = CONTAINER_OF(n, struct reader, node);

			until = r->used_ms + idle_ms;
			if (until > loop_now_ms(d->c->loop))
				break;
			list_remove(n);
			reader_close(d, r);
			until = DEADLINE_NEVER;
		}
		if (fiber_park(d->c->loop, until) == ERR_CANCELLED)
			return;
	}
}

int
desk_readers_new(struct desk_readers **out, struct role_context *c)
{
	struct desk_readers *d = calloc(1, sizeof(*d));
	int err;

	*out = NULL;
	if (d == NULL)
		return ERR_NOMEM;
	d->c = c;
	list_init(&d->idle);
	waitq_init(&d->freed);
	if ((err = fiber_start(c->loop, "readers", closer_fiber, d, &d->closer)) != 0) {
		free(d);
		return err;
	}
	*out = d;
	return 0;
}

void
desk_readers_free(struct desk_readers **dp)
{
	struct desk_readers *d = *dp;
	struct list_node *n;

	*dp = NULL;
	if (d == NULL)
		return;
	d->stopping = true;
	fiber_wake(d->closer);
	fiber_join(d->c->loop, &d->closer);
	while ((n = list_pop(&d->idle)) != NULL)
		reader_close(d, CONTAINER_OF(n, struct reader, node));
	free(d);
}

/* ---- one reader ---------------------------------------------------------------------------------------------- */

static int
reader_open(struct desk_readers *d, struct slice account_id, struct reader **out)
{
	struct arena ARENA_CLEANUP a;
	struct bus_reader_open_request q = {.what = READER_TEXTS};
	struct bus_reader_open_reply reply = {.socket = -1};
	struct reader *r = calloc(1, sizeof(*r));
	int err;

	arena_init(&a, 4096);
	if (r == NULL)
		return ERR_NOMEM;
	err = bus_call_again(d->c->bus, ROLE_READER, 0, BUS_reader_open, &q, &a, &reply, OPEN_MS);
	if (err == 0 && reply.socket < 0)
		err = ERR_UNAVAILABLE;
	if (err == 0)
		err = stream_new(&r->stream, d->c->loop, (int)reply.socket);
	if (err != 0) {
		free(r);
		return err == ERR_CLOSED || err == ERR_TIMEOUT ? ERR_UNAVAILABLE : err;
	}
	memcpy(r->account, account_id.p, account_id.n);
	r->account_n = account_id.n;
	*out = r;
	return 0;
}

/* One of this account's, or a fresh one; a place among limits.readers is waited for. */
static int
reader_take(struct desk_readers *d, struct slice account_id, bool fresh, struct reader **out)
{
	int err = 0;

	if (account_id.n > STORE_ACCOUNT_ID_MAX)
		return ERR_INVALID;
	if (!fresh)
		LIST_FOREACH (&d->idle, n) {
			struct reader *r = CONTAINER_OF(n, struct reader, node);

			if (!slice_eq(slice_of(r->account, r->account_n), account_id))
				continue;
			list_remove(n);
			*out = r;
			return 0;
		}
	while (d->open >= (size_t)d->c->house->limits.readers && err == 0) {
		struct list_node *n = list_pop(&d->idle);

		if (n != NULL)
			reader_close(d, CONTAINER_OF(n, struct reader, node));
		else
			err = waitq_wait(d->c->loop, &d->freed, loop_deadline(d->c->loop, OPEN_MS));
	}
	if (err != 0)
		return err == ERR_TIMEOUT ? ERR_BUSY : err;
	d->open++;
	if ((err = reader_open(d, account_id, out)) != 0) {
		d->open--;
		waitq_wake_one(&d->freed);
	}
	return err;
}

static void
reader_give(struct desk_readers *d, struct reader *r, bool well)
{
	if (!well || ++r->uses >= USES_MAX || d->stopping) {
		reader_close(d, r);
		return;
	}
	r->used_ms = loop_now_ms(d->c->loop);
	list_push(&d->idle, &r->node);
	fiber_wake(d->closer);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static struct slice
kind_name(enum store_text_kind kind)
{
	return kind == STORE_TEXT_HTML ? READER_HTML : kind == STORE_TEXT_WORDS ? READER_WORDS : READER_PLAIN;
}

static int
send_request(struct reader *r, const struct store_text_input *v, size_t n, struct arena *a)
{
	struct bus_reader_texts_request q;
	struct slice *kinds = ARENA_ARRAY(a, struct slice, n), *charsets = ARENA_ARRAY(a, struct slice, n),
		     *inputs = ARENA_ARRAY(a, struct slice, n);
	struct buf BUF_CLEANUP out;
	size_t nfds;
	int err;

	buf_init(&out, READER_FRAME_MAX);
	if (inputs == NULL || charsets == NULL || kinds == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++) {
		kinds[i] = kind_name(v[i].kind);
		charsets[i] = v[i].charset;
		inputs[i] = v[i].bytes;
	}
	q = (struct bus_reader_texts_request){{kinds, n}, {charsets, n}, {inputs, n}};
	buf_put_be32(&out, 0);
	if ((err = bus_encode(BUS_reader_texts, false, &q, &out, NULL, &nfds, 0)) != 0)
		return err;
	buf_patch_be32(&out, 0, (uint32_t)(out.n - 4));
	if ((err = stream_write(r->stream, buf_slice(&out))) != 0)
		return err;
	return stream_flush(r->stream);
}

static int
read_reply(struct reader *r, size_t n, struct arena *a, struct slice *texts)
{
	struct bus_reader_texts_reply reply = {0};
	uint8_t head[4], *bytes;
	uint32_t length;
	struct cursor c = cursor_of(slice_of(head, sizeof(head)));
	int err = stream_read_exact(r->stream, head, sizeof(head));

	if (err != 0)
		return err;
	length = cursor_be32(&c);
	if (length > READER_FRAME_MAX || (bytes = arena_alloc(a, length)) == NULL)
		return ERR_LIMIT;
	if ((err = stream_read_exact(r->stream, bytes, length)) != 0 ||
	    (err = bus_decode(BUS_reader_texts, true, slice_of(bytes, length), NULL, 0, a, &reply)) != 0)
		return err;
	if (reply.texts.n != n)
		return ERR_INVALID;
	for (size_t i = 0; i < n; i++) {
		/* It may have been taken over by what it read. */
		if (!slice_is_utf8(reply.texts.v[i], false))
			return ERR_INVALID;
		texts[i] = reply.texts.v[i];
	}
	return 0;
}

/* ERR_DAMAGED: the reader did not live through it. */
static int
ask(struct desk_readers *d, struct slice account_id, bool fresh, const struct store_text_input *v, size_t n,
    struct arena *a, struct slice *texts)
{
	struct loop *l = d->c->loop;
	struct reader *r;
	int64_t ms = d->c->house->limits.reader_timeout_ms;
	int err = reader_take(d, account_id, fresh, &r);

	if (err != 0)
		return err;
	stream_set_timeouts(r->stream, ms, ms);
	stream_set_deadline(r->stream, loop_deadline(l, ms));
	err = send_request(r, v, n, a);
	if (err == 0)
		err = read_reply(r, n, a, texts);
	stream_set_deadline(r->stream, DEADLINE_NEVER);
	reader_give(d, r, err == 0);
	return err == 0 || err == ERR_CANCELLED || err == ERR_NOMEM ? err : ERR_DAMAGED;
}

int
desk_readers_texts(void *ctx, struct slice account_id, const struct store_text_input *v, size_t n, struct arena *a,
    struct slice *texts)
{
	struct desk_readers *d = ctx;
	int err = d->stopping ? ERR_UNAVAILABLE : ask(d, account_id, false, v, n, a, texts);

	d->texts += (int64_t)n;
	if (err != ERR_DAMAGED)
		return err;
	err = 0;
	for (size_t i = 0; i < n && (err == 0 || err == ERR_DAMAGED); i++) {
		err = ask(d, account_id, i == 0 || err == ERR_DAMAGED, &v[i], 1, a, &texts[i]);
		if (err != ERR_DAMAGED)
			continue;
		texts[i] = SLICE_EMPTY;
		d->lost++;
		LOG(d->c->house, WARN, "text_unreadable", LOG_S("account", account_id),
		    LOG_S("kind", kind_name(v[i].kind)), LOG_I("bytes", v[i].bytes.n));
	}
	return err == ERR_DAMAGED ? 0 : err;
}

void
desk_readers_status(const struct desk_readers *d, json_t *into)
{
	json_object_set_new(into, "readers", json_integer((json_int_t)d->open));
	json_object_set_new(into, "reader_texts", json_integer((json_int_t)d->texts));
	json_object_set_new(into, "reader_texts_lost", json_integer((json_int_t)d->lost));
}
