/* queue_window.c: the recipients that are under way, in memory: by delivery id, by message, by destination. Its
 * size is limits.queue_window recipients; a domain gets at most a quarter of it and a desk three quarters, so that a dead
 * server or a slow desk does not stop the mail for others. */
#include "queue/queue_private.h"

#define DESTINATION_KEY_MAX 300

/* Copies slices behind a struct in the same allocation. */
struct packer {
	uint8_t *at;
};

static struct slice
pack(struct packer *k, struct slice s)
{
	uint8_t *to = k->at;

	if (s.n > 0)
		memcpy(to, s.p, s.n);
	k->at += s.n;
	return slice_of(to, s.n);
}

int
window_init(struct queue *q)
{
	size_t max = (size_t)q->house->limits.queue_window;

	map_init(&q->rcpts, max, house_random_u64(q->house));
	map_init(&q->messages, max, house_random_u64(q->house));
	map_init(&q->destinations, max, house_random_u64(q->house));
	map_init(&q->gone, SIZE_MAX, house_random_u64(q->house));
	map_init(&q->acting, SIZE_MAX, house_random_u64(q->house));
	list_init(&q->destinations_all);
	list_init(&q->runnable_desks);
	list_init(&q->runnable_domains);
	list_init(&q->runners);
	list_init(&q->awaiting);
	list_init(&q->failing);
	waitq_init(&q->wake);
	waitq_init(&q->idle);
	return 0;
}

/* ---- messages ------------------------------------------------------------------------------------- */

struct window_message *
window_message_get(struct queue *q, const struct row_message *m)
{
	struct window_message *w = map_get(&q->messages, m->id);
	struct packer k;

	if (w != NULL) {
		w->refs++;
		return w;
	}
	w = calloc(1, sizeof(*w) + m->id.n + m->reverse_path.n + m->envelope.n + m->message_id.n);
	if (w == NULL)
		return NULL;
	k.at = (uint8_t *)(w + 1);
	w->id = pack(&k, m->id);
	w->reverse_path = pack(&k, m->reverse_path);
	w->envelope = pack(&k, m->envelope);
	w->message_id = pack(&k, m->message_id);
	w->received_us = m->received_us;
	w->size_bytes = m->size_bytes;
	w->warned = m->warned != 0;
	w->refs = 1;
	list_init(&w->failed);
	if (map_put(&q->messages, w->id, w) != 0) {
		free(w);
		return NULL;
	}
	return w;
}

void
window_message_ref(struct window_message *m)
{
	m->refs++;
}

void
window_message_unref(struct queue *q, struct window_message *m)
{
	ASSERT(m->refs > 0);
	if (--m->refs > 0)
		return;
	window_content_drop(q, m);
	list_remove(&m->failing);
	map_remove(&q->messages, m->id);
	free(m);
}

bool
window_content_keep(struct queue *q, struct window_message *m, struct slice head, struct slice body, bool in_file)
{
	size_t n = head.n + body.n;

	if (m->loaded)
		return true;
	if (n > (size_t)q->house->limits.queue_window_bytes ||
	    q->content_bytes > (size_t)q->house->limits.queue_window_bytes - n)
		return false;
	m->content = malloc(n + 1);
	if (m->content == NULL)
		return false;
	if (head.n > 0)
		memcpy(m->content, head.p, head.n);
	if (body.n > 0)
		memcpy(m->content + head.n, body.p, body.n);
	m->head_n = head.n;
	m->content_n = n;
	m->in_file = in_file;
	m->loaded = true;
	q->content_bytes += n;
	return true;
}

void
window_content_drop(struct queue *q, struct window_message *m)
{
	if (!m->loaded)
		return;
	q->content_bytes -= m->content_n;
	free(m->content);
	m->content = NULL;
	m->loaded = false;
}

/* ---- destinations ------------------------------------------------------------------------------------- */

