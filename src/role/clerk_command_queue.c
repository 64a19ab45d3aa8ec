/* clerk_command_queue.c: `queue` and `trace` on the control socket. */
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

static int
act(struct control_session *s, enum queue_action what)
{
	struct queue_filter f = read_filter(s);
	struct queue_acted acted = {0};
	bool all = control_bool(&s->request, "all");
	int err;

	if (all == (f.id.n > 0 || f.address.n > 0))
		return control_fail(s, ERR_INVALID, "Name a message or an address, or say --all.", "%s",
		    all ? "--all and a message or address exclude each other"
			: "it is not said which messages are meant");
	f.held = what == QUEUE_RELEASE;
	err = queue_act(s->k->queue, &f, what, &acted);
	json_object_set_new(s->done, "recipients", json_integer(acted.changed));
	json_object_set_new(s->done, "under_way", json_integer(acted.under_way));
	return err == ERR_NOTFOUND ? no_message(s, f.id) : err;
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
