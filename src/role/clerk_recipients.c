/* clerk_recipients.c: who gets a submitted message: the targets of its recipients, and the archives of its domains.
 *
 * What goes on to another house bears a mark for each of our addresses that send it there, as a header field of its own.
 * The marks are keyed digests: they tell nobody else who forwards, and nobody else can make them. When the message comes
 * back, the marks are read, and those addresses do not forward it a second time. */
#include "directory/directory_address.h"
#include "message/header.h"
#include "role/clerk_private.h"

#define MARK_FIELD "Posthouse-Passed"
#define HEADER_START_BYTES ((size_t)65536)
#define MARKS_MAX 100

/* ---- marks ---------------------------------------------------------------------------------------------------- */

/* Also the Message-ID, or nothing. */
static int
read_marks(struct clerk *k, const struct bus_peer *from, const struct bus_clerk_submit_request *q, struct arena *a,
    struct slice_list *out, struct slice *message_id)
{
	struct buf start BUF_CLEANUP;
	struct header_iter it;
	struct header_field f;
	struct slice *v = ARENA_ARRAY(a, struct slice, MARKS_MAX), bytes = q->body;

	*out = (struct slice_list){v, 0};
	if (v == NULL)
		return ERR_LIMIT;
	buf_init(&start, HEADER_START_BYTES);
	if (q->blob.n > 0) {
		int err = queue_blob_start(k->queue, q->blob,
		    clerk_blob_owner(bus_peer_role(from), bus_peer_index(from)), HEADER_START_BYTES, &start);

		if (err != 0)
			return err;
		bytes = buf_slice(&start);
	}
	*message_id = header_message_id(q->head, HEADER_START_BYTES); /* where it was added here */
	if (message_id->n == 0)
		*message_id = header_message_id(bytes, HEADER_START_BYTES);
	*message_id = arena_copy(a, *message_id);
	it = header_iter_of(bytes, HEADER_START_BYTES);
	while (out->n < MARKS_MAX && header_next(&it, &f)) {
		struct slice value = slice_trim(f.value);

		if (slice_ieq(f.name, SLICE(MARK_FIELD)) && value.n == DIRECTORY_MARK_CHARS)
			v[out->n++] = arena_copy(a, value);
	}
	return arena_failed(a) ? ERR_LIMIT : 0;
}

static int
put_marks(const struct clerk_expansion *x, struct arena *a, struct slice *head)
{
	struct buf all BUF_CLEANUP;

	if (x->marks_n == 0)
		return 0;
	buf_init(&all, head->n + x->marks_n * (DIRECTORY_MARK_CHARS + sizeof(MARK_FIELD) + 4));
	for (size_t i = 0; i < x->marks_n; i++)
		buf_printf(&all, MARK_FIELD ": %.*s\r\n", SLICE_ARG(x->marks[i]));
	buf_put(&all, *head);
	*head = arena_copy(a, buf_slice(&all));
	return all.err != 0 || arena_failed(a) ? ERR_LIMIT : 0;
}

/* ---- archives -------------------------------------------------------------------------------------------------- */

/* Addresses that get a copy, with the mark of the domain whose archive it is. The mark is of this message alone: whoever reads
 * it cannot keep other messages out of the archive with it. */
struct archives {
	const struct bus_clerk_submit_request *q;
	struct slice message_id;
	struct directory_ask ask;
	struct arena *a;
	struct slice *domains; /* ours that the message concerns: that of the sender first, if it is ours */
	size_t domains_n;
	bool has_sender;
	struct slice *names, *addresses, *marks; /* names: "@domain" */
	size_t n;
};

static int
add_domain(struct sqltx *tx, struct archives *v, struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');
	struct slice domain;
	bool local = false;
	int err = at == SLICE_NONE ? ERR_SYNTAX
				   : directory_domain_normalise(slice_from(address, at + 1), v->a, &domain);

	if (err == 0)
		err = directory_domain_find(tx, v->a, domain, &local, &domain);
	if (err != 0 || !local)
		return err == ERR_SYNTAX ? 0 : err;
	for (size_t i = v->has_sender; i < v->domains_n; i++)
		if (slice_eq(v->domains[i], domain))
			return 0;
	v->domains[v->domains_n++] = domain;
	return 0;
}

/* The domain of who sends; a stranger is nobody of ours, whatever it calls itself. */
static int
add_sender(struct sqltx *tx, struct archives *v)
{
	struct directory_account account;
	int err;

	if (v->q->origin == ORIGIN_STRANGER)
		return 0;
	if (v->q->reverse_path.n > 0) {
		err = add_domain(tx, v, v->q->reverse_path);
	} else {
		err = directory_account_get(tx, v->a, v->q->account_id, &account);
		if (err == 0)
			err = add_domain(tx, v, account.address);
	}
	v->has_sender = v->domains_n > 0;
	return err == ERR_NOTFOUND ? 0 : err;
}

