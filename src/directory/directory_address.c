/* directory_address.c: splits at the last '@', unquotes and folds the local part, normalises the domain. */
#include "directory/directory_address.h"

#include "base/cursor.h"
#include "directory/directory.h"

#include <idn2.h>
#include <utf8proc.h>

/* RFC 5321 §4.1.2 atext and the dots between; dots are not checked for their places: such addresses exist. */
static bool
is_dot_atom(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (c < 0x80 && !ascii_is_alnum(c) && memchr("!#$%&'*+-/=?^_`{|}~.", c, 20) == NULL)
			return false;
	}
	return s.n > 0;
}

/* The content of a quoted string (RFC 5321 §4.1.2 Quoted-string), or the dot-atom itself. */
static int
unquote(struct slice s, struct arena *a, struct slice *out)
{
	struct cursor c = cursor_of(s);
	size_t n = 0;
	char *p;

	*out = s;
	if (!cursor_accept_byte(&c, '"'))
		return is_dot_atom(s) ? 0 : ERR_SYNTAX;
	p = arena_alloc(a, s.n);
	if (p == NULL)
		return ERR_NOMEM;
	while (cursor_peek(&c) >= 0 && cursor_peek(&c) != '"') {
		(void)cursor_accept_byte(&c, '\\');
		p[n] = (char)cursor_u8(&c);
		if (p[n] >= 0 && (p[n] < 0x20 || p[n] == 0x7f))
			return ERR_SYNTAX;
		n++;
	}
	cursor_expect_byte(&c, '"');
	*out = slice_of(p, n);
	return c.err != 0 || !cursor_end(&c) || n == 0 ? ERR_SYNTAX : 0;
}

static int
fold(struct slice s, struct arena *a, struct slice *out)
{
	utf8proc_uint8_t *folded = NULL;
	utf8proc_ssize_t n;
	char *p;

	if (slice_is_ascii(s)) {
		p = arena_alloc(a, s.n);
		if (p == NULL)
			return ERR_NOMEM;
		for (size_t i = 0; i < s.n; i++)
			p[i] = (char)ascii_lower(slice_at(s, i));
		*out = slice_of(p, s.n);
		return 0;
	}
	n = utf8proc_map(s.p, (utf8proc_ssize_t)s.n, &folded, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
	if (n < 0)
		return n == UTF8PROC_ERROR_NOMEM ? ERR_NOMEM : ERR_SYNTAX;
	*out = arena_copy(a, slice_of(folded, (size_t)n));
	free(folded);
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static bool
is_domain(struct slice s)
{
	struct slice rest = s, label;

	if (s.n == 0 || s.n > DIRECTORY_DOMAIN_MAX)
		return false;
	while (rest.p != NULL) {
		label = slice_cut(&rest, '.');
		if (label.n == 0 || label.n > 63 || slice_at(label, 0) == '-' || slice_at(label, label.n - 1) == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_is_alnum(slice_at(label, i)) && slice_at(label, i) != '-' &&
			    slice_at(label, i) != '_')
				return false;
	}
	return true;
}

int
directory_domain_normalise(struct slice in, struct arena *a, struct slice *out)
{
	char *z, *ascii = NULL;
	int err;

	if (in.n > 1 && slice_at(in, in.n - 1) == '.') /* the root's dot */
		in = slice_head(in, in.n - 1);
	if (in.n == 0 || in.n > 4 * DIRECTORY_DOMAIN_MAX || !slice_is_utf8(in, true))
		return ERR_SYNTAX;
	if (slice_is_ascii(in)) {
		err = is_domain(in) ? fold(in, a, out) : ERR_SYNTAX;
		return err;
	}
	z = arena_z(a, in);
	if (z == NULL)
		return ERR_NOMEM;
	if (idn2_lookup_u8((const uint8_t *)z, (uint8_t **)&ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return ERR_SYNTAX;
	err = is_domain(slice_z(ascii)) ? fold(slice_z(ascii), a, out) : ERR_SYNTAX;
	idn2_free(ascii);
	return err;
}

struct slice
directory_key(struct arena *a, struct slice local, struct slice domain)
{
	char *p = arena_alloc(a, local.n + 1 + domain.n);

	if (p == NULL)
		return SLICE_EMPTY;
	if (local.n > 0)
		memcpy(p, local.p, local.n);
	p[local.n] = '@';
	if (domain.n > 0)
		memcpy(p + local.n + 1, domain.p, domain.n);
	return slice_of(p, local.n + 1 + domain.n);
}

/* "[192.0.2.1]": never ours; kept as it is. */
static bool
is_literal(struct slice s)
{
	return s.n > 2 && s.n <= DIRECTORY_DOMAIN_MAX && slice_at(s, 0) == '[' && slice_at(s, s.n - 1) == ']' &&
	    slice_is_ascii(s);
}

int
directory_address_parse(struct slice in, bool catch_all, struct arena *a, struct directory_address *out)
{
	size_t at = slice_rfind_byte(in, '@');
	struct slice local, domain;
	int err;

	*out = (struct directory_address){0};
	if (!slice_is_utf8(in, true))
		return ERR_SYNTAX;
	if (at == SLICE_NONE) {
		if (!slice_ieq(in, SLICE("postmaster")))
			return ERR_SYNTAX;
		out->local = SLICE("postmaster");
		out->spelt = in;
		out->key = SLICE("postmaster@");
		return 0;
	}
	local = slice_head(in, at);
	domain = slice_from(in, at + 1);
	if (local.n > DIRECTORY_LOCAL_MAX || (local.n == 0 && !catch_all))
		return ERR_SYNTAX;
	err = local.n == 0 ? 0 : unquote(local, a, &out->local);
	if (err == 0 && out->local.n > 0)
		err = fold(out->local, a, &out->local);
	if (err == 0 && is_literal(domain))
		out->domain = domain;
	else if (err == 0)
		err = directory_domain_normalise(domain, a, &out->domain);
	if (err != 0)
		return err;
	out->key = directory_key(a, out->local, out->domain);
	out->spelt = directory_key(a, local, out->domain);
	return arena_failed(a) ? ERR_NOMEM : 0;
}

bool
directory_split_tag(struct slice local, struct slice *user, struct slice *tag)
{
	size_t at = slice_find_byte(local, DIRECTORY_TAG_SEPARATOR);

	if (at == SLICE_NONE || at == 0)
		return false;
	*user = slice_head(local, at);
	*tag = slice_from(local, at + 1);
	return true;
}
