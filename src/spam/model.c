/* model.c: online logistic regression on hashed, length-normalised features, learning where it errs or nearly does (TONE). */
#include "spam/model_private.h"

#include <math.h>

#define SHARED_BITS 21
#define SHARED_BAYES_BITS 19
#define SHARED_LOG 20000
#define SHARED_KEPT 1024 /* of each class */
#define SHARED_KEPT_BYTES (4300u << 10)
#define ACCOUNT_BITS 16
#define ACCOUNT_LOG 2000
#define ACCOUNT_KEPT 128
#define ACCOUNT_KEPT_BYTES (480u << 10)
#define RATE 1.5      /* of learning */
#define ENOUGH 0.05   /* errors below that are none */
#define REPLAYS 4     /* earlier examples gone over with each new one */
#define STALE_MAX 64  /* examples until the calibration is made anew */
#define HELD_MAX 4096 /* latest examples that it is made of */
#define KNOWS_MIN 20  /* examples of each class before there is an opinion */
#define ROUNDS 6      /* of going over many examples */
#define FOLDS 4

/* ---- life -------------------------------------------------------------------------------------------------------- */

int
spam_model_new(enum spam_kind kind, struct spam_model **out)
{
	bool shared = kind == SPAM_MODEL_SHARED;
	struct spam_model *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (m == NULL)
		return ERR_NOMEM;
	m->kind = kind;
	m->bits = shared ? SHARED_BITS : ACCOUNT_BITS;
	m->log_max = shared ? SHARED_LOG : ACCOUNT_LOG;
	m->kept_max = shared ? SHARED_KEPT : ACCOUNT_KEPT;
	m->kept_bytes_max = shared ? SHARED_KEPT_BYTES : ACCOUNT_KEPT_BYTES;
	m->calibration = spam_calibration_default();
	m->weights = calloc((size_t)1 << m->bits, sizeof(*m->weights));
	m->log = calloc(m->log_max, sizeof(*m->log));
	m->kept[0] = calloc(m->kept_max, sizeof(*m->kept[0]));
	m->kept[1] = calloc(m->kept_max, sizeof(*m->kept[1]));
	m->scratch = calloc(SPAM_KEYS_MAX, sizeof(*m->scratch));
	m->bayes.bits = shared ? SHARED_BAYES_BITS : 0;
	if (shared)
		m->bayes.v = calloc((size_t)1 << m->bayes.bits, sizeof(*m->bayes.v));
	*out = m;
	if (m->weights != NULL && m->log != NULL && m->kept[0] != NULL && m->kept[1] != NULL && m->scratch != NULL &&
	    (!shared || m->bayes.v != NULL))
		return 0;
	spam_model_free(out);
	return ERR_NOMEM;
}

void
spam_model_free(struct spam_model **out)
{
	struct spam_model *m = *out;

	if (m == NULL)
		return;
	for (size_t i = 0; m->log != NULL && i < m->log_n; i++)
		free(m->log[i].packed);
	free(m->weights);
	free(m->bayes.v);
	free(m->log);
	free(m->kept[0]);
	free(m->kept[1]);
	free(m->scratch);
	free(m);
	*out = NULL;
}

size_t
spam_model_bytes(const struct spam_model *m)
{
	return sizeof(*m) + (sizeof(*m->weights) << m->bits) +
	    (m->bayes.v == NULL ? 0 : sizeof(*m->bayes.v) << m->bayes.bits) + m->log_max * sizeof(*m->log) +
	    2 * m->kept_max * sizeof(*m->kept[0]) + SPAM_KEYS_MAX * sizeof(*m->scratch) + m->kept_bytes_max;
}

