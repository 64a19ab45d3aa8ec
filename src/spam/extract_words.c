/* extract_words.c: words in lower case, each with its two followers. Words that are spelt out ("v i a g r a", "f.r.e.e") count as
 * one, words disguised in another alphabet as what they look like. */
#include "spam/extract_private.h"

#define WORD_MAX 24    /* bytes; longer ones count by their shape */
#define SPELT_MIN 4    /* single letters in a row that are a word */
#define WORDS_MAX 8192 /* of one text; the rest is not looked at */

struct words {
	struct spam_features *f;
	enum spam_group group, pairs;
	struct buf before[2]; /* the last word, and the one before it */
	struct buf word, spelt;
	size_t n;
};

static bool
is_word_byte(uint8_t c)
{
	return ascii_is_alnum(c) || c >= 0x80 || c == '$' || c == '\'' || c == '-' || c == '_';
}

static void
end_spelt(struct words *w)
{
	if (w->spelt.n >= SPELT_MIN) {
		spam_feature(w->f, w->group, "word", buf_slice(&w->spelt));
		spam_feature(w->f, SPAM_SHAPE, "a word in single letters", SLICE_EMPTY);
	}
	buf_reset(&w->spelt);
}

static void
put_pairs(struct words *w)
{
	if (w->before[0].n > 0)
		spam_feature_pair(w->f, w->pairs, "words", buf_slice(&w->before[0]), buf_slice(&w->word));
	if (w->before[1].n > 0)
		spam_feature_pair(w->f, w->pairs, "words apart", buf_slice(&w->before[1]), buf_slice(&w->word));
}

/* w->word is the new one. */
static void
end_word(struct words *w)
{
	struct buf oldest = w->before[1];
	BUF_CLEANUP struct buf latin;

	buf_init(&latin, (size_t)WORD_MAX * 4);
	spam_feature(w->f, w->group, "word", buf_slice(&w->word));
	if (!slice_is_ascii(buf_slice(&w->word)) && plain_disguised(buf_slice(&w->word), &latin)) {
		spam_feature(w->f, w->group, "word", buf_slice(&latin));
		spam_feature(w->f, SPAM_SHAPE, "a word in two alphabets", SLICE_EMPTY);
	}
	put_pairs(w);
	w->before[1] = w->before[0];
	w->before[0] = w->word;
	w->word = oldest;
	buf_reset(&w->word);
}

static void
take_word(struct words *w, struct slice raw, uint8_t after)
{
	uint8_t shape[WORD_MAX + 2];

	if (raw.n == 1 && ascii_is_alpha(slice_at(raw, 0)))
		buf_put_u8(&w->spelt, ascii_lower(slice_at(raw, 0)));
	else
		end_spelt(w);
	if (raw.n > WORD_MAX) {
		spam_feature(w->f, w->group, "long word", slice_of(shape, extract_shape(raw, shape, WORD_MAX)));
		return;
	}
	for (size_t i = 0; i < raw.n; i++)
		buf_put_u8(&w->word, ascii_lower(slice_at(raw, i)));
	if (after == '!')
		buf_put_u8(&w->word, '!');
	w->n++;
	end_word(w);
}

/* Quotes and dashes around a word are none of it. */
static struct slice
strip(struct slice s)
{
	while (s.n > 0 && strchr("'-_", slice_at(s, 0)) != NULL)
		s = slice_from(s, 1);
	while (s.n > 0 && strchr("'-_", slice_at(s, s.n - 1)) != NULL)
		s = slice_head(s, s.n - 1);
	return s;
}

void
extract_words(struct spam_features *f, enum spam_group words, enum spam_group pairs, struct slice plain)
{
	struct words w = {.f = f, .group = words, .pairs = pairs};

	buf_init(&w.before[0], (size_t)WORD_MAX * 2);
	buf_init(&w.before[1], (size_t)WORD_MAX * 2);
	buf_init(&w.word, (size_t)WORD_MAX * 2);
	buf_init(&w.spelt, WORD_MAX);
	for (size_t i = 0; i < plain.n && w.n < WORDS_MAX;) {
		size_t from = i;
		struct slice word;

		while (i < plain.n && is_word_byte(slice_at(plain, i)))
			i++;
		word = strip(slice_range(plain, from, i));
		if (word.n > 0)
			take_word(&w, word, i < plain.n ? slice_at(plain, i) : 0);
		if (i == from)
			i++;
	}
	end_spelt(&w);
	buf_free(&w.before[0]);
	buf_free(&w.before[1]);
	buf_free(&w.word);
	buf_free(&w.spelt);
}

size_t
extract_shape(struct slice s, uint8_t *out, size_t max)
{
	size_t n = 0;
	uint8_t last = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		c = ascii_is_digit(c) ? '0' : ascii_is_alpha(c) ? (c >= 'a' ? 'a' : 'A') : c >= 0x80 ? '~' : c;
		if (c == last && (c == '0' || c == 'a' || c == 'A' || c == '~'))
			continue;
		if (n == max) {
			out[n++] = '+';
			break;
		}
		out[n++] = last = c;
	}
	return n;
}
