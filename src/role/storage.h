/* storage.h: how much room there is where a folder of the house lies, and how large databases are: for status. */
#ifndef ROLE_STORAGE_H
#define ROLE_STORAGE_H

#include <jansson.h>

/* {bytes_free, bytes, files_free, files} of the file system of DIR/NAME; files only where it has a fixed number of them. Empty when
 * it cannot be told. Does not read the disk. */
json_t *storage_json(const char *dir, const char *name);
/* The size of a file in bytes; 0 when there is none. */
json_int_t storage_file_bytes(const char *dir, const char *name);

#endif
