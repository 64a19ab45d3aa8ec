/* words.c: encoded words. Decoding walks the value once: literal text is collected until a word is found; bytes of
 * adjacent words of one charset are collected until the run ends, and are converted together, since a character may
 * be split between them. */
#include "message/words.h"

#include "message/encoding.h"

#define WORD_MAX 75 /* RFC 2047 §2 */
#define COLUMN_MAX 76
#define CHARSET_NAME_MAX 80
#define UNBROKEN_MAX 900 /* a run without space that is still safe in a line */

struct word {
	struct slice charset;
	struct slice text;
	bool base64;
	size_t end; /* behind its ?= */
};

/* Where the next occurrences of "?=" and "=?" are, so that each is searched for once only. */
struct ahead {
	size_t close;
	size_t open;
};

static size_t
find_at(struct slice s, size_t from, struct slice needle)
{
	size_t at = slice_find(slice_from(s, from), needle);

	return at == SLICE_NONE ? s.n : from + at;
}

/* Reads a word at s[i..], which begins with "=?". */
static bool
word_read(struct slice s, size_t i, struct ahead *ahead, struct word *w)
{
	struct slice head = slice_head(slice_from(s, i + 2), CHARSET_NAME_MAX);
	size_t q = slice_find_byte(head, '?'), text;
	uint8_t how;

	if (q == SLICE_NONE || q == 0)
		return false;
	text = i + 2 + q + 3;
	if (text > s.n || slice_at(s, text - 1) != '?')
		return false;
	how = ascii_lower(slice_at(s, text - 2));
	if (how != 'q' && how != 'b')
		return false;
	for (size_t k = 0; k < q; k++)
		if (slice_at(head, k) <= ' ' || slice_at(head, k) >= 0x7f)
			return false;
	if (ahead->close < text)
		ahead->close = find_at(s, text, SLICE("?="));
	if (ahead->close + 2 > s.n)
		return false;
	if (ahead->open < text)
		ahead->open = find_at(s, text, SLICE("=?"));
	/* Another word begins before this one ends: this one has no end. "=?=" is a = that ends the text. */
	if (ahead->open + 1 < ahead->close)
		return false;
	w->charset = slice_head(head, q);
	if ((q = slice_find_byte(w->charset, '*')) != SLICE_NONE)
		w->charset = slice_head(w->charset, q);
	w->text = slice_range(s, text, ahead->close);
	w->base64 = how == 'b';
	w->end = ahead->close + 2;
	return true;
}

/* Control characters would let a header forge lines or terminal commands: from `from` on they become spaces. */
static void
blank_controls(struct buf *out, size_t from)
{
	uint8_t *p = out->p;

	for (size_t i = from; i < out->n; i++)
		if (p[i] < ' ' || p[i] == 0x7f)
			p[i] = ' ';
}

/* Literal text: line ends of folding go, the rest stays. */
static void
put_literal(struct slice s, struct buf *out)
{
	size_t from = out->n;

	if (slice_find_byte(s, '\n') == SLICE_NONE) {
		charset_guess_to_utf8(s, out);
	} else {
		BUF_CLEANUP struct buf line;

		buf_init(&line, s.n);
		while (s.n > 0) {
			struct slice piece = slice_cut(&s, '\n');

			if (slice_ends(piece, SLICE("\r")))
				piece.n--;
			buf_put(&line, piece);
		}
		charset_guess_to_utf8(buf_slice(&line), out);
		if (line.err != 0 && out->err == 0)
			out->err = line.err;
	}
	blank_controls(out, from);
}

/* The bytes of a run of adjacent words of one charset. */
struct run {
	struct slice charset;
	struct buf bytes;
	struct decoder base64;
	bool last_base64;
	bool open;
};

static void
run_close(struct run *r, enum charset_place place, struct buf *out)
{
	size_t from = out->n;

	if (!r->open)
		return;
	decoder_end(&r->base64, &r->bytes);
	(void)charset_to_utf8(r->charset, buf_slice(&r->bytes), place, out);
	if (r->bytes.err != 0 && out->err == 0)
		out->err = r->bytes.err;
	blank_controls(out, from);
	buf_reset(&r->bytes);
	r->open = false;
}

static int
hex(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
put_q(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '=' && i + 2 < s.n && hex(slice_at(s, i + 1)) >= 0 && hex(slice_at(s, i + 2)) >= 0) {
			c = (uint8_t)(hex(slice_at(s, i + 1)) << 4 | hex(slice_at(s, i + 2)));
			i += 2;
		} else if (c == '_') {
			c = ' ';
		} else if (c == '\r' || c == '\n') {
			continue;
		}
		buf_put_u8(out, c);
	}
}

static void
run_add(struct run *r, const struct word *w, enum charset_place place, struct buf *out)
{
	if (r->open && !slice_ieq(r->charset, w->charset))
		run_close(r, place, out);
	if (!r->open) {
		r->open = true;
		r->charset = w->charset;
		decoder_init(&r->base64, ENCODING_BASE64);
	} else if (r->last_base64 && !w->base64) {
		decoder_end(&r->base64, &r->bytes);
	}
	if (r->base64.ended)
		decoder_init(&r->base64, ENCODING_BASE64);
	r->last_base64 = w->base64;
	/* Bits left over from a word that ends without padding go on in the next one: mailers split there too. */
	if (w->base64)
		decoder_feed(&r->base64, w->text, &r->bytes);
	else
		put_q(w->text, &r->bytes);
}