void
spam_model_examples(const struct spam_model *m, uint32_t *ham, uint32_t *spam)
{
	*ham = m->examples[0];
	*spam = m->examples[1];
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

void
spam_values(const uint32_t counts[SPAM_GROUPS], int32_t values[SPAM_GROUPS])
{
	for (size_t g = 0; g < SPAM_GROUPS; g++) {
		double v = counts[g] == 0 ? 0 : spam_groups[g].weight * SPAM_VALUE_ONE / sqrt(counts[g]);

		values[g] = (int32_t)lround(v);
	}
}

/* A message as the sums need it. */
struct point {
	const spam_key *v;
	size_t n;
	int32_t values[SPAM_GROUPS];
};

static struct point
point_of(const spam_key *v, size_t n, const uint32_t counts[SPAM_GROUPS])
{
	struct point p = {.v = v, .n = n};

	spam_values(counts, p.values);
	return p;
}

static double
margin_of(const struct spam_model *m, const struct point *p)
{
	int64_t groups[SPAM_GROUPS] = {0}, sum = 0;

	if (m == NULL)
		return 0;
	for (size_t i = 0; i < p->n; i++)
		groups[spam_key_group(p->v[i])] += (int32_t)m->weights[spam_model_place(m, p->v[i])];
	for (size_t g = 0; g < SPAM_GROUPS; g++)
		sum += groups[g] * p->values[g];
	return (double)sum / ((double)SPAM_VALUE_ONE * SPAM_VALUE_ONE * SPAM_STEP_ONE);
}

static void
add(struct spam_model *m, const struct point *p, int32_t step)
{
	uint32_t by[SPAM_GROUPS];

	for (size_t g = 0; g < SPAM_GROUPS; g++)
		by[g] = (uint32_t)step * (uint32_t)p->values[g];
	for (size_t i = 0; i < p->n; i++)
		m->weights[spam_model_place(m, p->v[i])] += by[spam_key_group(p->v[i])];
}

/* A step towards the truth, if the error is worth one; kept within what can be logged. */
static void
learn(struct spam_model *m, const struct spam_model *shared, const struct point *p, struct spam_entry *e)
{
	double error = (e->spam ? 1 : 0) - spam_probability(margin_of(m, p) + margin_of(shared, p));
	int32_t step = (int32_t)lround(error * RATE * SPAM_STEP_ONE);

	if (fabs(error) < ENOUGH || e->step + step > SPAM_STEP_MAX || e->step + step < -SPAM_STEP_MAX)
		return;
	add(m, p, step);
	e->step += step;
}

/* ---- scoring -------------------------------------------------------------------------------------------------- */

void
spam_model_score(const struct spam_model *shared, const struct spam_model *account, const struct spam_features *f,
    struct spam_score *out)
{
	struct point p = point_of(f->v, f->n, f->counts);
	uint32_t ham = shared->examples[0] + (account == NULL ? 0 : account->examples[0]),
		 spam = shared->examples[1] + (account == NULL ? 0 : account->examples[1]);

	*out = (struct spam_score){.margin = margin_of(shared, &p) + margin_of(account, &p),
	    .bayes = spam_bayes_score(&shared->bayes, f->v, f->n)};
	out->odds = spam_calibration_odds(&shared->calibration, out->margin, out->bayes);
	out->probability = spam_probability(out->odds);
	out->junk = shared->calibration.junk;
	if (ham < KNOWS_MIN || spam < KNOWS_MIN)
		out->opinion = SPAM_UNSURE;
	else
		out->opinion = out->odds >= out->junk ? SPAM_UNWANTED : out->odds < 0 ? SPAM_WANTED : SPAM_UNSURE;
}

double
spam_model_push(
    const struct spam_model *shared, const struct spam_model *account, const struct spam_features *f, spam_key key)
{
	struct point p = point_of(&key, 1, f->counts);

	return shared->calibration.margin * (margin_of(shared, &p) + margin_of(account, &p));
}

/* ---- the log --------------------------------------------------------------------------------------------------- */

struct spam_entry *
spam_log_find(const struct spam_model *m, uint64_t id, size_t *at)
{
	size_t low = 0, high = m->log_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (m->log[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	*at = low;
	return low < m->log_n && m->log[low].id == id ? &m->log[low] : NULL;
}

/* The features of the example are not kept any more. */
static void
forget_kept(struct spam_model *m, struct spam_entry *e)
{
	uint64_t *kept = m->kept[e->spam];
	size_t *n = &m->kept_n[e->spam];

	if (e->packed == NULL)
		return;
	for (size_t i = 0; i < *n; i++)
		if (kept[i] == e->id) {
			memmove(&kept[i], &kept[i + 1], (*n - i - 1) * sizeof(*kept));
			(*n)--;
			break;
		}
	m->kept_bytes -= e->packed_n;
	free(e->packed);
	e->packed = NULL;
	e->packed_n = 0;
}

static void
forget_entry(struct spam_model *m, size_t at)
{
	forget_kept(m, &m->log[at]);
	memmove(&m->log[at], &m->log[at + 1], (m->log_n - at - 1) * sizeof(*m->log));
	m->log_n--;
}

static void
forget_oldest(struct spam_model *m)
{
	size_t oldest = 0;

	for (size_t i = 1; i < m->log_n; i++)
		if (m->log[i].order < m->log[oldest].order)
			oldest = i;
	forget_entry(m, oldest);
}

/* The oldest of the class that takes more room goes first. */
int
spam_keep(struct spam_model *m, struct spam_entry *e, struct slice packed)
{
	uint64_t id = e->id;
	bool spam = e->spam;
	size_t at;

	if (packed.n > m->kept_bytes_max / 4)
		return 0;
	while (m->kept_n[spam] == m->kept_max || m->kept_bytes + packed.n > m->kept_bytes_max) {
		bool from = m->kept_n[spam] == m->kept_max ? spam : m->kept_n[1] >= m->kept_n[0];

		e = spam_log_find(m, m->kept[from][0], &at);
		ASSERT(e != NULL);
		forget_kept(m, e);
	}
	e = spam_log_find(m, id, &at);
	ASSERT(e != NULL);
	if ((e->packed = malloc(packed.n + 1)) == NULL)
		return ERR_NOMEM;
	memcpy(e->packed, packed.p, packed.n);
	e->packed_n = (uint32_t)packed.n;
	m->kept_bytes += packed.n;
	m->kept[spam][m->kept_n[spam]++] = id;
	return 0;
}

/* A new entry with no step yet. Other entries may move. */
static struct spam_entry *
log_new(struct spam_model *m, uint64_t id, bool spam, uint32_t print)
{
	size_t at;

	if (m->log_n == m->log_max)
		forget_oldest(m);
	(void)spam_log_find(m, id, &at);
	memmove(&m->log[at + 1], &m->log[at], (m->log_n - at) * sizeof(*m->log));
	m->log_n++;
	m->log[at] = (struct spam_entry){.id = id, .spam = spam, .print = print, .order = m->order++};
	return &m->log[at];
}

/* ---- features that are kept --------------------------------------------------------------------------------- */

static int
rising(const void *a, const void *b)
{
	spam_key x = *(const spam_key *)a, y = *(const spam_key *)b;

	return x < y ? -1 : x > y;
}

size_t
spam_pack(spam_key *v, size_t n, uint8_t *out)
{
	spam_key before = 0;
	size_t used = 0;

	qsort(v, n, sizeof(*v), rising);
	for (size_t i = 0; i < n; i++) {
		uint32_t gap = v[i] - before;

		before = v[i];
		for (; gap >= 0x80; gap >>= 7)
			out[used++] = (uint8_t)(gap | 0x80);
		out[used++] = (uint8_t)gap;
	}
	return used;
}

bool
spam_unpack(struct slice in, spam_key *v, size_t *n, uint32_t counts[SPAM_GROUPS])
{
	uint64_t key = 0, gap = 0;
	unsigned shift = 0;

	*n = 0;
	memset(counts, 0, SPAM_GROUPS * sizeof(*counts));
	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = slice_at(in, i);

		gap |= (uint64_t)(c & 0x7f) << shift;
		shift += 7;
		if ((c & 0x80) != 0 && shift < 35)
			continue;
		key += gap;
		if (gap == 0 || key > UINT32_MAX || (c & 0x80) != 0 || *n == SPAM_KEYS_MAX ||
		    spam_key_group((spam_key)key) >= SPAM_GROUPS)
			return false;
		v[(*n)++] = (spam_key)key;
		counts[spam_key_group((spam_key)key)]++;
		gap = 0;
		shift = 0;
	}
	return shift == 0;
}

/* Does not depend on their order. */
static uint32_t
print_of(const spam_key *v, size_t n)
{
	uint32_t sum = (uint32_t)n;

	for (size_t i = 0; i < n; i++)
		sum += (v[i] ^ v[i] >> 15) * 0x2c1b3c6du;
	return sum;
}

/* Keeps the features for going over them again. */
static int
keep(struct spam_model *m, uint64_t id, const spam_key *v, size_t n)
{
	size_t at;
	struct spam_entry *e = spam_log_find(m, id, &at);
	uint8_t *packed = malloc(n * 5 + 1);
	int err = ERR_NOMEM;

	ASSERT(e != NULL && n <= SPAM_KEYS_MAX);
	if (packed != NULL) {
		memcpy(m->scratch, v, n * sizeof(*v));
		err = spam_keep(m, e, slice_of(packed, spam_pack(m->scratch, n, packed)));
	}
	free(packed);
	return err;
}

/* Goes over an earlier example of the class again. */
static void
replay(struct spam_model *m, const struct spam_model *shared, bool spam, uint32_t which)
{
	uint32_t counts[SPAM_GROUPS];
	struct spam_entry *e;
	struct point p;
	size_t n, at;

	if (m->kept_n[spam] == 0)
		return;
	which = (which ^ which >> 15) * 0x2c1b3c6du;
	e = spam_log_find(m, m->kept[spam][(which >> 4) % m->kept_n[spam]], &at);
	ASSERT(e != NULL);
	if (!spam_unpack(slice_of(e->packed, e->packed_n), m->scratch, &n, counts))
		return;
	p = point_of(m->scratch, n, counts);
	learn(m, shared, &p, e);
}

/* ---- learning ---------------------------------------------------------------------------------------------------- */

/* A log of ids and what they were held for makes the calibration: the latest of them. */
void
spam_model_calibrate(struct spam_model *m)
{
	struct spam_held *held = calloc(HELD_MAX, sizeof(*held));
	uint32_t from = m->order > HELD_MAX ? m->order - HELD_MAX : 0;
	size_t n = 0;

	if (held == NULL)
		return;
	for (size_t i = 0; i < m->log_n && n < HELD_MAX; i++)
		if (m->log[i].order >= from)
			held[n++] = (struct spam_held){m->log[i].margin, m->log[i].bayes, m->log[i].spam};
	m->calibration = spam_calibrate(held, n);
	m->stale = 0;
	free(held);
}

static void
take_out(struct spam_model *m, size_t at, const struct point *p)
{
	struct spam_entry *e = &m->log[at];

	add(m, p, -e->step);
	if (e->counted)
		spam_bayes_remove(&m->bayes, p->v, p->n, e->spam);
	m->examples[e->spam]--;
	m->stale++;
	forget_entry(m, at);
}

int
spam_model_untrain(struct spam_model *m, uint64_t id, const struct spam_features *f)
{
	size_t at, n = f->n;
	struct spam_entry *e = spam_log_find(m, id, &at);
	uint32_t counts[SPAM_GROUPS];
	struct point p = point_of(f->v, f->n, f->counts);

	if (e == NULL)
		return ERR_NOTFOUND;
	if (print_of(f->v, f->n) != e->print) {
		if (e->packed == NULL || !spam_unpack(slice_of(e->packed, e->packed_n), m->scratch, &n, counts))
			return ERR_CONFLICT;
		p = point_of(m->scratch, n, counts);
	}
	take_out(m, at, &p);
	return 0;
}

int
spam_model_train(
    struct spam_model *m, const struct spam_model *shared, uint64_t id, bool spam, const struct spam_features *f)
{
	struct point p = point_of(f->v, f->n, f->counts);
	size_t at;
	struct spam_entry *e = spam_log_find(m, id, &at);
	int err;

	if (e != NULL && print_of(f->v, f->n) != e->print)
		return ERR_CONFLICT;
	if (e != NULL && e->spam == spam)
		return 0;
	if (e != NULL)
		take_out(m, at, &p);
	e = log_new(m, id, spam, print_of(f->v, f->n));
	e->margin = (float)(margin_of(m, &p) + margin_of(shared, &p));
	e->bayes = m->bayes.v == NULL ? 0 : (float)spam_bayes_score(&m->bayes, f->v, f->n);
	e->counted = m->bayes.v != NULL && spam_bayes_add(&m->bayes, f->v, f->n, spam);
	m->examples[spam]++;
	learn(m, shared, &p, e);
	err = keep(m, id, f->v, f->n);
	for (uint32_t i = 0; i < REPLAYS; i++)
		replay(m, shared, (i & 1) != 0, m->order * REPLAYS + i);
	if (++m->stale >= STALE_MAX)
		spam_model_calibrate(m);
	return err;
}

/* ---- many at once -------------------------------------------------------------------------------------------------- */

/* The examples of both classes in an order of their own, the smaller class spread among the larger. */
struct plan {
	const struct spam_example *v;
	uint32_t *order;
	struct spam_entry *entries; /* steps, at the examples' places */
	uint8_t *fold;              /* SKIPPED: is known already */
	size_t n;
};
#define SKIPPED 255

struct rank {
	uint64_t by, tie;
	uint32_t at;
};

static int
by_rank(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->by != y->by)
		return x->by < y->by ? -1 : 1;
	return x->tie < y->tie ? -1 : x->tie > y->tie;
}

/* A number that depends on id and round alone, each class spread evenly. */
static int
plan_order(struct plan *p, uint32_t round)
{
	struct rank *r = calloc(p->n + 1, sizeof(*r));
	size_t total[2] = {0}, seen[2] = {0};

	if (r == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n; i++) {
		uint64_t h = (p->v[i].id ^ round) * 0x9e3779b97f4a7c15ull;

		r[i] = (struct rank){(h ^ h >> 29) * 0xbf58476d1ce4e5b9ull, p->v[i].id, (uint32_t)i};
		total[p->v[i].spam]++;
	}
	qsort(r, p->n, sizeof(*r), by_rank);
	for (size_t i = 0; i < p->n; i++) {
		bool spam = p->v[r[i].at].spam;

		r[i].by = (++seen[spam] << 32) / (total[spam] + 1);
	}
	qsort(r, p->n, sizeof(*r), by_rank);
	for (size_t i = 0; i < p->n; i++)
		p->order[i] = r[i].at;
	free(r);
	return 0;
}

/* Goes over all examples but those of one fold. */
static int
plan_run(struct plan *p, struct spam_model *m, uint8_t without)
{
	int err = 0;

	for (uint32_t round = 0; err == 0 && round < ROUNDS; round++) {
		err = plan_order(p, round);
		for (size_t i = 0; err == 0 && i < p->n; i++) {
			size_t at = p->order[i];
			const struct spam_example *x = &p->v[at];
			struct point point;

			if (p->fold[at] == without || p->fold[at] == SKIPPED)
				continue;
			point = point_of(x->keys, x->n, x->counts);
			if (round == 0)
				p->entries[at].counted = spam_bayes_add(&m->bayes, x->keys, x->n, x->spam);
			learn(m, NULL, &point, &p->entries[at]);
		}
	}
	return err;
}

/* What each example of the fold is held for by a model of the others. */
static int
plan_fold(struct plan *p, uint8_t fold)
{
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL;
	int err = spam_model_new(SPAM_MODEL_SHARED, &m);

	for (size_t i = 0; err == 0 && i < p->n; i++)
		p->entries[i].step = 0;
	if (err == 0)
		err = plan_run(p, m, fold);
	for (size_t i = 0; err == 0 && i < p->n; i++) {
		struct point point = point_of(p->v[i].keys, p->v[i].n, p->v[i].counts);

		if (p->fold[i] != fold)
			continue;
		p->entries[i].margin = (float)margin_of(m, &point);
		p->entries[i].bayes = (float)spam_bayes_score(&m->bayes, p->v[i].keys, p->v[i].n);
	}
	return err;
}

/* The model itself, and its log. */
static int
plan_finish(struct plan *p, struct spam_model *m)
{
	int err;

	for (size_t i = 0; i < p->n; i++)
		p->entries[i].step = 0;
	err = plan_run(p, m, SKIPPED - 1);
	for (size_t i = 0; err == 0 && i < p->n; i++) {
		size_t at = p->order[i];
		const struct spam_example *x = &p->v[at];
		struct spam_entry *e;

		if (p->fold[at] == SKIPPED)
			continue;
		m->examples[x->spam]++;
		/* The log would lose it at once. */
		if (p->n - i > m->log_max)
			continue;
		e = log_new(m, x->id, x->spam, print_of(x->keys, x->n));
		e->step = p->entries[at].step;
		e->counted = p->entries[at].counted;
		e->margin = p->entries[at].margin;
		e->bayes = p->entries[at].bayes;
		if (p->n - i <= m->kept_max)
			err = keep(m, x->id, x->keys, x->n);
	}
	return err;
}

/* What the model knows is left out; of one that is there twice, the second. */
static int
plan_folds(struct plan *p, const struct spam_model *m)
{
	struct rank *r = calloc(p->n + 1, sizeof(*r));

	if (r == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n; i++)
		r[i] = (struct rank){p->v[i].id, i, (uint32_t)i};
	qsort(r, p->n, sizeof(*r), by_rank);
	for (size_t i = 0; i < p->n; i++) {
		size_t at = r[i].at, place;
		bool known = (i > 0 && r[i].by == r[i - 1].by) || spam_log_find(m, r[i].by, &place) != NULL;

		p->fold[at] = known ? SKIPPED : (uint8_t)((r[i].by >> 7) % FOLDS);
		p->entries[at].spam = p->v[at].spam;
	}
	free(r);
	return 0;
}

static int
plan_all(struct plan *p, struct spam_model *m)
{
	int err = plan_folds(p, m);

	for (uint8_t fold = 0; err == 0 && fold < FOLDS; fold++)
		err = plan_fold(p, fold);
	return err == 0 ? plan_finish(p, m) : err;
}

int
spam_model_train_all(struct spam_model *m, const struct spam_example *v, size_t n)
{
	struct plan p = {.v = v,
	    .order = calloc(n + 1, sizeof(*p.order)),
	    .entries = calloc(n + 1, sizeof(*p.entries)),
	    .fold = calloc(n + 1, sizeof(*p.fold)),
	    .n = n};
	int err = ERR_NOMEM;

	if (p.order != NULL && p.entries != NULL && p.fold != NULL)
		err = plan_all(&p, m);
	free(p.order);
	free(p.entries);
	free(p.fold);
	spam_model_calibrate(m);
	return err;
}
