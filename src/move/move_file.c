/* move_file.c: see move_file.h. */
#include "move/move_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 65536
#define PEEK_BYTES 1000

char *
move_file_root(const char *path)
{
	char *real = realpath(path, NULL);

	return real != NULL ? real : strdup(path);
}

const char *
move_file_path(struct arena *a, const char *dir, struct slice name)
{
	struct slice s = arena_printf(a, "%s/%.*s", dir, SLICE_ARG(name));

	return arena_failed(a) ? NULL : (const char *)s.p;
}

static int
compare(const void *a, const void *b)
{
	return slice_cmp(((const struct move_file *)a)->name, ((const struct move_file *)b)->name);
}

static int
take_entry(int dir, const char *name, struct arena *a, struct move_file *out)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return ERR_NOTFOUND;
	*out = (struct move_file){.name = arena_copy(a, slice_z(name)),
	    .folder = S_ISDIR(st.st_mode),
	    .mtime_s = st.st_mtime,
	    .size = (uint64_t)st.st_size};
	return arena_failed(a) ? ERR_LIMIT : 0;
}

int
move_files_list(const char *path, struct arena *a, struct move_file **out, size_t *n)
{
	DIR *dir = opendir(path);
	struct move_file *v = NULL;
	size_t cap = 0;
	int err = 0;

	*out = NULL;
	*n = 0;
	if (dir == NULL)
		return err_from_errno(errno);
	for (struct dirent *e; err == 0 && (e = readdir(dir)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		v = arena_grow(a, v, *n, &cap, sizeof(*v), MOVE_FILES_MAX);
		err = v == NULL ? ERR_LIMIT : take_entry(dirfd(dir), e->d_name, a, &v[*n]);
		if (err == 0)
			++*n;
		else if (err == ERR_NOTFOUND)
			err = 0;
	}
	(void)closedir(dir);
	if (err == 0 && *n > 1)
		qsort(v, *n, sizeof(*v), compare);
	*out = v;
	return err;
}

bool
move_file_is_folder(const char *path, const char *name)
{
	char whole[4096];
	struct stat st;
	int n = snprintf(whole, sizeof(whole), "%s/%s", path, name);

	return n > 0 && (size_t)n < sizeof(whole) && lstat(whole, &st) == 0 && S_ISDIR(st.st_mode);
}

static int
open_plain(const char *path, uint64_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno == ELOOP ? ERR_INVALID : err_from_errno(errno);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return ERR_INVALID;
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

/* ---- lines --------------------------------------------------------------------------------------------------------- */

void
move_lines_adopt(struct move_lines *l, int fd)
{
	*l = (struct move_lines){.fd = fd};
	buf_init(&l->buf, (size_t)4 * PIECE_BYTES);
}

int
move_lines_open(struct move_lines *l, const char *path)
{
	uint64_t size;

	move_lines_adopt(l, open_plain(path, &size));
	return l->fd < 0 ? l->fd : 0;
}

void
move_lines_close(struct move_lines *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	buf_free(&l->buf);
}

/* Reads until there are `want` bytes, or the end. */
static void
fill(struct move_lines *l, size_t want)
{
	if (l->buf.n - l->at < want) {
		buf_consume(&l->buf, l->at);
		l->at = 0;
	}
	while (!l->end && l->err == 0 && l->buf.n - l->at < want) {
		uint8_t *p = buf_reserve(&l->buf, PIECE_BYTES);
		ssize_t n = p == NULL ? -1 : read(l->fd, p, PIECE_BYTES);

		if (p == NULL)
			l->err = l->buf.err;
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0)
			l->err = err_from_errno(errno);
		else if (n == 0)
			l->end = true;
		else
			buf_added(&l->buf, (size_t)n);
	}
}

bool
move_lines_next(struct move_lines *l, struct slice *piece, bool *first)
{
	size_t end;

	l->at += l->taken;
	l->offset += l->taken;
	l->taken = 0;
	fill(l, PIECE_BYTES + PEEK_BYTES);
	if (l->buf.n == l->at || l->err != 0)
		return false;
	*piece = slice_head(slice_from(buf_slice(&l->buf), l->at), PIECE_BYTES);
	end = slice_find_byte(*piece, '\n');
	if (end != SLICE_NONE)
		*piece = slice_head(*piece, end + 1);
	/* A CR at the very end of a piece belongs to the line end that follows. */
	else if (piece->n > 1 && slice_at(*piece, piece->n - 1) == '\r' && piece->n < l->buf.n - l->at)
		*piece = slice_head(*piece, piece->n - 1);
	*first = !l->begun;
	l->begun = end == SLICE_NONE;
	l->taken = piece->n;
	return true;
}

uint64_t
move_lines_offset(const struct move_lines *l)
{
	return l->offset + l->taken;
}

int
move_lines_seek(struct move_lines *l, uint64_t offset)
{
	if (lseek(l->fd, (off_t)offset, SEEK_SET) < 0)
		return err_from_errno(errno);
	buf_reset(&l->buf);
	l->offset = offset;
	l->end = l->begun = false;
	l->at = l->taken = 0;
	l->err = 0;
	return 0;
}

struct slice
move_lines_peek(const struct move_lines *l)
{
	return slice_head(slice_from(buf_slice(&l->buf), l->at + l->taken), PEEK_BYTES);
}

/* ---- whole files ------------------------------------------------------------------------------------------------------ */

int
move_file_text(const char *path, size_t max, struct buf *out)
{
	uint64_t size;
	int fd = open_plain(path, &size), err = 0;

	if (fd < 0)
		return fd;
	while (err == 0) {
		uint8_t *p = out->n > max ? NULL : buf_reserve(out, PIECE_BYTES);
		ssize_t n = p == NULL ? -1 : read(fd, p, PIECE_BYTES);

		if (p == NULL)
			err = ERR_LIMIT;
		else if (n < 0 && errno != EINTR)
			err = err_from_errno(errno);
		else if (n > 0)
			buf_added(out, (size_t)n);
		else if (n == 0)
			break;
	}
	(void)close(fd);
	return err;
}

int
move_file_read(const char *path, uint64_t max, struct move_body *out)
{
	struct move_lines l;
	struct slice piece;
	bool first;
	int err = move_lines_open(&l, path);

	move_body_reset(out);
	while (err == 0 && move_lines_next(&l, &piece, &first)) {
		bool whole = piece.n > 0 && slice_at(piece, piece.n - 1) == '\n';

		if (out->n + piece.n > max)
			err = ERR_LIMIT;
		else if (whole)
			move_body_put_line(out, piece);
		else
			move_body_put(out, piece);
		if (err == 0)
			err = out->err;
	}
	if (err == 0)
		err = l.err;
	move_lines_close(&l);
	return err;
}
