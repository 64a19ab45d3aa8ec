/* queue_site.c: sites: the servers that take the mail of one or more domains. What is learned of them holds for all of these:
 * how many sessions they like, how many messages a minute, that they do not answer. The courier tells the site of a
 * domain; until then a domain is a site of its own. The names are remembered across restarts (queue_site_name.c).
 *
 * Sessions grow by one for each that went well until it was too much once (a site asks for less, connections fail); then they
 * are halved and grow by one for each round, as TCP does. A site to which no connection succeeds is paused as
 * a whole, for longer each time, and then tried with one attempt: the recipients behind it keep their attempts. */
#include "queue/queue_tell.h"

#define FIRST_SESSIONS 10
#define GOOD_LATELY_US INT64_C(10000000)
#define FAILURES_IN_A_ROW 3
#define SHRINK_US INT64_C(1000000) /* what was under way together is one sign, not many */
#define KEEP_US (600 * INT64_C(1000000))
#define BURST_S 5

static const struct {
	const char *suffix;
	struct site_rate rate;
} rates[] = {
#define SITE_RATE(suffix, connections, connection_messages, per_minute, whose) \
	{suffix, {connections, connection_messages, per_minute}},
#include "queue/queue_site_rates.def"
#undef SITE_RATE
};

bool
queue_site_fits(struct slice site, struct slice suffix)
{
	size_t port = slice_rfind_byte(site, ':');

	if (port != SLICE_NONE && slice_at(site, site.n - 1) != ']')
		site = slice_head(site, port);
	return slice_iends(site, suffix) &&
	    (site.n == suffix.n || slice_at(site, site.n - suffix.n - 1) == '.' || suffix.n == 0);
}

static void
find_rate(struct queue *q, struct site *s)
{
	size_t best = 0;

	s->rate = (struct site_rate){0};
	for (size_t i = 0; i < COUNT_OF(rates); i++) {
		struct slice suffix = slice_z(rates[i].suffix);

		if (suffix.n > best && queue_site_fits(s->key, suffix)) {
			best = suffix.n;
			s->rate = rates[i].rate;
		}
	}
	if (q->c.ops.site_rate != NULL)
		q->c.ops.site_rate(q->c.ops.ctx, s->key, &s->rate.connections, &s->rate.connection_messages,
		    &s->rate.messages_per_minute);
}

static int64_t
sessions_max(const struct queue *q, const struct site *s)
{
	int64_t n = s->rate.connections > 0 ? s->rate.connections : q->house->limits.queue_concurrency;

	return (n < 1 ? 1 : n) * 1000;
}

/* ---- which ---------------------------------------------------------------------------------------- */

static struct site *
site_find(struct queue *q, struct slice key)
{
	struct site *s = map_get(&q->sites, key);

	if (s != NULL)
		return s;
	s = calloc(1, sizeof(*s) + key.n);
	if (s == NULL)
		return NULL;
	if (key.n > 0)
		memcpy(s + 1, key.p, key.n);
	s->key = slice_of(s + 1, key.n);
	for (int i = 0; i < LANES; i++)
		list_init(&s->runnable[i]);
	find_rate(q, s);
	s->limit_milli = 1000;
	s->tokens_us = house_now_us(q->house);
	s->tokens_milli = 1000;
	if (map_put(&q->sites, s->key, s) != 0) {
		free(s);
		return NULL;
	}
	list_push(&q->sites_all, &s->all);
	return s;
}

/* It is known what stands behind the name. */
static void
meet(const struct queue *q, struct site *s)
{
	int64_t max = sessions_max(q, s);

	if (s->met)
		return;
	s->met = true;
	if (!s->steady)
		s->limit_milli = max < FIRST_SESSIONS * 1000 ? max : FIRST_SESSIONS * 1000;
}

static void
site_drop(struct queue *q, struct site *s)
{
	map_remove(&q->sites, s->key);
	list_remove(&s->all);
	list_remove(&s->node);
	free(s);
}

int
site_join(struct queue *q, struct destination *d)
{
	struct slice key = d->route.n > 0 ? d->route : site_name_of(q, d->domain);
	struct site *s = site_find(q, key);

	if (s == NULL)
		return ERR_NOMEM;
	if (d->route.n > 0 || !slice_eq(key, d->domain))
		meet(q, s);
	d->site = s;
	s->domains++;
	d->suspended = queue_suspended(q, d->domain) || queue_suspended(q, s->key);
	return 0;
}

