#include "trust/trust_cache.h"

#define KEY_BYTES 260
#define TTL_MAX_S 86400
/* An answer larger than this part of the whole is not worth its place. */
#define SHARE 16

struct entry {
	struct list_node node; /* in oldest_first */
	int64_t until_s;
	size_t bytes;
	enum trust_dns_status status;
	bool secure;
	size_t n;
	struct slice key;
	struct trust_record v[]; /* then what it points at, and the key */
};

void
trust_cache_init(struct trust_cache *c, struct house *h)
{
	*c = (struct trust_cache){.house = h};
	map_init(&c->by_key, SIZE_MAX, house_random_u64(h));
	list_init(&c->oldest_first);
}

static void
drop(struct trust_cache *c, struct entry *e)
{
	(void)map_remove(&c->by_key, e->key);
	list_remove(&e->node);
	c->bytes -= e->bytes;
	free(e);
}

void
trust_cache_free(struct trust_cache *c)
{
	LIST_FOREACH (&c->oldest_first, n)
		drop(c, CONTAINER_OF(n, struct entry, node));
	map_free(&c->by_key);
}

/* The name in lower case and the type; empty when it is too long to be one. */
static struct slice
make_key(uint8_t out[KEY_BYTES], struct slice name, enum trust_dns_type type)
{
	if (name.n > KEY_BYTES - 2)
		return SLICE_EMPTY;
	out[0] = (uint8_t)((unsigned)type >> 8);
	out[1] = (uint8_t)type;
	for (size_t i = 0; i < name.n; i++)
		out[2 + i] = ascii_lower(slice_at(name, i));
	return slice_of(out, name.n + 2);
}

int
trust_cache_get(
    struct trust_cache *c, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	uint8_t key[KEY_BYTES];
	struct entry *e = map_get(&c->by_key, make_key(key, name, type));
	struct trust_record *v;

	/* A clock that was set back would make old answers new. */
	if (e != NULL && (e->until_s <= house_now_s(c->house) || e->until_s > house_now_s(c->house) + TTL_MAX_S)) {
		drop(c, e);
		e = NULL;
	}
	c->misses += e == NULL;
	c->hits += e != NULL;
	if (e == NULL)
		return 0;
	list_remove(&e->node);
	list_push(&c->oldest_first, &e->node);
	v = ARENA_ARRAY(a, struct trust_record, e->n + 1);
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < e->n; i++)
		v[i] = (struct trust_record){arena_copy(a, e->v[i].data), e->v[i].preference};
	*out = (struct trust_answer){.status = e->status, .secure = e->secure, .v = v, .n = e->n};
	return arena_failed(a) ? ERR_NOMEM : 1;
}

static struct slice
pack(uint8_t **at, struct slice s)
{
	struct slice there = slice_of(*at, s.n);

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return there;
}

static struct entry *
entry_new(struct slice key, const struct trust_answer *answer, size_t bytes)
{
	struct entry *e = calloc(1, bytes);
	uint8_t *at;

	if (e == NULL)
		return NULL;
	at = (uint8_t *)&e->v[answer->n];
	e->bytes = bytes;
	e->status = answer->status;
	e->secure = answer->secure;
	e->n = answer->n;
	for (size_t i = 0; i < answer->n; i++)
		e->v[i] = (struct trust_record){pack(&at, answer->v[i].data), answer->v[i].preference};
	e->key = pack(&at, key);
	return e;
}

static void
make_room(struct trust_cache *c, size_t bytes)
{
	const struct limits *l = &c->house->limits;

	while (!list_empty(&c->oldest_first) &&
	    (c->bytes + bytes > (size_t)l->trust_cache_bytes || c->by_key.n >= (size_t)l->trust_cache_answers))
		drop(c, CONTAINER_OF(list_first(&c->oldest_first), struct entry, node));
}

void
trust_cache_put(struct trust_cache *c, struct slice name, enum trust_dns_type type, const struct trust_answer *answer,
    uint32_t ttl_s)
{
	int64_t keep_s = answer->status == TRUST_DNS_TEMPORARY ? c->house->limits.trust_dns_retry_s : (int64_t)ttl_s;
	uint8_t text[KEY_BYTES];
	struct slice key = make_key(text, name, type);
	size_t bytes = sizeof(struct entry) + answer->n * sizeof(struct trust_record) + key.n;
	struct entry *e = map_get(&c->by_key, key);

	if (e != NULL)
		drop(c, e);
	for (size_t i = 0; i < answer->n; i++)
		bytes += answer->v[i].data.n;
	if (key.n == 0 || keep_s <= 0 || bytes > (size_t)c->house->limits.trust_cache_bytes / SHARE)
		return;
	make_room(c, bytes);
	e = entry_new(key, answer, bytes);
	if (e == NULL)
		return;
	e->until_s = house_now_s(c->house) + (keep_s < TTL_MAX_S ? keep_s : TTL_MAX_S);
	if (map_put(&c->by_key, e->key, e) != 0) {
		free(e);
		return;
	}
	list_push(&c->oldest_first, &e->node);
	c->bytes += bytes;
}
