/* backup_file.h: files and lists of files in a backup, as pieces. A file is described by a JSON object {"path","size","ids"}: its
 * place, its bytes, and the ids of its pieces as one hexadecimal text. What describes more files than fit on a page is kept as
 * such a file itself (a tree), so that an account which has not changed is the same few bytes in each backup. */
#ifndef BACKUP_BACKUP_FILE_H
#define BACKUP_BACKUP_FILE_H

#include "backup/backup_repo.h"

#include <jansson.h>

/* Pieces of databases are small: a change touches few pages. */
#define BACKUP_PIECE_DATABASE ((size_t)64 << 10)
#define BACKUP_PIECE_BODY ((size_t)1 << 20)
#define BACKUP_TREE_MAX ((size_t)1 << 30)

/* Reads a descriptor from its beginning to its end; *out is a new object. ERR_IO with words of its own in errno's stead when the
 * source cannot be read. */
NODISCARD int backup_file_put(struct backup_repo *r, int fd, const char *path, size_t piece_bytes, json_t **out);
/* The same of bytes. */
NODISCARD int backup_bytes_put(
    struct backup_repo *r, struct slice bytes, const char *path, size_t piece_bytes, json_t **out);
/* Writes a file's content to a descriptor; counts pieces that are missing or damaged, in whose place zeros are written when
 * `past_damage`; else the first ends it. ERR_INVALID: not the description of a file. */
NODISCARD int backup_file_get(struct backup_repo *r, const json_t *file, int fd, bool past_damage, int64_t *damaged);
NODISCARD int backup_bytes_get(struct backup_repo *r, const json_t *file, struct buf *out);
/* Only looks whether all is there and whole: adds up what is not. */
NODISCARD int backup_file_check(struct backup_repo *r, const json_t *file, struct buf *scratch, int64_t *damaged);
/* JSON as a file, and back. *out is new. ERR_DAMAGED. */
NODISCARD int backup_tree_put(struct backup_repo *r, const json_t *tree, json_t **out);
NODISCARD int backup_tree_get(struct backup_repo *r, const json_t *file, json_t **out);
/* Marks a file's pieces as used, for backup_sweep(). */
NODISCARD int backup_file_mark(const json_t *file, struct map *used);

#endif