void
site_leave(struct queue *q, struct destination *d)
{
	struct site *s = d->site;

	d->site = NULL;
	if (s == NULL || --s->domains > 0 || s->running > 0)
		return;
	/* What was learned is worth keeping for a while: site_tick() sees to the rest. */
	list_remove(&s->node);
	if (s->sent == 0 && s->failures == 0 && !s->steady)
		site_drop(q, s);
}

static void
move_to(struct queue *q, struct destination *d, struct site *to)
{
	struct site *from = d->site;

	for (int i = 0; i < LANES; i++) {
		list_remove(&d->runnable[i]);
		LIST_FOREACH (&d->ready[i], n) {
			from->ready[i]--;
			to->ready[i]++;
		}
	}
	to->domains++;
	if (to->good_us == 0 && to->failures == 0) {
		to->limit_milli = from->limit_milli < sessions_max(q, to) ? from->limit_milli : sessions_max(q, to);
		to->good_us = from->good_us;
	}
	site_leave(q, d);
	d->site = to;
	d->suspended = queue_suspended(q, d->domain) || queue_suspended(q, to->key);
	window_make_runnable(q, d);
}

void
site_learn(struct queue *q, struct destination *d, struct slice site)
{
	struct site *to;

	if (site.n == 0 || site.n > 300 || slice_ieq(site, d->site->key))
		return;
	if (d->route.n == 0)
		site_name_remember(q, d->domain, site);
	to = site_find(q, site);
	if (to != NULL && to != d->site)
		move_to(q, d, to);
}

/* ---- what comes back -------------------------------------------------------------------------------- */

static void
shrink(struct queue *q, struct site *s)
{
	int64_t now_us = house_now_us(q->house);

	if (now_us - s->shrunk_us < SHRINK_US && s->shrunk_us != 0)
		return;
	s->shrunk_us = now_us;
	s->steady = true;
	s->limit_milli = s->limit_milli / 2 < 1000 ? 1000 : s->limit_milli / 2;
}

static void
grow(struct queue *q, struct site *s)
{
	int64_t max = sessions_max(q, s);

	s->limit_milli += s->steady ? 1000000 / s->limit_milli : 1000;
	if (s->limit_milli > max)
		s->limit_milli = max;
}

static void
pause_site(struct queue *q, struct site *s)
{
	const struct limits *l = &q->house->limits;
	int64_t low = (l->queue_site_pause_min_ms < l->queue_retry_min_ms ? l->queue_site_pause_min_ms
									  : l->queue_retry_min_ms) *
	    1000;
	int64_t high = l->queue_site_pause_max_ms * 1000;

	if (site_paused(q, s))
		return;
	s->pause_us = s->pause_us == 0 ? low : s->pause_us * 2;
	if (s->pause_us > high)
		s->pause_us = high;
	s->not_before_us = house_now_us(q->house) + s->pause_us -
	    (int64_t)house_random_below(q->house, (uint64_t)(s->pause_us / 10 + 1));
	s->limit_milli = 1000;
	s->evict = true;
	LOG(q->house, INFO, "site_paused", LOG_S("site", s->key), LOG_I("seconds", s->pause_us / 1000000),
	    LOG_I("failures", s->failures), LOG_Z("reply", s->last_reply));
	queue_wake(q);
}

/* It answers: what comes now need not queue up behind what was put off. */
static void
forget_slots(struct queue *q, const struct site *s)
{
	LIST_FOREACH (&q->destinations_all, n) {
		struct destination *d = CONTAINER_OF(n, struct destination, all);

		if (d->site == s)
			d->slot_us = 0;
	}
}

void
site_feedback(struct queue *q, struct site *s, enum site_verdict v, const struct outcome *why)
{
	int64_t now_us = house_now_us(q->house);

	if (v == SITE_GOOD) {
		if (s->failures >= FAILURES_IN_A_ROW)
			LOG(q->house, INFO, "site_answers", LOG_S("site", s->key));
		if (s->failures > 0)
			forget_slots(q, s);
		s->good_us = now_us;
		s->failures = 0;
		s->pause_us = s->not_before_us = 0;
		s->evict = false;
		meet(q, s);
		grow(q, s);
		/* One more may start than before. */
		if (site_has_ready(s) && !list_linked(&s->node)) {
			list_push(&q->runnable_sites, &s->node);
			schedule_dispatch(q);
		}
		return;
	}
	shrink(q, s);
	if (why != NULL) {
		s->last_class = why->reply_class;
		(void)!slice_to_z(
		    slice_head(why->status, sizeof(s->last_status) - 1), s->last_status, sizeof(s->last_status));
		(void)!slice_to_z(
		    slice_head(why->reply, sizeof(s->last_reply) - 1), s->last_reply, sizeof(s->last_reply));
	}
	if (v == SITE_TOO_MUCH)
		return;
	s->failures++;
	if (now_us - s->good_us > GOOD_LATELY_US || s->failures >= FAILURES_IN_A_ROW)
		pause_site(q, s);
}

