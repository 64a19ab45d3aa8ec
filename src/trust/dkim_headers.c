/* dkim_headers.c: see the header. Fields of one name are chained from the lowest up; a signature takes them along the chain. */
#include "trust/dkim_headers.h"

#include <openssl/evp.h>

#define BUCKETS 256
#define PIECE_BYTES 4096

struct field {
	const struct header_field *f;
	struct field *above; /* the next one of this name */
};

/* All fields of one name. */
struct group {
	struct group *next; /* of the bucket */
	struct field *lowest;
	struct field *cursor; /* of the signature `stamp` */
	size_t count;
	uint64_t stamp;
};

struct dkim_headers {
	struct group *buckets[BUCKETS];
	uint64_t stamp;
};

static struct group *
find(const struct dkim_headers *h, struct slice name)
{
	struct group *g = h->buckets[slice_ihash(name, 0) % BUCKETS];

	while (g != NULL && !slice_ieq(g->lowest->f->name, name))
		g = g->next;
	return g;
}

int
dkim_headers_index(struct arena *a, const struct header *header, struct dkim_headers **out)
{
	struct dkim_headers *h = ARENA_NEW(a, struct dkim_headers);

	*out = h;
	for (size_t i = header->n; h != NULL && i > 0; i--) {
		struct field *f = ARENA_NEW(a, struct field), **tail;
		struct group *g;

		if (f == NULL)
			return ERR_NOMEM;
		f->f = &header->v[i - 1];
		g = find(h, f->f->name);
		if (g == NULL) {
			struct group **bucket = &h->buckets[slice_ihash(f->f->name, 0) % BUCKETS];

			g = ARENA_NEW(a, struct group);
			if (g == NULL)
				return ERR_NOMEM;
			*g = (struct group){.next = *bucket, .lowest = f};
			*bucket = g;
		} else {
			/* until the first signature the cursor is where the chain grows */
			tail = &g->cursor->above;
			*tail = f;
		}
		g->cursor = f;
		g->count++;
	}
	return h == NULL ? ERR_NOMEM : 0;
}

/* The field that the next mention of its name means, or NULL. */
static const struct header_field *
take(struct dkim_headers *h, struct slice name, struct slice self)
{
	struct group *g = find(h, name);
	const struct header_field *f;

	if (g == NULL)
		return NULL;
	if (g->stamp != h->stamp) {
		g->stamp = h->stamp;
		g->cursor = g->lowest;
	}
	if (g->cursor != NULL && g->cursor->f->raw.p == self.p)
		g->cursor = g->cursor->above;
	if (g->cursor == NULL)
		return NULL;
	f = g->cursor->f;
	g->cursor = g->cursor->above;
	return f;
}

static void
free_md(EVP_MD_CTX **md)
{
	EVP_MD_CTX_free(*md);
}

static bool
drain(EVP_MD_CTX *md, struct buf *text)
{
	bool good = text->err == 0 && EVP_DigestUpdate(md, text->p, text->n) == 1;

	text->n = 0;
	return good;
}

int
dkim_headers_hash(struct dkim_headers *h, struct slice names, enum dkim_canon c, struct slice self, struct slice tail,
    uint8_t hash[DKIM_HASH_BYTES])
{
	EVP_MD_CTX *md __attribute__((cleanup(free_md))) = EVP_MD_CTX_new();
	struct buf text BUF_CLEANUP;
	bool good;

	buf_init(&text, SIZE_MAX / 2); /* bounded by one field and a piece */
	good = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	h->stamp++;
	while (good && names.p != NULL) {
		const struct header_field *f = take(h, slice_trim(slice_cut(&names, ':')), self);

		if (f != NULL)
			dkim_canon_field(c, f->raw, false, &text);
		if (text.n >= PIECE_BYTES)
			good = drain(md, &text);
	}
	good = good && drain(md, &text) && EVP_DigestUpdate(md, tail.p, tail.n) == 1 &&
	    EVP_DigestFinal_ex(md, hash, NULL) == 1;
	return good ? 0 : ERR_NOMEM;
}

size_t
dkim_headers_count(const struct dkim_headers *h, struct slice name)
{
	const struct group *g = find(h, name);

	return g == NULL ? 0 : g->count;
}

static const char *const once[] = {"From", "Sender", "Reply-To", "To", "Cc", "Date", "Subject", "Message-ID",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding"};

const char *
dkim_headers_added(const struct dkim_headers *h, struct slice names)
{
	size_t named[COUNT_OF(once)] = {0};

	while (names.p != NULL) {
		struct slice name = slice_trim(slice_cut(&names, ':'));

		for (size_t i = 0; i < COUNT_OF(once); i++)
			named[i] += slice_ieq(name, slice_z(once[i]));
	}
	for (size_t i = 0; i < COUNT_OF(once); i++)
		if (named[i] > 0 && dkim_headers_count(h, slice_z(once[i])) > named[i])
			return once[i];
	return NULL;
}
