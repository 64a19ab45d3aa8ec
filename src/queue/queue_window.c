/* queue_window.c: the recipients that are under way, in memory: by delivery id, by message, by destination. Its
 * size is limits.queue_window recipients; of each lane a domain gets at most a quarter of it and a desk three quarters, so that
 * a dead server or a slow desk does not stop the mail for others. Where nobody can be asked now (a site that is paused, a
 * domain that the operator has suspended) nothing enters. */
#include "queue/queue_private.h"

#define DESTINATION_KEY_MAX 600

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
	list_init(&q->runners);
	list_init(&q->awaiting);
	list_init(&q->failing);
	waitq_init(&q->wake);
	waitq_init(&q->idle);
	return site_init(q);
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
	w->origin = m->origin;
	w->received_us = m->received_us;
	w->when = envelope_deadlines(w->envelope, m->received_us);
	w->size_bytes = m->size_bytes;
	w->warned = m->warned != 0;
	w->junk = m->junk;
	w->forged = m->forged;
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

/* "#2" a desk, "@domain", "@domain host:port", "!" nobody. */
static size_t
destination_key(struct queue *q, const struct row_rcpt *r, char key[DESTINATION_KEY_MAX], int *desk, size_t *domain_n)
{
	size_t at = slice_rfind_byte(r->address, '@');
	struct slice domain;

	if (r->kind == QUEUE_TARGET_LOCAL) {
		*desk = q->c.ops.desk(q->c.ops.ctx, r->account_id);
		return (size_t)snprintf(key, DESTINATION_KEY_MAX, "#%d", *desk);
	}
	if (r->kind != QUEUE_TARGET_REMOTE || at == SLICE_NONE) {
		key[0] = '!';
		return 1;
	}
	domain = slice_head(slice_from(r->address, at + 1), 255);
	key[0] = '@';
	for (size_t i = 0; i < domain.n; i++)
		key[1 + i] = (char)ascii_lower(slice_at(domain, i));
	*domain_n = domain.n;
	if (r->route.n == 0)
		return domain.n + 1;
	return domain.n + 1 +
	    (size_t)snprintf(
		key + domain.n + 1, DESTINATION_KEY_MAX - domain.n - 1, " %.*s", SLICE_ARG(slice_head(r->route, 300)));
}

