/* model_file.c: a model as bytes: "phspam01", what made it, its numbers, its places that are not 0, its log, and the SHA-256 of all before.
 * Numbers are big-endian or, where most are small, in groups of seven bits, the lowest first. */
#include "spam/model_private.h"

#include "base/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <openssl/sha.h>
#include <unistd.h>

#define MAGIC SLICE("phspam01")
#define PATH_BYTES 2048

/* ---- writing --------------------------------------------------------------------------------------------------------- */

static void
put_number(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(out, (uint8_t)(v | 0x80));
	buf_put_u8(out, (uint8_t)v);
}

static void
put_double(struct buf *out, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	buf_put_be64(out, bits);
}

static uint32_t
fold_sign(uint32_t v)
{
	return v << 1 ^ (uint32_t)((int32_t)v >> 31);
}

static uint32_t
unfold_sign(uint32_t v)
{
	return v >> 1 ^ (0 - (v & 1));
}

/* Pairs of distance and value; a distance of 0 ends them. */
static void
put_weights(const struct spam_model *m, struct buf *out)
{
	size_t before = 0;

	for (size_t i = 0; i < (size_t)1 << m->bits; i++)
		if (m->weights[i] != 0) {
			put_number(out, i + 1 - before);
			put_number(out, fold_sign(m->weights[i]));
			before = i + 1;
		}
	put_number(out, 0);
}

static void
put_bayes(const struct spam_bayes *b, struct buf *out)
{
	size_t before = 0;

	put_number(out, b->ham);
	put_number(out, b->spam);
	for (size_t i = 0; i < (size_t)1 << b->bits; i++)
		if (b->v[i].ham != 0 || b->v[i].spam != 0) {
			put_number(out, i + 1 - before);
			put_number(out, b->v[i].ham);
			put_number(out, b->v[i].spam);
			before = i + 1;
		}
	put_number(out, 0);
}

static void
put_entry(const struct spam_entry *e, struct buf *out)
{
	buf_put_be64(out, e->id);
	buf_put_be32(out, e->print);
	put_number(out, e->order);
	put_number(out, fold_sign((uint32_t)e->step));
	put_double(out, (double)e->margin);
	put_double(out, (double)e->bayes);
	buf_put_u8(out, (uint8_t)(e->spam | e->counted << 1 | (e->packed != NULL) << 2));
	if (e->packed == NULL)
		return;
	put_number(out, e->packed_n);
	buf_put(out, slice_of(e->packed, e->packed_n));
}

int
spam_model_save(struct spam_model *m, struct buf *out)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	size_t from = out->n;

	if (m->stale > 0)
		spam_model_calibrate(m);
	buf_put(out, MAGIC);
	buf_put_be32(out, SPAM_FEATURES_VERSION);
	buf_put_u8(out, (uint8_t)m->kind);
	put_number(out, m->examples[0]);
	put_number(out, m->examples[1]);
	put_number(out, m->order);
	put_double(out, m->calibration.constant);
	put_double(out, m->calibration.margin);
	put_double(out, m->calibration.bayes);
	put_double(out, m->calibration.junk);
	put_weights(m, out);
	if (m->kind == SPAM_MODEL_SHARED)
		put_bayes(&m->bayes, out);
	put_number(out, m->log_n);
	for (size_t i = 0; i < m->log_n; i++)
		put_entry(&m->log[i], out);
	if (out->err != 0)
		return out->err;
	(void)SHA256(slice_from(buf_slice(out), from).p, out->n - from, sum);
	buf_put(out, slice_of(sum, sizeof(sum)));
	return out->err;
}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

static uint64_t
take_number(struct cursor *c, uint64_t max)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63; shift += 7) {
		uint8_t b = cursor_u8(c);

		v |= (uint64_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0) {
			if (v > max)
				cursor_fail(c, ERR_DAMAGED);
			return c->err != 0 ? 0 : v;
		}
	}
	cursor_fail(c, ERR_DAMAGED);
	return 0;
}

static double
take_double(struct cursor *c)
{
	uint64_t bits = cursor_be64(c);
	double v;

	memcpy(&v, &bits, sizeof(v));
	if (!isfinite(v) || fabs(v) > 1e9) {
		cursor_fail(c, ERR_DAMAGED);
		return 0;
	}
	return v;
}

