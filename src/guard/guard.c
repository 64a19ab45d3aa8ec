/* guard.c: the counts of each sender in a ring of slots; a fiber writes the slots that have changed to guard.db. */
#include "guard/guard.h"

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "rt/fiber.h"

#define SLOT_S 600
#define HOUR_SLOTS 6
#define DAY_SLOTS 144
#define SENDERS_MAX 1000000
#define WRITE_MS 1000
#define WRITE_ROWS_MAX 1000

#define SQL_STATEMENT(name, text) static const struct sql_text guard_sql_##name = {"guard_" #name, text};
#include "guard/guard_sql.def"
#undef SQL_STATEMENT

const struct sql_migration guard_migrations[] = {
#define SQL_MIGRATION(number, name, sql) {number, name, sql},
#include "guard/guard_migrations.def"
#undef SQL_MIGRATION
};
const size_t guard_migrations_count = COUNT_OF(guard_migrations);

struct slot {
	int64_t at; /* slots since 1970; a ring's place that has another one is stale */
	uint32_t messages, recipients, refused;
	bool dirty;
	int64_t refused_us;
};

struct sender {
	struct list_node node; /* in guard.dirty while a slot is */
	struct slice name;     /* behind the struct */
	bool forget;           /* its rows are to go first */
	struct slot ring[DAY_SLOTS];
};

struct guard {
	struct house *house;
	struct loop *loop;
	struct sqldb *db;
	struct map senders; /* name → struct sender */
	struct list dirty;
	struct fiber *writer;
	bool idle; /* the writer waits for something to write */
	bool closing;
	int64_t pruned_slot;
};

static int64_t
slot_now(const struct guard *g)
{
	return house_now_s(g->house) / SLOT_S;
}

static struct sender *
sender_get(struct guard *g, struct slice name, bool make)
{
	struct sender *s = map_get(&g->senders, name);

	if (s != NULL || !make)
		return s;
	s = calloc(1, sizeof(*s) + name.n);
	if (s == NULL)
		return NULL;
	memcpy(s + 1, name.p, name.n);
	s->name = slice_of(s + 1, name.n);
	if (map_put(&g->senders, name, s) == 0)
		return s;
	free(s);
	return NULL;
}

static struct slot *
slot_at(struct sender *s, int64_t at)
{
	return &s->ring[at % DAY_SLOTS];
}

/* The running slot, for counting in. */
static struct slot *
slot_open(struct guard *g, struct sender *s)
{
	int64_t now = slot_now(g);
	struct slot *t = slot_at(s, now);

	if (t->at != now)
		*t = (struct slot){.at = now};
	t->dirty = true;
	if (!list_linked(&s->node))
		list_push(&g->dirty, &s->node);
	if (g->idle)
		fiber_wake(g->writer);
	return t;
}

/* Sums of the slots now-n+1 … now. */
static void
sum(struct sender *s, int64_t now, int64_t n, int64_t *messages, int64_t *recipients)
{
	*messages = *recipients = 0;
	for (int64_t at = now - n + 1; at <= now; at++) {
		const struct slot *t = slot_at(s, at);

		if (at >= 0 && t->at == at) {
			*messages += t->messages;
			*recipients += t->recipients;
		}
	}
}

/* ---- rates ------------------------------------------------------------------------------------------------------ */

/* Seconds until the sum of a window of n slots has fallen to `room` or less. */
static int64_t
wait_for(struct guard *g, struct sender *s, int64_t n, bool recipients, int64_t room)
{
	int64_t now_s = house_now_s(g->house), now = now_s / SLOT_S, m, r;

	for (int64_t ahead = 1; ahead < n; ahead++) {
		sum(s, now, n - ahead, &m, &r);
		if ((recipients ? r : m) <= room)
			return (now + ahead) * SLOT_S - now_s;
	}
	return (now + n) * SLOT_S - now_s;
}

/* One window against its two limits. */
static bool
fits(struct guard *g, struct sender *s, int64_t slots, int64_t messages_max, int64_t recipients_max, int64_t recipients,
    struct guard_refusal *why)
{
	int64_t m, r;
	bool over_messages, over_recipients;

