/* ini.h: the strict reader of configuration files:
 *
 *   # a comment, on a line of its own
 *   [kind]  or  [kind NAME]
 *   key = value
 *
 * UTF-8 without NUL or other control characters, lines up to INI_LINE_BYTES. Keys are a-z, 0-9 and _. A value is everything
 * behind the first `=`, without the white space around it: no quotes, no continuation, no comment behind it. Every error is
 * reported with its line, not only the first. */
#ifndef BASE_INI_H
#define BASE_INI_H

#include "base/arena.h"
#include "base/buf.h"

#define INI_FILE_BYTES (1u << 20)
#define INI_LINE_BYTES 4096u
#define INI_KEY_BYTES 64u
#define INI_NAME_BYTES 255u
#define INI_SECTIONS_MAX 10000u
#define INI_KEYS_MAX 1000u /* of one section */

struct ini_entry {
	struct slice key, value;
	unsigned line;
};

struct ini_section {
	struct slice kind; /* "listen" */
	struct slice name; /* "smtp", or empty */
	unsigned line;
	struct ini_entry *entries;
	size_t n, cap;
};

struct ini {
	struct ini_section *sections;
	size_t n, cap;
};

/* Reads `text`, which must outlive *out: 0, ERR_SYNTAX with one "line N: sentence" line each in `detail`, or ERR_NOMEM.
 * A section twice, and a key twice in one section, are errors. Lists lie in `a`. */
NODISCARD int ini_parse(struct slice text, struct arena *a, struct ini *out, struct buf *detail);
/* Appends "line N: sentence\n" to `detail`. */
void ini_complain(struct buf *detail, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