/* The next place of a table, or 0 at its end; *at is the one before it. */
static size_t
take_place(struct cursor *c, size_t *at, size_t max)
{
	size_t gap = take_number(c, max);

	if (gap == 0)
		return 0;
	if (gap > max - *at) {
		cursor_fail(c, ERR_DAMAGED);
		return 0;
	}
	return *at += gap;
}

static void
take_weights(struct cursor *c, struct spam_model *m)
{
	for (size_t at = 0; take_place(c, &at, (size_t)1 << m->bits) != 0;)
		m->weights[at - 1] = unfold_sign((uint32_t)take_number(c, UINT32_MAX));
}

static void
take_bayes(struct cursor *c, struct spam_bayes *b)
{
	b->ham = (uint32_t)take_number(c, SPAM_BAYES_MESSAGES);
	b->spam = (uint32_t)take_number(c, SPAM_BAYES_MESSAGES);
	for (size_t at = 0; take_place(c, &at, (size_t)1 << b->bits) != 0;) {
		b->v[at - 1].ham = (uint16_t)take_number(c, UINT16_MAX);
		b->v[at - 1].spam = (uint16_t)take_number(c, UINT16_MAX);
	}
}

/* *packed gets the features of the entry. */
static struct spam_entry
take_entry(struct cursor *c, struct slice *packed)
{
	struct spam_entry e = {.id = cursor_be64(c), .print = cursor_be32(c)};
	uint8_t flags;

	e.order = (uint32_t)take_number(c, UINT32_MAX);
	e.step = (int32_t)unfold_sign((uint32_t)take_number(c, UINT32_MAX));
	e.margin = (float)take_double(c);
	e.bayes = (float)take_double(c);
	flags = cursor_u8(c);
	e.spam = (flags & 1) != 0;
	e.counted = (flags & 2) != 0;
	if (flags > 7 || e.step > SPAM_STEP_MAX || e.step < -SPAM_STEP_MAX)
		cursor_fail(c, ERR_DAMAGED);
	*packed = (flags & 4) == 0 ? SLICE_EMPTY : cursor_take(c, take_number(c, SPAM_KEYS_MAX * 5));
	return e;
}

static int
take_log(struct cursor *c, struct spam_model *m, struct slice *packed)
{
	size_t n = take_number(c, m->log_max);
	uint32_t counts[SPAM_GROUPS];

	for (size_t i = 0; i < n && c->err == 0; i++) {
		struct spam_entry e = take_entry(c, &packed[i]);
		size_t keys;

		if ((i > 0 && e.id <= m->log[i - 1].id) || e.order >= m->order || (e.counted && m->bayes.v == NULL) ||
		    (packed[i].p != NULL && !spam_unpack(packed[i], m->scratch, &keys, counts)))
			cursor_fail(c, ERR_DAMAGED);
		if (c->err == 0)
			m->log[m->log_n++] = e;
	}
	return c->err == 0 ? 0 : ERR_DAMAGED;
}

struct kept {
	uint32_t order;
	uint64_t id;
	struct slice packed;
};