struct destination *
window_destination(struct queue *q, const struct row_rcpt *r)
{
	char key[DESTINATION_KEY_MAX];
	struct destination *d;
	struct packer k;
	size_t n, at = slice_rfind_byte(r->address, '@');
	int desk = 0;

	if (r->kind == QUEUE_TARGET_LOCAL) {
		desk = q->c.ops.desk(q->c.ops.ctx, r->account_id);
		n = (size_t)snprintf(key, sizeof(key), "#%d", desk);
	} else if (r->kind == QUEUE_TARGET_REMOTE && at != SLICE_NONE) {
		struct slice domain = slice_head(slice_from(r->address, at + 1), sizeof(key) - 2);

		key[0] = '@';
		for (size_t i = 0; i < domain.n; i++)
			key[1 + i] = (char)ascii_lower(slice_at(domain, i));
		n = domain.n + 1;
	} else {
		key[0] = '!';
		n = 1;
	}
	d = map_get(&q->destinations, slice_of(key, n));
	if (d != NULL)
		return d;
	d = calloc(1, sizeof(*d) + n);
	if (d == NULL)
		return NULL;
	k.at = (uint8_t *)(d + 1);
	d->queue = q;
	d->key = pack(&k, slice_of(key, n));
	d->domain = slice_from(d->key, 1);
	d->kind = key[0] == '#' ? QUEUE_TARGET_LOCAL : key[0] == '@' ? QUEUE_TARGET_REMOTE : QUEUE_TARGET_NONE;
	d->desk = desk;
	list_init(&d->ready);
	if (map_put(&q->destinations, d->key, d) != 0) {
		free(d);
		return NULL;
	}
	list_push(&q->destinations_all, &d->all);
	return d;
}

void
window_destination_release(struct queue *q, struct destination *d)
{
	if (d->held > 0 || d->running > 0 || d->slot_us > house_now_us(q->house))
		return;
	list_remove(&d->runnable);
	list_remove(&d->all);
	map_remove(&q->destinations, d->key);
	free(d);
}

/* ---- recipients ---------------------------------------------------------------------------------------- */

static struct slice
rcpt_key(const struct window_rcpt *r)
{
	return slice_of(r->delivery_id, DELIVERY_ID_LEN);
}

struct window_rcpt *
window_rcpt_find(struct queue *q, struct slice delivery_id)
{
	return map_get(&q->rcpts, delivery_id);
}

size_t
window_share(const struct queue *q, const struct destination *d)
{
	size_t quarter = (size_t)q->house->limits.queue_window / 4;

	return (d->kind == QUEUE_TARGET_LOCAL ? quarter * 3 : quarter) + 1;
}

struct window_rcpt *
window_rcpt_add(struct queue *q, struct window_message *m, const struct row_rcpt *r, bool *destination_full)
{
	struct destination *d = window_destination(q, r);
	struct window_rcpt *w;
	struct packer k;

	*destination_full = false;
	if (d == NULL)
		return NULL;
	if (d->held >= window_share(q, d)) {
		*destination_full = true;
		return NULL;
	}
	w = calloc(
	    1, sizeof(*w) + r->account_id.n + r->original.n + r->address.n + r->envelope.n + r->status.n + r->reply.n);
	if (w == NULL)
		return NULL;
	k.at = (uint8_t *)(w + 1);
	memcpy(w->delivery_id, r->delivery_id, DELIVERY_ID_LEN);
	w->way = WAY_RESERVED;
	w->number = r->number;
	w->kind = r->kind;
	w->attempts = r->attempts;
	w->due_us = r->due_us;
	w->account_id = pack(&k, r->account_id);
	w->original = pack(&k, r->original);
	w->address = pack(&k, r->address);
	w->envelope = pack(&k, r->envelope);
	w->status = pack(&k, r->status);
	w->reply = pack(&k, r->reply);
	if (map_put(&q->rcpts, rcpt_key(w), w) != 0) {
		free(w);
		window_destination_release(q, d);
		return NULL;
	}
	w->message = m;
	m->refs++;
	w->destination = d;
	d->held++;
	return w;
}

