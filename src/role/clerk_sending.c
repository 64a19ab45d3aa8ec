/* clerk_sending.c: who may send as whom without being asked by a stranger, and how much: accounts with their identities and
 * limits, and the listed submitters that do not sign in. */
#include "role/clerk_private.h"

#include "directory/directory_identity.h"

/* ---- who may send as whom ------------------------------------------------------------------------------------------ */

struct ask_sender {
	struct slice account_id, address;
	enum directory_sender stands;
	struct directory_account_limits limits;
};

static int
read_sender(struct sqltx *tx, void *arg)
{
	struct ask_sender *q = arg;
	int err = 0;

	q->stands = DIRECTORY_SENDER_OWN; /* the null reverse-path is anybody's */
	if (q->address.n > 0)
		err = directory_sender(tx, q->account_id, q->address, &q->stands);
	return err == 0 ? directory_limits_get(tx, q->account_id, &q->limits) : err;
}

static int64_t
or_default(int64_t own, int64_t house)
{
	return own == DIRECTORY_LIMIT_DEFAULT ? house : own;
}

static void
limits_of(const struct clerk *k, const struct directory_account_limits *own, struct clerk_sender *out)
{
	const struct limits *l = &k->c->house->limits;

	out->message_bytes = or_default(own->message_bytes, l->account_message_bytes);
	out->recipients = or_default(own->recipients, l->account_recipients);
	out->rates = (struct guard_rates){or_default(own->messages_per_hour, l->account_messages_per_hour),
	    or_default(own->messages_per_day, l->account_messages_per_day),
	    or_default(own->recipients_per_hour, l->account_recipients_per_hour),
	    or_default(own->recipients_per_day, l->account_recipients_per_day)};
}

int
clerk_sender_of_account(struct clerk *k, struct slice account_id, struct slice address, struct clerk_sender *out)
{
	static const enum bus_sender results[] = {[DIRECTORY_SENDER_OWN] = SENDER_OK,
	    [DIRECTORY_SENDER_OTHER] = SENDER_OTHER,
	    [DIRECTORY_SENDER_FOREIGN] = SENDER_FOREIGN};
	struct ask_sender q = {.account_id = account_id, .address = address};
	int err = sql_read(k->directory_db, read_sender, &q);

	*out = (struct clerk_sender){.result = SENDER_OTHER};
	if (err != 0)
		return err;
	out->result = results[q.stands];
	limits_of(k, &q.limits, out);
	(void)snprintf(out->name, sizeof(out->name), "account:%.*s", SLICE_ARG(account_id));
	return 0;
}

/* ---- how much ------------------------------------------------------------------------------------------------------ */

static void
put_wait(struct buf *out, int64_t s)
{
	if (s < 120)
		buf_put_z(out, "in a minute or two");
	else if (s < 2 * 3600)
		buf_printf(out, "in %lld minutes", (long long)((s + 59) / 60));
	else
		buf_printf(out, "in %lld hours", (long long)((s + 3599) / 3600));
}

bool
clerk_sender_take(struct clerk *k, const struct clerk_sender *s, int64_t recipients, bool count, struct buf *detail)
{
	struct guard_usage before;
	struct guard_refusal why;

	if (k->c->settings->plain)
		return true;
	guard_usage(k->guard, slice_z(s->name), &before);
	if (guard_take(k->guard, slice_z(s->name), recipients, &s->rates, count, &why))
		return true;
	k->counters.over_rate++;
	/* One line an hour for each; the others are counted. */
	if (house_now_us(k->c->house) - before.refused_last_us > 3600LL * 1000000)
		LOG(k->c->house, WARN, "sender_stopped", LOG_Z("sender", s->name), LOG_Z("of", why.what),
		    LOG_Z("in_a", why.day ? "day" : "hour"), LOG_I("limit", why.limit), LOG_I("wait_s", why.wait_s));
	buf_printf(detail, "You may send %s%lld %s in %s, and this would be more; try again ",
	    why.what[0] == 'm' ? "" : "to ", (long long)why.limit, why.what, why.day ? "a day" : "an hour");
	put_wait(detail, why.wait_s);
	return false;
}

void
clerk_sender_give_back(struct clerk *k, const struct clerk_sender *s, int64_t recipients)
{
	if (!k->c->settings->plain)
		guard_give_back(k->guard, slice_z(s->name), recipients);
}

/* ---- asked by gates and desks --------------------------------------------------------------------------------------- */

int
clerk_sender_find(struct clerk *k, const struct bus_peer *from, int64_t origin, struct slice account_id,
    struct slice client, struct slice address, struct clerk_sender *out)
{
	if (origin == ORIGIN_SUBMITTER && bus_peer_role(from) == ROLE_GATE)
		return clerk_sender_of_submitter(k, account_id, client, address, out);
	if (origin != ORIGIN_ACCOUNT || bus_peer_role(from) != ROLE_DESK ||
	    account_desk(account_id, k->c->desks) != bus_peer_index(from))
		return ERR_DENIED;
	return clerk_sender_of_account(k, account_id, address, out);
}

/* More recipients than a rate allows at all would never be sent to: who asks splits them over several messages. */
static int64_t
most_recipients(const struct clerk_sender *s)
{
	const int64_t v[] = {s->recipients, s->rates.recipients_per_hour, s->rates.recipients_per_day};
	int64_t least = 0;

	for (size_t i = 0; i < COUNT_OF(v); i++)
		if (v[i] > 0 && (least == 0 || v[i] < least))
			least = v[i];
	return least;
}

static int
on_sender(struct clerk *k, struct bus_peer *from, struct bus_clerk_sender_request *q, struct arena *a,
    struct bus_clerk_sender_reply *rep)
{
	CLERK_ENTER(k);
	struct buf detail BUF_CLEANUP;
	struct clerk_sender s;
	int err;

	k->counters.sender++;
	err = clerk_sender_find(k, from, q->origin, q->account_id, q->client, q->address, &s);
	if (err != 0)
		return err;
	buf_init(&detail, 1000);
	rep->result = s.result;
	if (q->begins == 1 && s.result == SENDER_OK && !clerk_sender_take(k, &s, 1, false, &detail))
		rep->result = SENDER_RATE;
	rep->message_bytes = s.message_bytes;
	rep->recipients = k->c->settings->plain ? s.recipients : most_recipients(&s);
	rep->detail = arena_copy(a, buf_slice(&detail));
	return 0;
}

void
clerk_sending_handle(struct clerk *k)
{
	BUS_HANDLE(k->c->bus, clerk_sender, on_sender, k);
}
