/* clerk_command_queue.c: `queue` and `trace` on the control socket. */
#include "base/moment.h"
#include "role/clerk_private.h"

static int
send_row(void *ctx, json_t *row)
{
	return control_row(ctx, row);
}

static struct queue_filter
read_filter(struct control_session *s)
{
	return (struct queue_filter){.id = control_text(&s->request, "id"),
	    .address = control_text(&s->request, "address"),
	    .held = control_bool(&s->request, "held")};
}

static int
no_message(struct control_session *s, struct slice id)
{
	return control_fail(s, ERR_NOTFOUND,
	    "`posthouse queue list` shows what is there; `posthouse trace` tells where a message went.",
	    "there is no message %.*s", SLICE_ARG(id));
}

int
control_run_queue_list(struct control_session *s)
{
	struct queue_filter f = read_filter(s);

	return queue_list(s->k->queue, &f, send_row, s);
}

int
control_run_queue_show(struct control_session *s)
{
	struct slice id = control_text(&s->request, "id");
	int err = queue_show(s->k->queue, id, send_row, s);

	return err == ERR_NOTFOUND ? no_message(s, id) : err;
}

/* Which messages are meant; says so when that is not clear. */
static int
take_filter(struct control_session *s, struct queue_filter *f)
{
	bool all = control_bool(&s->request, "all");

	*f = read_filter(s);
	if (all != (f->id.n > 0 || f->address.n > 0))
		return 0;
	return control_fail(s, ERR_INVALID, "Name a message or an address, or say --all.", "%s",
	    all ? "--all and a message or address exclude each other" : "it is not said which messages are meant");
}

static int
tell_acted(
    struct control_session *s, const struct queue_filter *f, const struct queue_acted *acted, const char *then, int err)
{
	char text[200];

	json_object_set_new(s->done, "recipients", json_integer(acted->changed));
	if (acted->under_way > 0) {
		json_object_set_new(s->done, "under_way", json_integer(acted->under_way));
		(void)snprintf(text, sizeof(text), "%lld recipient%s being tried at this moment%s",
		    (long long)acted->under_way, acted->under_way == 1 ? " is" : "s are", then);
		json_object_set_new(s->done, "note", json_string(text));
	}
	if (err == ERR_BUSY)
		return control_fail(s, err, "Give the command again; what is done stays done.",
		    "the queue is too busy to take all at once; done so far: %lld", (long long)acted->changed);
	return err == ERR_NOTFOUND ? no_message(s, f->id) : err;
}

static int
act(struct control_session *s, enum queue_action what)
{
	static const char *const then[] = {
	    [QUEUE_RETRY] = "",
	    [QUEUE_HOLD] = "; held afterwards, unless it is delivered",
	    [QUEUE_RELEASE] = "",
	    [QUEUE_REMOVE] = "; removed afterwards, unless it is delivered",
	    [QUEUE_FAIL] = "; ended afterwards, unless it is delivered",
	};
	struct queue_filter f;
	struct queue_acted acted = {0};
	int err = take_filter(s, &f);

	if (err != 0)
		return err;
	f.held = what == QUEUE_RELEASE;
	err = queue_act(s->k->queue, &f, what, &acted);
	return tell_acted(s, &f, &acted, then[what], err);
}

int
control_run_queue_retry(struct control_session *s)
{
	return act(s, QUEUE_RETRY);
}

int
control_run_queue_hold(struct control_session *s)
{
	return act(s, QUEUE_HOLD);
}

int
control_run_queue_release(struct control_session *s)
{
	return act(s, QUEUE_RELEASE);
}

int
control_run_queue_remove(struct control_session *s)
{
	return act(s, QUEUE_REMOVE);
}

int
control_run_queue_fail(struct control_session *s)
{
	return act(s, QUEUE_FAIL);
}

/* ---- where mail goes ------------------------------------------------------------------------------------ */

/* host:port, [::1]:port. */
static bool
is_host_port(struct slice to)
{
	size_t colon = slice_rfind_byte(to, ':');
	uint64_t port;

	if (colon == SLICE_NONE || colon == 0 || to.n > 300 ||
	    slice_to_u64(slice_from(to, colon + 1), 65535, &port) != 0 || port == 0)
		return false;
	to = slice_head(to, colon);
	if (slice_at(to, 0) == '[')
		return slice_at(to, to.n - 1) == ']';
	for (size_t i = 0; i < to.n; i++)
		if (!ascii_is_alnum(slice_at(to, i)) && slice_at(to, i) != '.' && slice_at(to, i) != '-')
			return false;
	return true;
}

