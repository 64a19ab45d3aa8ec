/* desk_account.c: what the desk needs to know of an account before it uses it. The directory is the clerk's; answers are
 * remembered for a minute for deliveries, and asked for afresh when somebody signs in. */
#include "role/desk_private.h"

#define REMEMBER_MS 60000
#define REMEMBER_MAX 1000000

void
desk_account_forget(struct desk *d, struct slice account_id)
{
	free(map_remove(&d->settings, account_id));
}

/* Empties a map of what was malloc'd; it keeps its seed. */
static void
map_clear(struct map *m)
{
	size_t at = 0;
	struct slice key;
	void *value;

	while (map_next(m, &at, &key, &value))
		free(value);
	map_free(m);
}

void
desk_account_free(struct desk *d)
{
	map_clear(&d->settings);
	map_clear(&d->pop3_times);
}

static void
remember(struct desk *d, struct slice account_id, const struct desk_account *s)
{
	struct desk_account *kept = map_get(&d->settings, account_id);

	if (kept != NULL) {
		*kept = *s;
		return;
	}
	if (d->settings.n >= REMEMBER_MAX)
		map_clear(&d->settings);
	if ((kept = malloc(sizeof(*kept))) == NULL)
		return;
	*kept = *s;
	if (map_put(&d->settings, account_id, kept) != 0)
		free(kept);
}

int
desk_account_settings(struct desk *d, struct slice account_id, bool cached, struct desk_account *out)
{
	struct arena ARENA_CLEANUP mem;
	struct bus_clerk_account_request q = {.account_id = account_id};
	struct bus_clerk_account_reply rep = {0};
	const struct desk_account *kept = map_get(&d->settings, account_id);
	int err;

	if (cached && kept != NULL && kept->until_ms > loop_now_ms(d->c->loop)) {
		*out = *kept;
	} else {
		arena_init(&mem, 65536);
		err = bus_call_again(d->c->bus, ROLE_CLERK, 0, BUS_clerk_account, &q, &mem, &rep, DESK_ASK_MS);
		if (err == 0)
			*out = (struct desk_account){.until_ms = loop_deadline(d->c->loop, REMEMBER_MS),
			    .quota_bytes = rep.quota_bytes,
			    .found = rep.found != 0,
			    .enabled = rep.enabled != 0,
			    .vacation = rep.vacation != 0};
		arena_free(&mem);
		if (err != 0)
			return err;
		if (out->found)
			remember(d, account_id, out);
		else
			desk_account_forget(d, account_id);
	}
	return out->found ? 0 : ERR_NOTFOUND;
}

int
desk_account_open(struct desk *d, struct slice account_id, bool cached, struct store_account **out)
{
	struct desk_account s;
	int err;

	*out = NULL;
	if (account_desk(account_id, d->c->desks) != d->c->index)
		return ERR_INVALID;
	if ((err = desk_account_settings(d, account_id, cached, &s)) != 0)
		return err;
	err = store_account_get(d->store, account_id, out);
	if (err == ERR_NOTFOUND && (err = store_account_create(d->store, account_id)) == 0)
		err = store_account_get(d->store, account_id, out);
	if (err == 0)
		store_account_set_quota(*out, s.quota_bytes);
	return err;
}

bool
desk_pop3_too_soon(struct desk *d, struct slice account_id)
{
	int64_t delay_ms = d->c->house->limits.pop3_login_delay_ms, now_ms = loop_now_ms(d->c->loop);
	int64_t *last = map_get(&d->pop3_times, account_id);

	if (delay_ms == 0)
		return false;
	if (last == NULL) {
		if (d->pop3_times.n >= REMEMBER_MAX)
			map_clear(&d->pop3_times);
		last = malloc(sizeof(*last));
		if (last != NULL && map_put(&d->pop3_times, account_id, last) != 0) {
			free(last);
			last = NULL;
		}
	} else if (now_ms - *last < delay_ms) {
		return true;
	}
	if (last != NULL)
		*last = now_ms;
	return false;
}

int
desk_account_changed(struct desk *d, struct slice account_id)
{
	struct store_account *account = NULL;
	struct desk_account s;
	int err;

	desk_account_forget(d, account_id);
	err = desk_account_settings(d, account_id, false, &s);
	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	if (!s.enabled)
		desk_sessions_end_of(d, account_id);
	err = store_account_get(d->store, account_id, &account);
	if (err == 0)
		store_account_set_quota(account, s.quota_bytes);
	store_account_put(&account);
	return err == ERR_NOTFOUND ? 0 : err;
}
