/* vault_files.c: write beside, fsync, rename, fsync the directory. */
#include "role/vault_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define FD_CLEANUP __attribute__((cleanup(close_fd)))

int
vault_file_read(const char *path, struct buf *out)
{
	int fd FD_CLEANUP = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_from_errno(errno);
	if (!S_ISREG(st.st_mode))
		return ERR_INVALID;
	for (;;) {
		uint8_t *p = buf_reserve(out, 4096);

		if (p == NULL)
			return out->err;
		n = read(fd, p, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? 0 : err_from_errno(errno);
		buf_added(out, (size_t)n);
	}
}

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_from_errno(errno);
		s = slice_from(s, (size_t)n);
	}
	return fsync(fd) != 0 ? err_from_errno(errno) : 0;
}

static int
sync_parent(const char *path)
{
	char dir[VAULT_PATH_MAX];
	size_t slash = slice_rfind_byte(slice_z(path), '/');
	int err = slice_to_z(slash == SLICE_NONE ? SLICE(".") : slice_head(slice_z(path), slash + 1), dir, sizeof(dir));
	int fd FD_CLEANUP = err != 0 ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (err != 0)
		return err;
	return fd < 0 || fsync(fd) != 0 ? err_from_errno(errno) : 0;
}

int
vault_file_write(const char *path, struct slice content)
{
	char beside[VAULT_PATH_MAX];
	int n = snprintf(beside, sizeof(beside), "%s.new", path), err;
	int fd FD_CLEANUP = -1;

	if (n < 0 || (size_t)n >= sizeof(beside))
		return ERR_LIMIT;
	(void)unlink(beside); /* of an earlier, interrupted one */
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	err = write_all(fd, content);
	if (err == 0 && rename(beside, path) != 0)
		err = err_from_errno(errno);
	if (err != 0) {
		(void)unlink(beside);
		return err;
	}
	return sync_parent(path);
}

int
vault_make_dir(const char *path)
{
	if (mkdir(path, 0700) == 0)
		return sync_parent(path);
	return errno == EEXIST ? 0 : err_from_errno(errno);
}

void
vault_buf_wipe(struct buf *b)
{
	if (b->cap > 0)
		sodium_memzero(b->p, b->cap);
	buf_free(b);
}