int
control_run_queue_reroute(struct control_session *s)
{
	struct slice to = control_text(&s->request, "to");
	struct queue_filter f;
	struct queue_acted acted = {0};
	int err = take_filter(s, &f);

	if (err != 0)
		return err;
	if (control_bool(&s->request, "dns") == (to.n > 0))
		return control_fail(s, ERR_INVALID, "Say --to HOST:PORT, or --to-dns.", "it is not said where to");
	if (to.n > 0 && !is_host_port(to))
		return control_fail(s, ERR_INVALID, "Write mx.example.org:25, 192.0.2.1:25 or [2001:db8::1]:25.",
		    "%.*s is not host:port", SLICE_ARG(to));
	/* By a domain: what goes there, not what comes from there. */
	f.recipients_only = f.address.n > 0 && slice_at(f.address, 0) == '@';
	err = queue_reroute(s->k->queue, &f, to, &acted);
	return tell_acted(s, &f, &acted, " and not changed: give the command again", err);
}

int
control_run_queue_suspend(struct control_session *s)
{
	struct slice name = control_text(&s->request, "name"), until = control_text(&s->request, "until");
	int64_t seconds = control_int(&s->request, "seconds", 0), now_us = house_now_us(s->k->c->house), until_us = 0;
	int err;

	if (until.n > 0 && (seconds != 0 || moment_parse(until, true, &until_us) != 0))
		return control_fail(s, ERR_INVALID, "Write it as 2026-12-24 or 2026-12-24T18:00:00+01:00.",
		    "\"%.*s\" is not a date, or there is --for too", SLICE_ARG(until));
	if (seconds > 0 && seconds < INT64_C(100) * 366 * 86400)
		until_us = now_us + seconds * 1000000;
	if ((until.n > 0 || seconds != 0) && until_us <= now_us)
		return control_fail(s, ERR_INVALID, "Give a later time.", "that is over already");
	err = queue_suspend(s->k->queue, name, until_us);
	if (err == ERR_INVALID)
		return control_fail(
		    s, err, "Name a domain, or a site as `queue sites` shows it.", "that is not a name");
	if (err == ERR_LIMIT)
		return control_fail(
		    s, err, "Resume some, or raise [limits] queue_suspensions.", "too much is suspended");
	return err;
}

int
control_run_queue_resume(struct control_session *s)
{
	struct slice name = control_text(&s->request, "name");
	int64_t recipients = 0;
	int err = queue_resume(s->k->queue, name, &recipients);

	json_object_set_new(s->done, "recipients", json_integer(recipients));
	if (err == ERR_NOTFOUND)
		return control_fail(
		    s, err, "`posthouse queue suspensions` lists what is.", "%.*s is not suspended", SLICE_ARG(name));
	return err;
}

int
control_run_queue_suspensions(struct control_session *s)
{
	return queue_suspensions(s->k->queue, send_row, s);
}

int
control_run_queue_sites(struct control_session *s)
{
	return queue_sites(s->k->queue, send_row, s);
}

/* ---- addresses that get no mail ----------------------------------------------------------------------------- */

int
control_run_queue_suppress_add(struct control_session *s)
{
	struct slice address = control_text(&s->request, "address");
	int err = queue_suppress_add(s->k->queue, address, control_text(&s->request, "reason"));

	if (err == ERR_INVALID)
		return control_fail(
		    s, err, "Write it as name@example.org.", "%.*s is not an address", SLICE_ARG(address));
	if (err == ERR_LIMIT)
		return control_fail(s, err, "Remove some, or raise [limits] suppressed_addresses.",
		    "too many addresses are suppressed");
	return err;
}

int
control_run_queue_suppress_remove(struct control_session *s)
{
	struct slice address = control_text(&s->request, "address");
	int err = queue_suppress_remove(s->k->queue, address);

	if (err == ERR_NOTFOUND)
		return control_fail(s, err, "`posthouse queue suppress list` shows what is.", "%.*s is not suppressed",
		    SLICE_ARG(address));
	return err;
}

int
control_run_queue_suppress_list(struct control_session *s)
{
	return queue_suppress_list(s->k->queue, send_row, s);
}

int
control_run_trace(struct control_session *s)
{
	struct slice key = control_text(&s->request, "key");
	int err = queue_trace(s->k->queue, key, send_row, s);

	if (err != ERR_NOTFOUND)
		return err;
	return control_fail(s, ERR_NOTFOUND,
	    "Try the message's id from the 250 reply, its Message-ID, or an address. History is kept for [limits] "
	    "history_days.",
	    "nothing is known of %.*s", SLICE_ARG(key));
}
