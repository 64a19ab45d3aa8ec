/* vault_guess.c: what the brake (vault_brake.h) counts is written down now and then and at the end, and read at the start; the operator
 * can look at it and lift it. A vault that is killed forgets the last half minute. */
#include "role/vault_private.h"

#include "base/log.h"
#include "directory/secret_guess.h"

#include <jansson.h>

#define SAVE_MS 30000
#define ROWS_BYTES_MAX (8u << 20)

struct guess_call {
	struct arena *arena;
	struct secret_guess *v;
	size_t n;
};

static int
list_tx(struct sqltx *tx, void *arg)
{
	struct guess_call *c = arg;

	return secret_guess_list(tx, c->arena, &c->v, &c->n);
}

static int
replace_tx(struct sqltx *tx, void *arg)
{
	struct guess_call *c = arg;

	return secret_guess_replace(tx, c->v, c->n);
}

static int
save(struct vault *v)
{
	struct arena ARENA_CLEANUP a;
	struct guess_call c = {.arena = &a};
	struct vault_brake_row *rows;
	int64_t now_us = house_now_us(v->house);
	int err;

	arena_init(&a, ROWS_BYTES_MAX);
	v->brake.changed = false;
	err = vault_brake_rows(&v->brake, &a, &rows, &c.n);
	c.v = err == 0 ? ARENA_ARRAY(&a, struct secret_guess, c.n) : NULL;
	if (err == 0 && c.v == NULL && c.n > 0)
		err = ERR_NOMEM;
	for (size_t i = 0; err == 0 && i < c.n; i++)
		c.v[i] = (struct secret_guess){.name = rows[i].account_id,
		    .failures = rows[i].failures,
		    .since_us = now_us - rows[i].since_ms * 1000,
		    .known = rows[i].known};
	if (err == 0)
		err = sql_write(v->db, replace_tx, &c);
	if (err != 0) {
		v->brake.changed = true;
		LOG(v->house, WARN, "guesses_not_saved", LOG_E(err));
	}
	return err;
}

static void
save_now_and_then(void *arg)
{
	struct vault *v = arg;

	while (fiber_sleep(v->loop, SAVE_MS) == 0)
		if (v->brake.changed)
			(void)(save(v) == 0);
}

int
vault_guess_start(struct vault *v)
{
	struct arena ARENA_CLEANUP a;
	struct guess_call c = {.arena = &a};
	int64_t now_us = house_now_us(v->house);
	int err;

	arena_init(&a, ROWS_BYTES_MAX);
	err = sql_read(v->db, list_tx, &c);
	for (size_t i = 0; err == 0 && i < c.n; i++) {
		struct vault_brake_row row = {.account_id = c.v[i].name,
		    .failures = c.v[i].failures,
		    .since_ms = (now_us - c.v[i].since_us) / 1000,
		    .known = c.v[i].known};

		vault_brake_restore(&v->brake, &row);
	}
	return err != 0 ? err : fiber_start(v->loop, "guesses", save_now_and_then, v, &v->guess_saver);
}

void
vault_guess_end(struct vault *v)
{
	if (v->guess_saver == NULL)
		return;
	fiber_cancel(v->guess_saver);
	fiber_join(v->loop, &v->guess_saver);
	if (v->brake.changed)
		(void)(save(v) == 0);
}

/* ---- the operator ------------------------------------------------------------------------------------------------- */

static struct slice
to_json(const struct vault_brake_row *row, struct arena *a)
{
	json_t *o = json_pack("{s:I,s:I,s:I}", "failures", (json_int_t)row->failures, "waiting",
	    (json_int_t)row->waiting, "known_addresses", (json_int_t)(row->known.n / 16));

	return vault_row_text(o, a);
}

int
vault_on_guess_list(struct vault *v, struct bus_peer *from, struct bus_vault_guess_list_request *r, struct arena *a,
    struct bus_vault_guess_list_reply *reply)
{
	struct vault_brake_row *rows;
	struct slice *names, *json;
	size_t n;
	int err = vault_brake_rows(&v->brake, a, &rows, &n);

	(void)from;
	(void)r;
	names = err == 0 ? ARENA_ARRAY(a, struct slice, n + 1) : NULL;
	json = err == 0 ? ARENA_ARRAY(a, struct slice, n + 1) : NULL;
	if (names == NULL || json == NULL)
		return err != 0 ? err : ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		names[i] = rows[i].account_id;
		json[i] = to_json(&rows[i], a);
	}
	reply->names = (struct slice_list){names, n};
	reply->json = (struct slice_list){json, n};
	return arena_failed(a) ? ERR_NOMEM : 0;
}

int
vault_on_guess_lift(struct vault *v, struct bus_peer *from, struct bus_vault_guess_lift_request *r, struct arena *a,
    struct bus_vault_guess_lift_reply *reply)
{
	struct vault *self VAULT_ACTIVE = vault_enter(v);

	(void)from;
	(void)a;
	reply->lifted = vault_brake_lift(&v->brake, r->name);
	return reply->lifted ? save(v) : 0;
}
