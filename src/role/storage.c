#include "role/storage.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define PATH_BYTES 2048

json_t *
storage_json(const char *dir, const char *name)
{
	char path[PATH_BYTES];
	struct statvfs v;
	json_t *o = json_object();

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (statvfs(path, &v) != 0)
		return o;
	(void)json_object_set_new(o, "bytes_free", json_integer((json_int_t)v.f_bavail * (json_int_t)v.f_frsize));
	(void)json_object_set_new(o, "bytes", json_integer((json_int_t)v.f_blocks * (json_int_t)v.f_frsize));
	if (v.f_files > 0) {
		(void)json_object_set_new(o, "files_free", json_integer((json_int_t)v.f_favail));
		(void)json_object_set_new(o, "files", json_integer((json_int_t)v.f_files));
	}
	return o;
}

json_int_t
storage_file_bytes(const char *dir, const char *name)
{
	char path[PATH_BYTES];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return stat(path, &st) == 0 ? (json_int_t)st.st_size : 0;
}
