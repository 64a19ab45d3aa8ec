/* move_file.h: folders and files of a source on this machine. Links are not followed: what is not a plain file is none of the mail. */
#ifndef MOVE_MOVE_FILE_H
#define MOVE_MOVE_FILE_H

#include "base/arena.h"
#include "move/move_body.h"

/* One entry of a folder. */
struct move_file {
	struct slice name; /* followed by a NUL */
	bool folder;       /* else a plain file */
	int64_t mtime_s;
	uint64_t size;
};
#define MOVE_FILES_MAX 4000000
/* The plain files and folders in `path` but "." and "..", sorted by name: they lie in `a`. ERR_NOTFOUND, ERR_DENIED, ERR_LIMIT. */
NODISCARD int move_files_list(const char *path, struct arena *a, struct move_file **v, size_t *n);
/* Is there a folder of that name in `path`? */
bool move_file_is_folder(const char *path, const char *name);
/* A plain file of at most `max` bytes, with its line ends made CRLF. ERR_LIMIT: it is larger. */
NODISCARD int move_file_read(const char *path, uint64_t max, struct move_body *out);
/* All of a small file as it is. */
NODISCARD int move_file_text(const char *path, size_t max, struct buf *out);
/* Where `path` leads, for good, as long as there is something; the caller frees it. NULL: no memory. */
char *move_file_root(const char *path);
/* "dir/name", in `a` and followed by a NUL. NULL: too long. */
const char *move_file_path(struct arena *a, const char *dir, struct slice name);

/* Line by line, in pieces of at most 64 KB: only the last piece of a line has the line end. */
struct move_lines {
	int fd;
	struct buf buf;
	size_t at;       /* of the piece at hand in `buf` … */
	uint64_t offset; /* … and in the file */
	bool end, begun; /* begun: the piece at hand goes on with a line */
	size_t taken;    /* of the piece at hand */
	int err;
};
NODISCARD int move_lines_open(struct move_lines *l, const char *path);
/* The same of an open file; takes the descriptor. */
void move_lines_adopt(struct move_lines *l, int fd);
void move_lines_close(struct move_lines *l);
/* The next piece, valid until the next call: false at the end or after a failure (l->err). *first: it begins a line. */
bool move_lines_next(struct move_lines *l, struct slice *piece, bool *first);
/* What follows the piece at hand, as far as it can be had: at most 1,000 bytes. */
struct slice move_lines_peek(const struct move_lines *l);
/* Where the next piece begins. */
uint64_t move_lines_offset(const struct move_lines *l);
/* Goes on at this offset, where a line begins. */
NODISCARD int move_lines_seek(struct move_lines *l, uint64_t offset);

#endif
