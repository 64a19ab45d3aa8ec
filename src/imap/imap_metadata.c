/* imap_metadata.c: GETMETADATA and SETMETADATA (RFC 5464): annotations of mailboxes and, under the empty name, of the account. */
#include "imap/imap_metadata.h"

#include "imap/imap_place.h"

#include <inttypes.h>

#define ENTRY_BYTES_MAX 512u
#define DEPTH_INFINITY 1000

static bool
is_entry(struct slice s)
{
	if ((!slice_istarts(s, SLICE("/private/")) && !slice_istarts(s, SLICE("/shared/"))) || s.n > ENTRY_BYTES_MAX ||
	    slice_ends(s, SLICE("/")))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t b = slice_at(s, i);

		if (b < 0x20 || b > 0x7e || b == '*' || b == '%' || (b == '/' && i > 0 && slice_at(s, i - 1) == '/'))
			return false;
	}
	return true;
}

struct slice
imap_lex_entry(struct imap_lex *x)
{
	struct slice raw = imap_lex_astring(x);
	uint8_t *p;

	if (imap_lex_failed(x))
		return SLICE_EMPTY;
	p = is_entry(raw) ? arena_alloc(x->arena, raw.n) : NULL;
	if (p == NULL) {
		imap_lex_fail(x, "an entry begins with /private/ or /shared/ and has no *, % or empty level");
		return SLICE_EMPTY;
	}
	for (size_t i = 0; i < raw.n; i++)
		p[i] = ascii_lower(slice_at(raw, i));
	return slice_of(p, raw.n);
}

void
imap_lex_entries(struct imap_lex *x, const struct limits *l, struct slice_list *out)
{
	bool several = imap_lex_accept(x, '(');
	struct slice *v = NULL;
	size_t n = 0, cap = 0;

	do {
		struct slice entry = imap_lex_entry(x);

		if (imap_lex_failed(x))
			return;
		v = arena_grow(x->arena, v, n, &cap, sizeof(*v), (size_t)l->metadata_entries);
		if (v == NULL) {
			imap_lex_fail(x, "too many entries");
			return;
		}
		v[n++] = entry;
	} while (several && imap_lex_accept(x, ' '));
	if (several)
		imap_lex_expect(x, ')');
	*out = (struct slice_list){v, n};
}

/* The mailbox, or "" for the account. */
static struct slice
lex_annotated(struct imap_session *s, struct imap_lex *x)
{
	struct imap_lex before = *x;

	if (imap_lex_peek(x) == '"' && imap_lex_astring(x).n == 0 && !imap_lex_failed(x))
		return SLICE("");
	*x = before;
	return imap_lex_mailbox(s, x);
}

/* ---- other accounts' mailboxes ------------------------------------------------------------------------------------------ */

/* Who may see a mailbox and do anything with its messages reads its annotations (RFC 5464 §3.3); the shared ones are changed by who may
 * change flags. Private ones are each person's own: they are kept in that person's account, under the mailbox's id. */
static int
find_others(struct imap_session *s, struct slice mailbox, struct imap_place *at, struct slice *own_prefix)
{
	static const unsigned any = STORE_RIGHT_READ | STORE_RIGHT_SEEN | STORE_RIGHT_WRITE | STORE_RIGHT_INSERT |
	    STORE_RIGHT_POST;
	struct buf BUF_CLEANUP id;
	struct store_mailbox m;
	int err = imap_place_allow(s, mailbox, STORE_RIGHT_LOOKUP, at);

	if (err == 0 && (at->rights & any) == 0)
		err = ERR_DENIED;
	if (err == 0)
		err = store_mailbox(at->account, at->inner, &s->arena, &m);
	if (err != 0)
		return err;
	buf_init(&id, 256);
	buf_put_u8(&id, '@');
	buf_put_hex(&id, m.object_id);
	*own_prefix = arena_copy(&s->arena, buf_slice(&id));
	return id.err != 0 || arena_failed(&s->arena) ? ERR_NOMEM : 0;
}

static int
get_others(struct imap_session *s, struct slice mailbox, struct store_annotation **v, size_t *n)
{
	struct store_annotation *shared, *own;
	struct imap_place at;
	struct slice prefix;
	size_t shared_n, own_n;
	int err = find_others(s, mailbox, &at, &prefix);

	if (err == 0)
		err = store_metadata_get(at.account, at.inner, &s->arena, &shared, &shared_n);
	if (err == 0)
		err = store_metadata_get(s->account, SLICE(""), &s->arena, &own, &own_n);
	*n = 0;
	if (err != 0)
		return err;
	if ((*v = ARENA_ARRAY(&s->arena, struct store_annotation, shared_n + own_n + 1)) == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < own_n; i++) {
		if (!slice_starts(own[i].entry, prefix))
			continue;
		(*v)[*n] = own[i];
		(*v)[(*n)++].entry = slice_from(own[i].entry, prefix.n);
	}
	for (size_t i = 0; i < shared_n; i++)
		if (slice_starts(shared[i].entry, SLICE("/shared/")))
			(*v)[(*n)++] = shared[i];
	return 0;
}

