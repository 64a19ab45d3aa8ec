#include "role/metrics.h"

#include "bus/bus.h"

#define PREFIX "posthouse_"
#define PATH_STEP_MAX 64

enum metric_type { COUNTER, GAUGE, COMMANDS, DELIVERIES };
enum sample_kind { ONE, EACH };

enum metric_id {
#define METRIC(id, name, type, help) METRIC_##id,
#define SAMPLE(id, roles, kind, path, labels, divisor)
#include "role/metrics.def"
#undef METRIC
#undef SAMPLE
	METRICS_COUNT
};

static const struct metric {
	const char *name, *help;
	enum metric_type type;
} metrics[METRICS_COUNT] = {
#define METRIC(id, name, type, help) {PREFIX name, help, type},
#define SAMPLE(id, roles, kind, path, labels, divisor)
#include "role/metrics.def"
#undef METRIC
#undef SAMPLE
};

/* In the order of the metrics: a metric's samples stand together, as the format wants them. */
static const struct sample {
	enum metric_id of;
	unsigned roles;
	enum sample_kind kind;
	const char *path, *labels;
	int64_t divisor;
} samples[] = {
#define METRIC(id, name, type, help)
#define SAMPLE(id, roles, kind, path, labels, divisor) {METRIC_##id, roles, kind, path, labels, divisor},
#include "role/metrics.def"
#undef METRIC
#undef SAMPLE
};

/* ---- looking it up -------------------------------------------------------------------------------------- */

static const json_t *
look_up(const json_t *row, const char *path)
{
	struct slice rest = slice_z(path);

	while (row != NULL && rest.p != NULL) {
		struct slice step = slice_cut(&rest, '.');
		char key[PATH_STEP_MAX];

		row = slice_to_z(step, key, sizeof(key)) == 0 ? json_object_get(row, key) : NULL;
	}
	return row;
}

static unsigned
role_bit(const json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "role"));

	for (unsigned r = ROLE_KEEPER; name != NULL && r <= ROLE_READER; r <<= 1)
		if (strcmp(bus_role_name((enum bus_role)r), name) == 0)
			return r;
	return 0;
}

/* ---- one line ------------------------------------------------------------------------------------------- */

/* The value of a label: \, " and line feeds are escaped; other control characters have no business there. */
static void
put_value(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\\' || *text == '"')
			buf_printf(out, "\\%c", *text);
		else if (*text == '\n')
			buf_put_z(out, "\\n");
		else
			buf_put_u8(out, (uint8_t)((unsigned char)*text < ' ' ? '?' : *text));
	}
}

/* What stands before the value: name{role="...",index="...",...}. `suffix`: of the name; key and value: one more label, or NULL. */
static void
put_series(
    struct buf *out, const struct sample *s, const json_t *row, const char *suffix, const char *key, const char *value)
{
	buf_printf(out, "%s%s{role=\"%s\",index=\"%lld\"", metrics[s->of].name, suffix,
	    bus_role_name((enum bus_role)role_bit(row)), (long long)json_integer_value(json_object_get(row, "index")));
	if (s->kind == ONE && s->labels[0] != '\0')
		buf_printf(out, ",%s", s->labels);
	if (key != NULL) {
		buf_printf(out, ",%s=\"", key);
		put_value(out, value);
		buf_put_z(out, "\"");
	}
	buf_put_z(out, "} ");
}

/* v / divisor, exact and without zeros at its end: divisors are powers of ten. */
static void
put_number(struct buf *out, int64_t v, int64_t divisor)
{
	int digits = 0;
	uint64_t size = v < 0 ? -(uint64_t)v : (uint64_t)v;

	for (int64_t d = divisor; d > 1; d /= 10)
		digits++;
	buf_printf(out, "%s%llu", v < 0 ? "-" : "", (unsigned long long)(size / (uint64_t)divisor));
	for (size %= (uint64_t)divisor; digits > 0 && size % 10 == 0; digits--)
		size /= 10;
	if (digits > 0)
		buf_printf(out, ".%0*llu", digits, (unsigned long long)size);
}

