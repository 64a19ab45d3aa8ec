/* report_zip.h: the directory of a zip archive (PKWARE APPNOTE 6.3), as far as reports need it: one disk, no encryption, no zip64, files that
 * are stored or deflated. Strict: what does not lie within the archive is refused. */
#ifndef READER_REPORT_ZIP_H
#define READER_REPORT_ZIP_H

#include "base/slice.h"

struct report_zip_file {
	struct slice name;   /* raw */
	struct slice packed; /* within the archive */
	bool deflated;       /* else stored */
	uint32_t crc32;
	uint64_t size; /* unpacked, as the archive says */
};

/* The file that is the report: the first whose name ends in .xml or .json, else the first that is no folder. 0; or why not, in *why:
 * ERR_SYNTAX (no sound archive), ERR_UNSUPPORTED (encrypted and such), ERR_LIMIT (more than max files), ERR_NOTFOUND (it has no file). */
NODISCARD int report_zip_find(struct slice archive, size_t max, struct report_zip_file *out, const char **why);

#endif
