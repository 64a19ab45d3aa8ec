/* store_transfer.c: messages copied from one account into another (RFC 3501 §6.4.7, RFC 4314). The target account gets an email of its
 * own, which counts to its quota, with the ids of the source's (RFC 8474 §5.1): what was copied before, or comes back to where it was
 * copied from, is placed once more and not kept twice. Messages go in batches, so that many of them take little memory; when one
 * fails, those before it are taken back. */
#include "store/store_private.h"

#define BATCH_MESSAGES 64u
#define BATCH_BYTES (16u << 20)
#define COPY_BYTES (256u << 10)

struct transfer {
	struct store_view *from;
	struct store_account *to;
	struct slice mailbox;
	const struct store_filter *filter;
	struct store_copied *out; /* so far */
	/* the batch */
	struct arena mem;
	struct store_fetched fetched[BATCH_MESSAGES];
	struct store_append v[BATCH_MESSAGES];
	uint64_t emails[BATCH_MESSAGES];
	bool known[BATCH_MESSAGES]; /* the target has the email already */
	uint32_t uids[BATCH_MESSAGES];
	size_t n;
};

static void
drop_batch(struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++)
		store_upload_free(&t->v[i].upload);
	t->n = 0;
	arena_reset(&t->mem);
}

/* Flags and keywords, as far as they may be kept. False: out of memory. */
static bool
take_flags(struct transfer *t, const struct store_entry *e, struct store_append *one)
{
	size_t n = t->filter->keywords ? store_view_keywords(t->from, e, NULL, 0) : 0;
	struct slice *names = ARENA_ARRAY(&t->mem, struct slice, n + 1);

	if (names == NULL)
		return false;
	n = n == 0 ? 0 : store_view_keywords(t->from, e, names, n);
	for (size_t i = 0; i < n; i++)
		names[i] = arena_copy(&t->mem, names[i]);
	one->flags = e->flags & t->filter->flags;
	one->keywords = (struct slice_list){names, n};
	one->internal_s = e->internal_s;
	return !arena_failed(&t->mem);
}

/* The next messages: how many of the UIDs were looked at. */
static int
plan_batch(struct transfer *t, const uint32_t *uids, size_t n, size_t *looked)
{
	size_t bytes = 0, done;

	for (*looked = 0; *looked < n && t->n < BATCH_MESSAGES && bytes < BATCH_BYTES; ++*looked) {
		size_t seq = store_view_seq(t->from, uids[*looked]);
		struct store_append one = {0};
		struct store_entry e;

		if (seq == 0 || (e = store_view_at(t->from, seq)).expunged)
			continue;
		if (!take_flags(t, &e, &one))
			return ERR_LIMIT;
		bytes += e.size;
		t->uids[t->n] = e.uid;
		t->emails[t->n] = e.email;
		t->fetched[t->n] = (struct store_fetched){.uid = e.uid};
		t->v[t->n++] = one;
	}
	for (size_t at = 0; at < t->n; at += done) {
		int err = store_fetch(t->from, t->fetched + at, t->n - at, STORE_WANT_IDS, &t->mem, &done);

		if (err != 0)
			return err;
	}
	return 0;
}

/* Those that went meanwhile are left out. */
static void
drop_gone(struct transfer *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (!t->fetched[i].found)
			continue;
		t->fetched[kept] = t->fetched[i];
		t->v[kept] = t->v[i];
		t->emails[kept] = t->emails[i];
		t->uids[kept] = t->uids[i];
		t->v[kept].email_id = t->fetched[kept].email_id;
		t->v[kept].thread_id = t->fetched[kept].thread_id;
		kept++;
	}
	t->n = kept;
}

static int
known_tx(struct sqltx *tx, void *arg)
{
	struct transfer *t = arg;

	for (size_t i = 0; i < t->n; i++) {
		int err = row_email_known(tx, t->to, t->v[i].email_id, NULL);

		if (err < 0)
			return err;
		t->known[i] = err == 1;
	}
	return 0;
}