static bool
is_white(struct slice s)
{
	return slice_trim(s).n == 0;
}

void
words_decode(struct slice value, enum charset_place place, struct buf *out)
{
	struct ahead ahead = {0, 0};
	struct run run = {0};
	size_t literal = 0, i = 0;

	buf_init(&run.bytes, value.n);
	while (i < value.n && out->err == 0) {
		struct word w;

		i = find_at(value, i, SLICE("=?"));
		if (i >= value.n)
			break;
		if (!word_read(value, i, &ahead, &w)) {
			i++;
			continue;
		}
		if (i > literal && !(run.open && is_white(slice_range(value, literal, i)))) {
			run_close(&run, place, out);
			put_literal(slice_range(value, literal, i), out);
		}
		run_add(&run, &w, place, out);
		literal = i = w.end;
	}
	run_close(&run, place, out);
	put_literal(slice_from(value, literal), out);
	buf_free(&run.bytes);
}

/* ---- encoding ------------------------------------------------------------------------------------------------ */

bool
words_needed(struct slice s)
{
	size_t unbroken = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c >= 0x7f || (c < ' ' && c != '\t'))
			return true;
		unbroken = c == ' ' || c == '\t' ? 0 : unbroken + 1;
		if (unbroken > UNBROKEN_MAX)
			return true;
	}
	return slice_find(s, SLICE("=?")) != SLICE_NONE || slice_trim(s).n != s.n;
}

/* The characters that every place allows in Q (RFC 2047 §5 (3)). */
static bool
q_is_plain(uint8_t c)
{
	return ascii_is_alnum(c) || c == '!' || c == '*' || c == '+' || c == '-' || c == '/' || c == ' ';
}

static size_t
q_width(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += q_is_plain(slice_at(s, i)) ? 1 : 3;
	return n;
}

/* Bytes of the valid UTF-8 character at i. */
static size_t
character(struct slice s, size_t i)
{
	size_t n = 1;

	while (i + n < s.n && (slice_at(s, i + n) & 0xc0) == 0x80)
		n++;
	return n;
}

static void
put_word(struct slice s, bool base64, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	buf_put_z(out, base64 ? "=?utf-8?B?" : "=?utf-8?Q?");
	if (base64)
		buf_put_base64(out, s);
	for (size_t i = 0; !base64 && i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == ' ') {
			buf_put_u8(out, '_');
		} else if (q_is_plain(c)) {
			buf_put_u8(out, c);
		} else {
			buf_put_u8(out, '=');
			buf_put_u8(out, (uint8_t)digits[c >> 4]);
			buf_put_u8(out, (uint8_t)digits[c & 15]);
		}
	}
	buf_put(out, SLICE("?="));
}

static void
put_words(struct slice s, size_t column, struct buf *out)
{
	bool base64 = q_width(s) > (s.n + 2) / 3 * 4;
	size_t i = 0;

	while (i < s.n) {
		/* 12 characters of frame; a line should hold at least one character of four bytes. */
		size_t room = column + 12 + 12 < COLUMN_MAX ? COLUMN_MAX - column - 12 : 0;
		size_t n = 0;

		if (room == 0 && column > 1) {
			buf_put(out, SLICE("\r\n "));
			column = 1;
			continue;
		}
		if (room > WORD_MAX - 12)
			room = WORD_MAX - 12;
		while (i + n < s.n) {
			size_t c = character(s, i + n);
			struct slice with = slice_range(s, i, i + n + c);

			if (n > 0 && (base64 ? (with.n + 2) / 3 * 4 : q_width(with)) > room)
				break;
			n += c;
		}
		put_word(slice_range(s, i, i + n), base64, out);
		i += n;
		if (i < s.n)
			buf_put(out, SLICE("\r\n "));
		column = 1;
	}
}

/* Folds ASCII text before single spaces. */
static void
put_folded(struct slice s, size_t column, struct buf *out)
{
	while (s.n > 0) {
		size_t space = slice_find_byte(slice_from(s, 1), ' ');
		struct slice word = space == SLICE_NONE ? s : slice_head(s, space + 1);

		if (column + word.n > COLUMN_MAX && column > 1 && slice_at(word, 0) == ' ' && word.n > 1) {
			buf_put(out, SLICE("\r\n"));
			column = 0;
		}
		buf_put(out, word);
		column += word.n;
		s = slice_from(s, word.n);
	}
}

void
words_encode(struct slice utf8, size_t column, struct buf *out)
{
	if (!words_needed(utf8)) {
		put_folded(utf8, column, out);
	} else if (slice_is_utf8(utf8, false)) {
		put_words(utf8, column, out);
	} else {
		BUF_CLEANUP struct buf clean;

		buf_init(&clean, utf8.n * 3 + 3);
		charset_clean_utf8(utf8, &clean);
		put_words(buf_slice(&clean), column, out);
		if (clean.err != 0 && out->err == 0)
			out->err = clean.err;
	}
}
