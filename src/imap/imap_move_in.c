/* imap_move_in.c: the commands by which `posthouse import` brings an account's mail here from another server, in sessions of the
 * operator (src/role/desk_session.c) and in no others.
 *
 *   XMOVE-ADOPT mailbox uidvalidity uidnext modseq BEGIN|END     "* XMOVE-ADOPTED 0|1"
 *       store_mailbox_adopt() before and after a pass over a folder.
 *   XMOVE-CHECK source KEEP|DROP lo hi (n (flags) n (flags) ...)     "* XMOVE-MISSING (n n ...)", "* XMOVE-DROPPED count"
 *       Messages of the folder `source` as they are there now, those with numbers from lo to hi. Which of them have never
 *       come here? Of those that have, what changed in their flags since the last time changes here too, in the selected
 *       mailbox. With DROP, those that came here from this range and are not listed any more are removed.
 *   APPEND mailbox (flags) "date" XORIGIN (source n uid) {literal}
 *       Each origin once. */
#include "imap/imap_move_in.h"

struct check {
	uint8_t source[STORE_ID_BYTES];
	bool drop;
	int64_t lo, hi;
	struct store_moved *v; /* as they are there now */
	struct slice_list *keywords;
	struct store_moved *before;
	size_t n, cap, keywords_cap;
	size_t dropped;
};

static int
hex_digit(uint8_t c)
{
	return ascii_is_digit(c)                             ? c - '0'
	    : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10
							     : -1;
}

static void
lex_source(struct imap_lex *x, uint8_t out[STORE_ID_BYTES])
{
	struct slice word = imap_lex_atom(x);
	bool ok = word.n == (size_t)2 * STORE_ID_BYTES;

	for (size_t i = 0; ok && i < STORE_ID_BYTES; i++) {
		int hi = hex_digit(slice_at(word, 2 * i)), lo = hex_digit(slice_at(word, 2 * i + 1));

		ok = hi >= 0 && lo >= 0;
		out[i] = (uint8_t)((unsigned)hi << 4 | (unsigned)lo);
	}
	if (!ok)
		imap_lex_fail(x, "expected a source of 32 hexadecimal digits");
}

/* Reads a word that must be `yes` or `no`. */
static bool
lex_choice(struct imap_lex *x, struct slice yes, struct slice no)
{
	struct slice word = imap_lex_atom(x);
	bool is = slice_ieq(word, yes);

	if (!is && !slice_ieq(word, no))
		imap_lex_fail(x, "that word is not expected there");
	return is;
}

void
imap_parse_origin(struct imap_lex *x, struct store_origin *out)
{
	if (!slice_ieq(imap_lex_atom(x), SLICE("XORIGIN")))
		imap_lex_fail(x, "expected XORIGIN");
	imap_lex_space(x);
	imap_lex_expect(x, '(');
	lex_source(x, out->source);
	imap_lex_space(x);
	out->number = (int64_t)imap_lex_number64(x);
	imap_lex_space(x);
	out->uid = imap_lex_number(x);
	imap_lex_expect(x, ')');
	imap_lex_space(x);
	out->given = true;
}

/* ---- XMOVE-ADOPT ------------------------------------------------------------------------------------------------- */

void
imap_do_move_adopt(struct imap_session *s, struct imap_lex *x)
{
	struct slice name;
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;
	bool end, kept;
	int err;

	imap_lex_space(x);
	name = imap_lex_mailbox(s, x);
	imap_lex_space(x);
	uidvalidity = imap_lex_nz_number(x);
	imap_lex_space(x);
	uidnext = imap_lex_nz_number(x);
	imap_lex_space(x);
	modseq = imap_lex_number64(x);
	imap_lex_space(x);
	end = lex_choice(x, SLICE("END"), SLICE("BEGIN"));
	imap_lex_end(x);
	if (!s->c->moving) {
		imap_bad(s, "no such command");
		return;
	}
	if (imap_bad_syntax(s, x))
		return;
	err = name.p == NULL ? ERR_NOTFOUND
			     : store_mailbox_adopt(s->account, name, uidvalidity, uidnext, modseq, end, &kept);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	imap_printf(s, "* XMOVE-ADOPTED %d\r\n", kept);
	imap_ok(s, "", "done");
}

