#include "role/gate_tally.h"

#include "base/log.h"

#define ROWS_MAX 5000
#define TELL_MAX 200
#define TELL_MS 1000
#define TELL_ARENA_BYTES ((size_t)8 << 20)
#define CLERK_MS 10000
#define STOP_MS 500 /* for what is asked of DNS when the role ends */
#define KEY_BYTES (3 * DMARC_ROW_BYTES_MAX)

/* The parts of the key are separated by NULs: domain, policy, addresses (lines), row. */
struct tally_row {
	int64_t count;
	size_t key_n;
	uint8_t key[];
};

static void
put_addresses(struct slice_list addresses, struct buf *out)
{
	for (size_t i = 0; i < addresses.n; i++) {
		buf_put(out, addresses.v[i]);
		buf_put_u8(out, '\n');
	}
}

void
gate_tally_add(struct gate_tally *t, const struct assess_question *q, const struct assessment *r)
{
	struct buf key BUF_CLEANUP;
	struct tally_row *row;

	if (t->stopping || !dmarc_report_wanted(r))
		return;
	buf_init(&key, KEY_BYTES);
	buf_put(&key, r->dmarc.policy_domain);
	buf_put_u8(&key, 0);
	dmarc_report_put_policy(&r->dmarc, &key);
	buf_put_u8(&key, 0);
	put_addresses(r->dmarc.record.rua, &key);
	buf_put_u8(&key, 0);
	dmarc_report_put_row(q, r, &key);
	if (key.err != 0)
		return;
	row = map_get(&t->rows, buf_slice(&key));
	if (row == NULL) {
		row = calloc(1, sizeof(*row) + key.n);
		if (row == NULL)
			return;
		row->key_n = key.n;
		memcpy(row->key, key.p, key.n);
		if (map_put(&t->rows, buf_slice(&key), row) != 0) {
			free(row);
			return;
		}
		waitq_wake_one(&t->filled);
	}
	row->count++;
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

struct telling {
	struct slice domains[TELL_MAX], policies[TELL_MAX], destinations[TELL_MAX], rows[TELL_MAX], counts[TELL_MAX];
	size_t n;
};

/* Lines of addresses as a list, and back. */
static struct slice_list
split_lines(struct slice lines, struct arena *a)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, DMARC_ADDRESSES_MAX);
	size_t n = 0;

	while (v != NULL && lines.n > 0 && n < DMARC_ADDRESSES_MAX)
		v[n++] = slice_cut(&lines, '\n');
	return (struct slice_list){v, n};
}

/* The addresses that may be written to; empty: none, or it cannot be found out now. */
static int
allowed(struct gate_tally *t, struct slice domain, struct slice addresses, struct arena *a, struct slice *out)
{
	struct resolver *resolver = resolver_use(*t->resolver);
	struct trust_lookup lookup = {.dns = resolver->dns,
	    .cache = t->cache,
	    .deadline_ms = loop_deadline(t->c->loop, t->stopping ? STOP_MS : t->c->house->limits.trust_timeout_ms)};
	struct trust_dns dns = trust_lookup_dns(&lookup);
	struct buf text BUF_CLEANUP;
	struct slice_list found;
	int e = dmarc_report_destinations(&dns, a, domain, split_lines(addresses, a), &found);

	resolver_release(&resolver);
	buf_init(&text, DMARC_ROW_BYTES_MAX);
	if (e == 0)
		put_addresses(found, &text);
	*out = arena_copy(a, buf_slice(&text));
	return e == ERR_UNAVAILABLE ? 0 : e != 0 ? e : text.err;
}

/* Takes rows out of the tally, into the message to the clerk. */
static int
collect(struct gate_tally *t, struct arena *a, struct telling *out)
{
	struct tally_row *taken[TELL_MAX];
	void *value;
	struct slice key;
	size_t n = 0;
	int e = 0;

	for (size_t at = 0; n < TELL_MAX && map_next(&t->rows, &at, &key, &value); n++)
		taken[n] = value;
	for (size_t i = 0; i < n; i++)
		(void)map_remove(&t->rows, slice_of(taken[i]->key, taken[i]->key_n));
	for (size_t i = 0; i < n; i++) {
		struct tally_row *row = taken[i];
		struct slice addresses;

		key = arena_copy(a, slice_of(row->key, row->key_n));
		out->counts[out->n] = arena_printf(a, "%lld", (long long)row->count);
		free(row);
		out->domains[out->n] = slice_cut(&key, 0);
		out->policies[out->n] = slice_cut(&key, 0);
		addresses = slice_cut(&key, 0);
		out->rows[out->n] = key;
		if (e == 0)
			e = allowed(t, out->domains[out->n], addresses, a, &out->destinations[out->n]);
		out->n += e == 0 && out->destinations[out->n].n > 0;
	}
	return e;
}

/* Reports are worth no second try: what a clerk that is being restarted does not hear is not counted. */
static int
tell(struct gate_tally *t)
{
	struct bus_clerk_dmarc_results_reply rep;
	struct bus_clerk_dmarc_results_request q;
	struct telling *out;
	struct arena a ARENA_CLEANUP;
	int e;

	arena_init(&a, TELL_ARENA_BYTES);
	out = ARENA_NEW(&a, struct telling);
	if (out == NULL)
		return ERR_NOMEM;
	e = collect(t, &a, out);
	if (e != 0 || out->n == 0)
		return e;
	q = (struct bus_clerk_dmarc_results_request){{out->domains, out->n}, {out->policies, out->n},
	    {out->destinations, out->n}, {out->rows, out->n}, {out->counts, out->n}};
	return BUS_CALL(t->c->bus, ROLE_CLERK, 0, clerk_dmarc_results, &q, &a, &rep, CLERK_MS);
}

static void
tell_always(void *arg)
{
	struct gate_tally *t = arg;
	int e = 0;

	while (e == 0 && !t->stopping) {
		if (t->rows.n == 0)
			e = waitq_wait(t->c->loop, &t->filled, DEADLINE_NEVER);
		if (e == 0)
			e = fiber_sleep(t->c->loop, TELL_MS);
		if (e == 0)
			(void)!tell(t);
	}
}

int
gate_tally_start(struct gate_tally *t, struct role_context *c, struct trust_cache *cache, struct resolver **resolver)
{
	*t = (struct gate_tally){.c = c, .cache = cache, .resolver = resolver};
	waitq_init(&t->filled);
	map_init(&t->rows, ROWS_MAX, house_random_u64(c->house));
	return fiber_start(c->loop, "gate-tally", tell_always, t, &t->teller);
}

void
gate_tally_stop(struct gate_tally *t)
{
	void *row;
	struct slice key;

	if (t->c == NULL || t->stopping)
		return;
	t->stopping = true;
	if (t->teller != NULL) {
		fiber_cancel(t->teller);
		fiber_join(t->c->loop, &t->teller);
	}
	if (fiber_self(t->c->loop) != NULL && t->rows.n > 0)
		(void)!tell(t);
	for (size_t at = 0; map_next(&t->rows, &at, &key, &row);)
		free(row);
	map_free(&t->rows);
	map_init(&t->rows, 0, 0);
}