struct destination *
window_destination(struct queue *q, const struct row_rcpt *r)
{
	char key[DESTINATION_KEY_MAX];
	struct destination *d;
	struct packer k;
	int desk = 0;
	size_t domain_n = 0, n = destination_key(q, r, key, &desk, &domain_n);

	d = map_get(&q->destinations, slice_of(key, n));
	if (d != NULL)
		return d;
	d = calloc(1, sizeof(*d) + n);
	if (d == NULL)
		return NULL;
	k.at = (uint8_t *)(d + 1);
	d->queue = q;
	d->key = pack(&k, slice_of(key, n));
	d->kind = key[0] == '#' ? QUEUE_TARGET_LOCAL : key[0] == '@' ? QUEUE_TARGET_REMOTE : QUEUE_TARGET_NONE;
	d->desk = desk;
	if (d->kind == QUEUE_TARGET_REMOTE) {
		d->domain = slice_range(d->key, 1, 1 + domain_n);
		if (n > domain_n + 2)
			d->route = slice_from(d->key, domain_n + 2);
	}
	for (int i = 0; i < LANES; i++)
		list_init(&d->ready[i]);
	if ((d->kind == QUEUE_TARGET_REMOTE && site_join(q, d) != 0)) {
		free(d);
		return NULL;
	}
	if (map_put(&q->destinations, d->key, d) != 0) {
		site_leave(q, d);
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
	site_leave(q, d);
	for (int i = 0; i < LANES; i++)
		list_remove(&d->runnable[i]);
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

	/* Of what does not answer, no more than one attempt takes. */
	if (d->site != NULL && d->site->failures > 0 && quarter > (size_t)q->house->limits.queue_send_recipients)
		return (size_t)q->house->limits.queue_send_recipients;
	return (d->kind == QUEUE_TARGET_LOCAL ? quarter * 3 : quarter) + 1;
}

/* The recipient with copies of all that it needs. */
static struct window_rcpt *
rcpt_new(const struct row_rcpt *r)
{
	struct window_rcpt *w = calloc(1,
	    sizeof(*w) + r->account_id.n + r->original.n + r->address.n + r->envelope.n + r->status.n + r->reply.n +
		r->return_path.n);
	struct packer k;

	if (w == NULL)
		return NULL;
	k.at = (uint8_t *)(w + 1);
	memcpy(w->delivery_id, r->delivery_id, DELIVERY_ID_LEN);
	w->way = WAY_RESERVED;
	w->number = r->number;
	w->kind = r->kind;
	w->lane = r->lane < 0 || r->lane >= LANES ? LANE_NORMAL : (enum lane)r->lane;
	w->tell = r->tell;
	w->attempts = r->attempts;
	w->due_us = r->due_us;
	w->after = -1;
	w->account_id = pack(&k, r->account_id);
	w->original = pack(&k, r->original);
	w->address = pack(&k, r->address);
	w->envelope = pack(&k, r->envelope);
	w->status = pack(&k, r->status);
	w->reply = pack(&k, r->reply);
	w->return_path = pack(&k, r->return_path);
	w->return_path_set = r->return_path_set;
	return w;
}

static struct window_rcpt *
enter(struct queue *q, struct window_message *m, struct destination *d, const struct row_rcpt *r)
{
	struct window_rcpt *w = rcpt_new(r);

	if (w == NULL || map_put(&q->rcpts, rcpt_key(w), w) != 0) {
		free(w);
		window_destination_release(q, d);
		return NULL;
	}
	w->message = m;
	m->refs++;
	w->destination = d;
	d->held++;
	d->lane_held[w->lane]++;
	q->lane_held[w->lane]++;
	return w;
}

/* The time of the message is over, or its sender is to be told of the delay. */
static bool
is_overdue(const struct queue *q, const struct window_message *m)
{
	const struct limits *l = &q->house->limits;
	int64_t now_us = house_now_us(q->house);

	return backoff_expired(l, now_us, &m->when) || (!m->warned && backoff_late(l, now_us, &m->when));
}

/* What has to be decided now needs no server: the row goes to nobody, who says why there was none. */
static struct destination *
nobody_instead(struct queue *q, struct destination *d, struct row_rcpt *r)
{
	r->kind = QUEUE_TARGET_NONE;
	if (r->status.n == 0 && d->site->last_status[0] == 0 && !d->suspended) {
		r->status = SLICE("4.4.0");
		r->reply = warmup_words;
	} else if (r->status.n == 0 && d->suspended) {
		r->status = SLICE("4.4.0");
		r->reply = SLICE("the postmaster has suspended the mail for this domain");
	} else if (r->status.n == 0) {
		r->status = slice_z(d->site->last_status);
		r->reply = slice_z(d->site->last_reply);
	}
	/* d stays for now: the texts may lie in its site. */
	return window_destination(q, r);
}

struct window_rcpt *
window_rcpt_add(struct queue *q, struct window_message *m, const struct row_rcpt *r, bool *postpone)
{
	enum lane lane = r->lane < 0 || r->lane >= LANES ? LANE_NORMAL : (enum lane)r->lane;
	struct destination *d = window_destination(q, r);
	struct row_rcpt nobody = *r;
	bool overdue = false;
	struct window_rcpt *w;
	int64_t until_us;

	*postpone = false;
	if (d == NULL)
		return NULL;
	if (site_closed(q, d, &until_us) || warmup_closed(q, d->site, lane, &until_us)) {
		overdue = is_overdue(q, m);
		if (overdue)
			d = nobody_instead(q, d, &nobody);
		if (!overdue || d == NULL) {
			*postpone = true;
			return NULL;
		}
	}
	if (d->lane_held[lane] >= window_share(q, d)) {
		*postpone = true;
		return NULL;
	}
	if (!lane_has_room(q->lane_held, lane, (size_t)q->house->limits.queue_window)) {
		window_destination_release(q, d);
		return NULL;
	}
	w = enter(q, m, d, &nobody);
	if (w != NULL)
		w->overdue = overdue;
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
	d->lane_held[r->lane]--;
	q->lane_held[r->lane]--;
	window_destination_release(q, d);
	free(r->why);
	free(r);
	schedule_room(q);
}

bool
window_has_ready(const struct destination *d)
{
	for (int i = 0; i < LANES; i++)
		if (!list_empty(&d->ready[i]))
			return true;
	return false;
}

enum lane
window_most_urgent(const struct destination *d)
{
	int i = 0;

	while (i < LANES - 1 && list_empty(&d->ready[i]))
		i++;
	return (enum lane)i;
}

void
window_make_runnable(struct queue *q, struct destination *d)
{
	struct site *s = d->site;

	if (s == NULL) {
		if (window_has_ready(d) && !list_linked(&d->runnable[0]))
			list_push(&q->runnable_desks, &d->runnable[0]);
		return;
	}
	for (int i = 0; i < LANES; i++)
		if (!list_empty(&d->ready[i]) && !list_linked(&d->runnable[i]))
			list_push(&s->runnable[i], &d->runnable[i]);
	if (!list_linked(&s->node))
		list_push(&q->runnable_sites, &s->node);
}

static void
job_put(struct queue *q, struct destination *d, struct job *j, bool front)
{
	if (front)
		list_push_front(&d->ready[j->lane], &j->node);
	else
		list_push(&d->ready[j->lane], &j->node);
	if (d->site != NULL)
		d->site->ready[j->lane]++;
	window_make_runnable(q, d);
}

struct job *
window_job_take(struct destination *d, enum lane lane)
{
	struct list_node *n = list_pop(&d->ready[lane]);

	if (n != NULL && d->site != NULL)
		d->site->ready[lane]--;
	if (d->site == NULL ? !window_has_ready(d) : list_empty(&d->ready[lane]))
		list_remove(&d->runnable[d->site == NULL ? 0 : lane]);
	return n == NULL ? NULL : CONTAINER_OF(n, struct job, node);
}

/* Goes with these in one transaction. */
static bool
goes_with(const struct queue *q, const struct job *j, const struct window_rcpt *r)
{
	const struct window_rcpt *first;

	if (list_empty(&j->rcpts) || j->message != r->message || j->refused > 0 ||
	    j->n >= (size_t)q->house->limits.queue_send_recipients)
		return false;
	first = CONTAINER_OF(list_first(&j->rcpts), struct window_rcpt, node);
	return first->return_path_set == r->return_path_set && slice_eq(first->return_path, r->return_path);
}

void
window_rcpt_ready(struct queue *q, struct window_rcpt *r)
{
	struct destination *d = r->destination;
	struct list *ready = &d->ready[r->lane];
	struct job *j = list_empty(ready) ? NULL : CONTAINER_OF(ready->head.prev, struct job, node);
	bool fresh = j == NULL || d->kind == QUEUE_TARGET_LOCAL || !goes_with(q, j, r);

	if (fresh) {
		j = calloc(1, sizeof(*j));
		if (j == NULL) {
			schedule_due(q, r->lane, r->due_us);
			window_rcpt_remove(q, r);
			return;
		}
		j->message = r->message;
		j->lane = r->lane;
		window_message_ref(j->message);
		list_init(&j->rcpts);
	}
	leave(q, r);
	r->way = WAY_READY;
	r->message->active++;
	list_push(&j->rcpts, &r->node);
	j->n++;
	if (fresh)
		job_put(q, d, j, false);
}

void
window_rcpt_run(struct window_rcpt *r)
{
	r->way = WAY_RUNNING;
	r->message->active++;
}

void
window_job_return(struct queue *q, struct destination *d, struct job *j)
{
	LIST_FOREACH (&j->rcpts, n)
		CONTAINER_OF(n, struct window_rcpt, node)->way = WAY_READY;
	job_put(q, d, j, true);
}

/* ---- the end --------------------------------------------------------------------------------------------- */

void
window_free(struct queue *q)
{
	LIST_FOREACH (&q->destinations_all, n) {
		struct destination *d = CONTAINER_OF(n, struct destination, all);
		struct job *j;

		for (int i = 0; i < LANES; i++)
			while ((j = window_job_take(d, (enum lane)i)) != NULL) {
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
	site_free(q);
}
