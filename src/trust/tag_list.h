/* tag_list.h: `tag=value; tag=value` as DKIM, ARC and their key records have it (RFC 6376 §3.2; UTF-8 in values by RFC 8616 §4).
 * Nothing is copied: the slices point into the text. */
#ifndef TRUST_TAG_LIST_H
#define TRUST_TAG_LIST_H

#include "base/arena.h"

#define TAG_LIST_MAX 40 /* tags of one list */

struct tag {
	struct slice name;  /* case matters */
	struct slice value; /* without white space at its ends; inside it may be folded */
	struct slice span;  /* all between `=` and `;` */
};

struct tag_list {
	struct tag v[TAG_LIST_MAX];
	size_t n;
};

/* ERR_SYNTAX: no such list, or a tag is there twice (RFC 6376 §3.2: then the whole list is invalid); ERR_LIMIT: more than TAG_LIST_MAX
 * tags. An empty text is a list without tags. */
NODISCARD int tag_list_parse(struct slice text, struct tag_list *out);
/* The tag of that name, or NULL. */
const struct tag *tag_list_find(const struct tag_list *l, struct slice name);
/* The value without any white space (base64, lists with colons); the value itself when there is none. Empty when the arena is
 * exhausted. */
struct slice tag_without_space(struct arena *a, struct slice value);
/* Is `item` one of the entries of a list with colons, white space around them and ASCII case apart? */
bool tag_names(struct slice colon_list, struct slice item);

#endif
