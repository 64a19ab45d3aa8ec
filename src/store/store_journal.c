/* store_journal.c: see store_journal.h.
 *
 * The file begins with its form and the boot id of the run that wrote it. Records follow: length, generation, check, then
 * the change. When everything is in the database the next record is written at the front again, in the next
 * generation: so the journal ends where a record is of another generation, or its check is wrong.
 *
 * A record says what was done to flags, not what they became. It is done again only to messages whose row has
 * a lower modseq: rows that were written to the database since then have its modseq or a higher one. */
#include "store/store_journal.h"

#include "base/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FORM SLICE("phflags1")
#define HEAD_BYTES (8u + STORE_ID_BYTES)
#define RECORD_RUNS_MAX (STORE_JOURNAL_BYTES / 8u)

struct store_journal {
	int fd;
	size_t at; /* where the next record goes */
	uint32_t generation;
	struct buf record;
};

static int
journal_path(const struct store_account *a, char out[STORE_PATH_MAX])
{
	return store_path(a->store, acc_id(a), "/flags", out);
}

/* FNV-1a: it tells a record that was written to its end from one that was not. */
static uint64_t
check_of(uint32_t generation, struct slice s)
{
	uint64_t h = 0xcbf29ce484222325u ^ generation;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ slice_at(s, i)) * 0x100000001b3u;
	return h ^ h >> 29;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* The file with all its blocks, so that most file systems have room for what comes. */
