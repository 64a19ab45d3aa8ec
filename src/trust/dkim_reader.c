/* dkim_reader.c: see the header. */
#include "trust/dkim_reader.h"

#include <openssl/evp.h>

#define HASHES_MAX 64 /* limits.dkim_signatures at most, and ARC's */
#define ARENA_BYTES ((size_t)64 << 20)

struct body_hash {
	enum dkim_canon canon;
	bool has_length;
	uint64_t length, left; /* has_length: what is still to be hashed */
	EVP_MD_CTX *md;
	uint8_t hash[DKIM_HASH_BYTES];
};

struct dkim_reader {
	const struct limits *limits;
	enum dkim_reading what;
	struct arena arena;
	struct buf raw; /* the header section */
	size_t line;    /* bytes of its last line so far */
	bool line_cr;   /* they are one CR */
	bool in_body, bare, too_large;
	int err;
	struct header header;
	struct dkim_headers *index;
	struct dkim_found *found;
	size_t found_n, found_all;
	struct dkim_found *arc;
	struct body_hash hashes[HASHES_MAX];
	size_t hashes_n;
	bool wanted[2]; /* by enum dkim_canon */
	struct dkim_body_canon canon[2];
};

int
dkim_reader_new(struct dkim_reader **out, const struct limits *l, enum dkim_reading what)
{
	struct dkim_reader *r = calloc(1, sizeof(*r));

	*out = r;
	if (r == NULL)
		return ERR_NOMEM;
	r->limits = l;
	r->what = what;
	arena_init(&r->arena, ARENA_BYTES);
	buf_init(&r->raw, (size_t)l->message_header_bytes);
	return 0;
}

void
dkim_reader_free(struct dkim_reader **rp)
{
	struct dkim_reader *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->hashes_n; i++)
		EVP_MD_CTX_free(r->hashes[i].md);
	buf_free(&r->raw);
	arena_free(&r->arena);
	free(r);
}

/* ---- the body ------------------------------------------------------------------------------------------------------ */

/* A run of canonical bytes, for every hash of this canonicalization. */
static void
hash_run(struct dkim_reader *r, enum dkim_canon c, struct slice run)
{
	for (size_t i = 0; i < r->hashes_n; i++) {
		struct body_hash *h = &r->hashes[i];
		struct slice part = h->has_length && run.n > h->left ? slice_head(run, (size_t)h->left) : run;

		if (h->canon != c || part.n == 0)
			continue;
		h->left -= h->has_length ? part.n : 0;
		if (EVP_DigestUpdate(h->md, part.p, part.n) != 1)
			r->err = ERR_NOMEM;
	}
}

static void
simple_run(void *ctx, struct slice run)
{
	hash_run(ctx, DKIM_SIMPLE, run);
}

static void
relaxed_run(void *ctx, struct slice run)
{
	hash_run(ctx, DKIM_RELAXED, run);
}

/* The hash of the body that this signature wants, shared with others that want the same. */
static int
want_hash(struct dkim_reader *r, enum dkim_canon c, bool has_length, uint64_t length)
{
	struct body_hash *h;

	for (size_t i = 0; i < r->hashes_n; i++)
		if (r->hashes[i].canon == c && r->hashes[i].has_length == has_length && r->hashes[i].length == length)
			return (int)i;
	if (r->hashes_n == HASHES_MAX)
		return -1;
	h = &r->hashes[r->hashes_n];
	*h = (struct body_hash){
	    .canon = c, .has_length = has_length, .length = length, .left = length, .md = EVP_MD_CTX_new()};
	if (h->md == NULL || EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(h->md);
		r->err = ERR_NOMEM;
		return -1;
	}
	r->wanted[c] = true;
	return (int)r->hashes_n++;
}

/* ---- the header ------------------------------------------------------------------------------------------------------ */

static void
read_signature(struct dkim_reader *r, const struct header_field *f, bool arc, struct dkim_found *out)
{
	int err = dkim_signature_parse(&r->arena, f, arc, &out->signature, &out->fault);

	out->hash = -1;
	if (err == ERR_NOMEM)
		r->err = err;
	if (err == 0)
		out->hash = want_hash(r, out->signature.body_canon, out->signature.has_length, out->signature.length);
}

static void
find_signatures(struct dkim_reader *r)
{
	size_t max = (size_t)r->limits->dkim_signatures;
	const struct header_field *ams = NULL;
	int newest = 0;

	max = max < HASHES_MAX - 1 ? max : HASHES_MAX - 1;
	r->found = ARENA_ARRAY(&r->arena, struct dkim_found, max + 1);
	for (size_t i = 0; r->found != NULL && i < r->header.n; i++) {
		const struct header_field *f = &r->header.v[i];

		if (slice_ieq(f->name, SLICE("DKIM-Signature"))) {
			r->found_all++;
			if (r->found_n < max)
				read_signature(r, f, false, &r->found[r->found_n++]);
		} else if (slice_ieq(f->name, SLICE("ARC-Message-Signature")) && arc_instance_of(f->value) > newest) {
			newest = arc_instance_of(f->value);
			ams = f;
		}
	}
	if (r->found != NULL && ams != NULL) {
		r->arc = &r->found[max];
		read_signature(r, ams, true, r->arc);
	}
}

