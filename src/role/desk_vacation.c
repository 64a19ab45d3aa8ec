/* desk_vacation.c: the answer of an account whose person is away (RFC 3834), made when mail has been delivered.
 *
 * Once each. The answer's id comes from the delivery's, and the queue takes an id once; who was answered is durable in the account
 * before the answer is handed over. So a delivery that is repeated after a crash sends no second answer. What the crash hit in between
 * may send none, which RFC 3834 leaves to us. */
#include "directory/directory_address.h"
#include "directory/srs.h"
#include "message/address.h"
#include "message/autoreply.h"
#include "message/build.h"
#include "role/clerk_vacation.h"
#include "role/desk_private.h"

#include <unistd.h>

#define VACATION_ARENA_BYTES ((size_t)4 << 20)
#define HEADER_BYTES ((size_t)65536)
#define ANSWER_BYTES ((size_t)256 << 10)
#define DIGEST_CHARS 26
#define DAY_S 86400

struct vacation {
	struct desk *d;
	const struct bus_desk_deliver_request *q;
	struct store_account *account;
	struct arena *a;
	struct header header;
	struct bus_clerk_vacation_reply text;
	struct slice sender; /* digest */
};

/* ---- the message ------------------------------------------------------------------------------------------------ */

struct read_header {
	int fd;
	uint8_t *to;
	size_t n;
};

/* On a worker thread. */
static int
read_start(void *arg)
{
	struct read_header *r = arg;
	ssize_t got = pread(r->fd, r->to, HEADER_BYTES, 0);

	r->n = got < 0 ? 0 : (size_t)got;
	return got < 0 ? ERR_IO : 0;
}