/* ---- XMOVE-CHECK ------------------------------------------------------------------------------------------------- */

static void
parse_messages(struct imap_session *s, struct imap_lex *x, struct check *c)
{
	size_t max = (size_t)s->limits->imap_line_bytes;

	imap_lex_expect(x, '(');
	if (imap_lex_accept(x, ')'))
		return;
	do {
		struct imap_flags flags;
		struct store_moved one = {.number = (int64_t)imap_lex_number64(x)};

		imap_lex_space(x);
		imap_parse_flags(x, s->limits, false, &flags);
		one.flags = flags.flags;
		c->v = arena_grow(&s->arena, c->v, c->n, &c->cap, sizeof(*c->v), max);
		c->keywords = arena_grow(&s->arena, c->keywords, c->n, &c->keywords_cap, sizeof(*c->keywords), max);
		if (c->v == NULL || c->keywords == NULL) {
			imap_lex_fail(x, "the command is too large");
			return;
		}
		c->keywords[c->n] = flags.keywords;
		c->v[c->n++] = one;
	} while (imap_lex_accept(x, ' ') && !imap_lex_failed(x));
	imap_lex_expect(x, ')');
}

static void
parse_check(struct imap_session *s, struct imap_lex *x, struct check *c)
{
	imap_lex_space(x);
	lex_source(x, c->source);
	imap_lex_space(x);
	c->drop = lex_choice(x, SLICE("DROP"), SLICE("KEEP"));
	imap_lex_space(x);
	c->lo = (int64_t)imap_lex_number64(x);
	imap_lex_space(x);
	c->hi = (int64_t)imap_lex_number64(x);
	imap_lex_space(x);
	parse_messages(s, x, c);
	imap_lex_end(x);
}

static bool
has_word(struct slice words, struct slice word)
{
	while (words.n > 0)
		if (slice_ieq(slice_cut(&words, ' '), word))
			return true;
	return false;
}

static bool
has_name(struct slice_list v, struct slice name)
{
	for (size_t i = 0; i < v.n; i++)
		if (slice_ieq(v.v[i], name))
			return true;
	return false;
}

/* The keywords that came and those that went, in the arena. */
static int
compare_keywords(struct imap_session *s, struct slice before, struct slice_list now, struct slice_list *added,
    struct slice_list *gone)
{
	struct slice *plus = ARENA_ARRAY(&s->arena, struct slice, now.n + 1),
		     *minus = ARENA_ARRAY(&s->arena, struct slice, before.n + 1);
	size_t plus_n = 0, minus_n = 0;

	if (arena_failed(&s->arena))
		return ERR_LIMIT;
	for (size_t i = 0; i < now.n; i++)
		if (!has_word(before, now.v[i]))
			plus[plus_n++] = now.v[i];
	for (struct slice rest = before; rest.n > 0;) {
		struct slice word = slice_cut(&rest, ' ');

		if (word.n > 0 && !has_name(now, word))
			minus[minus_n++] = word;
	}
	*added = (struct slice_list){plus, plus_n};
	*gone = (struct slice_list){minus, minus_n};
	return 0;
}

static int
change(struct imap_session *s, uint32_t uid, enum store_flag_op op, uint8_t flags, struct slice_list keywords)
{
	struct store_flag_change c = {.op = op, .flags = flags, .keywords = keywords, .unchanged_since = UINT64_MAX};

	return flags == 0 && keywords.n == 0 ? 0 : store_flags(s->view, &uid, 1, &c, NULL);
}