/* ---- may it be asked -------------------------------------------------------------------------------- */

bool
site_paused(const struct queue *q, const struct site *s)
{
	return s->not_before_us > house_now_us(q->house);
}

bool
site_closed(struct queue *q, struct destination *d, int64_t *until_us)
{
	*until_us = 0;
	if (d->site == NULL)
		return false;
	if (site_paused(q, d->site))
		*until_us = d->site->not_before_us;
	if (d->suspended)
		*until_us = queue_suspended_until_us(q, d);
	return *until_us > 0;
}

struct slice
site_why_closed(struct queue *q, const struct row_rcpt *r, const char **state)
{
	size_t at = slice_rfind_byte(r->address, '@');
	struct arena a ARENA_CLEANUP;
	struct slice domain, key;
	struct site *s;
	int64_t until_us;

	*state = "suspended";
	if (r->kind != QUEUE_TARGET_REMOTE || at == SLICE_NONE)
		return SLICE_EMPTY;
	arena_init(&a, 65536);
	domain = address_key(&a, slice_from(r->address, at + 1));
	key = r->route.n > 0 ? r->route : site_name_of(q, domain);
	if (queue_suspended(q, domain) || queue_suspended(q, key))
		return SLICE("the postmaster has suspended the mail for this domain");
	s = map_get(&q->sites, key);
	*state = "site-paused";
	if (s != NULL && site_paused(q, s))
		return slice_z(s->last_reply);
	*state = "warm-up";
	return s != NULL && warmup_closed(q, s, (enum lane)r->lane, &until_us) ? warmup_words : SLICE_EMPTY;
}

static bool
has_token(struct queue *q, struct site *s)
{
	int64_t now_us = house_now_us(q->house), rate = s->rate.messages_per_minute, most, elapsed_us;

	if (rate <= 0)
		return true;
	elapsed_us = now_us - s->tokens_us;
	if (elapsed_us > 60 * INT64_C(1000000))
		elapsed_us = 60 * INT64_C(1000000);
	if (elapsed_us > 0) {
		s->tokens_milli += elapsed_us * rate / 60000;
		s->tokens_us = now_us;
	}
	most = rate * 1000 * BURST_S / 60;
	if (most < 1000)
		most = 1000;
	if (s->tokens_milli > most)
		s->tokens_milli = most;
	return s->tokens_milli >= 1000;
}

bool
site_may_start(struct queue *q, struct site *s)
{
	return !site_paused(q, s) && (int64_t)(s->running + 1) * 1000 <= s->limit_milli && has_token(q, s);
}

bool
site_may_go_on(struct queue *q, struct site *s)
{
	return !site_paused(q, s) && (int64_t)s->running * 1000 <= s->limit_milli && has_token(q, s);
}

void
site_take_token(struct queue *q, struct site *s, size_t recipients)
{
	warmup_count(q, s, (int64_t)recipients);
	if (s->rate.messages_per_minute > 0)
		s->tokens_milli -= 1000;
}

void
site_unpause(struct queue *q, struct site *s)
{
	s->not_before_us = 0;
	s->evict = false;
	if (site_has_ready(s) && !list_linked(&s->node))
		list_push(&q->runnable_sites, &s->node);
}

bool
site_has_ready(const struct site *s)
{
	for (int i = 0; i < LANES; i++)
		if (s->ready[i] > 0)
			return true;
	return false;
}

void
queue_sites_changed(struct queue *q)
{
	q->rates_stale = true;
	queue_wake(q);
}

static void
find_rates(struct queue *q)
{
	q->rates_stale = false;
	LIST_FOREACH (&q->sites_all, n) {
		struct site *s = CONTAINER_OF(n, struct site, all);

		find_rate(q, s);
		if (s->limit_milli > sessions_max(q, s))
			s->limit_milli = sessions_max(q, s);
	}
}

/* ---- the clockwork ------------------------------------------------------------------------------------ */

void
site_tick(struct queue *q)
{
	int64_t now_us = house_now_us(q->house);

	for (int i = 0; i < LANES; i++) {
		struct list_node *n;

		while ((n = list_pop(&q->blocked_sites[i])) != NULL)
			list_push(&q->runnable_sites, n);
	}
	if (q->rates_stale)
		find_rates(q);
	LIST_FOREACH (&q->sites_all, n) {
		struct site *s = CONTAINER_OF(n, struct site, all);

		if (site_has_ready(s) && !list_linked(&s->node))
			list_push(&q->runnable_sites, &s->node);
		if (s->domains == 0 && s->running == 0 && !site_paused(q, s) &&
		    (now_us - s->good_us > KEEP_US || q->sites.n > (size_t)q->house->limits.queue_sites))
			site_drop(q, s);
	}
	site_names_flush(q, false);
	warmup_flush(q, false);
}

