#include "smtp/path.h"

#include "base/buf.h"
#include "directory/directory_address.h"

#include <arpa/inet.h>

/* RFC 5321 atext, with the dot, and what is outside ASCII (RFC 6531 §3.3): what an unquoted local part consists of. */
static bool
is_dot_atext(uint8_t c)
{
	return ascii_is_alnum(c) || c > 127 || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

bool
smtp_domain_is_valid(struct slice domain)
{
	if (slice_ends(domain, SLICE(".")))
		domain = slice_head(domain, domain.n - 1);
	if (domain.n == 0 || domain.n > SMTP_DOMAIN_MAX)
		return false;
	while (domain.p != NULL) {
		struct slice label = slice_cut(&domain, '.');

		if (label.n == 0 || label.n > 63 || slice_at(label, 0) == '-' || slice_at(label, label.n - 1) == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_is_alnum(slice_at(label, i)) && slice_at(label, i) != '-' &&
			    slice_at(label, i) != '_')
				return false;
	}
	return true;
}

/* Lower case, without the final dot. */
static struct slice
domain_normal(struct arena *a, struct slice domain)
{
	uint8_t *out;

	if (slice_ends(domain, SLICE(".")))
		domain = slice_head(domain, domain.n - 1);
	out = arena_alloc(a, domain.n + 1);
	if (out == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < domain.n; i++)
		out[i] = ascii_lower(slice_at(domain, i));
	return slice_of(out, domain.n);
}

/* RFC 5321 §4.1.3: an IPv4 address, or a tag, a colon and what the tag asks for. */
static bool
literal_is_valid(struct slice inside)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in6_addr v6;
	struct in_addr v4;
	size_t colon = slice_find_byte(inside, ':');

	if (slice_istarts(inside, SLICE("IPv6:")))
		return slice_to_z(slice_from(inside, 5), text, sizeof(text)) == 0 &&
		    inet_pton(AF_INET6, text, &v6) == 1;
	if (colon != SLICE_NONE) {
		for (size_t i = 0; i < inside.n; i++)
			if (slice_at(inside, i) < 33 || slice_at(inside, i) > 126 ||
			    memchr("[]\\<>()\"@", slice_at(inside, i), 9) != NULL)
				return false;
		return colon > 0 && colon + 1 < inside.n;
	}
	return slice_to_z(inside, text, sizeof(text)) == 0 && inet_pton(AF_INET, text, &v4) == 1;
}