static int
find_archives(struct sqltx *tx, void *arg)
{
	struct archives *v = arg;
	int err;

	v->domains_n = v->n = 0;
	v->has_sender = false;
	err = add_sender(tx, v);
	for (size_t i = 0; err == 0 && i < v->q->recipients.n; i++)
		err = add_domain(tx, v, v->q->recipients.v[i]);
	for (size_t i = 0; err == 0 && i < v->domains_n; i++) {
		err = directory_domain_bcc(tx, v->a, v->domains[i], i == 0 && v->has_sender, &v->addresses[v->n]);
		if (err == 0 && v->addresses[v->n].n > 0) {
			v->names[v->n] = directory_key(v->a, SLICE_EMPTY, v->domains[i]);
			v->marks[v->n] = directory_archive_mark(&v->ask, v->a, v->domains[i], v->message_id);
			v->n++;
		}
	}
	return err != 0 ? err : arena_failed(v->a) ? ERR_LIMIT : 0;
}

static int
count_archives(struct sqltx *tx, void *arg)
{
	return directory_domain_bcc_count(tx, arg);
}

static bool
has_mark(struct slice_list passed, struct slice mark)
{
	for (size_t i = 0; i < passed.n; i++)
		if (slice_ieq(passed.v[i], mark))
			return true;
	return false;
}

static bool
has_target(const struct clerk_expansion *x, const struct queue_target *t)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i].target.kind == t->kind &&
		    (t->kind == QUEUE_TARGET_LOCAL ? slice_eq(x->v[i].target.account_id, t->account_id)
						   : slice_ieq(x->v[i].target.address, t->address)))
			return true;
	return false;
}

/* The copy is a recipient of its own, of which nobody is told anything: not by reports, and, where it leaves the house, not by
 * bounces of other servers either. */
static int
add_copy(struct clerk *k, const struct archives *v, size_t i, struct clerk_expansion *x)
{
	struct slice address = v->addresses[i];
	struct arena *a = v->a;
	struct clerk_expansion copy = {.addresses = {&address, 1}, .from = {.anybody = true}};
	int err = clerk_targets_expand(k, &copy, a);

	for (size_t j = 0; err == 0 && j < copy.n; j++) {
		struct queue_rcpt *r = &copy.v[j];

		if (r->target.kind == QUEUE_TARGET_NONE) {
			LOG(k->c->house, WARN, "archive_unreachable", LOG_S("address", address),
			    LOG_S("why", r->target.reason));
			continue;
		}
		if (has_target(x, &r->target))
			continue;
		r->envelope = SLICE("NOTIFY=NEVER\n");
		r->target.via = v->names[i];
		r->target.reverse_path_set = r->target.kind == QUEUE_TARGET_REMOTE;
		r->target.reverse_path = SLICE_EMPTY;
		x->v = arena_grow(a, x->v, x->n, &x->cap, sizeof(*x->v), (size_t)k->c->house->limits.queue_targets + 1);
		x->marks = arena_grow(
		    a, x->marks, x->marks_n, &x->marks_cap, sizeof(*x->marks), SIZE_MAX / sizeof(*x->marks));
		if (x->v == NULL || x->marks == NULL)
			return ERR_LIMIT;
		x->v[x->n++] = *r;
		if (r->target.kind == QUEUE_TARGET_REMOTE)
			x->marks[x->marks_n++] = v->marks[i];
	}
	return err;
}

/* Does it reach anybody? What does not is not archived either. */
static bool
has_targets(const struct clerk_expansion *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i].target.kind != QUEUE_TARGET_NONE)
			return true;
	return false;
}

static int
add_archives(struct clerk *k, struct archives *v, struct clerk_expansion *x)
{
	size_t max = v->q->recipients.n + 1;
	int err = 0;

	v->domains = ARENA_ARRAY(v->a, struct slice, max);
	v->names = ARENA_ARRAY(v->a, struct slice, max);
	v->addresses = ARENA_ARRAY(v->a, struct slice, max);
	v->marks = ARENA_ARRAY(v->a, struct slice, max);
	if (v->domains == NULL || v->names == NULL || v->addresses == NULL || v->marks == NULL)
		return ERR_LIMIT;
	err = sql_read(k->directory_db, find_archives, v);
	for (size_t i = 0; err == 0 && i < v->n; i++)
		if (!has_mark(x->passed, v->marks[i]))
			err = add_copy(k, v, i, x);
	return err;
}

int
clerk_recipients(struct clerk *k, const struct bus_peer *from, const struct bus_clerk_submit_request *q,
    struct arena *a, struct queue_submission *s)
{
	struct clerk_expansion x = {.addresses = q->recipients,
	    .envelopes = q->recipient_envelopes,
	    .from = {.signed_in = q->origin == ORIGIN_ACCOUNT, .path = q->reverse_path}};
	struct archives v = {
	    .q = q, .ask = {.limits = &k->c->house->limits, .key = directory_house_key(k->directory)}, .a = a};
	int64_t archives = k->archives;
	uint64_t generation = k->generation;
	int err = archives < 0 ? sql_read(k->directory_db, count_archives, &archives) : 0;

	if (err == 0 && generation == k->generation)
		k->archives = archives;
	if (err == 0)
		err = clerk_targets_expand(k, &x, a);
	if (err == 0 && (x.marks_n > 0 || archives > 0)) {
		err = read_marks(k, from, q, a, &x.passed, &v.message_id);
		if (err == 0 && x.passed.n > 0 && x.marks_n > 0)
			err = clerk_targets_expand(k, &x, a);
	}
	if (err == 0 && archives > 0 && has_targets(&x))
		err = add_archives(k, &v, &x);
	if (err == 0)
		err = put_marks(&x, a, &s->head);
	s->rcpts = x.v;
	s->rcpts_n = x.n;
	return err;
}
