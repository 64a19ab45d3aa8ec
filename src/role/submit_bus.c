/* submit_bus.c: a session's questions, as messages to the clerk. Answers of the directory are asked for again when the clerk
 * has just been restarted; a message is handed over once, since nobody knows whether the first time was heard. */
#include "role/submit_bus.h"

#define ASK_MS 30000     /* a question to the clerk's books */
#define SUBMIT_MS 120000 /* taking a message: RFC 5321 §4.5.3.2.6 gives us 10 minutes */
#define REPLY_BYTES_MAX 65536

/* The clerk sends such mail to postmaster (clerk_program.c). */
static bool
is_local(const struct submit_bus *b, struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');

	return b->local_domain.n > 0 && at != SLICE_NONE && slice_ieq(slice_from(address, at + 1), b->local_domain);
}

static int
ask_rcpt(
    void *ctx, struct slice reverse_path, struct slice address, struct arena *a, int64_t *result, struct slice *detail)
{
	struct submit_bus *b = ctx;
	struct arena ARENA_CLEANUP mem;
	struct bus_clerk_rcpt_request q = {.address = address, .reverse_path = reverse_path};
	struct bus_clerk_rcpt_reply rep = {0};
	int err;

	arena_init(&mem, REPLY_BYTES_MAX);
	err = bus_call_again(b->bus, ROLE_CLERK, 0, BUS_clerk_rcpt, &q, &mem, &rep, ASK_MS);
	*result = rep.result;
	*detail = arena_copy(a, rep.detail);
	if (err == 0 && (rep.result == RCPT_UNKNOWN || rep.result == RCPT_REMOTE || rep.result == RCPT_SUPPRESSED) &&
	    is_local(b, address))
		*result = RCPT_OK;
	return err;
}

static int
ask_sender(void *ctx, struct slice address, bool begins, struct arena *a, struct smtp_submitter *out)
{
	struct submit_bus *b = ctx;
	struct arena ARENA_CLEANUP mem;
	struct bus_clerk_sender_request q = {.origin = b->origin,
	    .account_id = b->account_id,
	    .client = b->client,
	    .address = address,
	    .begins = begins};
	struct bus_clerk_sender_reply rep = {0};
	int err;

	arena_init(&mem, REPLY_BYTES_MAX);
	err = bus_call_again(b->bus, ROLE_CLERK, 0, BUS_clerk_sender, &q, &mem, &rep, ASK_MS);
	*out = (struct smtp_submitter){.result = err == 0 ? rep.result : SENDER_OTHER,
	    .message_bytes = rep.message_bytes,
	    .recipients = rep.recipients,
	    .detail = arena_copy(a, rep.detail)};
	return err;
}

static int
ask_blob(void *ctx, struct arena *a, struct slice *name, int *fd)
{
	struct submit_bus *b = ctx;
	struct bus_clerk_blob_create_request q;
	struct bus_clerk_blob_create_reply rep = {.file = -1};
	int err;

	memset(&q, 0, sizeof(q));
	err = BUS_CALL(b->bus, ROLE_CLERK, 0, clerk_blob_create, &q, a, &rep, ASK_MS);
	if (err != 0)
		return err;
	if (rep.file < 0 || rep.blob.n == 0)
		return ERR_UNAVAILABLE;
	*name = rep.blob;
	*fd = (int)rep.file;
	return 0;
}

static int
ask_submit(void *ctx, const struct smtp_message *m, struct arena *a, int64_t *result, struct slice *detail)
{
	struct submit_bus *b = ctx;
	struct bus_clerk_submit_request q = {.id = m->id,
	    .origin = m->submission ? b->origin : ORIGIN_STRANGER,
	    .account_id = m->submission ? b->account_id : SLICE_EMPTY,
	    .reverse_path = m->reverse_path,
	    .envelope = m->envelope,
	    .recipients = m->recipients,
	    .recipient_envelopes = m->recipient_envelopes,
	    .client = m->client,
	    .helo = m->helo,
	    .tls = m->tls,
	    .head = m->head,
	    .body = m->body,
	    .blob = m->blob,
	    .size_bytes = m->size_bytes,
	    .judged = m->judged,
	    .findings = m->findings};
	struct bus_clerk_submit_reply rep = {0};
	int err = BUS_CALL(b->bus, ROLE_CLERK, 0, clerk_submit, &q, a, &rep, SUBMIT_MS);

	*result = rep.result;
	*detail = rep.detail;
	return err;
}

struct smtp_backend
submit_bus_backend(struct submit_bus *b)
{
	return (struct smtp_backend){.rcpt = ask_rcpt,
	    .sender = b->origin == ORIGIN_STRANGER ? NULL : ask_sender,
	    .blob_create = ask_blob,
	    .submit = ask_submit,
	    .ctx = b};
}