/* Quoted-string: unquoted into the arena. */
static int
quoted_parse(struct cursor *c, struct arena *a, struct slice *local)
{
	BUF_CLEANUP struct buf b;

	buf_init(&b, SMTP_LOCAL_PART_MAX);
	cursor_expect_byte(c, '"');
	while (c->err == 0 && cursor_peek(c) != '"') {
		uint8_t byte = cursor_u8(c);

		if (byte == '\\')
			byte = cursor_u8(c);
		if (byte < 32 || byte == 127)
			cursor_fail(c, ERR_SYNTAX);
		buf_put_u8(&b, byte);
	}
	cursor_expect_byte(c, '"');
	if (c->err != 0)
		return ERR_SYNTAX;
	if (b.err != 0)
		return b.err;
	/* "" is a quoted string, but nobody is called so, and it must not pass for <>. */
	if (b.n == 0)
		return ERR_SYNTAX;
	*local = arena_copy(a, buf_slice(&b));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static int
local_part_parse(struct cursor *c, struct arena *a, struct slice *local)
{
	size_t from = c->pos;

	if (cursor_peek(c) == '"')
		return quoted_parse(c, a, local);
	while (cursor_peek(c) >= 0 && is_dot_atext((uint8_t)cursor_peek(c)))
		cursor_skip(c, 1);
	*local = slice_range(c->s, from, c->pos);
	/* Dots at the ends or doubled are no dot-string, but mailboxes with such names exist: they are taken. */
	return local->n == 0 ? ERR_SYNTAX : local->n > SMTP_LOCAL_PART_MAX ? ERR_LIMIT : 0;
}

static int
domain_parse(struct cursor *c, struct arena *a, struct smtp_path *out)
{
	struct slice text;
	size_t from = c->pos;

	if (cursor_accept_byte(c, '[')) {
		struct slice inside = cursor_until(c, ']');

		cursor_expect_byte(c, ']');
		if (c->err != 0 || !literal_is_valid(inside))
			return ERR_SYNTAX;
		out->literal = true;
		text = slice_range(c->s, from, c->pos);
	} else {
		while (cursor_peek(c) >= 0 && cursor_peek(c) != '>' && cursor_peek(c) != ' ' &&
		    cursor_peek(c) != '\t' && cursor_peek(c) != ':' && cursor_peek(c) != ',')
			cursor_skip(c, 1);
		text = slice_range(c->s, from, c->pos);
		/* U-labels become A-labels, so that both forms of a name are one domain. */
		if (!slice_is_ascii(text))
			return directory_domain_normalise(text, a, &out->domain);
		if (text.n > SMTP_DOMAIN_MAX + 1)
			return ERR_LIMIT;
		if (!smtp_domain_is_valid(text))
			return ERR_SYNTAX;
	}
	if (text.n > SMTP_DOMAIN_MAX + 1)
		return ERR_LIMIT;
	out->domain = domain_normal(a, text);
	return arena_failed(a) ? ERR_NOMEM : 0;
}

/* "@one,@two:" of RFC 821 is read and forgotten (RFC 5321 appendix C). */
static int
source_route_skip(struct cursor *c, struct arena *a)
{
	struct arena_mark mark = arena_mark(a);
	struct smtp_path ignored = {0};
	int e = 0;

	while (e == 0 && cursor_accept_byte(c, '@')) {
		e = domain_parse(c, a, &ignored);
		if (!cursor_accept_byte(c, ','))
			break;
	}
	arena_release(a, mark);
	if (e == 0 && !cursor_accept_byte(c, ':'))
		e = ERR_SYNTAX;
	return e;
}

/* UTF-8 without the control characters of its own, U+0080 to U+009F. */
static bool
is_text(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (slice_at(s, i) == 0xc2 && slice_at(s, i + 1) < 0xa0)
			return false;
	return slice_is_utf8(s, true);
}

static int
mailbox_parse(struct cursor *c, struct arena *a, struct smtp_path *out)
{
	int e = 0;

	if (cursor_peek(c) == '@')
		e = source_route_skip(c, a);
	if (e == 0)
		e = local_part_parse(c, a, &out->local);
	if (e == 0 && cursor_accept_byte(c, '@'))
		e = domain_parse(c, a, out);
	if (e != 0)
		return e;
	if (!is_text(out->local))
		return ERR_SYNTAX;
	if (out->local.n + 1 + out->domain.n > SMTP_PATH_MAX)
		return ERR_LIMIT;
	out->address = arena_printf(
	    a, "%.*s%s%.*s", SLICE_ARG(out->local), out->domain.n > 0 ? "@" : "", SLICE_ARG(out->domain));
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static bool
path_has_8bit(struct cursor *c, size_t from)
{
	for (size_t i = from; i < c->s.n && slice_at(c->s, i) != ' '; i++)
		if (slice_at(c->s, i) > 127)
			return true;
	return false;
}

int
smtp_path_parse(struct cursor *c, struct arena *a, struct smtp_path *out)
{
	bool brackets;
	size_t from = c->pos;
	int e;

	*out = (struct smtp_path){0};
	brackets = cursor_accept_byte(c, '<');
	if (brackets)
		cursor_skip_wsp(c);
	if (brackets && cursor_accept_byte(c, '>')) {
		out->null = true;
		return 0;
	}
	e = mailbox_parse(c, a, out);
	if (e == 0 && brackets) {
		cursor_skip_wsp(c);
		if (!cursor_accept_byte(c, '>'))
			e = ERR_SYNTAX;
	}
	if (e == 0 && !cursor_end(c) && cursor_peek(c) != ' ' && cursor_peek(c) != '\t')
		e = ERR_SYNTAX;
	if (e == 0)
		e = c->err;
	out->utf8 = !slice_is_ascii(slice_range(c->s, from, c->pos));
	if (e == 0 || e == ERR_NOMEM)
		return e;
	out->error = path_has_8bit(c, from) ? SMTP_PATH_NOT_ASCII : e == ERR_LIMIT ? SMTP_PATH_LONG : SMTP_PATH_SYNTAX;
	return ERR_SYNTAX;
}
