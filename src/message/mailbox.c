/* mailbox.c: addresses of the envelope. Unlike header fields these are strict: what is not a Mailbox (RFC 5321
 * §4.1.2) is refused. Domains are compared as A-labels in lower case, so that both spellings of an
 * internationalised one are one. */
#include "message/mailbox.h"

#include "base/buf.h"
#include "base/cursor.h"

#include <idn2.h>
#include <utf8proc.h>

/* RFC 5321 §4.5.3.1 asks for 64 octets at least; variable envelope senders are longer. */
#define LOCAL_MAX 256
#define DOMAIN_MAX 255
#define LABEL_MAX 63

static bool
is_atext(uint8_t c)
{
	return ascii_is_alnum(c) || c >= 0x80 || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Quoted-string behind its opening quote (RFC 5321: qtextSMTP, quoted-pairSMTP; UTF-8 by RFC 6531). */
static struct slice
quoted_local(struct arena *a, struct cursor *c)
{
	uint8_t *out = arena_alloc(a, cursor_left(c));
	size_t n = 0;

	while (out != NULL) {
		uint8_t b = cursor_u8(c);

		if (c->err != 0 || b == '"')
			return slice_of(out, n);
		if (b == '\\')
			b = cursor_u8(c);
		if (b < ' ' || b == 0x7f)
			cursor_fail(c, ERR_SYNTAX);
		out[n++] = b;
	}
	cursor_fail(c, ERR_LIMIT);
	return SLICE_EMPTY;
}

static struct slice
dot_string(struct cursor *c)
{
	size_t from = c->pos;
	bool need = true;

	while (cursor_peek(c) >= 0) {
		int b = cursor_peek(c);

		if (b == '.' && !need)
			need = true;
		else if (is_atext((uint8_t)b))
			need = false;
		else
			break;
		cursor_skip(c, 1);
	}
	if (need)
		cursor_fail(c, ERR_SYNTAX);
	return slice_range(c->s, from, c->pos);
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" or a tagged literal. RFC 5321 would allow nearly any byte in one; an @ there
 * would make it unclear where the domain begins, and no literal in use has more than these. */
static bool
is_literal(struct slice s)
{
	if (s.n < 3 || slice_at(s, 0) != '[' || slice_at(s, s.n - 1) != ']')
		return false;
	for (size_t i = 1; i < s.n - 1; i++) {
		uint8_t c = slice_at(s, i);

		if (!ascii_is_alnum(c) && c != ':' && c != '.' && c != '-')
			return false;
	}
	return true;
}

/* Labels of letters, digits, hyphens and underscores (met in practice), or of UTF-8; none empty, none with a hyphen
 * at its ends. */
static bool
is_domain(struct slice s)
{
	if (slice_ends(s, SLICE(".")))
		s = slice_head(s, s.n - 1);
	if (s.n == 0 || s.n > DOMAIN_MAX || !slice_is_utf8(s, true))
		return false;
	while (s.p != NULL) {
		struct slice label = slice_cut(&s, '.');

		if (label.n == 0 || slice_at(label, 0) == '-' || slice_at(label, label.n - 1) == '-')
			return false;
		for (size_t i = 0; i < label.n; i++) {
			uint8_t c = slice_at(label, i);

			if (!ascii_is_alnum(c) && c != '-' && c != '_' && c < 0x80)
				return false;
		}
	}
	return true;
}

int
mailbox_split(struct arena *a, struct slice path, struct slice *local, struct slice *domain)
{
	struct cursor c = cursor_of(path);

	if (cursor_accept_byte(&c, '"'))
		*local = quoted_local(a, &c);
	else
		*local = dot_string(&c);
	cursor_expect_byte(&c, '@');
	*domain = cursor_rest(&c);
	if (c.err != 0)
		return c.err;
	if (local->n > LOCAL_MAX || domain->n > DOMAIN_MAX + 1)
		return ERR_LIMIT;
	if (!slice_is_utf8(*local, true) || (!is_literal(*domain) && !is_domain(*domain)))
		return ERR_SYNTAX;
	return 0;
}

static struct slice
lower_copy(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.n);

	if (p == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(slice_at(s, i));
	return slice_of(p, s.n);
}

static void
idn_cleanup(char **p)
{
	idn2_free(*p);
}

static int
to_ascii(struct arena *a, struct slice domain, struct slice *out)
{
	__attribute__((cleanup(idn_cleanup))) char *ascii = NULL;
	char z[DOMAIN_MAX + 1];
	int err = slice_to_z(domain, z, sizeof(z));

	if (err != 0)
		return err;
	err = idn2_lookup_u8((const uint8_t *)z, (uint8_t **)&ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (err == IDN2_MALLOC)
		return ERR_NOMEM;
	if (err != IDN2_OK)
		return ERR_SYNTAX;
	*out = arena_copy(a, slice_z(ascii));
	return 0;
}

static bool
labels_fit(struct slice s)
{
	while (s.p != NULL)
		if (slice_cut(&s, '.').n > LABEL_MAX)
			return false;
	return true;
}

int
domain_normalise(struct arena *a, struct slice domain, struct slice *out)
{
	int err;

	if (is_literal(domain)) {
		*out = lower_copy(a, domain);
		return arena_failed(a) ? ERR_LIMIT : 0;
	}
	if (!is_domain(domain))
		return ERR_SYNTAX;
	if (slice_ends(domain, SLICE(".")))
		domain = slice_head(domain, domain.n - 1);
	if (!slice_is_ascii(domain)) {
		err = to_ascii(a, domain, &domain);
		if (err != 0)
			return err;
		/* Mapping may have made something else of it, such as a full stop of another script at the end. */
		if (!is_domain(domain) || slice_ends(domain, SLICE(".")))
			return ERR_SYNTAX;
	}
	*out = lower_copy(a, domain);
	if (arena_failed(a))
		return ERR_LIMIT;
	return labels_fit(*out) && out->n <= DOMAIN_MAX ? 0 : ERR_SYNTAX;
}

struct slice
domain_display(struct arena *a, struct slice domain)
{
	__attribute__((cleanup(idn_cleanup))) char *utf8 = NULL;
	char z[DOMAIN_MAX + 1];
	struct slice out;

	if (slice_ifind(domain, SLICE("xn--")) == SLICE_NONE || slice_to_z(domain, z, sizeof(z)) != 0)
		return domain;
	if (idn2_to_unicode_8z8z(z, &utf8, 0) != IDN2_OK || utf8 == NULL)
		return domain;
	out = arena_copy(a, slice_z(utf8));
	return out.p == NULL ? domain : out;
}

/* local@domain in the arena. */
static int
join(struct arena *a, struct slice local, struct slice domain, struct slice *out)
{
	uint8_t *p = arena_alloc(a, local.n + 1 + domain.n);

	if (p == NULL)
		return ERR_LIMIT;
	if (local.n > 0)
		memcpy(p, local.p, local.n);
	p[local.n] = '@';
	memcpy(p + local.n + 1, domain.p, domain.n);
	*out = slice_of(p, local.n + 1 + domain.n);
	return 0;
}

int
mailbox_normalise(struct arena *a, struct slice path, struct slice *out)
{
	struct slice local, domain;
	int err = mailbox_split(a, path, &local, &domain);

	if (err == 0)
		err = domain_normalise(a, domain, &domain);
	return err != 0 ? err : join(a, local, domain, out);
}

static void
utf8proc_cleanup(utf8proc_uint8_t **p)
{
	free(*p);
}

/* Lower case character by character (not case folding, which would make "groß" and "gross" one), then NFC. */
static int
fold_local(struct arena *a, struct slice local, struct slice *out)
{
	__attribute__((cleanup(utf8proc_cleanup))) utf8proc_uint8_t *composed = NULL;
	BUF_CLEANUP struct buf b;
	utf8proc_ssize_t n;

	if (slice_is_ascii(local)) {
		*out = lower_copy(a, local);
		return arena_failed(a) ? ERR_LIMIT : 0;
	}
	buf_init(&b, LOCAL_MAX * 4);
	for (size_t i = 0; i < local.n;) {
		struct slice rest = slice_from(local, i);
		utf8proc_int32_t c;
		utf8proc_uint8_t enc[4];

		n = utf8proc_iterate(rest.p, (utf8proc_ssize_t)rest.n, &c);
		if (n <= 0)
			return ERR_SYNTAX;
		i += (size_t)n;
		buf_put(&b, slice_of(enc, (size_t)utf8proc_encode_char(utf8proc_tolower(c), enc)));
	}
	if (b.err != 0)
		return b.err;
	n = utf8proc_map(b.p, (utf8proc_ssize_t)b.n, &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	if (n < 0)
		return n == UTF8PROC_ERROR_NOMEM ? ERR_NOMEM : ERR_SYNTAX;
	*out = arena_copy(a, slice_of(composed, (size_t)n));
	return arena_failed(a) ? ERR_LIMIT : 0;
}

int
mailbox_key(struct arena *a, struct slice path, struct slice *out)
{
	struct slice local, domain;
	int err = mailbox_split(a, path, &local, &domain);

	if (err == 0)
		err = domain_normalise(a, domain, &domain);
	if (err == 0)
		err = fold_local(a, local, &local);
	return err != 0 ? err : join(a, local, domain, out);
}

bool
mailbox_cut(struct slice normalised, struct slice *local, struct slice *domain)
{
	size_t at = slice_rfind_byte(normalised, '@');

	if (at == SLICE_NONE)
		return false;
	*local = slice_head(normalised, at);
	*domain = slice_from(normalised, at + 1);
	return true;
}