static json_t *
site_json(struct queue *q, const struct site *s, struct arena *a)
{
	bool paused = site_paused(q, s);
	json_t *o = json_object();
	size_t ready = 0;

	for (int i = 0; i < LANES; i++)
		ready += s->ready[i];
	json_set_text(o, "site", a, s->key);
	json_object_set_new(o, "state",
	    json_string(queue_suspended(q, s->key) ? "suspended"
		    : paused                       ? "paused"
		    : s->failures > 0              ? "failing"
		    : s->running > 0               ? "sending"
						   : "idle"));
	json_object_set_new(o, "domains", json_integer((json_int_t)s->domains));
	json_object_set_new(o, "sessions", json_integer((json_int_t)s->running));
	json_object_set_new(o, "sessions_max", json_integer((json_int_t)(s->limit_milli / 1000)));
	json_object_set_new(o, "ready", json_integer((json_int_t)ready));
	json_object_set_new(o, "sent", json_integer((json_int_t)s->sent));
	json_object_set_new(o, "deferred", json_integer((json_int_t)s->deferred));
	json_object_set_new(o, "failed", json_integer((json_int_t)s->failed));
	warmup_tell(q, s, o);
	if (paused)
		json_set_time(o, "until", s->not_before_us);
	if (s->failures > 0 || s->steady)
		json_set_text(o, "reply", a, slice_z(s->last_reply));
	return o;
}

int
queue_sites(struct queue *q, queue_row_fn *fn, void *ctx)
{
	struct arena a ARENA_CLEANUP;
	json_t *rows = json_array();
	int err = 0;

	arena_init(&a, 64u << 20);
	/* The rows first: fn may park. */
	LIST_FOREACH (&q->sites_all, n)
		json_array_append_new(rows, site_json(q, CONTAINER_OF(n, struct site, all), &a));
	for (size_t i = 0; err == 0 && i < json_array_size(rows); i++)
		err = fn(ctx, json_array_get(rows, i));
	json_decref(rows);
	return err;
}

int
site_init(struct queue *q)
{
	map_init(&q->sites, SIZE_MAX, house_random_u64(q->house));
	map_init(&q->site_names, SIZE_MAX, house_random_u64(q->house));
	map_init(&q->suspensions, (size_t)q->house->limits.queue_suspensions, house_random_u64(q->house));
	map_init(&q->suppressed, (size_t)q->house->limits.suppressed_addresses, house_random_u64(q->house));
	map_init(&q->warmth, SIZE_MAX, house_random_u64(q->house));
	map_init(&q->volumes, SIZE_MAX, house_random_u64(q->house));
	list_init(&q->site_names_list);
	list_init(&q->sites_all);
	list_init(&q->runnable_sites);
	for (int i = 0; i < LANES; i++)
		list_init(&q->blocked_sites[i]);
	return 0;
}

void
site_free(struct queue *q)
{
	LIST_FOREACH (&q->sites_all, n)
		site_drop(q, CONTAINER_OF(n, struct site, all));
	map_free(&q->sites);
	site_names_free(q);
	suspension_free(q);
	suppress_free(q);
	map_free(&q->volumes);
	warmup_free(q);
}

json_t *
queue_sites_deferred(struct queue *q, size_t max)
{
	struct arena a ARENA_CLEANUP;
	json_t *o = json_object();
	int64_t below = INT64_MAX;

	arena_init(&a, 1u << 20);
	/* Few are asked for: the next lower number each time, so that equal ones come together. */
	while (json_object_size(o) < max && below > 1) {
		int64_t most = 0;

		LIST_FOREACH (&q->sites_all, n) {
			const struct site *s = CONTAINER_OF(n, struct site, all);

			most = s->deferred < below && s->deferred > most ? s->deferred : most;
		}
		LIST_FOREACH (&q->sites_all, n) {
			const struct site *s = CONTAINER_OF(n, struct site, all);
			struct slice key = text_clean(&a, s->key, 255);

			if (s->deferred == most && most > 0 && json_object_size(o) < max)
				(void)json_object_setn_new(o, (const char *)key.p, key.n, json_integer(most));
		}
		below = most;
	}
	return o;
}
