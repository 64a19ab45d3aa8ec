/* extract_header.c: the fields of a message: which there are, in which order and form, and what they say. */
#include "spam/extract_private.h"
#include "spam/url.h"

#include "message/address.h"
#include "message/words.h"

#define VALUE_MAX 2000   /* bytes of a field that are looked at */
#define WORDS_MAX 24     /* words of a field */
#define WORD_MAX 40      /* bytes of one */
#define ADDRESSES_MAX 20 /* of a field */
#define RECEIVED_MAX 12  /* fields */
#define SHAPE_MAX 40

enum reading {
	READ_SKIP,
	READ_NAME,
	READ_RECEIVED,
	READ_DATE,
	READ_ID,
	READ_SUBJECT,
	READ_ADDRESS,
	READ_TYPE,
	READ_WORDS
};

static const struct {
	struct slice name;
	enum reading reading;
} fields[] = {
#define SPAM_FIELD(name, reading) {SLICE_INIT(name), READ_##reading},
#include "spam/fields.def"
#undef SPAM_FIELD
};

struct reader {
	struct spam_extractor *x;
	const struct spam_message *m;
	struct spam_features *f;
	struct slice from, from_domain; /* the From field's first address and its registrable domain */
	size_t received, own;
};

static enum reading
reading_of(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		struct slice of = fields[i].name;
		bool all = slice_at(of, of.n - 1) == '*';

		if (all ? slice_starts(name, slice_head(of, of.n - 1)) : slice_eq(name, of))
			return fields[i].reading;
	}
	return READ_WORDS;
}

static bool
is_separator(uint8_t c)
{
	return c <= ' ' || c == '(' || c == ')' || c == '[' || c == ']' || c == '<' || c == '>' || c == ',' ||
	    c == ';' || c == '"' || c == '=';
}

/* The next word, in lower case in `out`; false at the end. */
static bool
next_word(struct slice value, size_t *at, uint8_t out[WORD_MAX], struct slice *word)
{
	size_t n = 0;

	while (*at < value.n && is_separator(slice_at(value, *at)))
		(*at)++;
	for (; *at < value.n && !is_separator(slice_at(value, *at)); (*at)++)
		if (n < WORD_MAX)
			out[n++] = ascii_lower(slice_at(value, *at));
	*word = slice_of(out, n);
	return n > 0;
}

static void
put_shape(struct reader *r, const char *kind, struct slice value)
{
	uint8_t shape[SHAPE_MAX + 2];

	spam_feature(r->f, SPAM_HEADERS, kind, slice_of(shape, extract_shape(value, shape, SHAPE_MAX)));
}

static void
put_words(struct reader *r, const char *name, struct slice value)
{
	uint8_t text[WORD_MAX];
	struct slice word;
	size_t at = 0;

	for (size_t i = 0; i < WORDS_MAX && next_word(value, &at, text, &word); i++)
		spam_feature(r->f, SPAM_HEADERS, name, word);
	spam_feature_grams(r->f, SPAM_FIELDS, value);
}

static bool
is_address(struct slice word)
{
	size_t dots = 0;

	for (size_t i = 0; i < word.n; i++) {
		if (!ascii_is_digit(slice_at(word, i)) && slice_at(word, i) != '.')
			return false;
		dots += slice_at(word, i) == '.';
	}
	return dots == 3;
}

/* What a relay is called, and where it is. */
static void
put_relay(struct reader *r, struct slice word)
{
	size_t dot = slice_rfind_byte(word, '.');
	struct arena_mark mark = arena_mark(&r->x->arena);

	if (is_address(word)) {
		spam_feature(r->f, SPAM_HEADERS, "relay's network", slice_head(word, dot));
		word = slice_head(word, dot);
		spam_feature(r->f, SPAM_HEADERS, "relay's network", slice_head(word, slice_rfind_byte(word, '.')));
	} else if (dot != SLICE_NONE && dot + 1 < word.n && ascii_is_alpha(slice_at(word, word.n - 1)) &&
	    slice_find_byte(word, '@') == SLICE_NONE) {
		spam_feature(r->f, SPAM_HEADERS, "relay", url_domain(&r->x->arena, word));
		spam_feature(r->f, SPAM_HEADERS, "relay under", slice_from(word, dot));
	} else {
		spam_feature(r->f, SPAM_HEADERS, "relay's line", word);
	}
	arena_release(&r->x->arena, mark);
}