static bool
is_number(const json_t *v)
{
	return json_is_integer(v) || json_is_boolean(v);
}

static void
put_one(struct buf *out, const struct sample *s, const json_t *row, const json_t *v, const char *key, const char *value)
{
	if (!is_number(v))
		return;
	put_series(out, s, row, "", key, value);
	put_number(out, json_is_integer(v) ? json_integer_value(v) : json_is_true(v), s->divisor);
	buf_put_z(out, "\n");
}

/* ---- histograms ----------------------------------------------------------------------------------------- */

json_t *
metrics_times(const struct histogram *h)
{
	json_t *counts = json_array(), *o = json_object();

	for (size_t i = 0; i < COUNT_OF(h->counts); i++)
		(void)json_array_append_new(counts, json_integer((json_int_t)h->counts[i]));
	(void)json_object_set_new(o, "counts", counts);
	(void)json_object_set_new(o, "sum_us", json_integer((json_int_t)h->sum_us));
	return o;
}

static void
put_histogram(struct buf *out, const struct sample *s, const json_t *row, const json_t *v)
{
	const json_t *counts = json_object_get(v, "counts"), *sum = json_object_get(v, "sum_us");
	const int64_t *bounds;
	size_t n = histogram_bounds(
	    metrics[s->of].type == COMMANDS ? HISTOGRAM_COMMANDS : HISTOGRAM_DELIVERIES, &bounds);
	uint64_t total = 0;

	if (json_array_size(counts) <= n || !json_is_integer(sum))
		return;
	for (size_t i = 0; i <= n; i++) {
		struct buf bound BUF_CLEANUP;
		int64_t count = json_integer_value(json_array_get(counts, i));

		total += count < 0 ? 0 : (uint64_t)count;
		buf_init(&bound, 64);
		if (i < n)
			put_number(&bound, bounds[i], 1000000);
		else
			buf_put_z(&bound, "+Inf");
		buf_put_u8(&bound, 0);
		put_series(out, s, row, "_bucket", "le", (const char *)buf_slice(&bound).p);
		buf_printf(out, "%llu\n", (unsigned long long)total);
	}
	put_series(out, s, row, "_sum", NULL, NULL);
	put_number(out, json_integer_value(sum), 1000000);
	buf_put_z(out, "\n");
	put_series(out, s, row, "_count", NULL, NULL);
	buf_printf(out, "%llu\n", (unsigned long long)total);
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static void
put_each(struct buf *out, const struct sample *s, const json_t *row, const json_t *object)
{
	const char *key;
	json_t *v;
	size_t n = 0;

	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		if (n++ < METRICS_EACH_MAX)
			put_one(out, s, row, v, s->labels, key);
	}
}

static void
put_sample(struct buf *out, const struct sample *s, const json_t *rows)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const json_t *v = look_up(row, s->path);

		if ((role_bit(row) & s->roles) == 0 || v == NULL)
			continue;
		if (metrics[s->of].type == COMMANDS || metrics[s->of].type == DELIVERIES)
			put_histogram(out, s, row, v);
		else if (s->kind == EACH)
			put_each(out, s, row, v);
		else
			put_one(out, s, row, v, NULL, NULL);
	}
}

void
metrics_put(const json_t *rows, struct buf *out)
{
	size_t at = 0;

	for (size_t m = 0; m < METRICS_COUNT; m++) {
		buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[m].name, metrics[m].help, metrics[m].name,
		    metrics[m].type == COUNTER     ? "counter"
			: metrics[m].type == GAUGE ? "gauge"
						   : "histogram");
		for (; at < COUNT_OF(samples) && samples[at].of == m; at++)
			put_sample(out, &samples[at], rows);
	}
	ASSERT(at == COUNT_OF(samples));
}
