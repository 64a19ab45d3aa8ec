/* vault_files.h: small secret files, whole or not at all. */
#ifndef ROLE_VAULT_FILES_H
#define ROLE_VAULT_FILES_H

#include "base/buf.h"

#define VAULT_FILE_MAX ((size_t)1 << 20)
#define VAULT_PATH_MAX 2048

/* Appends the file's content. ERR_LIMIT over the buffer's maximum. */
NODISCARD int vault_file_read(const char *path, struct buf *out);
/* Replaces the file by a new one (0600) that is durable, its name too, when this returns 0. */
NODISCARD int vault_file_write(const char *path, struct slice content);
/* Makes a directory (0700) if it is not there. */
NODISCARD int vault_make_dir(const char *path);
/* Wipes and frees. */
void vault_buf_wipe(struct buf *b);
#define VAULT_WIPE __attribute__((cleanup(vault_buf_wipe)))

#endif