static void
end_header(struct dkim_reader *r)
{
	r->in_body = true;
	if (r->too_large || r->err != 0)
		return;
	r->err = header_parse(&r->arena, buf_slice(&r->raw), r->limits, &r->header);
	if (r->err == 0)
		r->err = dkim_headers_index(&r->arena, &r->header, &r->index);
	if (r->err != 0)
		return;
	if (r->what == DKIM_SIGNING)
		(void)want_hash(r, DKIM_RELAXED, false, 0);
	else if (dkim_reader_fault(r) == NULL)
		find_signatures(r);
	if (arena_failed(&r->arena))
		r->err = ERR_NOMEM;
	dkim_body_canon_init(&r->canon[DKIM_SIMPLE], DKIM_SIMPLE, simple_run, r);
	dkim_body_canon_init(&r->canon[DKIM_RELAXED], DKIM_RELAXED, relaxed_run, r);
}

/* Takes what belongs to the header section; returns how much. */
static size_t
feed_header(struct dkim_reader *r, struct slice run)
{
	size_t i = 0;

	while (i < run.n && !r->in_body) {
		uint8_t c = slice_at(run, i++);

		if (r->line_cr && c != '\n')
			r->bare = true;
		if (c != '\n') {
			r->line++;
			/* after a first byte that is a CR the line is empty if the LF follows */
			r->line_cr = c == '\r';
			continue;
		}
		r->bare = r->bare || !r->line_cr;
		if (r->line == (size_t)r->line_cr) {
			buf_put(&r->raw, slice_head(run, i));
			r->too_large = r->too_large || r->raw.err == ERR_LIMIT;
			r->err = r->raw.err == ERR_NOMEM ? ERR_NOMEM : r->err;
			end_header(r);
			return i;
		}
		r->line = 0;
		r->line_cr = false;
	}
	buf_put(&r->raw, run);
	r->too_large = r->too_large || r->raw.err == ERR_LIMIT;
	r->err = r->raw.err == ERR_NOMEM ? ERR_NOMEM : r->err;
	return run.n;
}

void
dkim_reader_feed(struct dkim_reader *r, struct slice run)
{
	if (!r->in_body)
		run = slice_from(run, feed_header(r, run));
	if (!r->in_body || r->too_large || r->err != 0)
		return;
	for (int c = 0; c < 2; c++)
		if (r->wanted[c])
			dkim_body_canon_feed(&r->canon[c], run);
}

int
dkim_reader_end(struct dkim_reader *r)
{
	if (!r->in_body)
		end_header(r);
	if (r->too_large || r->err != 0)
		return r->err;
	for (int c = 0; c < 2; c++)
		if (r->wanted[c])
			dkim_body_canon_end(&r->canon[c]);
	for (size_t i = 0; r->err == 0 && i < r->hashes_n; i++)
		if (EVP_DigestFinal_ex(r->hashes[i].md, r->hashes[i].hash, NULL) != 1)
			r->err = ERR_NOMEM;
	return r->err;
}

/* ---- after the end ------------------------------------------------------------------------------------------------------ */

const struct header *
dkim_reader_header(const struct dkim_reader *r)
{
	return &r->header;
}

const char *
dkim_reader_fault(const struct dkim_reader *r)
{
	if (r->too_large)
		return "the header of the message is too large for its signatures to be checked";
	if (r->header.truncated)
		return "the message has too many header fields for its signatures to be checked";
	return r->bare ? "a line in the header of the message does not end in CR LF" : NULL;
}

struct dkim_headers *
dkim_reader_headers(struct dkim_reader *r)
{
	return r->index;
}

const struct dkim_found *
dkim_reader_signatures(const struct dkim_reader *r, size_t *n, size_t *all)
{
	*n = r->found_n;
	*all = r->found_all;
	return r->found;
}

const struct dkim_found *
dkim_reader_arc_signature(const struct dkim_reader *r)
{
	return r->arc;
}

void
dkim_reader_body_hash(const struct dkim_reader *r, int hash, uint8_t out[DKIM_HASH_BYTES], uint64_t *bytes)
{
	ASSERT(hash >= 0 && (size_t)hash < r->hashes_n);
	memcpy(out, r->hashes[hash].hash, DKIM_HASH_BYTES);
	*bytes = r->canon[r->hashes[hash].canon].bytes;
}