static int
by_order(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* The oldest first, as they were learnt. */
static int
take_kept(struct spam_model *m, const struct slice *packed)
{
	struct kept *v = calloc(m->log_n + 1, sizeof(*v));
	size_t n = 0, at;
	int err = v == NULL ? ERR_NOMEM : 0;

	for (size_t i = 0; err == 0 && i < m->log_n; i++)
		if (packed[i].p != NULL)
			v[n++] = (struct kept){m->log[i].order, m->log[i].id, packed[i]};
	if (n > 0)
		qsort(v, n, sizeof(*v), by_order);
	for (size_t i = 0; err == 0 && i < n; i++)
		err = spam_keep(m, spam_log_find(m, v[i].id, &at), v[i].packed);
	free(v);
	return err;
}

static int
take_all(struct cursor *c, struct spam_model *m)
{
	struct slice *packed = calloc(m->log_max, sizeof(*packed));
	int err;

	if (packed == NULL)
		return ERR_NOMEM;
	m->examples[0] = (uint32_t)take_number(c, UINT32_MAX);
	m->examples[1] = (uint32_t)take_number(c, UINT32_MAX);
	m->order = (uint32_t)take_number(c, UINT32_MAX);
	m->calibration.constant = take_double(c);
	m->calibration.margin = take_double(c);
	m->calibration.bayes = take_double(c);
	m->calibration.junk = take_double(c);
	take_weights(c, m);
	if (m->kind == SPAM_MODEL_SHARED)
		take_bayes(c, &m->bayes);
	err = take_log(c, m, packed);
	if (err == 0 && !cursor_end(c))
		err = ERR_DAMAGED;
	if (err == 0)
		err = take_kept(m, packed);
	free(packed);
	return err;
}

int
spam_model_load(struct slice in, struct spam_model **out)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	struct cursor c;
	uint32_t version;
	uint8_t kind;
	int err;

	*out = NULL;
	if (!slice_starts(in, MAGIC))
		return slice_starts(in, SLICE("phspam")) ? ERR_VERSION : ERR_DAMAGED;
	if (in.n < MAGIC.n + sizeof(sum))
		return ERR_DAMAGED;
	(void)SHA256(in.p, in.n - sizeof(sum), sum);
	if (!slice_eq(slice_from(in, in.n - sizeof(sum)), slice_of(sum, sizeof(sum))))
		return ERR_DAMAGED;
	c = cursor_of(slice_range(in, MAGIC.n, in.n - sizeof(sum)));
	version = cursor_be32(&c);
	kind = cursor_u8(&c);
	if (c.err != 0 || kind > SPAM_MODEL_ACCOUNT)
		return ERR_DAMAGED;
	if (version != SPAM_FEATURES_VERSION)
		return ERR_VERSION;
	if ((err = spam_model_new((enum spam_kind)kind, out)) == 0)
		err = take_all(&c, *out);
	if (err != 0)
		spam_model_free(out);
	return err;
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
#define CLOSE_FD __attribute__((cleanup(close_fd)))

static int
tell(struct buf *detail, const char *path, const char *what)
{
	buf_printf(detail, "%s %s: %s", path, what, strerror(errno));
	return ERR_IO;
}

/* So that the new name is there after a power cut. */
static int
sync_folder(const char *path, struct buf *detail)
{
	char folder[PATH_BYTES];
	size_t slash = slice_rfind_byte(slice_z(path), '/');
	CLOSE_FD int fd = -1;

	(void)snprintf(
	    folder, sizeof(folder), "%.*s", slash == SLICE_NONE ? 1 : (int)slash + 1, slash == SLICE_NONE ? "." : path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) != 0 ? tell(detail, folder, "cannot be synced") : 0;
}

static int
write_all(int fd, struct slice rest)
{
	while (rest.n > 0) {
		ssize_t n = write(fd, rest.p, rest.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_IO;
		rest = slice_from(rest, (size_t)n);
	}
	return fsync(fd) == 0 ? 0 : ERR_IO;
}

int
spam_model_write_file(struct spam_model *m, const char *path, struct buf *detail)
{
	BUF_CLEANUP struct buf bytes;
	char next[PATH_BYTES];
	CLOSE_FD int fd = -1;
	int err;

	buf_init(&bytes, SPAM_MODEL_FILE_MAX);
	if ((err = spam_model_save(m, &bytes)) != 0)
		return err;
	if (snprintf(next, sizeof(next), "%s.XXXXXX", path) >= (int)sizeof(next))
		return ERR_LIMIT;
	if ((fd = mkostemp(next, O_CLOEXEC)) < 0)
		return tell(detail, next, "cannot be made");
	if (write_all(fd, buf_slice(&bytes)) != 0 || rename(next, path) != 0) {
		err = tell(detail, path, "cannot be written");
		(void)unlink(next);
		return err;
	}
	return sync_folder(path, detail);
}

int
spam_model_read_file(const char *path, struct spam_model **out, struct buf *detail)
{
	BUF_CLEANUP struct buf bytes;
	CLOSE_FD int fd = -1;
	ssize_t n = 1;

	*out = NULL;
	buf_init(&bytes, SPAM_MODEL_FILE_MAX);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ERR_NOTFOUND : tell(detail, path, "cannot be opened");
	while (n > 0) {
		uint8_t *to = buf_reserve(&bytes, 1u << 20);

		if (to == NULL)
			return bytes.err;
		do
			n = read(fd, to, 1u << 20);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return tell(detail, path, "cannot be read");
		buf_added(&bytes, (size_t)n);
	}
	return spam_model_load(buf_slice(&bytes), out);
}
