/* address.c: lists of addresses. One pass over the bytes: words are collected until something tells what they were: `<`
 * a display name, `@` a local part, `:` the name of a group. */
#include "message/address.h"

#include "message/cfws.h"

#define WORD_SCAN_MAX 256 /* an encoded word with bytes that should not be in it */

struct reader {
	struct cursor c;
	struct arena *a;
	struct slice comment; /* the last one skipped */
	struct buf phrase;    /* words so far, a space between */
	size_t phrase_before; /* its length before the last run of dotted words */
	struct buf local;     /* that run */
	bool local_quoted;
	struct buf domain;
	struct buf route;
	bool in_group;

	struct address *v;
	size_t cap, max;
	struct address_list *out;
};

static void
reader_free(struct reader *r)
{
	buf_free(&r->phrase);
	buf_free(&r->local);
	buf_free(&r->domain);
	buf_free(&r->route);
}

static bool
is_special(uint8_t c)
{
	return c <= ' ' || c == 0x7f || strchr("()<>[]:;@\\,\"", c) != NULL;
}

/* Moves past CFWS; true if there was any. */
static bool
skip(struct reader *r)
{
	size_t before = r->c.pos;

	cfws_skip(&r->c, &r->comment);
	return r->c.pos != before;
}

/* An encoded word that begins here, with specials in its text though it should have none ("=?utf-8?Q?Doe,_John?="):
 * its length, or 0. */
static size_t
encoded_word(struct slice s)
{
	size_t n = s.n < WORD_SCAN_MAX ? s.n : WORD_SCAN_MAX, marks = 0;

	if (!slice_starts(s, SLICE("=?")))
		return 0;
	for (size_t i = 2; i < n; i++) {
		uint8_t c = slice_at(s, i);

		if (c <= ' ')
			return 0;
		if (c == '?' && marks >= 2 && i + 1 < n && slice_at(s, i + 1) == '=')
			return i + 2;
		if (c == '?')
			marks++;
		if (marks < 2 && c != '?' && is_special(c))
			return 0;
	}
	return 0;
}

/* Reads an atom (dots included) or an encoded word; empty when the next byte is none. */
static struct slice
atom(struct reader *r)
{
	struct slice rest = cursor_rest(&r->c);
	size_t n = encoded_word(rest);

	if (n == 0)
		while (n < rest.n && !is_special(slice_at(rest, n)))
			n++;
	return cursor_take(&r->c, n);
}

static void
element_reset(struct reader *r)
{
	buf_reset(&r->phrase);
	buf_reset(&r->local);
	buf_reset(&r->domain);
	buf_reset(&r->route);
	r->phrase_before = 0;
	r->local_quoted = false;
	r->comment = SLICE_EMPTY;
}

static int
list_add(struct reader *r, struct address ad)
{
	if (r->out->n >= r->max) {
		r->out->truncated = true;
		return 0;
	}
	r->v = arena_grow(r->a, r->v, r->out->n, &r->cap, sizeof(*r->v), r->max);
	if (r->v == NULL)
		return ERR_LIMIT;
	r->v[r->out->n++] = ad;
	r->out->v = r->v;
	return arena_failed(r->a) ? ERR_LIMIT : 0;
}

/* Adds the mailbox that was collected; nothing when there is nothing. */
static int
mailbox_add(struct reader *r, struct slice name, struct slice local, struct slice domain)
{
	struct address ad = {.kind = ADDRESS_MAILBOX};

	if (name.n == 0 && r->comment.n > 0) {
		BUF_CLEANUP struct buf b;

		buf_init(&b, r->comment.n);
		cfws_put_comment(r->comment, &b);
		ad.name = arena_copy(r->a, slice_trim(buf_slice(&b)));
	} else {
		ad.name = arena_copy(r->a, slice_trim(name));
	}
	ad.local = arena_copy(r->a, local);
	ad.domain = arena_copy(r->a, domain);
	ad.route = arena_copy(r->a, buf_slice(&r->route));
	if (ad.name.n == 0 && local.n == 0 && domain.n == 0)
		r->out->damaged = true;
	return list_add(r, ad);
}

/* A domain behind @: atoms and dots with CFWS between, or a literal. */
static void
domain_read(struct reader *r, struct buf *out)
{
	bool dot = true;

	for (;;) {
		struct cursor before;
		struct slice s;

		before = r->c;
		(void)skip(r);
		if (cursor_peek(&r->c) == '[') {
			s = cursor_until(&r->c, ']');
			for (size_t i = 0; i < s.n; i++)
				if (slice_at(s, i) > ' ' && slice_at(s, i) != '\\')
					buf_put_u8(out, slice_at(s, i));
			buf_put_u8(out, ']');
			(void)cursor_accept_byte(&r->c, ']');
			return;
		}
		if (!dot && cursor_peek(&r->c) != '.') {
			/* White space and comments are looked at by whoever goes on. */
			if (cursor_peek(&r->c) != '@')
				r->c = before;
			return;
		}
		s = atom(r);
		if (s.n == 0)
			return;
		buf_put(out, s);
		dot = slice_ends(s, SLICE("."));
	}
}

