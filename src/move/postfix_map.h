/* postfix_map.h: the text that Postfix makes its maps from (postmap(1), newaliases(1)): a key and what it leads to on a line, '#' before
 * remarks, and lines that begin with white space go on with the one before. */
#ifndef MOVE_POSTFIX_MAP_H
#define MOVE_POSTFIX_MAP_H

#include "base/buf.h"
#include "base/slice.h"

struct postfix_map {
	struct slice rest; /* of the text */
	size_t line;       /* number of the entry's first line */
	bool colon;        /* "key: value", of aliases(5) */
	size_t next_line;
	struct buf joined; /* an entry of several lines */
};
struct postfix_entry {
	struct slice key;   /* as written, without quotes; in lower case means the same */
	struct slice value; /* trimmed; may be empty */
};

void postfix_map_init(struct postfix_map *m, struct slice text, bool colon);
void postfix_map_free(struct postfix_map *m);
/* The next entry, valid until the next call: 1, 0 at the end, ERR_SYNTAX for one that is none (the next call goes on), ERR_LIMIT. */
NODISCARD int postfix_map_next(struct postfix_map *m, struct postfix_entry *out);
/* The next of the values, which commas or white space divide; quotes hold together. False at the end. */
bool postfix_value_next(struct slice *rest, struct slice *out);

#endif
