/* move_body.h: one message on its way, with a known size: in memory while it is small, else in a file that has no name. */
#ifndef MOVE_MOVE_BODY_H
#define MOVE_MOVE_BODY_H

#include "base/buf.h"

/* Up to so much is kept in memory. */
#define MOVE_BODY_INLINE_BYTES ((size_t)256 << 10)

/* Where files without a name come from, for whom must not make any; blocks. */
struct move_scratch {
	void *arg;
	/* *fd: a new file for reading and writing, or an error. */
	int (*open)(void *arg, int *fd);
};

struct move_body {
	struct buf mem; /* all of it, or what is not in the file yet */
	int fd;         /* -1: in memory */
	uint64_t n;     /* bytes in all */
	int err;        /* the first failure sticks */
	const struct move_scratch *scratch;
};

/* scratch: lent; NULL: the file is made in $TMPDIR. */
void move_body_init(struct move_body *b, const struct move_scratch *scratch);
/* A file without a name in $TMPDIR, or in /tmp: 0 or an error. */
NODISCARD int move_body_scratch(int *fd);
void move_body_free(struct move_body *b);
#define MOVE_BODY_CLEANUP __attribute__((cleanup(move_body_free)))
/* Empties it. */
void move_body_reset(struct move_body *b);
/* Appends; failures (no space for the file) are in b->err. */
void move_body_put(struct move_body *b, struct slice s);
/* Appends a line of a file whose line ends are LF or CRLF, with CRLF. */
void move_body_put_line(struct move_body *b, struct slice line);
/* Reads up to `max` bytes from `offset` on into `into` (which is emptied first). */
NODISCARD int move_body_read(struct move_body *b, uint64_t offset, size_t max, struct buf *into);
/* 32 bytes of SHA-256 of all of it. */
NODISCARD int move_body_hash(struct move_body *b, uint8_t out[32]);
/* Does each line of it end with CRLF, and is there no CR or LF elsewhere? Then its line ends may be written as LF and be
 * told again. A last line without an end is fine. */
NODISCARD int move_body_is_crlf(struct move_body *b, bool *out);

#endif