static int
copy_body(struct transfer *t, uint64_t email, struct store_upload *u)
{
	struct store_body *body STORE_BODY_CLEANUP = NULL;
	struct buf BUF_CLEANUP block;
	size_t size, at = 0;
	int err = store_body_open(store_view_account(t->from), email, &body);

	if (err != 0)
		return err;
	size = store_body_size(body);
	buf_init(&block, COPY_BYTES);
	while (at < size && err == 0) {
		buf_reset(&block);
		err = store_body_read(body, at, size - at < COPY_BYTES ? size - at : COPY_BYTES, &block);
		if (err == 0 && block.n == 0)
			err = ERR_DAMAGED;
		if (err == 0)
			err = store_upload_write(u, buf_slice(&block));
		at += block.n;
	}
	return err;
}

static int
upload_batch(struct transfer *t)
{
	int err = 0;

	for (size_t i = 0; i < t->n && err == 0; i++) {
		if (t->known[i] || t->v[i].upload != NULL)
			continue;
		err = store_upload_new(t->to, SIZE_MAX, &t->v[i].upload);
		if (err == 0)
			err = copy_body(t, t->emails[i], t->v[i].upload);
	}
	return err;
}

static int
store_batch(struct transfer *t)
{
	struct store_op known = {.tx = known_tx, .arg = t};
	struct store_copied batch;
	int err = store_run(t->to, &known);

	if (err == 0)
		err = upload_batch(t);
	if (err == 0)
		err = store_append(t->to, NULL, t->mailbox, t->v, t->n, &t->mem, &batch);
	if (err == ERR_CONFLICT) {
		/* One that the target had went meanwhile: now all are brought, afresh, since files were used up. */
		for (size_t i = 0; i < t->n; i++)
			store_upload_free(&t->v[i].upload);
		memset(t->known, 0, sizeof(t->known));
		if ((err = upload_batch(t)) == 0)
			err = store_append(t->to, NULL, t->mailbox, t->v, t->n, &t->mem, &batch);
	}
	if (err != 0)
		return err;
	if (batch.n != t->n)
		return ERR_LIMIT;
	t->out->uidvalidity = batch.uidvalidity;
	for (size_t i = 0; i < batch.n; i++) {
		t->out->source[t->out->n] = t->uids[i];
		t->out->target[t->out->n++] = batch.target[i];
	}
	return 0;
}

/* Takes back what was stored before an error. */
static void
take_back(struct transfer *t)
{
	struct store_view *target STORE_VIEW_CLEANUP = NULL;
	int err = t->out->n == 0 ? 0 : store_view_open(t->to, t->mailbox, false, &target);

	if (err == 0 && t->out->n > 0)
		err = store_expunge(target, t->out->target, t->out->n, false);
	if (err != 0)
		LOG(t->to->store->house, WARN, "copies_left", LOG_S("account", store_account_id(t->to)), LOG_E(err));
	t->out->n = 0;
}

int
store_transfer(struct store_view *v, const uint32_t *uids, size_t n, struct store_account *to, struct slice mailbox,
    const struct store_filter *filter, bool move, struct arena *a, struct store_copied *out)
{
	struct transfer *t = calloc(1, sizeof(*t)); /* too large for a fiber's stack */
	size_t looked;
	int err = t == NULL ? ERR_NOMEM : 0;

	*out = (struct store_copied){
	    .source = ARENA_ARRAY(a, uint32_t, n + 1), .target = ARENA_ARRAY(a, uint32_t, n + 1)};
	if (out->source == NULL || out->target == NULL)
		err = ERR_LIMIT;
	if (err == 0) {
		*t = (struct transfer){.from = v, .to = to, .mailbox = mailbox, .filter = filter, .out = out};
		arena_init(&t->mem, 16u << 20);
	}
	for (size_t at = 0; at < n && err == 0; at += looked) {
		err = store_view_gone(v) ? ERR_NOTFOUND : plan_batch(t, uids + at, n - at, &looked);
		if (err != 0)
			break;
		drop_gone(t);
		err = t->n > 0 ? store_batch(t) : 0;
		drop_batch(t);
	}
	if (err != 0 && t != NULL) {
		drop_batch(t);
		take_back(t);
	}
	if (t != NULL)
		arena_free(&t->mem);
	free(t);
	return err == 0 && move && out->n > 0 ? store_expunge(v, out->source, out->n, false) : err;
}
