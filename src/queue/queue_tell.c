/* queue_tell.c: what happened, in plain sentences. */
#include "queue/queue_tell.h"
#include "bus/reply_class.h"

#define TEXT_MAX 2000

const char *
tell_history_kind(int64_t kind)
{
	switch ((enum bus_history)kind) {
	case HISTORY_RECEIVED: return "received";
	case HISTORY_DELIVERED: return "delivered";
	case HISTORY_SENT: return "sent";
	case HISTORY_DEFERRED: return "deferred";
	case HISTORY_FAILED: return "failed";
	case HISTORY_BOUNCED: return "bounced";
	case HISTORY_DELAYED: return "delayed";
	case HISTORY_EXPANDED: return "expanded";
	case HISTORY_OPERATOR: return "operator";
	case HISTORY_NOTE:
	default: return "note";
	}
}

const char *
tell_origin(int64_t origin)
{
	switch ((enum bus_origin)origin) {
	case ORIGIN_STRANGER: return "stranger";
	case ORIGIN_ACCOUNT: return "account";
	case ORIGIN_SYSTEM:
	default: return "system";
	}
}

struct slice
tell_received(struct arena *a, const struct row_message *m)
{
	struct slice from = m->reverse_path.n == 0 ? SLICE("nobody (the null sender)")
						   : text_clean(a, m->reverse_path, 320);
	struct slice helo = text_clean(a, m->helo, 255), client = text_clean(a, m->client, 255),
		     tls = text_clean(a, m->tls, 255);
	struct slice by;

	/* A client may greet with its address. */
	if (client.n > 0 && slice_eq(helo, arena_printf(a, "[%.*s]", SLICE_ARG(client))))
		by = helo;
	else if (client.n > 0)
		by = arena_printf(a, "%.*s%s[%.*s]", SLICE_ARG(helo), helo.n > 0 ? " " : "", SLICE_ARG(client));
	else
		by = helo;
	if (m->origin == ORIGIN_SYSTEM)
		return arena_printf(a, "Written by this house, %lld bytes", (long long)m->size_bytes);
	return arena_printf(a, "%s%s%.*s%s%.*s, %s %.*s; accepted for %lld recipient%s, %lld bytes",
	    m->origin == ORIGIN_ACCOUNT ? "Submitted by a signed-in user" : "Received", by.n > 0 ? " from " : "",
	    SLICE_ARG(by),
	    tls.n > 0      ? " over "
		: by.n > 0 ? " without TLS"
			   : "",
	    SLICE_ARG(tls), m->origin == ORIGIN_ACCOUNT ? "sent as" : "sent by", SLICE_ARG(from),
	    (long long)m->recipients, m->recipients == 1 ? "" : "s", (long long)m->size_bytes);
}

struct slice
tell_expanded(struct arena *a, const struct row_rcpt *r)
{
	if (r->via.n == 0)
		return SLICE_EMPTY;
	return arena_printf(a, "%.*s: %.*s leads to %.*s", SLICE_ARG(text_clean(a, r->original, 320)),
	    SLICE_ARG(text_clean(a, r->via, 320)), SLICE_ARG(text_clean(a, r->address, 320)));
}

/* "mx.b.test [127.0.0.1] said 451 4.7.1 try later", or what we say ourselves. */
static struct slice
said(struct arena *a, const struct row_rcpt *r)
{
	struct slice reply = text_clean(a, r->reply, TEXT_MAX), status = r->status;

	/* Many servers repeat the enhanced code in the text. */
	if (slice_starts(reply, status))
		status = SLICE_EMPTY;
	return arena_printf(a, "%.*s%s%.*s%s%.*s%s%.*s", SLICE_ARG(r->host), r->host.n > 0 ? " said " : "",
	    SLICE_ARG(r->code), r->code.n > 0 ? " " : "", SLICE_ARG(status), status.n > 0 && reply.n > 0 ? " " : "",
	    SLICE_ARG(reply));
}

/* "2026-11-22 14:05 UTC" */
static struct slice
minute(struct arena *a, int64_t us)
{
	char text[RFC3339_MAX];

	time_rfc3339(us, text);
	return arena_printf(a, "%.10s %.5s UTC", text, text + 11);
}

/* " (the mailbox does not exist or is closed)" */
static struct slice
class_words(struct arena *a, struct slice host, int64_t reply_class)
{
	/* What we say ourselves is in words already. */
	if (host.n == 0 || reply_class == REPLY_NONE || reply_class == REPLY_OTHER)
		return SLICE_EMPTY;
	return arena_printf(a, " (%s)", reply_class_words(reply_class));
}

struct slice
tell_deferred(struct arena *a, struct slice host, struct slice code, struct slice status, struct slice reply,
    int64_t reply_class, int64_t next_us)
{
	const struct row_rcpt r = {.host = host, .code = code, .status = status, .reply = reply};

	return arena_printf(a, "not yet: %.*s%.*s; next attempt at %.*s", SLICE_ARG(said(a, &r)),
	    SLICE_ARG(class_words(a, host, reply_class)), SLICE_ARG(minute(a, next_us)));
}

