/* move_body.c: see move_body.h. */
#include "move/move_body.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK_BYTES 65536

void
move_body_init(struct move_body *b, const struct move_scratch *scratch)
{
	*b = (struct move_body){.fd = -1, .scratch = scratch};
	buf_init(&b->mem, MOVE_BODY_INLINE_BYTES + BLOCK_BYTES);
}

void
move_body_free(struct move_body *b)
{
	if (b->fd >= 0)
		(void)close(b->fd);
	b->fd = -1;
	buf_free(&b->mem);
}

void
move_body_reset(struct move_body *b)
{
	if (b->fd >= 0)
		(void)close(b->fd);
	b->fd = -1;
	b->n = 0;
	b->err = 0;
	buf_reset(&b->mem);
}

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t put = write(fd, s.p, s.n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put == 0 ? ERR_IO : err_from_errno(errno);
		s = slice_from(s, (size_t)put);
	}
	return 0;
}

int
move_body_scratch(int *fd)
{
	const char *dir = getenv("TMPDIR");
	char name[4096];
	int n = snprintf(name, sizeof(name), "%s/posthouse-XXXXXX", dir != NULL && dir[0] == '/' ? dir : "/tmp");

	if (n < 0 || (size_t)n >= sizeof(name))
		return ERR_LIMIT;
	*fd = mkostemp(name, O_CLOEXEC);
	if (*fd < 0)
		return err_from_errno(errno);
	(void)unlink(name);
	return 0;
}

static int
spill(struct move_body *b)
{
	int err = 0;

	if (b->fd < 0)
		err = b->scratch == NULL ? move_body_scratch(&b->fd) : b->scratch->open(b->scratch->arg, &b->fd);
	if (err != 0)
		return err;
	err = write_all(b->fd, buf_slice(&b->mem));
	buf_reset(&b->mem);
	return err;
}

void
move_body_put(struct move_body *b, struct slice s)
{
	size_t room = MOVE_BODY_INLINE_BYTES;

	b->n += s.n;
	while (s.n > 0 && b->err == 0) {
		struct slice part = slice_head(s, BLOCK_BYTES);

		if (b->mem.n + part.n > room)
			b->err = spill(b);
		buf_put(&b->mem, part);
		if (b->err == 0)
			b->err = b->mem.err;
		s = slice_from(s, part.n);
	}
}

void
move_body_put_line(struct move_body *b, struct slice line)
{
	if (line.n > 0 && slice_at(line, line.n - 1) == '\n')
		line = slice_head(line, line.n - 1);
	if (line.n > 0 && slice_at(line, line.n - 1) == '\r')
		line = slice_head(line, line.n - 1);
	move_body_put(b, line);
	move_body_put(b, SLICE("\r\n"));
}

int
move_body_read(struct move_body *b, uint64_t offset, size_t max, struct buf *into)
{
	uint64_t left = offset < b->n ? b->n - offset : 0;
	uint8_t *p;
	size_t got = 0;

	buf_reset(into);
	if (b->err != 0)
		return b->err;
	if (left < max)
		max = (size_t)left;
	if (b->fd < 0) {
		buf_put(into, slice_range(buf_slice(&b->mem), (size_t)offset, (size_t)offset + max));
		return into->err;
	}
	if (b->mem.n > 0 && (b->err = spill(b)) != 0)
		return b->err;
	if ((p = buf_reserve(into, max)) == NULL)
		return into->err;
	while (got < max) {
		ssize_t n = pread(b->fd, p + got, max - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_IO;
		got += (size_t)n;
	}
	buf_added(into, got);
	return 0;
}

int
move_body_hash(struct move_body *b, uint8_t out[32])
{
	crypto_hash_sha256_state h;
	struct buf BUF_CLEANUP part;
	int err = 0;

	(void)crypto_hash_sha256_init(&h);
	buf_init(&part, BLOCK_BYTES);
	for (uint64_t at = 0; at < b->n && err == 0; at += part.n)
		if ((err = move_body_read(b, at, BLOCK_BYTES, &part)) == 0)
			(void)crypto_hash_sha256_update(&h, part.p, part.n);
	(void)crypto_hash_sha256_final(&h, out);
	return err;
}

int
move_body_is_crlf(struct move_body *b, bool *out)
{
	struct buf BUF_CLEANUP part;
	uint8_t last = 0;
	bool good = true;
	int err = 0;

	buf_init(&part, BLOCK_BYTES);
	for (uint64_t at = 0; at < b->n && err == 0 && good; at += part.n) {
		if ((err = move_body_read(b, at, BLOCK_BYTES, &part)) != 0)
			break;
		for (size_t i = 0; i < part.n && good; i++) {
			uint8_t c = slice_at(buf_slice(&part), i);

			good = (c == '\n') == (last == '\r');
			last = c;
		}
	}
	*out = good && last != '\r';
	return err;
}