/* Leaves the state it is in: lists and counts. */
static void
leave(struct queue *q, struct window_rcpt *r)
{
	struct window_message *m = r->message;

	list_remove(&r->node);
	if (r->way == WAY_READY || r->way == WAY_RUNNING) {
		ASSERT(m->active > 0);
		if (--m->active == 0)
			window_content_drop(q, m);
	}
	if (r->way == WAY_FAILED) {
		ASSERT(m->failed_n > 0);
		if (--m->failed_n == 0)
			list_remove(&m->failing);
	}
}

void
window_rcpt_remove(struct queue *q, struct window_rcpt *r)
{
	struct destination *d = r->destination;

	leave(q, r);
	/* A page of rows that is being read may still show it as waiting. */
	if (q->filling && map_put(&q->gone, rcpt_key(r), q) != 0)
		q->fill_stale = true;
	map_remove(&q->rcpts, rcpt_key(r));
	window_message_unref(q, r->message);
	ASSERT(d->held > 0);
	d->held--;
	window_destination_release(q, d);
	free(r->why);
	free(r);
	schedule_room(q);
}

static void
make_runnable(struct queue *q, struct destination *d)
{
	if (!list_linked(&d->runnable))
		list_push(d->kind == QUEUE_TARGET_REMOTE ? &q->runnable_domains : &q->runnable_desks, &d->runnable);
}

void
window_rcpt_ready(struct queue *q, struct window_rcpt *r)
{
	struct destination *d = r->destination;
	struct job *j = list_empty(&d->ready) ? NULL : CONTAINER_OF(d->ready.head.prev, struct job, node);

	if (j == NULL || d->kind == QUEUE_TARGET_LOCAL || j->message != r->message || j->refused > 0 ||
	    j->n >= (size_t)q->house->limits.queue_send_recipients) {
		j = calloc(1, sizeof(*j));
		if (j == NULL) {
			schedule_due(q, r->due_us);
			window_rcpt_remove(q, r);
			return;
		}
		j->message = r->message;
		window_message_ref(j->message);
		list_init(&j->rcpts);
		list_push(&d->ready, &j->node);
	}
	leave(q, r);
	r->way = WAY_READY;
	r->message->active++;
	list_push(&j->rcpts, &r->node);
	j->n++;
	make_runnable(q, d);
}

void
window_job_return(struct queue *q, struct destination *d, struct job *j)
{
	LIST_FOREACH (&j->rcpts, n)
		CONTAINER_OF(n, struct window_rcpt, node)->way = WAY_READY;
	list_push_front(&d->ready, &j->node);
	make_runnable(q, d);
}

/* ---- the end --------------------------------------------------------------------------------------------- */

void
window_free(struct queue *q)
{
	LIST_FOREACH (&q->destinations_all, n) {
		struct destination *d = CONTAINER_OF(n, struct destination, all);
		struct list_node *jn;

		while ((jn = list_pop(&d->ready)) != NULL) {
			struct job *j = CONTAINER_OF(jn, struct job, node);

			window_message_unref(q, j->message);
			while (list_pop(&j->rcpts) != NULL)
				;
			free(j);
		}
	}
	while (q->rcpts.n > 0) {
		size_t at = 0;
		struct slice key;
		void *v = NULL;

		if (!map_next(&q->rcpts, &at, &key, &v))
			break;
		window_rcpt_remove(q, v);
	}
	LIST_FOREACH (&q->destinations_all, n) {
		struct destination *d = CONTAINER_OF(n, struct destination, all);

		d->slot_us = 0;
		window_destination_release(q, d);
	}
	map_free(&q->rcpts);
	map_free(&q->messages);
	map_free(&q->destinations);
	map_free(&q->gone);
	map_free(&q->acting);
}