static int
join(struct imap_session *s, struct slice_list v, struct slice *out)
{
	struct buf BUF_CLEANUP b;

	buf_init(&b, 1u << 20);
	for (size_t i = 0; i < v.n; i++) {
		if (i > 0)
			buf_put_u8(&b, ' ');
		buf_put(&b, v.v[i]);
	}
	*out = arena_copy(&s->arena, buf_slice(&b));
	return b.err != 0 ? b.err : arena_failed(&s->arena) ? ERR_LIMIT : 0;
}

/* What has changed there since it was looked at changes here; what was changed only here stays. */
static int
follow(struct imap_session *s, struct check *c, size_t i)
{
	const struct store_moved *before = &c->before[i], *now = &c->v[i];
	bool here = before->mailbox == store_view_mailbox_id(s->view);
	struct slice_list added, gone;
	uint8_t plus = now->flags & (uint8_t)~before->flags, minus = before->flags & (uint8_t)~now->flags;
	struct store_moved after = *now;
	int err = compare_keywords(s, before->keywords, c->keywords[i], &added, &gone);

	if (err != 0 || (plus == 0 && minus == 0 && added.n == 0 && gone.n == 0))
		return err;
	if (here)
		err = change(s, before->uid, STORE_FLAGS_ADD, plus, added);
	if (err == 0 && here)
		err = change(s, before->uid, STORE_FLAGS_REMOVE, minus, gone);
	if (err == 0)
		err = join(s, c->keywords[i], &after.keywords);
	return err != 0 ? err : store_moved_flags(s->account, c->source, &after, 1);
}

static bool
is_listed(const struct check *c, int64_t number)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].number == number)
			return true;
	return false;
}

/* What was there and is not there any more goes here too. */
static int
drop(struct imap_session *s, struct check *c)
{
	struct store_moved *v;
	uint32_t *uids;
	size_t n, gone = 0;
	int err = store_moved_range(s->account, c->source, c->lo, c->hi, &s->arena, &v, &n);

	if (err != 0)
		return err;
	if ((uids = ARENA_ARRAY(&s->arena, uint32_t, n + 1)) == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++)
		if (v[i].mailbox == store_view_mailbox_id(s->view) && store_view_seq(s->view, v[i].uid) != 0 &&
		    !is_listed(c, v[i].number))
			uids[gone++] = v[i].uid;
	/* They are in the order of their numbers there, which need not be that of their UIDs here. */
	for (size_t i = 0; i < gone && err == 0; i++)
		err = store_expunge(s->view, &uids[i], 1, false);
	c->dropped = gone;
	return err;
}

static int
check(struct imap_session *s, struct check *c)
{
	int err;

	if ((c->before = ARENA_ARRAY(&s->arena, struct store_moved, c->n + 1)) == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < c->n; i++)
		c->before[i].number = c->v[i].number;
	err = store_moved_get(s->account, c->source, c->before, c->n, &s->arena);
	for (size_t i = 0; i < c->n && err == 0; i++)
		if (c->before[i].known && c->before[i].mailbox != 0)
			err = follow(s, c, i);
	return err == 0 && c->drop ? drop(s, c) : err;
}

static void
tell_missing(struct imap_session *s, const struct check *c)
{
	bool first = true;

	buf_reset(&s->line);
	buf_put_z(&s->line, "* XMOVE-MISSING (");
	for (size_t i = 0; i < c->n; i++) {
		if (c->before[i].known)
			continue;
		if (!first)
			buf_put_u8(&s->line, ' ');
		buf_put_u64(&s->line, (uint64_t)c->v[i].number);
		first = false;
	}
	buf_put_z(&s->line, ")\r\n");
	imap_write_buf(s, &s->line);
	imap_printf(s, "* XMOVE-DROPPED %zu\r\n", c->dropped);
}

void
imap_do_move_check(struct imap_session *s, struct imap_lex *x)
{
	struct check c = {.drop = false};
	int err;

	if (!s->c->moving) {
		imap_bad(s, "no such command");
		return;
	}
	parse_check(s, x, &c);
	if (imap_bad_syntax(s, x))
		return;
	err = check(s, &c);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	tell_missing(s, &c);
	imap_ok(s, "", "done");
}