/* One more word for the phrase, and for the local part that it may turn out to be. */
static void
word_add(struct reader *r, struct slice text, bool quoted, bool spaced)
{
	struct slice local = buf_slice(&r->local);
	bool dotted = !spaced || slice_ends(local, SLICE(".")) || (!quoted && slice_starts(text, SLICE(".")));

	if (local.n > 0 && !dotted) {
		buf_reset(&r->local);
		r->local_quoted = false;
		r->phrase_before = r->phrase.n;
	}
	if (r->phrase.n > 0 && spaced)
		buf_put_u8(&r->phrase, ' ');
	buf_put(&r->phrase, text);
	buf_put(&r->local, text);
	r->local_quoted |= quoted;
}

/* Reads an atom or quoted string and adds it; false if the next byte begins neither. */
static bool
word_read(struct reader *r, bool spaced)
{
	if (cursor_accept_byte(&r->c, '"')) {
		BUF_CLEANUP struct buf text;

		buf_init(&text, cursor_left(&r->c));
		if (!cfws_quoted(&r->c, &text))
			r->out->damaged = true;
		word_add(r, buf_slice(&text), true, spaced);
		return true;
	} else {
		struct slice s = atom(r);

		if (s.n > 0)
			word_add(r, s, false, spaced);
		return s.n > 0;
	}
}

/* Obsolete source routes: "@a,@b:" at the beginning of an angle address (RFC 5322 §4.4). */
static void
route_read(struct reader *r)
{
	while (cursor_peek(&r->c) == '@' || cursor_peek(&r->c) == ',') {
		if (cursor_accept_byte(&r->c, ',')) {
			(void)skip(r);
			continue;
		}
		cursor_skip(&r->c, 1);
		if (r->route.n > 0)
			buf_put_u8(&r->route, ',');
		buf_put_u8(&r->route, '@');
		domain_read(r, &r->route);
		(void)skip(r);
	}
	if (cursor_accept_byte(&r->c, ':'))
		return;
	/* No route after all: "<@b>". */
	buf_put(&r->domain, slice_from(buf_slice(&r->route), r->route.n > 0 ? 1 : 0));
	buf_reset(&r->route);
}

/* Behind "<": up to ">", or to a comma when that is missing. */
static int
angle_read(struct reader *r)
{
	BUF_CLEANUP struct buf name;
	bool spaced = false;

	buf_init(&name, r->phrase.n);
	buf_put(&name, buf_slice(&r->phrase));
	buf_reset(&r->phrase);
	buf_reset(&r->local);
	buf_reset(&r->domain);
	(void)skip(r);
	if (cursor_peek(&r->c) == '@')
		route_read(r);
	for (;;) {
		spaced |= skip(r);
		if (cursor_accept_byte(&r->c, '@')) {
			if (r->domain.n > 0) {
				/* A second @: the first was part of the local part. */
				buf_put_u8(&r->phrase, '@');
				buf_put(&r->phrase, buf_slice(&r->domain));
				buf_reset(&r->domain);
				r->out->damaged = true;
			}
			domain_read(r, &r->domain);
		} else if (r->domain.n > 0 || !word_read(r, spaced)) {
			break;
		}
		spaced = false;
	}
	while (!cursor_end(&r->c) && cursor_peek(&r->c) != '>' && cursor_peek(&r->c) != ',') {
		r->out->damaged = true;
		cursor_skip(&r->c, 1);
	}
	if (!cursor_accept_byte(&r->c, '>'))
		r->out->damaged = true;
	(void)skip(r);
	return mailbox_add(r, buf_slice(&name), buf_slice(&r->phrase), buf_slice(&r->domain));
}

/* Behind "@" of an address without angles. *done is false when "<" follows: then all of it was a display name. */
static int
bare_read(struct reader *r, bool *done)
{
	domain_read(r, &r->domain);
	while (cursor_accept_byte(&r->c, '@')) {
		buf_put_u8(&r->local, '@');
		buf_put(&r->local, buf_slice(&r->domain));
		buf_reset(&r->domain);
		r->out->damaged = true;
		domain_read(r, &r->domain);
	}
	(void)skip(r);
	*done = cursor_peek(&r->c) != '<';
	if (!*done) {
		buf_put_u8(&r->phrase, '@');
		buf_put(&r->phrase, buf_slice(&r->domain));
		buf_reset(&r->domain);
		return 0;
	}
	if (r->phrase_before > 0)
		r->out->damaged = true;
	return mailbox_add(
	    r, slice_head(buf_slice(&r->phrase), r->phrase_before), buf_slice(&r->local), buf_slice(&r->domain));
}

/* Words, and nothing that tells what they are: one word is a local mailbox ("root"), several are a name. */
static int
loose_add(struct reader *r)
{
	if (r->phrase.n == 0)
		return 0;
	r->out->damaged = true;
	if (r->phrase_before == 0 && !r->local_quoted)
		return mailbox_add(r, SLICE_EMPTY, buf_slice(&r->local), SLICE_EMPTY);
	return mailbox_add(r, buf_slice(&r->phrase), SLICE_EMPTY, SLICE_EMPTY);
}

