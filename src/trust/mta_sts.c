#include "trust/mta_sts.h"

#include "base/cursor.h"

static const char *const modes[] = {
    [MTA_STS_NONE] = "none", [MTA_STS_TESTING] = "testing", [MTA_STS_ENFORCE] = "enforce"};

const char *
mta_sts_mode_name(enum mta_sts_mode mode)
{
	return modes[mode];
}

/* ---- the record -------------------------------------------------------------------------------------------- */

static bool
is_id(struct slice s)
{
	if (s.n == 0 || s.n > MTA_STS_ID_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(slice_at(s, i)))
			return false;
	return true;
}

/* "v=STSv1" and then nothing or a semicolon. */
static bool
is_ours(struct slice text)
{
	struct slice first = slice_cut(&text, ';');

	return slice_eq(slice_trim(first), SLICE("v=STSv1"));
}

static int
record_parse(struct slice text, struct slice *id)
{
	bool found = false;

	(void)slice_cut(&text, ';');
	while (text.p != NULL) {
		struct slice value = slice_trim(slice_cut(&text, ';')), name;

		if (value.n == 0)
			continue;
		if (slice_find_byte(value, '=') == SLICE_NONE)
			return ERR_SYNTAX;
		name = slice_cut(&value, '=');
		if (!found && slice_eq(name, SLICE("id"))) {
			found = true;
			*id = value;
		}
	}
	return found && is_id(*id) ? 0 : ERR_SYNTAX;
}

int
mta_sts_record(struct slice_list texts, struct slice *id)
{
	struct slice text = SLICE_EMPTY;
	size_t n = 0;

	for (size_t i = 0; i < texts.n; i++)
		if (is_ours(texts.v[i])) {
			text = texts.v[i];
			n++;
		}
	return n == 1 ? record_parse(text, id) : ERR_NOTFOUND;
}

/* ---- the policy -------------------------------------------------------------------------------------------- */

struct reading {
	struct arena *a;
	size_t mx_max;
	bool version, mode, max_age; /* the first of each counts */
	struct slice *mx;
	size_t mx_n, mx_cap;
	struct mta_sts_policy *out;
};

/* A host name, or one whose first label is a star. */
static bool
is_pattern(struct slice s)
{
	if (slice_starts(s, SLICE("*.")))
		s = slice_from(s, 2);
	if (s.n == 0 || s.n > 253)
		return false;
	while (s.p != NULL) {
		struct slice label = slice_cut(&s, '.');

		if (label.n == 0 || label.n > 63)
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_is_alnum(slice_at(label, i)) && slice_at(label, i) != '-' &&
			    slice_at(label, i) != '_')
				return false;
	}
	return true;
}

static struct slice
lower(struct arena *a, struct slice s)
{
	uint8_t *p = arena_alloc(a, s.n + 1);

	for (size_t i = 0; p != NULL && i < s.n; i++)
		p[i] = ascii_lower(slice_at(s, i));
	return slice_of(p, p == NULL ? 0 : s.n);
}

static int
take_mx(struct reading *r, struct slice value)
{
	if (slice_ends(value, SLICE(".")))
		value = slice_head(value, value.n - 1);
	if (!is_pattern(value))
		return ERR_SYNTAX;
	if (r->mx_n >= r->mx_max)
		return ERR_LIMIT;
	r->mx = arena_grow(r->a, r->mx, r->mx_n, &r->mx_cap, sizeof(*r->mx), r->mx_max);
	if (r->mx == NULL)
		return ERR_NOMEM;
	r->mx[r->mx_n++] = lower(r->a, value);
	return arena_failed(r->a) ? ERR_NOMEM : 0;
}

static int
take_mode(struct reading *r, struct slice value)
{
	r->mode = true;
	for (size_t i = 0; i < COUNT_OF(modes); i++)
		if (slice_eq(value, slice_z(modes[i]))) {
			r->out->mode = (enum mta_sts_mode)i;
			return 0;
		}
	return ERR_SYNTAX;
}

static int
take_max_age(struct reading *r, struct slice value)
{
	uint64_t s;

	r->max_age = true;
	if (value.n > 10 || slice_to_u64(value, UINT64_MAX, &s) != 0)
		return ERR_SYNTAX;
	r->out->max_age_s = s > (uint64_t)MTA_STS_MAX_AGE_S ? MTA_STS_MAX_AGE_S : (int64_t)s;
	return 0;
}

/* Fields that are not known say nothing (§3.2). */
static int
take_field(struct reading *r, struct slice name, struct slice value)
{
	if (slice_eq(name, SLICE("mx")))
		return take_mx(r, value);
	if (slice_eq(name, SLICE("version")) && !r->version) {
		r->version = true;
		return slice_eq(value, SLICE("STSv1")) ? 0 : ERR_SYNTAX;
	}
	if (slice_eq(name, SLICE("mode")) && !r->mode)
		return take_mode(r, value);
	if (slice_eq(name, SLICE("max_age")) && !r->max_age)
		return take_max_age(r, value);
	return 0;
}

int
mta_sts_policy_parse(struct slice text, struct arena *a, size_t mx_max, struct mta_sts_policy *out)
{
	struct reading r = {.a = a, .mx_max = mx_max, .out = out};

	*out = (struct mta_sts_policy){.mode = MTA_STS_NONE};
	if (text.n > MTA_STS_POLICY_BYTES_MAX)
		return ERR_LIMIT;
	while (text.p != NULL) {
		struct slice value = slice_trim(slice_cut(&text, '\n')), name;
		int e;

		if (value.n == 0)
			continue;
		if (slice_find_byte(value, ':') == SLICE_NONE)
			return ERR_SYNTAX;
		name = slice_cut(&value, ':');
		e = take_field(&r, name, slice_trim(value));
		if (e != 0)
			return e;
	}
	out->mx = (struct slice_list){r.mx, r.mx_n};
	if (!r.version || !r.mode || !r.max_age || (r.mx_n == 0 && out->mode != MTA_STS_NONE))
		return ERR_SYNTAX;
	return 0;
}

bool
mta_sts_matches(const struct mta_sts_policy *p, struct slice host)
{
	if (slice_ends(host, SLICE(".")))
		host = slice_head(host, host.n - 1);
	for (size_t i = 0; i < p->mx.n; i++) {
		struct slice pattern = p->mx.v[i], rest = host;

		if (!slice_starts(pattern, SLICE("*."))) {
			if (slice_ieq(pattern, host))
				return true;
			continue;
		}
		if (slice_cut(&rest, '.').n > 0 && rest.n > 0 && slice_ieq(slice_from(pattern, 2), rest))
			return true;
	}
	return false;
}