static void
read_received(struct reader *r, struct slice value)
{
	uint8_t text[WORD_MAX];
	struct slice word, before = SLICE_EMPTY;
	size_t at = 0, date = slice_rfind_byte(value, ';');

	if (++r->received > RECEIVED_MAX)
		return;
	value = date == SLICE_NONE ? value : slice_head(value, date);
	for (size_t i = 0; i < WORDS_MAX && next_word(value, &at, text, &word); i++) {
		bool mark = slice_eq(before, SLICE("id")) || slice_eq(before, SLICE("for"));

		if (slice_eq(before, SLICE("from")))
			put_shape(r, "relay calls itself", word);
		if (!mark)
			put_relay(r, word);
		before = slice_eq(word, SLICE("id")) ? SLICE("id")
		    : slice_eq(word, SLICE("for"))   ? SLICE("for")
		    : slice_eq(word, SLICE("from"))  ? SLICE("from")
						     : SLICE_EMPTY;
	}
}

/* The form, and the zone. */
static void
read_date(struct reader *r, struct slice value)
{
	struct slice zone = slice_from(value, value.n > 6 ? value.n - 6 : 0);

	put_shape(r, "date's form", value);
	spam_feature(r->f, SPAM_HEADERS, "date's end", slice_trim(zone));
}

static void
read_id(struct reader *r, struct slice value)
{
	size_t at = slice_rfind_byte(value, '@'), n = 0;
	struct slice host = at == SLICE_NONE ? SLICE_EMPTY : slice_from(value, at + 1), domain;
	uint8_t text[WORD_MAX];
	struct slice lower;

	put_shape(r, "Message-ID's form", at == SLICE_NONE ? value : slice_head(value, at));
	put_shape(r, "Message-ID's host", host);
	if (!next_word(host, &n, text, &lower))
		return;
	domain = url_domain(&r->x->arena, lower);
	spam_feature(r->f, SPAM_HEADERS, "Message-ID at", domain);
	if (r->from_domain.n > 0)
		spam_feature(r->f, SPAM_HEADERS, "Message-ID of its sender",
		    slice_eq(domain, r->from_domain) ? SLICE("yes") : SLICE("no"));
}

static void
read_subject(struct reader *r, struct slice value)
{
	struct plain_counts counts = {0};
	BUF_CLEANUP struct buf text, plain;

	buf_init(&text, (size_t)VALUE_MAX * 4);
	buf_init(&plain, (size_t)VALUE_MAX * 16);
	words_decode(value, r->m->place, &text);
	plain_text(buf_slice(&text), &plain, &counts);
	extract_words(r->f, SPAM_SUBJECT, SPAM_SUBJECT, buf_slice(&plain));
	spam_feature_grams(r->f, SPAM_BYTES, buf_slice(&plain));
	put_shape(r, "subject's form", buf_slice(&plain));
	if (slice_starts(slice_trim(value), SLICE("=?")))
		spam_feature(r->f, SPAM_HEADERS, "subject is encoded", SLICE_EMPTY);
	if (counts.letters > 8 && counts.capitals * 3 > counts.letters * 2)
		spam_feature(r->f, SPAM_SUBJECT, "subject in capitals", SLICE_EMPTY);
	if (counts.invisible + counts.direction > 0)
		spam_feature(r->f, SPAM_SUBJECT, "invisible characters in the subject", SLICE_EMPTY);
	if (slice_find(buf_slice(&plain), SLICE("      ")) != SLICE_NONE)
		spam_feature(r->f, SPAM_SUBJECT, "gap in the subject", SLICE_EMPTY);
}

/* "ann@x" of two fields, letters folded. */
static void
put_address(struct reader *r, const char *kind, bool sender, const struct address *ad)
{
	struct arena *a = &r->x->arena;
	uint8_t shape[SHAPE_MAX + 2], domain_text[WORD_MAX];
	struct slice domain, whole;
	size_t at = 0;

	if (!next_word(ad->domain, &at, domain_text, &domain))
		domain = SLICE_EMPTY;
	else
		domain = arena_copy(a, domain);
	whole = arena_printf(a, "%.*s@%.*s", SLICE_ARG(slice_head(ad->local, 64)), SLICE_ARG(domain));
	spam_feature(r->f, SPAM_SENDER, kind, whole);
	domain = arena_copy(a, url_domain(a, domain));
	if (sender && r->from.p == NULL) {
		r->from = whole;
		r->from_domain = domain;
	} else if (r->from.p != NULL) {
		spam_feature_pair(r->f, SPAM_SENDER, "against From:", slice_z(kind),
		    slice_ieq(whole, r->from)              ? SLICE("the same address")
			: slice_eq(domain, r->from_domain) ? SLICE("the same domain")
							   : SLICE("another domain"));
	}
	spam_feature_pair(r->f, SPAM_SENDER, "domain of", slice_z(kind), domain);
	spam_feature_pair(
	    r->f, SPAM_SENDER, "form of", slice_z(kind), slice_of(shape, extract_shape(ad->local, shape, SHAPE_MAX)));
	put_shape(r, kind, ad->name);
}

