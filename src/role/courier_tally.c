#include "role/courier_tally.h"

#include "base/log.h"

#define ROWS_MAX 5000
#define TELL_MAX 300
#define TELL_MS 1000
#define TELL_ARENA_BYTES ((size_t)4 << 20)
#define CLERK_MS 10000
#define KEY_BYTES 3000
#define DETAIL_BYTES 300

/* The parts of the key are separated by NULs: domain, policy, host, address, result. */
struct tally_row {
	int64_t sessions;
	size_t key_n;
	char detail[DETAIL_BYTES];
	uint8_t key[];
};

const char *
courier_tally_result(enum smtp_tls_result result)
{
	switch (result) {
	case SMTP_TLS_FINE: return "successful";
	case SMTP_TLS_NOT_OFFERED: return "starttls-not-supported";
	case SMTP_TLS_WRONG_NAME: return "certificate-host-mismatch";
	case SMTP_TLS_EXPIRED: return "certificate-expired";
	case SMTP_TLS_UNTRUSTED: return "certificate-not-trusted";
	case SMTP_TLS_FAILED: return "validation-failure";
	case SMTP_TLS_NOT_TRIED: break;
	}
	return NULL;
}

void
courier_tally_add(struct courier_tally *t, struct slice domain, struct slice policy, struct slice host,
    struct slice address, const char *result, struct slice detail)
{
	struct slice parts[] = {domain, policy, host, address, slice_z(result)};
	struct buf key BUF_CLEANUP;
	struct tally_row *row;

	buf_init(&key, KEY_BYTES);
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		buf_put(&key, parts[i]);
		buf_put_u8(&key, 0);
	}
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
	row->sessions++;
	(void)snprintf(row->detail, sizeof(row->detail), "%.*s", SLICE_ARG(detail));
	/* Cut in the middle of a character it would be no text. */
	if (!slice_is_utf8(slice_z(row->detail), true))
		row->detail[0] = '\0';
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

struct telling {
	struct slice domains[TELL_MAX], policies[TELL_MAX], hosts[TELL_MAX], addresses[TELL_MAX], results[TELL_MAX],
	    sessions[TELL_MAX], details[TELL_MAX];
	struct tally_row *rows[TELL_MAX];
	int64_t told[TELL_MAX];
	size_t n;
};

static void
collect(struct courier_tally *t, struct arena *a, struct telling *out)
{
	void *value;
	struct slice key;

	for (size_t at = 0; out->n < TELL_MAX && map_next(&t->rows, &at, &key, &value); out->n++) {
		struct tally_row *row = value;
		size_t i = out->n;

		out->rows[i] = row;
		out->told[i] = row->sessions;
		key = slice_of(row->key, row->key_n);
		out->domains[i] = slice_cut(&key, 0);
		out->policies[i] = slice_cut(&key, 0);
		out->hosts[i] = slice_cut(&key, 0);
		out->addresses[i] = slice_cut(&key, 0);
		out->results[i] = slice_cut(&key, 0);
		out->sessions[i] = arena_printf(a, "%lld", (long long)row->sessions);
		out->details[i] = slice_z(row->detail);
	}
}

static int
tell(struct courier_tally *t)
{
	struct bus_clerk_tls_results_reply rep;
	struct bus_clerk_tls_results_request q;
	struct telling *out;
	struct arena a ARENA_CLEANUP;
	int e;

	arena_init(&a, TELL_ARENA_BYTES);
	out = ARENA_NEW(&a, struct telling);
	if (out == NULL)
		return ERR_NOMEM;
	collect(t, &a, out);
	if (out->n == 0)
		return 0;
	q = (struct bus_clerk_tls_results_request){{out->domains, out->n}, {out->policies, out->n},
	    {out->hosts, out->n}, {out->addresses, out->n}, {out->results, out->n}, {out->sessions, out->n},
	    {out->details, out->n}};
	e = BUS_CALL(t->c->bus, ROLE_CLERK, 0, clerk_tls_results, &q, &a, &rep, CLERK_MS);
	for (size_t i = 0; e == 0 && i < out->n; i++) {
		struct tally_row *row = out->rows[i];

		row->sessions -= out->told[i];
		if (row->sessions > 0)
			continue;
		(void)map_remove(&t->rows, slice_of(row->key, row->key_n));
		free(row);
	}
	return e;
}

static void
tell_always(void *arg)
{
	struct courier_tally *t = arg;
	int e = 0;

	while (e == 0 && !t->stopping) {
		if (t->rows.n == 0)
			e = waitq_wait(t->c->loop, &t->filled, DEADLINE_NEVER);
		if (e == 0)
			e = fiber_sleep(t->c->loop, TELL_MS);
		/* What the clerk did not take is told again. */
		if (e == 0)
			(void)!tell(t);
	}
}

int
courier_tally_start(struct courier_tally *t, struct role_context *c)
{
	*t = (struct courier_tally){.c = c};
	waitq_init(&t->filled);
	map_init(&t->rows, ROWS_MAX, house_random_u64(c->house));
	return fiber_start(c->loop, "courier-tally", tell_always, t, &t->teller);
}

void
courier_tally_stop(struct courier_tally *t)
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
	if (fiber_self(t->c->loop) != NULL)
		(void)!tell(t);
	for (size_t at = 0; map_next(&t->rows, &at, &key, &row);)
		free(row);
	map_free(&t->rows);
	map_init(&t->rows, 0, 0);
}
