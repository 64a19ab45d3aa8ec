/* stream_proxy.c: copies between two streams with one fiber and no buffer of its own. Each turn moves what can be moved
 * without waiting, both ways; when neither way can, the fiber waits for both streams at once. What one side has
 * sent and the other does not take stays in the sender's input buffer, and nothing more is read from it. */
#include "rt/stream_private.h"

/* Moved in one direction before the other has its turn. */
#define TURN_BYTES ((size_t)256 * 1024)

struct direction {
	struct stream *from, *to;
	const bool *stop; /* NULL: never */
	bool kept; /* when that is true `to` is used after and must not be ended; else `from` is not read any more */
	bool ended;
	bool broken;            /* `to` takes nothing any more, but what it has sent before still arrives */
	int want_from, want_to; /* what to wait for */
	int quiet; /* `from` had nothing, and what it was waited for with this has not come: reading is in vain */
};

/* What is buffered for `to`: its own unsent output first, then what `from` has sent. 0 when all is out, ERR_BUSY. */
static int
drain(struct stream_bytes *b, struct stream *to, int *want, size_t *moved)
{
	while (b->n > 0) {
		int64_t v = stream_try_write(to, stream_bytes_first(b), b->n, want);

		if (v < 0)
			return (int)v;
		stream_bytes_took(b, (size_t)v);
		*moved += (size_t)v;
	}
	return 0;
}

static bool
is_stopped(const struct direction *d)
{
	return d->stop != NULL && *d->stop;
}

static int
end_direction(struct direction *d)
{
	int r = d->kept && is_stopped(d) ? 0 : stream_try_shutdown(d->to, &d->want_to);

	if (r == 0)
		d->ended = true;
	return r;
}

/* Reads once and hands on at once what can be handed on: 0, ERR_BUSY or an error. */
static int
copy_once(struct direction *d, size_t *moved)
{
	uint8_t *p = d->from->loop->scratch;
	int64_t n, v;
	int r;

	if (d->quiet != 0) {
		d->want_from = d->quiet;
		return ERR_BUSY;
	}
	n = stream_try_read(d->from, p, LOOP_SCRATCH_BYTES, &d->want_from);
	if (n == ERR_CLOSED && d->from->err_out == 0) {
		d->from->err_in = ERR_CLOSED;
		return 0;
	}
	if (n < 0)
		return (int)n;
	*moved += (size_t)n;
	v = stream_try_write(d->to, p, (size_t)n, &d->want_to);
	if (v < 0 && v != ERR_BUSY)
		return (int)v;
	if (v < 0)
		v = 0;
	if (v == n)
		return 0;
	r = stream_bytes_put(&d->from->in, p + v, (size_t)(n - v));
	return r != 0 ? r : v == 0 ? ERR_BUSY : 0;
}

static int
pump(struct direction *d, size_t *moved)
{
	size_t turn = 0;
	int r = 0;

	d->want_from = d->want_to = 0;
	while (!d->ended && r == 0 && turn < TURN_BYTES) {
		r = drain(&d->to->out, d->to, &d->want_to, &turn);
		if (r == 0)
			r = drain(&d->from->in, d->to, &d->want_to, &turn);
		if (r != 0)
			break;
		r = d->from->err_in != 0 || (!d->kept && is_stopped(d)) ? end_direction(d) : copy_once(d, &turn);
	}
	*moved += turn;
	if (r == ERR_CLOSED && d->from->err_out == 0) {
		d->broken = d->ended = true;
		stream_bytes_free(&d->from->in);
		stream_bytes_free(&d->to->out);
		r = 0;
	}
	return r == ERR_BUSY ? 0 : r;
}

/* Waits until one of the two streams can go on, or the fiber is woken where somebody may do that. */
static int
wait_both(struct direction *there, struct direction *back, int64_t deadline_ms)
{
	struct stream *a = there->from, *b = back->from;
	int events_a = there->want_from | back->want_to, events_b = there->want_to | back->want_from;
	int r = 0;

	stream_release_idle(a);
	stream_release_idle(b);
	if (events_a != 0)
		r = stream_watch(a, STREAM_READER, events_a);
	if (r == 0 && events_b != 0)
		r = stream_watch(b, STREAM_READER, events_b);
	if (r == 0)
		r = there->stop != NULL ? fiber_park(a->loop, deadline_ms) : fiber_wait(a->loop, deadline_ms);
	there->quiet = a->wait[STREAM_READER].fired ? 0 : there->want_from;
	back->quiet = b->wait[STREAM_READER].fired ? 0 : back->want_from;
	if (a->wait[STREAM_READER].fired || b->wait[STREAM_READER].fired)
		r = 0;
	stream_unwatch(a, STREAM_READER);
	stream_unwatch(b, STREAM_READER);
	return r;
}

int
stream_proxy(struct stream *a, struct stream *b, int64_t idle_ms)
{
	return stream_proxy_until(a, b, idle_ms, NULL);
}

int
stream_proxy_until(struct stream *a, struct stream *b, int64_t idle_ms, const bool *stop)
{
	struct direction there = {.from = a, .to = b, .stop = stop};
	struct direction back = {.from = b, .to = a, .stop = stop, .kept = true};
	struct loop *l = a->loop;
	int64_t idle_end = loop_deadline(l, idle_ms);
	int r = a->err_out != 0 ? a->err_out : b->err_out;

	while (r == 0) {
		int64_t end = a->deadline_ms < b->deadline_ms ? a->deadline_ms : b->deadline_ms;
		size_t moved_there = 0, moved_back = 0;

		r = pump(&there, &moved_there);
		if (r == 0)
			r = pump(&back, &moved_back);
		if (r != 0 || (there.ended && back.ended))
			break;
		if (moved_there > 0 || moved_back > 0)
			idle_end = loop_deadline(l, idle_ms);
		if (end > idle_end)
			end = idle_end;
		if (end <= loop_now_ms(l)) {
			r = ERR_TIMEOUT;
		} else if (moved_there >= TURN_BYTES || moved_back >= TURN_BYTES) {
			there.quiet = back.quiet = 0;
			r = fiber_yield(l);
		} else {
			r = wait_both(&there, &back, end);
		}
	}
	if (r == 0 && (there.broken || back.broken))
		r = ERR_CLOSED;
	if (r != 0 && r != ERR_TIMEOUT && r != ERR_CANCELLED) {
		(void)stream_fail(a, r);
		(void)stream_fail(b, r);
	}
	return r;
}