static void
put_display_name(struct reader *r, struct slice name)
{
	BUF_CLEANUP struct buf text;

	buf_init(&text, 800);
	words_decode(slice_head(name, 100), r->m->place, &text);
	extract_words(r->f, SPAM_SENDER, SPAM_SENDER, buf_slice(&text));
}

static void
read_addresses(struct reader *r, const char *kind, struct slice value)
{
	struct arena_mark mark;
	struct address_list list;
	bool sender = strcmp(kind, "from") == 0;

	mark = arena_mark(&r->x->arena);
	if (address_parse(&r->x->arena, value, ADDRESSES_MAX, &list) != 0)
		return;
	spam_feature_size(r->f, SPAM_SENDER, kind, list.n);
	for (size_t i = 0; i < list.n; i++) {
		if (list.v[i].kind != ADDRESS_MAILBOX)
			continue;
		put_address(r, kind, sender, &list.v[i]);
		put_display_name(r, list.v[i].name);
	}
	spam_feature_grams(r->f, SPAM_FIELDS, slice_trim(slice_head(value, 160)));
	/* What From: gave stays for the fields behind it. */
	if (!sender)
		arena_release(&r->x->arena, mark);
}

static void
read_type(struct reader *r, struct slice value)
{
	size_t boundary = slice_ifind(value, SLICE("boundary="));

	if (boundary != SLICE_NONE)
		put_shape(r, "boundary's form", slice_trim(slice_from(value, boundary + 9)));
	put_words(r, "content-type", boundary == SLICE_NONE ? value : slice_head(value, boundary));
}

static void
read_field(struct reader *r, enum reading reading, const char *name, struct slice value)
{
	switch (reading) {
	case READ_SKIP:
	case READ_NAME: return;
	case READ_RECEIVED: read_received(r, value); return;
	case READ_DATE: read_date(r, value); return;
	case READ_ID: read_id(r, value); return;
	case READ_SUBJECT: read_subject(r, value); return;
	case READ_ADDRESS: read_addresses(r, name, value); return;
	case READ_TYPE: read_type(r, value); return;
	case READ_WORDS: put_words(r, name, value); return;
	}
}

/* From: first, since the others are held against it. */
static void
read_from(struct reader *r, const struct header *h)
{
	const struct header_field *from = header_find(h, SLICE("from"));

	if (from != NULL)
		read_addresses(r, "from", slice_head(from->value, VALUE_MAX));
}

void
extract_header(struct spam_extractor *x, const struct spam_message *m, const struct header *h, struct spam_features *f,
    struct slice *from)
{
	struct reader r = {.x = x, .m = m, .f = f};
	size_t max = h->n < (size_t)x->limits->spam_fields ? h->n : (size_t)x->limits->spam_fields;
	uint8_t names[2][WORD_MAX + 1];
	struct slice before = SLICE_EMPTY;

	read_from(&r, h);
	for (size_t i = 0; i < max; i++) {
		const struct header_field *field = &h->v[i];
		uint8_t *name = names[i % 2];
		struct slice written = slice_head(field->name, WORD_MAX), lower = slice_of(name, written.n), value;
		enum reading reading;
		struct arena_mark mark;

		for (size_t j = 0; j < written.n; j++)
			name[j] = ascii_lower(slice_at(written, j));
		name[written.n] = '\0';
		reading = reading_of(lower);
		if (reading == READ_SKIP || (reading == READ_RECEIVED && r.own++ < m->own_received))
			continue;
		mark = arena_mark(&x->arena);
		value = header_unfold(&x->arena, slice_head(field->value, VALUE_MAX));
		spam_feature(f, SPAM_HEADERS, "field", written);
		if (reading != READ_RECEIVED) {
			if (before.n > 0)
				spam_feature_pair(f, SPAM_HEADERS, "fields in this order:", before, lower);
			before = arena_copy(&x->arena, lower);
		}
		if (!slice_eq(lower, SLICE("from"))) {
			read_field(&r, reading, (const char *)name, value);
			if (reading == READ_RECEIVED)
				arena_release(&x->arena, mark);
		}
	}
	spam_feature_size(f, SPAM_HEADERS, "relays on its way:", r.received);
	*from = r.from_domain;
}
