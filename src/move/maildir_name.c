/* maildir_name.c: see maildir_name.h. */
#include "move/maildir_name.h"

#include "store/store.h"

static const struct {
	uint8_t letter;
	uint8_t flag;
} letters[] = {
    {'D', STORE_DRAFT}, {'F', STORE_FLAGGED}, {'R', STORE_ANSWERED}, {'S', STORE_SEEN}, {'T', STORE_DELETED}};

void
maildir_name_parse(struct slice name, struct maildir_name *out)
{
	size_t at = SLICE_NONE;

	*out = (struct maildir_name){.base = name};
	for (size_t i = name.n; i >= 3 && at == SLICE_NONE; i--)
		if (slice_at(name, i - 1) == ',' && slice_at(name, i - 2) == '2' &&
		    strchr(":;!", slice_at(name, i - 3)) != NULL && slice_at(name, i - 3) != 0)
			at = i - 3;
	if (at == SLICE_NONE)
		return;
	out->base = slice_head(name, at);
	for (size_t i = at + 3; i < name.n; i++) {
		uint8_t c = slice_at(name, i);

		if (c == ',') /* another server's own */
			break;
		for (size_t k = 0; k < COUNT_OF(letters); k++)
			if (c == letters[k].letter)
				out->flags = (uint8_t)(out->flags | letters[k].flag);
		if (c == 'P')
			out->forwarded = true;
		if (c >= 'a' && c <= 'z')
			out->keywords |= 1u << (c - 'a');
	}
}

void
maildir_name_put_info(struct buf *out, uint8_t flags, bool forwarded, uint32_t keywords)
{
	buf_put_z(out, ":2,");
	for (size_t k = 0; k < COUNT_OF(letters); k++) {
		if (forwarded && letters[k].letter == 'R') /* letters stand in the order of ASCII */
			buf_put_u8(out, 'P');
		if ((flags & letters[k].flag) != 0)
			buf_put_u8(out, letters[k].letter);
	}
	for (uint8_t n = 0; n < 26; n++)
		if ((keywords & 1u << n) != 0)
			buf_put_u8(out, (uint8_t)('a' + n));
}

static bool
number(struct slice s, uint32_t *out)
{
	uint64_t n;

	if (slice_to_u64(s, UINT32_MAX, &n) != 0 || n == 0)
		return false;
	*out = (uint32_t)n;
	return true;
}

bool
maildir_uidlist_head(struct slice line, uint32_t *uidvalidity, uint32_t *uidnext)
{
	struct slice rest = line;
	bool has_validity = false, has_next = false;

	if (!slice_eq(slice_cut(&rest, ' '), SLICE("3")))
		return false;
	while (rest.n > 0) {
		struct slice word = slice_cut(&rest, ' ');

		if (word.n > 1 && slice_at(word, 0) == 'V')
			has_validity = number(slice_from(word, 1), uidvalidity);
		else if (word.n > 1 && slice_at(word, 0) == 'N')
			has_next = number(slice_from(word, 1), uidnext);
	}
	return has_validity && has_next;
}

bool
maildir_uidlist_line(struct slice line, uint32_t *uid, struct slice *base)
{
	struct maildir_name name;
	size_t colon = slice_find(line, SLICE(" :"));
	struct slice rest = line;

	if (colon == SLICE_NONE || !number(slice_cut(&rest, ' '), uid))
		return false;
	maildir_name_parse(slice_from(line, colon + 2), &name);
	*base = name.base;
	return base->n > 0;
}
