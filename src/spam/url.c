/* url.c: finding and taking apart. No reading of RFC 3986 to the letter: what a mail program would make a link of counts. */
#include "spam/url.h"

#include "message/mailbox.h"

#include <libpsl.h>

#define SCHEME_MAX 16

static bool
ends_link(uint8_t c)
{
	return c <= ' ' || c == '"' || c == '<' || c == '>' || c == '\'' || c == '`' || c == '{' || c == '}' ||
	    c == '|' || c == 0x7f;
}

static size_t
link_end(struct slice text, size_t at)
{
	size_t from = at;

	while (at < text.n && !ends_link(slice_at(text, at)))
		at++;
	/* The end of a sentence is not the link's. */
	while (at > from && strchr(".,;:!?)]", slice_at(text, at - 1)) != NULL)
		at--;
	return at;
}

bool
url_next(struct slice text, size_t *at, struct slice *link)
{
	for (size_t i = *at; i < text.n; i++) {
		uint8_t c = slice_at(text, i);
		size_t from = i;

		if (c == ':' && text.n - i > 3 && slice_at(text, i + 1) == '/' && slice_at(text, i + 2) == '/') {
			while (from > *at && i - from < SCHEME_MAX && ascii_is_alnum(slice_at(text, from - 1)))
				from--;
			if (from == i)
				continue;
		} else if ((c | 0x20) != 'w' || text.n - i < 8 || (i > 0 && ascii_is_alnum(slice_at(text, i - 1))) ||
		    !slice_istarts(slice_from(text, i), SLICE("www."))) {
			continue;
		}
		*at = link_end(text, i + 3);
		*link = slice_range(text, from, *at);
		return true;
	}
	*at = text.n;
	return false;
}

static int
hex_of(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case, escapes resolved; false if it does not fit or is empty. */
static bool
put_host(struct slice s, struct url *u)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);
		int high, low;

		if (c == '%' && s.n - i > 2 && (high = hex_of(slice_at(s, i + 1))) >= 0 &&
		    (low = hex_of(slice_at(s, i + 2))) >= 0) {
			c = (uint8_t)(high << 4 | low);
			u->escaped = true;
			i += 2;
		}
		if (c <= ' ' || c == 0x7f || n == URL_HOST_MAX)
			return false;
		u->unicode = u->unicode || c >= 0x80;
		u->host[n++] = (char)ascii_lower(c);
	}
	while (n > 0 && u->host[n - 1] == '.')
		n--;
	u->host[n] = '\0';
	return n > 0;
}

/* 127.0.0.1, 0x7f000001, 2130706433, [::1]. */
static bool
is_number(struct slice host)
{
	bool hex = slice_istarts(host, SLICE("0x"));

	if (host.n > 0 && slice_at(host, 0) == '[')
		return true;
	for (size_t i = 0; i < host.n; i++) {
		uint8_t c = slice_at(host, i);

		if (!ascii_is_digit(c) && c != '.' && !(hex && (hex_of(c) >= 0 || c == 'x')))
			return false;
	}
	return host.n > 0;
}

struct slice
url_domain(struct arena *a, struct slice host)
{
	char *z = arena_z(a, slice_head(host, URL_HOST_MAX));
	const char *domain = z == NULL || slice_find_byte(host, 0) != SLICE_NONE
	    ? NULL
	    : psl_registrable_domain(psl_builtin(), z);

	return domain == NULL ? host : slice_z(domain);
}

static void
put_domain(struct arena *a, struct url *u)
{
	struct arena_mark mark = arena_mark(a);
	struct slice host = slice_z(u->host), ascii, domain;

	if (u->unicode && domain_normalise(a, host, &ascii) == 0 && ascii.n <= URL_HOST_MAX) {
		memcpy(u->host, ascii.p, ascii.n);
		u->host[ascii.n] = '\0';
	}
	host = slice_z(u->host);
	u->unicode = u->unicode || slice_find(host, SLICE("xn--")) != SLICE_NONE;
	u->number = is_number(host);
	domain = u->number ? host : url_domain(a, host);
	memcpy(u->domain, domain.p, domain.n);
	u->domain[domain.n] = '\0';
	arena_release(a, mark);
}

bool
url_parse(struct arena *a, struct slice link, struct url *out)
{
	struct slice rest = slice_trim(link), authority;
	size_t colon = slice_find_byte(slice_head(rest, SCHEME_MAX), ':'), end = 0, at;

	*out = (struct url){.scheme = SLICE_EMPTY};
	if (colon != SLICE_NONE && colon > 0) {
		out->scheme = slice_head(rest, colon);
		rest = slice_from(rest, colon + 1);
		if (rest.n == 0 || strchr("/\\", slice_at(rest, 0)) == NULL) {
			out->path = rest;
			return false;
		}
	}
	while (rest.n > 0 && (slice_at(rest, 0) == '/' || slice_at(rest, 0) == '\\'))
		rest = slice_from(rest, 1);
	while (end < rest.n && strchr("/?#\\", slice_at(rest, end)) == NULL)
		end++;
	authority = slice_head(rest, end);
	out->path = slice_from(rest, end);
	if ((at = slice_rfind_byte(authority, '@')) != SLICE_NONE) {
		out->user = true;
		authority = slice_from(authority, at + 1);
	}
	if ((at = slice_rfind_byte(authority, ':')) != SLICE_NONE && slice_find_byte(authority, ']') == SLICE_NONE) {
		out->port = true;
		authority = slice_head(authority, at);
	}
	if (!put_host(authority, out)) {
		out->host[0] = '\0';
		return false;
	}
	put_domain(a, out);
	return true;
}
