/* threads.c: message ids and base subjects. */
#include "message/threads.h"

#include "message/cfws.h"
#include "message/words.h"

#define ID_MAX 998

/* One msg-id without its brackets: white space, comments and quotes out. Empty when nothing useful is left. */
static struct slice
id_normalise(struct arena *a, struct slice s)
{
	BUF_CLEANUP struct buf b;
	struct cursor c = cursor_of(s);

	if (s.n > ID_MAX)
		return SLICE_EMPTY;
	buf_init(&b, s.n);
	while (!cursor_end(&c)) {
		cfws_skip(&c, NULL);
		if (cursor_end(&c))
			break;
		if (cursor_accept_byte(&c, '"'))
			(void)cfws_quoted(&c, &b);
		else if (cursor_peek(&c) < ' ' || cursor_peek(&c) == 0x7f)
			cursor_skip(&c, 1);
		else
			buf_put_u8(&b, cursor_u8(&c));
	}
	return b.n == 0 ? SLICE_EMPTY : arena_copy(a, buf_slice(&b));
}

/* The next thing in angle brackets, brackets cut off. A "<" in it begins it anew; without ">" it is none. */
static bool
bracketed(struct slice *rest, struct slice *id)
{
	size_t open = slice_find_byte(*rest, '<'), close, again;

	if (open == SLICE_NONE)
		return false;
	*rest = slice_from(*rest, open + 1);
	close = slice_find_byte(*rest, '>');
	if (close == SLICE_NONE)
		return false;
	again = slice_rfind_byte(slice_head(*rest, close), '<');
	*id = slice_range(*rest, again == SLICE_NONE ? 0 : again + 1, close);
	*rest = slice_from(*rest, close + 1);
	return true;
}

static bool
has_id(const struct slice *v, size_t n, struct slice id)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(v[i], id))
			return true;
	return false;
}

/* Ids as they stand, the first and the last ones up to max. The root stays; the others go round in a ring, which is
 * then unrolled from ring[] into v[]. */
static size_t
collect(struct slice value, struct slice *v, struct slice *ring, size_t max)
{
	size_t seen = 0, others;
	struct slice id;

	while (bracketed(&value, &id)) {
		if (slice_trim(id).n == 0)
			continue;
		if (seen == 0)
			v[0] = id;
		else if (max > 1)
			ring[(seen - 1) % (max - 1)] = id;
		seen++;
	}
	if (seen <= 1 || max == 1)
		return seen == 0 ? 0 : 1;
	others = seen - 1 < max - 1 ? seen - 1 : max - 1;
	for (size_t i = 0; i < others; i++)
		v[1 + i] = ring[(seen - 1 - others + i) % (max - 1)];
	return 1 + others;
}

/* All ids, repeated ones too. */
static int
chain_parse(struct arena *a, struct slice value, size_t max, struct slice_list *out)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, 2 * max), word;
	size_t n, kept = 0;

	ASSERT(max > 0);
	*out = (struct slice_list){0};
	if (v == NULL)
		return ERR_LIMIT;
	n = collect(value, v, v + max, max);
	word = slice_trim(value);
	/* Some write the bare id. */
	if (n == 0 && slice_find_byte(word, '@') != SLICE_NONE && slice_find_byte(word, ' ') == SLICE_NONE &&
	    slice_find_byte(word, '<') == SLICE_NONE)
		v[n++] = word;
	for (size_t i = 0; i < n; i++) {
		struct slice id = id_normalise(a, v[i]);

		if (id.n > 0)
			v[kept++] = id;
	}
	*out = (struct slice_list){v, kept};
	return arena_failed(a) ? ERR_LIMIT : 0;
}

/* Each at its first place. */
static int
without_repeats(struct arena *a, const struct slice_list *chain, struct slice_list *out)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, chain->n);
	size_t n = 0;

	*out = (struct slice_list){0};
	if (v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < chain->n; i++)
		if (!has_id(v, n, chain->v[i]))
			v[n++] = chain->v[i];
	*out = (struct slice_list){v, n};
	return 0;
}

int
message_ids_parse(struct arena *a, struct slice value, size_t max, struct slice_list *out)
{
	struct slice_list chain;
	int err = chain_parse(a, value, max, &chain);

	*out = (struct slice_list){0};
	return err != 0 || chain.n == 0 ? err : without_repeats(a, &chain, out);
}