static int
load_header(struct vacation *v)
{
	struct slice start = slice_head(v->q->body, HEADER_BYTES);
	int err;

	if (v->q->file >= 0) {
		struct read_header r = {.fd = (int)v->q->file, .to = arena_alloc(v->a, HEADER_BYTES)};

		if (r.to == NULL)
			return ERR_NOMEM;
		err = work_run(v->d->workers, read_start, &r);
		if (err != 0)
			return err;
		start = slice_of(r.to, r.n);
	}
	return header_parse(v->a, start, &v->d->c->house->limits, &v->header);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

/* A ULID of the delivery's: its 48 bits of milliseconds, and 80 that no other message gets. */
static struct slice
answer_id(struct vacation *v)
{
	static const struct slice letters = SLICE_INIT("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
	static const struct slice base32 = SLICE_INIT("abcdefghijklmnopqrstuvwxyz234567");
	struct buf hex BUF_CLEANUP;
	char *id = arena_alloc(v->a, ULID_LEN + 1);
	struct slice digest;
	uint64_t ms = 0;

	buf_init(&hex, 4 * STORE_ID_BYTES);
	buf_put_hex(&hex, v->q->delivery_id);
	digest = srs_digest(SLICE("out of office"), buf_slice(&hex), 16, v->a);
	if (id == NULL || hex.err != 0 || digest.n != 16)
		return SLICE_EMPTY;
	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | slice_at(v->q->delivery_id, i);
	for (size_t i = 0; i < 10; i++)
		id[i] = (char)slice_at(letters, ms >> (45 - 5 * i) & 31);
	for (size_t i = 0; i < 16; i++)
		id[10 + i] = (char)slice_at(letters, slice_find_byte(base32, slice_at(digest, i)));
	return slice_of(id, ULID_LEN);
}

static struct address
address_of(struct slice name, struct slice path)
{
	size_t at = slice_rfind_byte(path, '@');

	return (struct address){.kind = ADDRESS_MAILBOX,
	    .name = name,
	    .local = slice_head(path, at == SLICE_NONE ? path.n : at),
	    .domain = at == SLICE_NONE ? SLICE_EMPTY : slice_from(path, at + 1)};
}

static int
write_answer(struct vacation *v, struct buf *out)
{
	static const struct slice extra[] = {SLICE_INIT("Auto-Submitted: auto-replied (vacation)")};
	const struct address from = address_of(v->text.display_name, v->text.address),
			     to = address_of(SLICE_EMPTY, v->q->reverse_path);
	const struct address_list from_list = {.v = &from, .n = 1}, to_list = {.v = &to, .n = 1};
	struct autoreply about;
	struct build_message m = {.from = &from_list,
	    .to = &to_list,
	    .text = v->text.text,
	    .message_id_domain = from.domain,
	    .extra = {extra, COUNT_OF(extra)}};
	int err = autoreply_make(v->a, &v->header, &about);

	if (err != 0)
		return err;
	m.subject = v->text.subject.n > 0 ? v->text.subject : about.subject;
	m.in_reply_to = about.in_reply_to;
	m.references = about.references;
	return build_message(v->d->c->house, &m, out);
}

/* Addresses outside ASCII need servers that take them (RFC 6531); domains are A-labels by now. */
static struct slice
envelope_of(const struct vacation *v)
{
	return slice_is_ascii(v->text.address) && slice_is_ascii(v->q->reverse_path) ? SLICE_EMPTY
										     : SLICE("SMTPUTF8=\n");
}

static int
submit_answer(struct vacation *v, struct slice body)
{
	struct slice recipient = v->q->reverse_path;
	struct bus_clerk_submit_request q = {.id = answer_id(v),
	    .origin = ORIGIN_SYSTEM,
	    .account_id = v->q->account_id,
	    .envelope = envelope_of(v),
	    .recipients = {&recipient, 1},
	    .body = body,
	    .size_bytes = (int64_t)body.n};
	struct bus_clerk_submit_reply rep = {0};
	int err = q.id.n == 0 ? ERR_NOMEM
			      : BUS_CALL(v->d->c->bus, ROLE_CLERK, 0, clerk_submit, &q, v->a, &rep, DESK_ASK_MS);

	if (err == 0 && rep.result != SUBMIT_OK) {
		LOG(v->d->c->house, WARN, "vacation_not_sent", LOG_S("id", v->q->message_id),
		    LOG_S("account", v->q->account_id), LOG_S("why", rep.detail));
		err = rep.result == SUBMIT_REFUSED ? ERR_DENIED : ERR_UNAVAILABLE;
	}
	return err;
}

/* ---- deciding ------------------------------------------------------------------------------------------------------ */

static int
ask_text(struct vacation *v)
{
	struct bus_clerk_vacation_request q = {.account_id = v->q->account_id, .sender = v->q->reverse_path};
	int err = autoreply_recipients(v->a, &v->header, CLERK_VACATION_ADDRESSES, &q.addresses);

	return err == 0
	    ? bus_call_again(v->d->c->bus, ROLE_CLERK, 0, BUS_clerk_vacation, &q, v->a, &v->text, DESK_ASK_MS)
	    : err;
}

/* The sender of this text: a text that is set anew is told anew. */
static struct slice
sender_digest(struct vacation *v)
{
	struct directory_address at;
	struct slice key = v->q->reverse_path;

	if (directory_address_parse(key, false, v->a, &at) == 0)
		key = at.key;
	return srs_digest(arena_printf(v->a, "%lld", (long long)v->text.edition), key, DIGEST_CHARS, v->a);
}

static void
tell(struct vacation *v, struct slice sentence)
{
	struct bus_clerk_history_request q = {
	    .id = v->q->message_id, .recipient = v->q->recipient, .kind = HISTORY_NOTE, .detail = sentence};
	struct bus_clerk_history_reply rep;

	if (sentence.n > 0 && BUS_CALL(v->d->c->bus, ROLE_CLERK, 0, clerk_history, &q, v->a, &rep, DESK_ASK_MS) != 0)
		LOG(v->d->c->house, DEBUG, "history_not_told", LOG_S("id", v->q->message_id));
}

static int
answer(struct vacation *v)
{
	struct buf body BUF_CLEANUP;
	const uint8_t *id = v->q->delivery_id.p;
	bool mine = false;
	int err;

	v->sender = sender_digest(v);
	if (v->sender.n == 0)
		return ERR_NOMEM;
	err = store_answer_claim(v->account, v->sender, id, v->text.days * DAY_S, &mine);
	if (err != 0 || !mine)
		return err;
	buf_init(&body, ANSWER_BYTES);
	err = write_answer(v, &body);
	if (err == 0)
		err = submit_answer(v, buf_slice(&body));
	if (err == 0)
		tell(v,
		    arena_printf(v->a, "the out-of-office text of %.*s was sent to %.*s as message %.*s",
			SLICE_ARG(v->text.address), SLICE_ARG(v->q->reverse_path), SLICE_ARG(answer_id(v))));
	else if (store_answer_release(v->account, v->sender, id) != 0)
		LOG(v->d->c->house, DEBUG, "answer_not_released", LOG_S("id", v->q->message_id));
	return err;
}

static int
decide(struct vacation *v)
{
	const char *why;
	int err = load_header(v);

	if (err != 0)
		return err;
	why = autoreply_refusal(&v->header, v->q->reverse_path);
	if (why != NULL) {
		LOG(v->d->c->house, DEBUG, "vacation_not_answered", LOG_S("id", v->q->message_id), LOG_Z("why", why));
		return 0;
	}
	err = ask_text(v);
	return err == 0 && v->text.answer != 0 ? answer(v) : err;
}

void
desk_vacation(struct desk *d, struct store_account *account, const struct bus_desk_deliver_request *q)
{
	struct arena mem ARENA_CLEANUP;
	struct vacation v = {.d = d, .q = q, .account = account, .a = &mem};
	struct desk_account settings;
	int err = desk_account_settings(d, q->account_id, true, &settings);

	if (err != 0 || !settings.vacation || q->reverse_path.n == 0 || slice_ieq(q->mailbox, SLICE("junk")))
		return;
	arena_init(&mem, VACATION_ARENA_BYTES);
	err = decide(&v);
	if (err != 0)
		LOG(d->c->house, WARN, "vacation_failed", LOG_S("id", q->message_id), LOG_S("account", q->account_id),
		    LOG_E(err));
}