/* First the private ones, which are nobody's business; then the shared ones, all or none. */
static int
set_others(struct imap_session *s, struct slice mailbox, struct store_annotation *v, size_t n)
{
	struct store_annotation *own = ARENA_ARRAY(&s->arena, struct store_annotation, n + 1);
	struct imap_place at;
	struct slice prefix;
	size_t own_n = 0, shared_n = 0;
	int err = own == NULL ? ERR_LIMIT : find_others(s, mailbox, &at, &prefix);

	for (size_t i = 0; i < n && err == 0; i++) {
		if (slice_starts(v[i].entry, SLICE("/shared/"))) {
			v[shared_n++] = v[i];
			continue;
		}
		own[own_n] = v[i];
		own[own_n++].entry = arena_printf(&s->arena, "%.*s%.*s", SLICE_ARG(prefix), SLICE_ARG(v[i].entry));
	}
	if (err == 0 && arena_failed(&s->arena))
		err = ERR_LIMIT;
	if (err == 0 && shared_n > 0 && (at.rights & STORE_RIGHT_WRITE) == 0)
		err = ERR_DENIED;
	if (err == 0 && own_n > 0)
		err = store_metadata_set(s->account, SLICE(""), own, own_n);
	if (err == 0 && shared_n > 0)
		err = store_metadata_set(at.account, at.inner, v, shared_n);
	return err;
}

