/* store_name.c: names of mailboxes: UTF-8, levels separated by '/'. */
#include "store/store_private.h"

static int
check_level(struct slice level)
{
	if (level.n == 0 || slice_eq(level, SLICE(".")) || slice_eq(level, SLICE("..")))
		return ERR_INVALID;
	for (size_t i = 0; i < level.n; i++) {
		uint8_t c = slice_at(level, i);

		if (c < ' ' || c == 0x7f)
			return ERR_INVALID;
		/* C1 control characters, U+0080 to U+009F; line and paragraph separators, U+2028 and U+2029 */
		if (c == 0xc2 && i + 1 < level.n && slice_at(level, i + 1) < 0xa0)
			return ERR_INVALID;
		if (c == 0xe2 && i + 2 < level.n && slice_at(level, i + 1) == 0x80 &&
		    (slice_at(level, i + 2) & 0xfe) == 0xa8)
			return ERR_INVALID;
	}
	return 0;
}

int
store_name_normal(const struct limits *l, struct slice name, struct arena *a, struct slice *out)
{
	struct slice rest, first;
	int64_t depth = 0;
	int err;

	*out = SLICE_EMPTY;
	if (name.n > 0 && slice_at(name, name.n - 1) == '/')
		name = slice_head(name, name.n - 1);
	if (name.n == 0)
		return ERR_INVALID;
	if (name.n > (size_t)l->mailbox_name_bytes)
		return ERR_LIMIT;
	if (!slice_is_utf8(name, true) || slice_at(name, name.n - 1) == '/')
		return ERR_INVALID;
	for (rest = name; rest.p != NULL;) {
		if ((err = check_level(slice_cut(&rest, '/'))) != 0)
			return err;
		if (++depth > l->mailbox_depth)
			return ERR_LIMIT;
	}
	rest = name;
	first = slice_cut(&rest, '/');
	if (slice_ieq(first, SLICE("INBOX")))
		*out = rest.p == NULL ? arena_copy(a, SLICE("INBOX")) : arena_printf(a, "INBOX/%.*s", SLICE_ARG(rest));
	else
		*out = arena_copy(a, name);
	return out->n == 0 ? ERR_NOMEM : 0;
}
