/* file_target.c: an account's mail as files that need no mail server: NAME.mbox for each folder, or NAME/UID.eml for each message. */
#include "move/mbox.h"
#include "move/move.h"

#include "message/header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES 65536

struct file_target {
	const struct limits *limits;
	char *path;
	bool single; /* a file for each message */
	const struct move_report *report;
	struct move_counts *n;
	struct arena arena; /* of the open folder */
	struct slice folder;
	const char *name, *part; /* of mbox: the file, and the one that is being written; of eml: the folder, twice */
	int fd;
	struct buf out, words;
};

static int
fail(struct file_target *t, const char *what, int err)
{
	buf_reset(&t->words);
	buf_printf(&t->words, "%s: %s", what, err_text(err));
	return err == ERR_FULL ? ERR_QUOTA : ERR_DENIED;
}

static int
flush_out(struct file_target *t)
{
	struct slice s = buf_slice(&t->out);
	int err = t->out.err;

	while (s.n > 0 && err == 0) {
		ssize_t n = write(t->fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err = n == 0 ? ERR_IO : err_from_errno(errno);
		else
			s = slice_from(s, (size_t)n);
	}
	buf_reset(&t->out);
	return err;
}

/* ---- a folder ------------------------------------------------------------------------------------------------------- */

/* A level of a name as a file's name. */
static struct slice
level_name(struct arena *a, struct slice level)
{
	return slice_at(level, 0) == '.' ? arena_printf(a, "_%.*s", SLICE_ARG(slice_from(level, 1))) : level;
}

/* The folders above the last level, made where they are missing; then the path of the last level. */
static int
make_above(struct file_target *t, struct slice name, struct slice *out)
{
	struct slice path = slice_z(t->path);

	if (mkdir(t->path, 0700) != 0 && errno != EEXIST)
		return err_from_errno(errno);
	for (struct slice rest = name; rest.n > 0;) {
		struct slice level = level_name(&t->arena, slice_cut(&rest, '/'));

		path = arena_printf(&t->arena, "%.*s/%.*s", SLICE_ARG(path), SLICE_ARG(level));
		if (arena_failed(&t->arena))
			return ERR_LIMIT;
		if ((rest.n > 0 || t->single) && mkdir((const char *)path.p, 0700) != 0 && errno != EEXIST)
			return err_from_errno(errno);
	}
	*out = path;
	return 0;
}

static void
close_file(struct file_target *t)
{
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = -1;
	buf_reset(&t->out);
}

static int
file_open(void *of, const struct move_folder *f, const struct move_opened *o, struct arena *a, struct slice *there,
    bool *kept)
{
	struct file_target *t = of;
	struct slice path = SLICE_EMPTY;
	int err;

	(void)o;
	close_file(t);
	arena_reset(&t->arena);
	t->folder = arena_copy(&t->arena, f->name);
	if ((err = make_above(t, f->name, &path)) != 0)
		return fail(t, "the folder cannot be made", err);
	t->name = arena_z(&t->arena, t->single ? path : arena_printf(&t->arena, "%.*s.mbox", SLICE_ARG(path)));
	t->part = arena_z(&t->arena, arena_printf(&t->arena, "%.*s.part", SLICE_ARG(path)));
	*there = t->name == NULL ? SLICE_EMPTY : arena_copy(a, slice_z(t->name));
	*kept = false;
	if (t->name == NULL || t->part == NULL)
		return fail(t, "the name is too long", ERR_LIMIT);
	if (t->single)
		return 0;
	t->fd = open(t->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return t->fd >= 0 ? 0 : fail(t, "the file cannot be made", err_from_errno(errno));
}

static int
file_close(void *of)
{
	struct file_target *t = of;
	int err;

	if (t->single)
		return 0;
	err = flush_out(t);
	if (err == 0 && fsync(t->fd) != 0)
		err = err_from_errno(errno);
	close_file(t);
	if (err == 0 && rename(t->part, t->name) != 0)
		err = err_from_errno(errno);
	return err == 0 ? 0 : fail(t, "the file cannot be written", err);
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

static struct slice
single_path(struct file_target *t, struct arena *a, const struct move_message *m)
{
	return arena_printf(a, "%s/%010u.eml", t->name, m->uid);
}

static int
file_check(void *of, const struct move_message *v, size_t n, bool drop, int64_t lo, int64_t hi, bool *missing)
{
	struct file_target *t = of;

	(void)drop;
	(void)lo;
	(void)hi;
	for (size_t i = 0; i < n; i++) {
		struct arena ARENA_CLEANUP a;
		struct slice path;
		struct stat st;

		arena_init(&a, 65536);
		missing[i] = true;
		path = single_path(t, &a, &v[i]);
		if (t->single && path.n > 0 && lstat((const char *)path.p, &st) == 0)
			missing[i] = (uint64_t)st.st_size != v[i].size;
	}
	return 0;
}

/* The address in Return-Path, for the separator. */
static struct slice
sender_of(struct slice head)
{
	struct header_iter it = header_iter_of(head, head.n);
	struct header_field f;

	while (header_next(&it, &f))
		if (slice_ieq(f.name, SLICE("Return-Path"))) {
			struct slice s = slice_trim(f.value);

			if (s.n > 2 && slice_at(s, 0) == '<' && slice_at(s, s.n - 1) == '>')
				return slice_range(s, 1, s.n - 1);
		}
	return SLICE_EMPTY;
}

static void
put_status(struct buf *out, const struct move_message *m)
{
	static const struct {
		uint8_t flag;
		char letter;
	} table[] = {{STORE_ANSWERED, 'A'}, {STORE_FLAGGED, 'F'}, {STORE_DELETED, 'D'}, {STORE_DRAFT, 'T'}};

	buf_put_z(out, (m->flags & STORE_SEEN) != 0 ? "Status: RO\nX-Status: " : "Status: O\nX-Status: ");
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if ((m->flags & table[i].flag) != 0)
			buf_put_u8(out, (uint8_t)table[i].letter);
	buf_put_u8(out, '\n');
	if (m->keywords.n == 0)
		return;
	buf_put_z(out, "X-Keywords:");
	for (size_t i = 0; i < m->keywords.n; i++) {
		buf_put_u8(out, ' ');
		buf_put(out, m->keywords.v[i]);
	}
	buf_put_u8(out, '\n');
}

/* Lines with LF, "From " quoted. A line may go on in the next part. */
struct lines {
	struct buf held; /* the first bytes of a line that is not told yet */
	bool inside;     /* the line's beginning has been written */
};

static void
put_line(struct file_target *t, struct lines *l, struct slice line)
{
	if (!l->inside && mbox_is_quotable(line))
		buf_put_u8(&t->out, '>');
	buf_put(&t->out, line);
}

static int
put_mbox(struct file_target *t, struct slice part, struct lines *l)
{
	int err = 0;

	for (size_t i = 0; i < part.n && err == 0; i++) {
		uint8_t c = slice_at(part, i);

		buf_put_u8(&l->held, c);
		if (c != '\n' && l->held.n < LINE_BYTES / 2)
			continue;
		if (c == '\n' && l->held.n >= 2 && slice_at(buf_slice(&l->held), l->held.n - 2) == '\r') {
			buf_truncate(&l->held, l->held.n - 2);
			buf_put_u8(&l->held, '\n');
		}
		put_line(t, l, buf_slice(&l->held));
		l->inside = c != '\n';
		buf_reset(&l->held);
		if (t->out.n >= LINE_BYTES)
			err = flush_out(t);
	}
	return err;
}

static int
write_mbox(struct file_target *t, const struct move_message *m, struct move_body *b)
{
	struct buf BUF_CLEANUP part;
	struct lines l = {.inside = false};
	int err;

	buf_init(&part, LINE_BYTES);
	buf_init(&l.held, LINE_BYTES);
	err = move_body_read(b, 0, LINE_BYTES, &part);
	mbox_put_from_line(&t->out, sender_of(buf_slice(&part)), m->internal_s == INT64_MIN ? 0 : m->internal_s);
	put_status(&t->out, m);
	for (uint64_t at = 0; at < b->n && err == 0; at += part.n)
		if ((err = move_body_read(b, at, LINE_BYTES, &part)) == 0)
			err = put_mbox(t, buf_slice(&part), &l);
	if (l.held.n > 0)
		put_line(t, &l, buf_slice(&l.held));
	buf_put_z(&t->out, l.held.n > 0 || l.inside ? "\n\n" : "\n");
	buf_free(&l.held);
	return err != 0 ? err : t->out.err;
}

static int
write_single(struct file_target *t, const struct move_message *m, struct move_body *b)
{
	struct timespec times[2] = {{.tv_sec = m->internal_s}, {.tv_sec = m->internal_s}};
	struct arena ARENA_CLEANUP a;
	struct buf BUF_CLEANUP part;
	struct slice path, tmp;
	int err = 0;

	arena_init(&a, 65536);
	buf_init(&part, LINE_BYTES);
	path = single_path(t, &a, m);
	tmp = arena_printf(&a, "%.*s.part", SLICE_ARG(path));
	if (arena_failed(&a))
		return ERR_LIMIT;
	t->fd = open((const char *)tmp.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t->fd < 0)
		return err_from_errno(errno);
	for (uint64_t at = 0; at < b->n && err == 0; at += part.n) {
		if ((err = move_body_read(b, at, LINE_BYTES, &part)) != 0)
			break;
		buf_put(&t->out, buf_slice(&part));
		err = flush_out(t);
	}
	if (err == 0 && m->internal_s != INT64_MIN && futimens(t->fd, times) != 0)
		err = err_from_errno(errno);
	close_file(t);
	return err == 0 && rename((const char *)tmp.p, (const char *)path.p) != 0 ? err_from_errno(errno) : err;
}

static int
file_put(void *of, const struct move_message *m, struct move_body *b)
{
	struct file_target *t = of;
	int err;

	if (b->err != 0) {
		move_tell(t->report, t->n, t->folder, m, slice_z(err_text(b->err)));
		return 0;
	}
	err = t->single ? write_single(t, m, b) : write_mbox(t, m, b);
	if (err != 0)
		return fail(t, "a message cannot be written", err);
	t->n->moved++;
	return 0;
}

static int
file_flush(void *of)
{
	(void)of;
	return 0;
}

/* ---- the target --------------------------------------------------------------------------------------------------------- */

static int
file_begin(void *of, const struct move_report *r, struct move_counts *n)
{
	struct file_target *t = of;

	t->report = r;
	t->n = n;
	return 0;
}

static void
file_end(void *of)
{
	close_file(of);
}

static struct slice
file_words(void *of)
{
	return buf_slice(&((struct file_target *)of)->words);
}

static void
file_free(void *of)
{
	struct file_target *t = of;

	close_file(t);
	arena_free(&t->arena);
	buf_free(&t->words);
	buf_free(&t->out);
	free(t->path);
	free(t);
}

static int
new_target(const struct limits *limits, const char *path, bool single, struct move_target *out)
{
	struct file_target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return ERR_NOMEM;
	t->limits = limits;
	t->single = single;
	t->fd = -1;
	arena_init(&t->arena, 1u << 20);
	buf_init(&t->words, 4096);
	buf_init(&t->out, (size_t)4 * LINE_BYTES);
	t->path = strdup(path);
	*out = (struct move_target){.of = t,
	    .begin = file_begin,
	    .open = file_open,
	    .check = file_check,
	    .put = file_put,
	    .flush = file_flush,
	    .close = file_close,
	    .words = file_words,
	    .end = file_end,
	    .free = file_free};
	return t->path == NULL ? ERR_NOMEM : 0;
}

int
move_mbox_target(const struct limits *limits, const char *path, struct move_target *out)
{
	return new_target(limits, path, false, out);
}

int
move_eml_target(const struct limits *limits, const char *path, struct move_target *out)
{
	return new_target(limits, path, true, out);
}