struct slice
tell_rcpt(struct arena *a, const struct row_rcpt *r)
{
	struct slice who = text_clean(a, r->original, 320), address = text_clean(a, r->address, 320);

	if (r->result == RESULT_DELIVERED)
		return arena_printf(a, "%.*s: delivered to the mailbox of %.*s", SLICE_ARG(who), SLICE_ARG(address));
	/* Of a group: which member it is about. */
	if (address.n > 0 && !slice_ieq(who, address))
		who = arena_printf(a, "%.*s (%.*s)", SLICE_ARG(who), SLICE_ARG(address));
	switch ((enum row_result)r->result) {
	case RESULT_SENT:
		return arena_printf(a, "%.*s: taken by the next server: %.*s", SLICE_ARG(who), SLICE_ARG(said(a, r)));
	case RESULT_FAILED:
		return arena_printf(a, "%.*s: failed for good: %.*s%.*s", SLICE_ARG(who), SLICE_ARG(said(a, r)),
		    SLICE_ARG(class_words(a, r->host, r->reply_class)));
	case RESULT_EXPANDED: return arena_printf(a, "%.*s: goes to everybody behind this address", SLICE_ARG(who));
	case RESULT_REMOVED: return arena_printf(a, "%.*s: removed by the operator", SLICE_ARG(who));
	case RESULT_DELIVERED:
	case RESULT_NONE:
	default: break;
	}
	if (r->state == ROW_HELD)
		return arena_printf(a, "%.*s: held until the operator releases it", SLICE_ARG(who));
	if (r->attempts == 0)
		return arena_printf(a, "%.*s: waits for its first attempt", SLICE_ARG(who));
	return arena_printf(a, "%.*s: waits after %lld attempt%s; the next is at %.*s", SLICE_ARG(who),
	    (long long)r->attempts, r->attempts == 1 ? "" : "s", SLICE_ARG(minute(a, r->due_us)));
}

struct slice
tell_history(struct arena *a, struct slice recipient, int64_t kind, struct slice detail)
{
	(void)kind;
	if (recipient.n == 0)
		return text_clean(a, detail, TEXT_MAX);
	return arena_printf(
	    a, "%.*s: %.*s", SLICE_ARG(text_clean(a, recipient, 320)), SLICE_ARG(text_clean(a, detail, TEXT_MAX)));
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

void
json_set_text(json_t *o, const char *key, struct arena *a, struct slice s)
{
	struct slice t = text_clean(a, s, TEXT_MAX);

	json_object_set_new(o, key, json_stringn((const char *)(t.p != NULL ? t.p : (const uint8_t *)""), t.n));
}

void
json_set_time(json_t *o, const char *key, int64_t us)
{
	char text[RFC3339_MAX];

	if (us <= 0)
		return;
	time_rfc3339(us, text);
	json_object_set_new(o, key, json_string(text));
}

json_t *
tell_message_json(struct arena *a, const struct row_message *m)
{
	json_t *o = json_object();

	json_set_text(o, "id", a, m->id);
	json_object_set_new(o, "origin", json_string(tell_origin(m->origin)));
	json_set_text(o, "from", a, m->reverse_path);
	if (m->account_id.n > 0)
		json_set_text(o, "account_id", a, m->account_id);
	if (m->message_id.n > 0)
		json_set_text(o, "message_id", a, m->message_id);
	json_set_text(o, "client", a, m->client);
	json_set_text(o, "helo", a, m->helo);
	json_set_text(o, "tls", a, m->tls);
	json_object_set_new(o, "size_bytes", json_integer(m->size_bytes));
	json_set_time(o, "received_at", m->received_us);
	json_set_time(o, "left_at", m->left_us);
	return o;
}

json_t *
tell_rcpt_json(struct arena *a, const struct row_rcpt *r, const char *state)
{
	json_t *o = json_object();

	json_set_text(o, "address", a, r->original);
	if (!slice_ieq(r->original, r->address))
		json_set_text(o, "target", a, r->address);
	if (r->via.n > 0)
		json_set_text(o, "alias", a, r->via);
	json_object_set_new(o, "state", json_string(state));
	json_object_set_new(o, "attempts", json_integer(r->attempts));
	if (r->state == ROW_WAITING)
		json_set_time(o, "next_attempt_at", r->due_us);
	if (r->status.n > 0)
		json_set_text(o, "status", a, r->status);
	if (r->code.n > 0 || r->reply.n > 0)
		json_set_text(o, "text", a, said(a, r));
	if (r->reply_class != REPLY_NONE)
		json_object_set_new(o, "class", json_string(reply_class_name(r->reply_class)));
	if (r->route.n > 0)
		json_set_text(o, "route", a, r->route);
	if (r->return_path_set)
		json_set_text(o, "return_path", a, r->return_path);
	return o;
}