	sum(s, slot_now(g), slots, &m, &r);
	over_messages = messages_max > 0 && m + 1 > messages_max;
	over_recipients = recipients_max > 0 && r + recipients > recipients_max;
	if (!over_messages && !over_recipients)
		return true;
	*why = (struct guard_refusal){.what = over_messages ? "messages" : "recipients",
	    .day = slots == DAY_SLOTS,
	    .limit = over_messages ? messages_max : recipients_max};
	why->wait_s = over_messages ? wait_for(g, s, slots, false, messages_max - 1)
				    : wait_for(g, s, slots, true, recipients_max - recipients);
	return false;
}

bool
guard_take(struct guard *g, struct slice sender, int64_t recipients, const struct guard_rates *r, bool count,
    struct guard_refusal *why)
{
	struct sender *s = sender_get(g, sender, true);
	struct slot *t;

	if (s == NULL) {
		/* Without memory for counts nobody is stopped by them. */
		LOG(g->house, ERROR, "sender_not_counted", LOG_S("sender", sender));
		return true;
	}
	/* The day first: what is told is the longer wait. */
	if (!fits(g, s, DAY_SLOTS, r->messages_per_day, r->recipients_per_day, recipients, why) ||
	    !fits(g, s, HOUR_SLOTS, r->messages_per_hour, r->recipients_per_hour, recipients, why)) {
		t = slot_open(g, s);
		t->refused++;
		t->refused_us = house_now_us(g->house);
		return false;
	}
	if (count) {
		t = slot_open(g, s);
		t->messages++;
		t->recipients += (uint32_t)recipients;
	}
	return true;
}

void
guard_give_back(struct guard *g, struct slice sender, int64_t recipients)
{
	struct sender *s = sender_get(g, sender, false);
	struct slot *t = s == NULL ? NULL : slot_open(g, s);

	/* When a new slot has begun meanwhile, the old one keeps it. */
	if (t == NULL || t->messages == 0 || t->recipients < (uint64_t)recipients)
		return;
	t->messages--;
	t->recipients -= (uint32_t)recipients;
}

void
guard_usage(struct guard *g, struct slice sender, struct guard_usage *out)
{
	struct sender *s = sender_get(g, sender, false);
	int64_t now = slot_now(g);

	*out = (struct guard_usage){0};
	if (s == NULL)
		return;
	sum(s, now, HOUR_SLOTS, &out->messages_hour, &out->recipients_hour);
	sum(s, now, DAY_SLOTS, &out->messages_day, &out->recipients_day);
	for (size_t i = 0; i < DAY_SLOTS; i++) {
		const struct slot *t = &s->ring[i];

		if (t->at <= now - DAY_SLOTS)
			continue;
		out->refused_day += t->refused;
		if (t->refused_us > out->refused_last_us)
			out->refused_last_us = t->refused_us;
	}
}

void
guard_forget(struct guard *g, struct slice sender)
{
	struct sender *s = sender_get(g, sender, false);

	if (s == NULL)
		return;
	memset(s->ring, 0, sizeof(s->ring));
	s->forget = true;
	(void)slot_open(g, s);
}

size_t
guard_stopped(struct guard *g)
{
	int64_t since = house_now_us(g->house) - (int64_t)HOUR_SLOTS * SLOT_S * 1000000;
	struct slice name;
	size_t at = 0, n = 0;
	void *v;

	while (map_next(&g->senders, &at, &name, &v)) {
		struct guard_usage u;

		guard_usage(g, name, &u);
		n += u.refused_last_us > since;
	}
	return n;
}

/* ---- the database ------------------------------------------------------------------------------------------------ */

static int
read_row(struct guard *g, struct sql_rows *r)
{
	struct sender *s = sender_get(g, sql_col_bytes(r, 0), true);
	int64_t at = sql_col_int(r, 1);

	if (s == NULL)
		return ERR_NOMEM;
	if (at >= 0)
		*slot_at(s, at) = (struct slot){.at = at,
		    .messages = (uint32_t)sql_col_int(r, 2),
		    .recipients = (uint32_t)sql_col_int(r, 3),
		    .refused = (uint32_t)sql_col_int(r, 4),
		    .refused_us = sql_col_int(r, 5)};
	return 0;
}