static int
group_start(struct reader *r)
{
	struct address ad = {.kind = ADDRESS_GROUP_START};

	if (r->in_group || r->phrase.n == 0) {
		r->out->damaged = true;
		return 0;
	}
	r->in_group = true;
	ad.name = arena_copy(r->a, slice_trim(buf_slice(&r->phrase)));
	element_reset(r);
	return list_add(r, ad);
}

static int
group_end(struct reader *r)
{
	if (!r->in_group)
		return 0;
	r->in_group = false;
	return list_add(r, (struct address){.kind = ADDRESS_GROUP_END});
}

/* One element of the list up to its comma, semicolon, or the point where the next begins without one. */
static int
element_read(struct reader *r)
{
	element_reset(r);
	for (;;) {
		bool spaced = skip(r), done;
		int c = cursor_peek(&r->c), err;

		if (c < 0 || c == ',' || c == ';')
			return loose_add(r);
		if (c == '<' || c == '@' || c == ':') {
			cursor_skip(&r->c, 1);
			if (c == '<')
				return angle_read(r);
			err = c == '@' ? bare_read(r, &done) : group_start(r);
			if (err != 0 || (c == '@' && done))
				return err;
		} else if (!word_read(r, spaced)) {
			cursor_skip(&r->c, 1);
			r->out->damaged = true;
		}
	}
}

int
address_parse(struct arena *a, struct slice value, size_t max, struct address_list *out)
{
	__attribute__((cleanup(reader_free))) struct reader r = {.c = cursor_of(value), .a = a, .max = max, .out = out};
	int err = 0;

	*out = (struct address_list){0};
	buf_init(&r.phrase, value.n * 2 + 2);
	buf_init(&r.local, value.n * 2 + 2);
	buf_init(&r.domain, value.n + 2);
	buf_init(&r.route, value.n + 2);
	while (err == 0 && !cursor_end(&r.c) && !out->truncated) {
		err = element_read(&r);
		if (err == 0 && cursor_accept_byte(&r.c, ';'))
			err = group_end(&r);
		else if (!cursor_accept_byte(&r.c, ',') && !cursor_end(&r.c))
			out->damaged = true; /* a forgotten comma */
	}
	if (err == 0 && r.in_group) {
		out->damaged = true;
		err = group_end(&r);
	}
	return err != 0 ? err : r.phrase.err != 0 ? r.phrase.err : r.local.err != 0 ? r.local.err : r.domain.err;
}

const struct address *
address_first(const struct address_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].kind == ADDRESS_MAILBOX)
			return &l->v[i];
	return NULL;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static bool
is_dot_atom(struct slice s)
{
	if (s.n == 0 || slice_starts(s, SLICE(".")) || slice_ends(s, SLICE(".")) ||
	    slice_find(s, SLICE("..")) != SLICE_NONE)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (is_special(slice_at(s, i)))
			return false;
	return true;
}

static void
put_quoted(struct buf *out, struct slice s)
{
	buf_put_u8(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c == '"' || c == '\\')
			buf_put_u8(out, '\\');
		buf_put_u8(out, c < ' ' || c == 0x7f ? ' ' : c);
	}
	buf_put_u8(out, '"');
}

void
address_put_spec(struct buf *out, struct slice local, struct slice domain)
{
	if (is_dot_atom(local))
		buf_put(out, local);
	else
		put_quoted(out, local);
	if (domain.n == 0)
		return;
	buf_put_u8(out, '@');
	for (size_t i = 0; i < domain.n; i++) {
		uint8_t c = slice_at(domain, i);

		if (c > ' ' && c != 0x7f && strchr("()<>@\\,;\"", c) == NULL)
			buf_put_u8(out, c);
	}
}

/* Only atoms and spaces: needs no quotes. Encoded words are atoms. */
static bool
is_phrase(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (slice_at(s, i) != ' ' && (slice_at(s, i) == '.' || is_special(slice_at(s, i))))
			return false;
	return s.n > 0;
}

static void
put_name(struct buf *out, struct slice name)
{
	if (is_phrase(name))
		buf_put(out, name);
	else
		put_quoted(out, name);
}

void
address_put(struct buf *out, const struct address *ad)
{
	if (ad->kind == ADDRESS_GROUP_START) {
		put_name(out, ad->name);
		buf_put_u8(out, ':');
	} else if (ad->kind == ADDRESS_GROUP_END) {
		buf_put_u8(out, ';');
	} else if (ad->name.n > 0) {
		put_name(out, ad->name);
		buf_put(out, SLICE(" <"));
		if (ad->local.n > 0 || ad->domain.n > 0)
			address_put_spec(out, ad->local, ad->domain);
		buf_put_u8(out, '>');
	} else {
		address_put_spec(out, ad->local, ad->domain);
	}
}

void
address_put_list(struct buf *out, const struct address_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		bool after_start = i > 0 && l->v[i - 1].kind == ADDRESS_GROUP_START;

		if (i > 0 && l->v[i].kind != ADDRESS_GROUP_END)
			buf_put_z(out, after_start ? " " : ", ");
		address_put(out, &l->v[i]);
	}
}
