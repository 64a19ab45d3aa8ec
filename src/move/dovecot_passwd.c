/* dovecot_passwd.c: see dovecot_passwd.h. */
#include "move/dovecot_passwd.h"

/* "*:storage=5G", "*:bytes=1000", "5G": storage counts in kilobytes where it has no letter. */
static int64_t
quota_of(struct slice value)
{
	size_t at = slice_find(value, SLICE("storage=")), bytes = slice_find(value, SLICE("bytes="));
	bool kilo = at != SLICE_NONE;
	uint64_t n, unit = kilo ? 1024 : 1;
	size_t digits = 0;

	if (kilo)
		value = slice_from(value, at + 8);
	else if (bytes != SLICE_NONE)
		value = slice_from(value, bytes + 6);
	while (digits < value.n && ascii_is_digit(slice_at(value, digits)))
		digits++;
	if (slice_to_u64(slice_head(value, digits), UINT64_C(1) << 40, &n) != 0)
		return 0;
	if (digits < value.n) {
		switch (ascii_lower(slice_at(value, digits))) {
		case 'b': unit = 1; break;
		case 'k': unit = 1024; break;
		case 'm': unit = UINT64_C(1) << 20; break;
		case 'g': unit = UINT64_C(1) << 30; break;
		case 't': unit = UINT64_C(1) << 40; break;
		case '%': return 0;
		default: break;
		}
	}
	return n > INT64_MAX / unit ? 0 : (int64_t)(n * unit);
}

static void
take_extra(struct slice extra, struct dovecot_user *out)
{
	while (extra.n > 0) {
		struct slice value = slice_cut(&extra, ' '), name = slice_cut(&value, '=');

		if (slice_istarts(name, SLICE("userdb_")))
			name = slice_from(name, 7);
		if (slice_eq(name, SLICE("quota_rule")) || slice_eq(name, SLICE("quota_storage_size")))
			out->quota_bytes = quota_of(value);
		else if (slice_eq(name, SLICE("nologin")) && !slice_ieq(value, SLICE("no")))
			out->locked = true;
	}
}

static void
take_password(struct slice word, struct arena *a, struct dovecot_user *out)
{
	if (word.n == 0 || slice_at(word, 0) == '*' || slice_at(word, 0) == '!')
		out->locked = true;
	else if (slice_at(word, 0) == '{' || slice_at(word, 0) == '$')
		out->hash = arena_copy(a, word);
	else /* what a passwd-file means without a scheme */
		out->hash = arena_printf(a, "{CRYPT}%.*s", SLICE_ARG(word));
}

int
dovecot_passwd_line(struct slice line, struct arena *a, struct dovecot_user *out)
{
	struct slice rest = slice_trim(line), gecos;

	*out = (struct dovecot_user){.user = SLICE_EMPTY};
	if (rest.n == 0 || slice_at(rest, 0) == '#')
		return 0;
	out->user = slice_cut(&rest, ':');
	if (out->user.n == 0)
		return ERR_SYNTAX;
	take_password(slice_cut(&rest, ':'), a, out);
	(void)slice_cut(&rest, ':'); /* uid */
	(void)slice_cut(&rest, ':'); /* gid */
	gecos = slice_cut(&rest, ':');
	out->name = slice_cut(&gecos, ',');
	(void)slice_cut(&rest, ':'); /* home */
	(void)slice_cut(&rest, ':'); /* shell */
	take_extra(rest, out);
	return arena_failed(a) ? ERR_LIMIT : 1;
}