static int
make_file(struct store_account *a, int *fd)
{
	char path[STORE_PATH_MAX];
	uint8_t zeros[4096] = {0};
	int err = journal_path(a, path);

	if (err != 0)
		return err;
	if ((*fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
		return err_from_errno(errno);
	for (size_t at = 0; at < STORE_JOURNAL_BYTES && err == 0; at += sizeof(zeros))
		err = store_file_write(*fd, slice_of(zeros, sizeof(zeros)));
	if (err == 0)
		return 0;
	(void)close(*fd);
	(void)unlink(path);
	return err;
}

/* Not through a mapping: a disk that is full or broken would be a signal then. */
static bool
write_at(int fd, size_t at, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = pwrite(fd, s.p, s.n, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
		s = slice_from(s, (size_t)n);
	}
	return true;
}

int
journal_open(struct store_account *a, struct store_journal **out)
{
	struct store_journal *j = calloc(1, sizeof(*j));
	uint8_t head[HEAD_BYTES];
	int err;

	*out = NULL;
	if (j == NULL)
		return ERR_NOMEM;
	if ((err = make_file(a, &j->fd)) != 0) {
		free(j);
		return err;
	}
	memcpy(head, FORM.p, FORM.n);
	memcpy(head + FORM.n, a->store->boot, STORE_ID_BYTES);
	if (!write_at(j->fd, 0, slice_of(head, sizeof(head)))) {
		journal_remove(a);
		(void)close(j->fd);
		free(j);
		return ERR_IO;
	}
	j->at = HEAD_BYTES;
	j->generation = 1;
	buf_init(&j->record, STORE_JOURNAL_BYTES);
	*out = j;
	return 0;
}

void
journal_close(struct store_account *a, struct store_journal **jp)
{
	struct store_journal *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	if (j->at == HEAD_BYTES)
		journal_remove(a);
	(void)close(j->fd);
	buf_free(&j->record);
	free(j);
}

void
journal_saved(struct store_journal *j)
{
	if (j->at == HEAD_BYTES)
		return;
	j->at = HEAD_BYTES;
	j->generation++;
}

void
journal_frame(struct buf *b, uint32_t generation)
{
	struct slice body = slice_from(buf_slice(b), JOURNAL_FRAME_BYTES);
	uint64_t check = check_of(generation, body);

	buf_patch_be32(b, 0, (uint32_t)body.n);
	buf_patch_be32(b, 4, generation);
	buf_patch_be32(b, 8, (uint32_t)(check >> 32));
	buf_patch_be32(b, 12, (uint32_t)check);
}

bool
journal_put(struct store_journal *j, const struct journal_record *r)
{
	static const uint8_t room[JOURNAL_FRAME_BYTES];
	struct buf *b = &j->record;

	if (r->keywords.n / 2 > UINT16_MAX)
		return false;
	buf_reset(b);
	buf_put(b, slice_of(room, sizeof(room)));
	buf_put_be64(b, r->modseq);
	buf_put_be64(b, (uint64_t)r->mailbox);
	buf_put_u8(b, (uint8_t)r->op);
	buf_put_u8(b, r->flags);
	buf_put_be16(b, (uint16_t)(r->keywords.n / 2));
	buf_put_be32(b, (uint32_t)r->runs_n);
	buf_put(b, r->keywords);
	for (size_t i = 0; i < r->runs_n; i++) {
		buf_put_be32(b, r->runs[i].lo);
		buf_put_be32(b, r->runs[i].hi);
	}
	if (b->err != 0 || b->n > STORE_JOURNAL_BYTES - j->at)
		return false;
	journal_frame(b, j->generation);
	if (!write_at(j->fd, j->at, buf_slice(b)))
		return false; /* a part of a record is none */
	j->at += b->n;
	return true;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

void
journal_remove(const struct store_account *a)
{
	char path[STORE_PATH_MAX];

	if (journal_path(a, path) == 0)
		(void)unlink(path);
}

int
journal_read(struct store_account *a, const uint8_t boot[STORE_ID_BYTES], struct buf *out)
{
	char path[STORE_PATH_MAX];
	struct stat st;
	uint8_t *p;
	int fd, err = journal_path(a, path);

	if (err != 0)
		return err;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT ? 0 : err_from_errno(errno);
	if (fstat(fd, &st) != 0)
		err = err_from_errno(errno);
	/* One that was not made to its end has nothing in it. */
	if (err == 0 && st.st_size == STORE_JOURNAL_BYTES) {
		if ((p = buf_reserve(out, STORE_JOURNAL_BYTES)) == NULL)
			err = ERR_NOMEM;
		else if ((err = store_file_read(fd, 0, p, STORE_JOURNAL_BYTES)) == 0)
			buf_added(out, STORE_JOURNAL_BYTES);
	}
	(void)close(fd);
	if (err == 0 && out->n > 0 &&
	    !slice_eq(slice_range(buf_slice(out), FORM.n, HEAD_BYTES), slice_of(boot, STORE_ID_BYTES)))
		buf_reset(out); /* of a run before: it is in the database, or nobody waits for it any more */
	return err;
}

/* The next record, or false at the end. */
static bool
next_record(struct cursor *c, uint32_t *generation, struct arena *mem, struct journal_record *r)
{
	uint32_t n = cursor_be32(c), g = cursor_be32(c);
	uint64_t check = cursor_be64(c);
	struct slice body = cursor_take(c, n);
	struct cursor b = cursor_of(body);
	struct uid_run *runs;
	size_t keywords_n;

	if (c->err != 0 || (*generation != 0 && g != *generation) || check != check_of(g, body))
		return false;
	*generation = g;
	r->modseq = cursor_be64(&b);
	r->mailbox = (int64_t)cursor_be64(&b);
	r->op = (enum store_flag_op)cursor_u8(&b);
	r->flags = cursor_u8(&b);
	keywords_n = cursor_be16(&b);
	r->runs_n = cursor_be32(&b);
	r->keywords = cursor_take(&b, keywords_n * 2);
	if (b.err != 0 || r->op > STORE_FLAGS_REMOVE || r->modseq > INT64_MAX || r->runs_n > RECORD_RUNS_MAX ||
	    cursor_left(&b) != r->runs_n * 8 || (runs = ARENA_ARRAY(mem, struct uid_run, r->runs_n + 1)) == NULL)
		return false;
	for (size_t i = 0; i < r->runs_n; i++) {
		runs[i].lo = cursor_be32(&b);
		runs[i].hi = cursor_be32(&b);
	}
	r->runs = runs;
	return true;
}

int
journal_each(struct slice bytes, struct arena *mem, int (*fn)(void *arg, const struct journal_record *r), void *arg)
{
	struct cursor c = cursor_of(bytes);
	struct journal_record r;
	uint32_t generation = 0;
	int err = 0;

	cursor_expect(&c, FORM);
	cursor_skip(&c, STORE_ID_BYTES);
	while (err == 0 && c.err == 0) {
		struct arena_mark mark = arena_mark(mem);

		if (!next_record(&c, &generation, mem, &r))
			break;
		err = fn(arg, &r);
		arena_release(mem, mark);
	}
	return err;
}

/* ---- back into the database ------------------------------------------------------------------------------------- */

struct replay {
	struct sqltx *tx;
	struct store_account *a;
	int64_t keywords_known; /* how many there are in the dictionary */
	int64_t modseq;         /* the highest */
};

/* A message of a run as its row is. */
struct replayed {
	uint32_t uid;
	uint8_t flags;
	struct slice keywords;
};

static bool
has_keyword(struct slice ids, struct slice id)
{
	for (size_t i = 0; i + 2 <= ids.n; i += 2)
		if (slice_eq(slice_range(ids, i, i + 2), id))
			return true;
	return false;
}

/* be16 ids in ascending order: of either (ADD), of the first alone (REMOVE), of the second (REPLACE). */
static void
merge_keywords(enum store_flag_op op, struct slice had, struct slice change, int64_t known, struct buf *out)
{
	buf_reset(out);
	for (int64_t id = 0; id < known; id++) {
		uint8_t be[2] = {(uint8_t)(id >> 8), (uint8_t)id};
		bool before = has_keyword(had, slice_of(be, 2)), named = has_keyword(change, slice_of(be, 2));

		if (op == STORE_FLAGS_REPLACE ? named : op == STORE_FLAGS_ADD ? before || named : before && !named)
			buf_put(out, slice_of(be, 2));
	}
}

static int
read_run(struct replay *p, const struct journal_record *r, const struct uid_run *run, struct arena *mem,
    struct replayed **out, size_t *n)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	struct replayed *v = NULL;
	size_t cap = 0;
	int err = SQL_QUERY(p->tx, &q, &store_sql_placement_older, ACC(p->a), SQLI(r->mailbox), SQLI(run->lo),
	    SQLI(run->hi), SQLI(r->modseq));

	*n = 0;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		if ((v = arena_grow(mem, v, *n, &cap, sizeof(*v), 1u << 23)) == NULL)
			return ERR_LIMIT;
		v[(*n)++] = (struct replayed){(uint32_t)sql_col_int(&q, 0),
		    (uint8_t)(sql_col_int(&q, 1) & STORE_FLAGS_ALL), arena_copy(mem, sql_col_bytes(&q, 2))};
		err = arena_failed(mem) ? ERR_LIMIT : 0;
	}
	*out = v;
	return err;
}

static int
replay_run(struct replay *p, const struct journal_record *r, const struct uid_run *run, struct mailbox_row *m)
{
	struct arena ARENA_CLEANUP mem;
	struct buf BUF_CLEANUP keywords;
	struct replayed *v;
	size_t n;
	int err;

	arena_init(&mem, 1u << 30);
	buf_init(&keywords, 1u << 20);
	err = read_run(p, r, run, &mem, &v, &n);
	for (size_t i = 0; i < n && err == 0; i++) {
		uint8_t flags = flags_after(v[i].flags, r->op, r->flags);

		merge_keywords(r->op, v[i].keywords, r->keywords, p->keywords_known, &keywords);
		if (keywords.err != 0)
			return keywords.err;
		err = SQL_EXEC(p->tx, &store_sql_placement_flags, ACC(p->a), SQLI(m->id), SQLI(v[i].uid), SQLI(flags),
		    keywords.n == 0 ? SQLN : SQLB(buf_slice(&keywords)), SQLI(r->modseq));
		m->unseen += (int64_t)((flags & STORE_SEEN) == 0) - (int64_t)((v[i].flags & STORE_SEEN) == 0);
		m->deleted += (int64_t)((flags & STORE_DELETED) != 0) - (int64_t)((v[i].flags & STORE_DELETED) != 0);
	}
	return err;
}

static int
replay_record(void *arg, const struct journal_record *r)
{
	struct replay *p = arg;
	struct mailbox_row m;
	int err = row_mailbox_by_id(p->tx, p->a, r->mailbox, NULL, &m);

	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	for (size_t i = 0; i < r->runs_n && err == 0; i++)
		err = replay_run(p, r, &r->runs[i], &m);
	if ((int64_t)r->modseq > p->modseq)
		p->modseq = (int64_t)r->modseq;
	if ((int64_t)r->modseq > m.highestmodseq)
		m.highestmodseq = (int64_t)r->modseq;
	return err != 0 ? err : row_mailbox_save(p->tx, p->a, &m);
}

int
journal_replay(struct sqltx *tx, struct store_account *a, struct slice bytes)
{
	struct replay p = {.tx = tx, .a = a};
	struct arena ARENA_CLEANUP mem;
	struct account_row row;
	int err;

	if (bytes.n == 0)
		return 0;
	arena_init(&mem, 4u << 20);
	if ((err = row_count(tx, a, &store_sql_keyword_count, &p.keywords_known)) != 0 ||
	    (err = journal_each(bytes, &mem, replay_record, &p)) != 0 || (err = row_account_load(tx, a, &row)) != 0)
		return err;
	if (row.modseq < p.modseq)
		row.modseq = p.modseq;
	return row_account_save(tx, a, &row);
}