static int
read_all(struct sqltx *tx, void *arg)
{
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	struct guard *g = arg;
	int err = SQL_QUERY(tx, &r, &guard_sql_sent_since, SQLI(slot_now(g) - DAY_SLOTS + 1));

	while (err == 0 && (err = sql_next(&r)) == 1)
		err = read_row(g, &r);
	return err;
}

/* A copy of what one transaction writes: the senders may change while it runs. */
struct written {
	struct slice name;
	bool forget;
	struct slot slot;
};
struct write {
	struct written *v;
	size_t n;
	int64_t prune; /* slots before this one; 0: none */
};

static int
write_rows(struct sqltx *tx, void *arg)
{
	const struct write *w = arg;
	int err = w->prune > 0 ? SQL_EXEC(tx, &guard_sql_sent_prune, SQLI(w->prune)) : 0;

	for (size_t i = 0; i < w->n && err == 0; i++) {
		const struct slot *t = &w->v[i].slot;

		if (w->v[i].forget)
			err = SQL_EXEC(tx, &guard_sql_sent_forget, SQLT(w->v[i].name));
		if (err == 0)
			err = SQL_EXEC(tx, &guard_sql_sent_put, SQLT(w->v[i].name), SQLI(t->at), SQLI(t->messages),
			    SQLI(t->recipients), SQLI(t->refused), SQLI(t->refused_us));
	}
	return err;
}

/* Takes the changed slots of one sender into the transaction. */
static void
collect(struct sender *s, struct write *w)
{
	bool forget = s->forget;

	for (size_t i = 0; i < DAY_SLOTS; i++) {
		if (!s->ring[i].dirty)
			continue;
		s->ring[i].dirty = false;
		w->v[w->n++] = (struct written){.name = s->name, .forget = forget, .slot = s->ring[i]};
		forget = false;
	}
	s->forget = false;
}

static void
write_dirty(struct guard *g)
{
	struct write w = {.v = calloc(WRITE_ROWS_MAX + DAY_SLOTS, sizeof(*w.v))};
	int64_t now = slot_now(g);
	int err;

	if (w.v == NULL)
		return;
	if (now != g->pruned_slot)
		w.prune = now - DAY_SLOTS + 1;
	g->pruned_slot = now;
	while (!list_empty(&g->dirty) && w.n < WRITE_ROWS_MAX) {
		struct sender *s = CONTAINER_OF(list_first(&g->dirty), struct sender, node);

		list_remove(&s->node);
		collect(s, &w);
	}
	err = sql_write(g->db, write_rows, &w);
	if (err != 0)
		LOG(g->house, ERROR, "counts_not_written", LOG_I("senders", w.n), LOG_E(err));
	free(w.v);
}

static void
writer(void *arg)
{
	struct guard *g = arg;

	while (!g->closing) {
		if (list_empty(&g->dirty)) {
			int err;

			g->idle = true;
			err = fiber_park(g->loop, DEADLINE_NEVER);
			g->idle = false;
			if (err != 0)
				break;
			continue;
		}
		write_dirty(g);
		/* What comes within the next second is written together. */
		if (!g->closing && fiber_sleep(g->loop, WRITE_MS) != 0)
			break;
	}
}

int
guard_open(struct guard **out, struct house *h, struct loop *l, struct sqldb *db)
{
	struct guard *g = calloc(1, sizeof(*g));
	int err;

	*out = g;
	if (g == NULL)
		return ERR_NOMEM;
	*g = (struct guard){.house = h, .loop = l, .db = db};
	list_init(&g->dirty);
	map_init(&g->senders, SENDERS_MAX, house_random_u64(h));
	err = sql_read(db, read_all, g);
	return err == 0 ? fiber_start(l, "guard", writer, g, &g->writer) : err;
}

void
guard_close(struct guard **gp)
{
	struct guard *g = *gp;
	struct slice name;
	size_t at = 0;
	void *s;

	*gp = NULL;
	if (g == NULL)
		return;
	g->closing = true;
	if (g->writer != NULL) {
		fiber_cancel(g->writer);
		fiber_join(g->loop, &g->writer);
	}
	while (!list_empty(&g->dirty))
		write_dirty(g);
	while (map_next(&g->senders, &at, &name, &s))
		free(s);
	map_free(&g->senders);
	free(g);
}