static int
get_annotations(struct imap_session *s, struct slice mailbox, struct store_annotation **v, size_t *n)
{
	return imap_is_others(mailbox) ? get_others(s, mailbox, v, n)
				       : store_metadata_get(s->account, mailbox, &s->arena, v, n);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

struct get {
	struct slice mailbox;
	struct slice_list entries;
	uint32_t max; /* bytes of a value */
	int depth;
	uint64_t longest; /* of those left out */
};

static void
parse_options(struct imap_lex *x, struct get *g)
{
	imap_lex_expect(x, '(');
	do {
		struct slice name = imap_lex_atom(x);

		imap_lex_space(x);
		if (slice_ieq(name, SLICE("MAXSIZE"))) {
			g->max = imap_lex_number(x);
		} else if (slice_ieq(name, SLICE("DEPTH"))) {
			struct slice depth = imap_lex_atom(x);

			g->depth = slice_eq(depth, SLICE("1"))    ? 1
			    : slice_ieq(depth, SLICE("infinity")) ? DEPTH_INFINITY
								  : 0;
			if (g->depth == 0 && !slice_eq(depth, SLICE("0")))
				imap_lex_fail(x, "DEPTH is 0, 1 or infinity");
		} else {
			imap_lex_fail(x, "no such option of GETMETADATA");
		}
	} while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
}

/* How many levels below `entry` the name lies, or -1 if it does not. */
static int
levels_below(struct slice name, struct slice entry)
{
	int n = 0;

	if (!slice_starts(name, entry) || (name.n > entry.n && slice_at(name, entry.n) != '/'))
		return -1;
	for (size_t i = entry.n; i < name.n; i++)
		n += slice_at(name, i) == '/';
	return n;
}

static bool
is_wanted(const struct get *g, struct slice name)
{
	for (size_t i = 0; i < g->entries.n; i++) {
		int n = levels_below(name, g->entries.v[i]);

		if (n >= 0 && n <= g->depth)
			return true;
	}
	return false;
}

static void
put_value(struct buf *out, struct slice entry, struct slice value)
{
	imap_put_string(out, entry);
	buf_put_u8(out, ' ');
	if (slice_find_byte(value, 0) != SLICE_NONE) {
		buf_put_u8(out, '~');
		imap_put_literal_size(out, value.n);
		buf_put(out, value);
	} else {
		imap_put_string(out, value);
	}
}

static void
put_start(struct imap_session *s, struct buf *out, struct slice mailbox)
{
	buf_put(out, SLICE("* METADATA "));
	if (mailbox.n == 0)
		buf_put(out, SLICE("\"\""));
	else
		imap_put_mailbox(out, mailbox, imap_utf8_names(s));
	buf_put_u8(out, ' ');
}

void
imap_put_metadata_change(struct imap_session *s, struct buf *out, struct slice mailbox, struct slice entry)
{
	put_start(s, out, mailbox);
	imap_put_string(out, entry);
	buf_put(out, SLICE("\r\n"));
}

static int
get_entries(struct imap_session *s, struct get *g)
{
	struct store_annotation *v;
	struct buf *out = &s->line;
	size_t n, told = 0;
	int err = get_annotations(s, g->mailbox, &v, &n);

	if (err != 0)
		return err;
	buf_reset(out);
	put_start(s, out, g->mailbox);
	buf_put_u8(out, '(');
	for (size_t i = 0; i < n; i++) {
		if (!is_wanted(g, v[i].entry))
			continue;
		if (v[i].value.n > g->max) {
			if (v[i].value.n > g->longest)
				g->longest = v[i].value.n;
			continue;
		}
		if (told++ > 0)
			buf_put_u8(out, ' ');
		put_value(out, v[i].entry, v[i].value);
	}
	buf_put(out, SLICE(")\r\n"));
	if (told > 0)
		imap_write_buf(s, out);
	return 0;
}

int
imap_put_metadata(struct imap_session *s, struct buf *out, struct slice mailbox, const struct slice_list *entries)
{
	struct store_annotation *v;
	size_t n;
	int err = get_annotations(s, mailbox, &v, &n);

	if (err != 0)
		return err;
	put_start(s, out, mailbox);
	buf_put_u8(out, '(');
	for (size_t i = 0; i < entries->n; i++) {
		const struct store_annotation *found = NULL;

		for (size_t k = 0; k < n && found == NULL; k++)
			if (slice_eq(v[k].entry, entries->v[i]))
				found = &v[k];
		if (i > 0)
			buf_put_u8(out, ' ');
		if (found != NULL) {
			put_value(out, found->entry, found->value);
		} else {
			imap_put_string(out, entries->v[i]);
			buf_put(out, SLICE(" NIL"));
		}
	}
	buf_put(out, SLICE(")\r\n"));
	return 0;
}

void
imap_do_getmetadata(struct imap_session *s, struct imap_lex *x)
{
	struct get g = {.max = UINT32_MAX};
	char code[64];
	int err;

	imap_lex_space(x);
	/* The grammar has the options first, the examples behind the mailbox: both are in use. */
	if (imap_lex_peek(x) == '(') {
		parse_options(x, &g);
		imap_lex_space(x);
	}
	g.mailbox = lex_annotated(s, x);
	imap_lex_space(x);
	if (imap_lex_peek(x) == '(') {
		struct imap_lex before = *x;

		parse_options(x, &g);
		if (imap_lex_failed(x))
			*x = before;
		else
			imap_lex_space(x);
	}
	imap_lex_entries(x, s->limits, &g.entries);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	err = g.mailbox.p == NULL ? ERR_NOTFOUND : get_entries(s, &g);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	(void)snprintf(code, sizeof(code), "[METADATA LONGENTRIES %" PRIu64 "]", g.longest);
	imap_ok(s, g.longest > 0 ? code : "", "done");
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

struct set {
	struct store_annotation *v;
	size_t n, cap;
};

static void
parse_values(struct imap_lex *x, const struct limits *l, struct set *set)
{
	imap_lex_expect(x, '(');
	do {
		struct store_annotation one = {.entry = imap_lex_entry(x)};

		imap_lex_space(x);
		/* A value may be a literal8. */
		(void)imap_lex_accept(x, '~');
		one.remove = imap_lex_nstring(x, &one.value);
		if (imap_lex_failed(x))
			return;
		set->v = arena_grow(x->arena, set->v, set->n, &set->cap, sizeof(one), (size_t)l->metadata_entries);
		if (set->v == NULL) {
			imap_lex_fail(x, "too many entries");
			return;
		}
		set->v[set->n++] = one;
	} while (imap_lex_accept(x, ' '));
	imap_lex_expect(x, ')');
}

void
imap_do_setmetadata(struct imap_session *s, struct imap_lex *x)
{
	struct set set = {0};
	struct slice mailbox;
	char code[64];
	int err;

	imap_lex_space(x);
	mailbox = lex_annotated(s, x);
	imap_lex_space(x);
	parse_values(x, s->limits, &set);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	for (size_t i = 0; i < set.n; i++) {
		if (set.v[i].value.n <= (uint64_t)s->limits->metadata_value_bytes)
			continue;
		(void)snprintf(code, sizeof(code), "[METADATA MAXSIZE %" PRId64 "]", s->limits->metadata_value_bytes);
		imap_no(s, code, "the value is too large");
		return;
	}
	err = mailbox.p == NULL       ? ERR_NOTFOUND
	    : imap_is_others(mailbox) ? set_others(s, mailbox, set.v, set.n)
				      : store_metadata_set(s->account, mailbox, set.v, set.n);
	if (err == ERR_QUOTA)
		imap_no(s, "[METADATA TOOMANY]", "the account has too many annotations");
	else if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, "", "done");
}
