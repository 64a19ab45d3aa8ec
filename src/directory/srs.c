/* srs.c: return addresses that are rewritten and led back. Nothing of them is stored: what is needed for the way back is in
 * the address itself, and the hash keeps others from sending through us with addresses of their own making. */
#include "directory/srs.h"

#include "directory/directory_address.h"

#include <openssl/hmac.h>

#define HASH_CHARS 8
#define DAY_CHARS 2
#define DAYS_ROUND 1024 /* days are counted in two characters: 10 bits */
#define DAY_S 86400

static const struct slice alphabet = SLICE_INIT("abcdefghijklmnopqrstuvwxyz234567");

struct slice
srs_digest(struct slice key, struct slice text, size_t n, struct arena *a)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned mac_n = 0;
	char *folded = arena_alloc(a, text.n + 1), *out = arena_alloc(a, n);
	struct slice bits;

	if (folded == NULL || out == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < text.n; i++)
		folded[i] = (char)ascii_lower(slice_at(text, i));
	if (HMAC(EVP_sha256(), key.p, (int)key.n, (const uint8_t *)folded, text.n, mac, &mac_n) == NULL)
		return SLICE_EMPTY;
	bits = slice_of(mac, mac_n);
	for (size_t i = 0; i < n; i++) {
		size_t at = i * 5 / 8, shift = i * 5 % 8;
		unsigned two = (unsigned)slice_at(bits, at) << 8 | slice_at(bits, at + 1);

		out[i] = (char)slice_at(alphabet, two >> (11 - shift) & 31);
	}
	return slice_of(out, n);
}

/* '0' or '1' of a rewritten local part, or 0. */
static char
kind_of(struct slice local)
{
	if (local.n < 6 || !slice_istarts(local, SLICE("srs")))
		return 0;
	if (slice_at(local, 3) != '0' && slice_at(local, 3) != '1')
		return 0;
	return memchr("=-+", slice_at(local, 4), 3) == NULL ? 0 : (char)slice_at(local, 3);
}

bool
srs_is(struct slice local)
{
	return kind_of(local) != 0;
}

static struct slice
day_text(struct arena *a, int64_t now_s)
{
	unsigned day = (unsigned)(now_s / DAY_S % DAYS_ROUND);

	return arena_printf(a, "%c%c", slice_at(alphabet, day >> 5), slice_at(alphabet, day & 31));
}

/* Days between the two characters and now; -1: they are none. A clock that is a day ahead is no reason to refuse. */
static int64_t
day_age(struct slice text, int64_t now_s)
{
	size_t high, low;
	int64_t age;

	if (text.n != DAY_CHARS)
		return -1;
	high = slice_find_byte(alphabet, ascii_lower(slice_at(text, 0)));
	low = slice_find_byte(alphabet, ascii_lower(slice_at(text, 1)));
	if (high == SLICE_NONE || low == SLICE_NONE)
		return -1;
	age = (now_s / DAY_S + 1 - (int64_t)(high << 5 | low)) % DAYS_ROUND;
	age = age < 0 ? age + DAYS_ROUND : age;
	return age == 0 ? 0 : age - 1;
}

static struct slice
join(struct arena *a, struct slice x, struct slice y, struct slice z)
{
	char *p = arena_alloc(a, x.n + y.n + z.n);
	size_t at = 0;

	if (p == NULL)
		return SLICE_EMPTY;
	for (size_t i = 0; i < 3; i++) {
		struct slice s = i == 0 ? x : i == 1 ? y : z;

		if (s.n > 0)
			memcpy(p + at, s.p, s.n);
		at += s.n;
	}
	return slice_of(p, at);
}

/* The hash of all that follows it. */
static struct slice
hash_of(struct slice key, char kind, struct slice rest, struct arena *a)
{
	struct slice text = join(a, kind == '0' ? SLICE("srs0=") : SLICE("srs1="), rest, SLICE_EMPTY);

	return text.n == 0 ? SLICE_EMPTY : srs_digest(key, text, HASH_CHARS, a);
}

static bool
is_atoms(struct slice local)
{
	for (size_t i = 0; i < local.n; i++)
		if (slice_at(local, i) <= ' ' || memchr("\"\\()<>[]:;@,\177", slice_at(local, i), 13) != NULL)
			return false;
	return true;
}

int
srs_forward(
    struct slice key, int64_t now_s, struct slice sender, struct slice domain, struct arena *a, struct slice *out)
{
	size_t at = slice_rfind_byte(sender, '@');
	struct slice local, host, rest, hash, prefix;
	char kind = '1';
	int err;

	*out = SLICE_EMPTY;
	if (at == SLICE_NONE || at == 0)
		return ERR_SYNTAX;
	local = slice_head(sender, at);
	err = directory_domain_normalise(slice_from(sender, at + 1), a, &host);
	if (err != 0)
		return err;
	switch (kind_of(local)) {
	case '0': /* forwarded once before: the way back is straight to that house */
		rest = join(a, host, SLICE("="), slice_from(local, 4));
		break;
	case '1': /* already past its first house: the hash of the one before us is not ours to keep */
		rest = slice_from(local, 5);
		(void)slice_cut(&rest, '=');
		if (rest.n == 0)
			return ERR_SYNTAX;
		break;
	default:
		if (!is_atoms(local)) /* quotes in the middle would be no address any more */
			return ERR_SYNTAX;
		kind = '0';
		rest = join(a, join(a, day_text(a, now_s), SLICE("="), host), SLICE("="), local);
	}
	hash = hash_of(key, kind, rest, a);
	prefix = arena_printf(a, "SRS%c=%.*s=", kind, SLICE_ARG(hash));
	if (arena_failed(a) || hash.n == 0)
		return ERR_NOMEM;
	if (prefix.n + rest.n > DIRECTORY_LOCAL_MAX)
		return ERR_LIMIT;
	*out = join(a, join(a, prefix, rest, SLICE("@")), domain, SLICE_EMPTY);
	return arena_failed(a) ? ERR_NOMEM : 0;
}

/* Equal without regard to case, in the same time wherever they differ. */
static bool
hash_matches(struct slice a, struct slice b)
{
	unsigned differ = a.n != b.n;

	for (size_t i = 0; i < a.n && i < b.n; i++)
		differ |= (unsigned)(ascii_lower(slice_at(a, i)) ^ ascii_lower(slice_at(b, i)));
	return differ == 0;
}

int
srs_reverse(struct slice key, int64_t now_s, int64_t days, struct slice local, struct arena *a, struct slice *out)
{
	char kind = kind_of(local);
	struct slice rest, hash, day = SLICE_EMPTY, host;
	int64_t age = 0;

	*out = SLICE_EMPTY;
	if (kind == 0)
		return ERR_SYNTAX;
	rest = slice_from(local, 5);
	hash = slice_cut(&rest, '=');
	if (rest.n == 0)
		return ERR_SYNTAX;
	if (!hash_matches(hash, hash_of(key, kind, rest, a)))
		return arena_failed(a) ? ERR_NOMEM : ERR_DENIED;
	if (kind == '0')
		day = slice_cut(&rest, '=');
	host = slice_cut(&rest, '=');
	if (host.n == 0 || rest.n == 0)
		return ERR_SYNTAX;
	if (kind == '0' && ((age = day_age(day, now_s)) < 0 || age > days))
		return age < 0 ? ERR_SYNTAX : ERR_TIMEOUT;
	rest = join(a, kind == '1' ? SLICE("SRS0") : SLICE_EMPTY, rest, SLICE("@"));
	*out = join(a, rest, host, SLICE_EMPTY);
	return arena_failed(a) ? ERR_NOMEM : 0;
}