int
message_thread_parse(struct arena *a, const struct header *h, enum charset_place place, struct message_thread *out)
{
	struct slice_list ids;
	int err;

	*out = (struct message_thread){0};
	err = message_ids_parse(a, header_value(h, SLICE("Message-ID")), 1, &ids);
	if (err != 0)
		return err;
	if (ids.n > 0)
		out->message_id = ids.v[0];
	err = chain_parse(a, header_value(h, SLICE("References")), MESSAGE_REFERENCES_MAX, &out->chain);
	if (err == 0 && out->chain.n == 0)
		err = chain_parse(a, header_value(h, SLICE("In-Reply-To")), 1, &out->chain);
	if (err == 0 && out->chain.n > 0)
		err = without_repeats(a, &out->chain, &out->references);
	if (err != 0)
		return err;
	out->base_subject = subject_base(a, header_text(a, header_value(h, SLICE("Subject")), place), &out->is_reply);
	return arena_failed(a) ? ERR_LIMIT : 0;
}

/* ---- base subject (RFC 5256 §2.1) -------------------------------------------------------------------------------- */

/* Length of a subj-blob with the white space behind it, or 0. */
static size_t
blob(struct slice s)
{
	if (s.n == 0 || slice_at(s, 0) != '[')
		return 0;
	for (size_t i = 1; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '[')
			return 0;
		if (c == ']')
			return i + 1 < s.n && slice_at(s, i + 1) == ' ' ? i + 2 : i + 1;
	}
	return 0;
}

/* Length of subj-refwd: "re:", "fw:", "fwd:", with a blob before the colon at most, and white space behind; or 0. */
static size_t
refwd(struct slice s)
{
	size_t n = slice_istarts(s, SLICE("re")) ? 2
	    : slice_istarts(s, SLICE("fwd"))     ? 3
	    : slice_istarts(s, SLICE("fw"))      ? 2
						 : 0;

	if (n == 0)
		return 0;
	if (n < s.n && slice_at(s, n) == ' ')
		n++;
	n += blob(slice_from(s, n));
	if (n >= s.n || slice_at(s, n) != ':')
		return 0;
	n++;
	return n < s.n && slice_at(s, n) == ' ' ? n + 1 : n;
}

/* Takes leaders off the front (steps 3 to 5). Blobs in a row are looked through once: what follows them is the same for
 * each of them. */
static struct slice
without_leaders(struct slice s, bool *is_reply)
{
	for (;;) {
		size_t n = 0, last = 0, step;

		while ((step = blob(slice_from(s, n))) > 0) {
			last = n;
			n += step;
		}
		step = refwd(slice_from(s, n));
		if (step > 0) {
			*is_reply = true;
			s = slice_from(s, n + step);
			continue;
		}
		/* No reply mark: blobs go as long as something is left. */
		return slice_from(s, n < s.n ? n : last);
	}
}

static struct slice
without_trailers(struct slice s, bool *is_reply)
{
	for (;;) {
		if (slice_ends(s, SLICE(" "))) {
			s = slice_head(s, s.n - 1);
		} else if (slice_iends(s, SLICE("(fwd)"))) {
			s = slice_head(s, s.n - 5);
			*is_reply = true;
		} else {
			return s;
		}
	}
}

static struct slice
collapse(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.n);
	size_t n = 0;

	if (p == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (!ascii_is_space(c))
			p[n++] = c;
		else if (n > 0 && p[n - 1] != ' ')
			p[n++] = ' ';
	}
	return slice_of(p, n);
}

struct slice
subject_base(struct arena *a, struct slice decoded, bool *is_reply)
{
	struct slice s = collapse(a, decoded);

	*is_reply = false;
	for (;;) {
		s = without_trailers(s, is_reply);
		s = without_leaders(s, is_reply);
		if (!slice_istarts(s, SLICE("[fwd:")) || !slice_ends(s, SLICE("]")))
			return s;
		s = slice_range(s, 5, s.n - 1);
		if (slice_starts(s, SLICE(" ")))
			s = slice_from(s, 1);
		*is_reply = true;
	}
}
