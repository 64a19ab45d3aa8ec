/* guest.c: see the header. */
#include "directory/guest.h"

#define DELAY_MS 1000
#define DELAY_DOUBLINGS 4

void
guest_begin(struct guest *g, struct stream *st, const struct guest_config *c, const struct signin_ops *ops,
    enum bus_service service)
{
	*g = (struct guest){
	    .st = st,
	    .c = c,
	    .ops = ops,
	    .limits = &c->house->limits,
	    .service = service,
	    .deadline_ms = loop_deadline(c->loop, c->house->limits.sign_in_timeout_ms),
	};
	stream_set_timeouts(st, g->limits->sign_in_timeout_ms, g->limits->write_timeout_ms);
	stream_set_deadline(st, g->deadline_ms);
	c->counters->sessions++;
	c->counters->sessions_open++;
}

int
guest_finish(struct guest *g, struct stream **desk)
{
	g->c->counters->sessions_open--;
	stream_set_deadline(g->st, DEADLINE_NEVER);
	*desk = g->desk;
	return g->desk != NULL ? 0 : g->end;
}

void
guest_say(struct guest *g, struct slice bytes)
{
	int err = stream_write(g->st, bytes);

	if (err != 0 && g->end == 0)
		g->end = err;
}

void
guest_flush(struct guest *g)
{
	int err = stream_flush(g->st);

	if (err != 0 && g->end == 0)
		g->end = err;
}

void
guest_end(struct guest *g, int why, struct slice reply)
{
	/* After the deadline of all there is a moment for a last word. */
	stream_set_deadline(g->st, loop_deadline(g->c->loop, DELAY_MS));
	guest_say(g, reply);
	guest_flush(g);
	g->end = why;
}

void
guest_bad(struct guest *g, struct slice reply)
{
	g->c->counters->commands_bad++;
	g->errors++;
	guest_say(g, reply);
}

bool
guest_wait(struct guest *g, struct slice stopping, struct slice timeout)
{
	while (g->end == 0) {
		int err;

		if (*g->c->stopping) {
			guest_end(g, ERR_CLOSED, stopping);
			break;
		}
		if (stream_readable_now(g->st))
			return true;
		err = stream_flush(g->st);
		if (err == 0)
			err = stream_wait_readable_or_wake(g->st, g->deadline_ms);
		if (err == ERR_TIMEOUT)
			guest_end(g, err, timeout);
		else if (err != 0)
			g->end = err;
	}
	return false;
}

/* ---- TLS ----------------------------------------------------------------------------------------------------- */

bool
guest_may_sign_in(const struct guest *g)
{
	return g->c->cleartext_sign_in || stream_is_tls(g->st);
}

bool
guest_may_start_tls(const struct guest *g)
{
	return g->c->tls != NULL && !stream_is_tls(g->st);
}

void
guest_start_tls(struct guest *g)
{
	int err;

	guest_flush(g);
	if (g->end != 0)
		return;
	err = stream_start_tls_server(g->st, g->c->tls, loop_deadline(g->c->loop, g->limits->handshake_timeout_ms));
	if (err != 0)
		g->end = err;
}

/* ---- signing in ---------------------------------------------------------------------------------------------- */

static int
ask(void *ctx, struct slice challenge, struct slice *line)
{
	struct guest *g = ctx;
	int err;

	guest_say(g, SLICE("+ "));
	guest_say(g, challenge);
	guest_say(g, SLICE("\r\n"));
	guest_flush(g);
	if (g->end != 0)
		return g->end;
	err = stream_read_line(g->st, SLICE("\r\n"), SASL_LINE_MAX, line);
	if (err != 0)
		g->end = err;
	return err;
}

/* What is known of the client; the text on TLS lies in the arena. */
static struct sasl
sasl_of(struct guest *g, struct slice tag, struct arena *a)
{
	const struct tls_info *info = stream_is_tls(g->st) ? stream_tls_info(g->st) : NULL;

	return (struct sasl){.limits = g->limits,
	    .ops = g->ops,
	    .st = g->st,
	    .request = {.service = g->service,
		.client = g->c->client,
		.utf8 = g->utf8,
		.tag = tag,
		.tls = info == NULL ? SLICE_EMPTY : arena_printf(a, "%s %s", info->version, info->cipher)},
	    .ask = ask,
	    .ctx = g};
}

/* Common sense (RFC 3501 §11.1): each failure costs more time. */
static enum sasl_outcome
count(struct guest *g, enum sasl_outcome o)
{
	int64_t delay_ms = (int64_t)DELAY_MS << (g->failures < DELAY_DOUBLINGS ? g->failures : DELAY_DOUBLINGS);

	if (o == SASL_SIGNED_IN)
		g->c->counters->sign_ins++;
	else if (o == SASL_DENIED || o == SASL_BUSY)
		g->c->counters->sign_ins_failed++;
	if (o != SASL_DENIED)
		return o;
	g->failures++;
	guest_flush(g);
	if (fiber_sleep(g->c->loop, delay_ms) == 0)
		return o;
	g->end = ERR_CANCELLED;
	return SASL_ENDED;
}

enum sasl_outcome
guest_password(struct guest *g, struct slice tag, struct slice login, struct slice password)
{
	struct arena ARENA_CLEANUP a;
	struct sasl s;

	arena_init(&a, 4096);
	s = sasl_of(g, tag, &a);
	return count(g, sasl_password(&s, SLICE_EMPTY, login, password, &g->desk));
}

enum sasl_outcome
guest_sasl(struct guest *g, struct slice tag, struct slice mechanism, struct slice initial)
{
	struct arena ARENA_CLEANUP a;
	struct sasl s;

	arena_init(&a, 4096);
	s = sasl_of(g, tag, &a);
	return count(g, sasl_sign_in(&s, mechanism, initial, &g->desk));
}

bool
guest_is_guessing(const struct guest *g)
{
	return g->failures >= g->limits->sign_in_attempts;
}
