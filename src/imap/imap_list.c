/* imap_list.c: LIST and LSUB (RFC 3501 §6.3.8, §6.3.9) with \HasChildren (RFC 3348) and special uses (RFC 6154). */
#include "imap/imap_session.h"

#include "base/map.h"
#include "imap/imap_pattern.h"
#include "imap/imap_utf7.h"

static const struct slice role_names[] = {
    [STORE_ROLE_DRAFTS] = SLICE_INIT(" \\Drafts"),
    [STORE_ROLE_SENT] = SLICE_INIT(" \\Sent"),
    [STORE_ROLE_JUNK] = SLICE_INIT(" \\Junk"),
    [STORE_ROLE_TRASH] = SLICE_INIT(" \\Trash"),
    [STORE_ROLE_ARCHIVE] = SLICE_INIT(" \\Archive"),
};

struct listing {
	struct imap_session *s;
	const char *verb;             /* "LIST" */
	struct imap_pattern *pattern; /* NULL: nothing can match */
	bool percent;                 /* the pattern has a "%" */
	bool root;                    /* an empty pattern: only the delimiter is asked for */
};

static bool
parse_listing(struct imap_session *s, struct imap_lex *x, struct listing *l)
{
	struct buf BUF_CLEANUP reference;
	struct buf BUF_CLEANUP pattern;
	struct slice raw_reference, raw_pattern;
	size_t max = (size_t)s->limits->imap_command_bytes;

	imap_lex_space(x);
	raw_reference = imap_lex_astring(x);
	imap_lex_space(x);
	raw_pattern = imap_lex_list_mailbox(x);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return false;
	l->s = s;
	l->root = raw_pattern.n == 0;
	l->percent = slice_find_byte(raw_pattern, '%') != SLICE_NONE;
	buf_init(&reference, max * 3);
	buf_init(&pattern, max * 3);
	/* What is no modified UTF-7 is no part of any name. */
	if (imap_name_decode(s, raw_reference, &reference) == 0 && imap_name_decode(s, raw_pattern, &pattern) == 0)
		l->pattern = imap_pattern_new(
		    &s->arena, buf_slice(&reference), buf_slice(&pattern), (size_t)s->limits->mailbox_name_bytes);
	return true;
}

static bool
is_under_inbox(struct slice name)
{
	return slice_starts(name, SLICE("INBOX")) && (name.n == 5 || slice_at(name, 5) == '/');
}

static bool
matches(const struct listing *l, struct slice name)
{
	return l->pattern != NULL && imap_pattern_match(l->pattern, name, is_under_inbox(name));
}

static void
write_name(const struct listing *l, struct slice attributes, struct slice name)
{
	struct buf BUF_CLEANUP out;

	buf_init(&out, name.n * 8 + 256);
	buf_printf(&out, "* %s (", l->verb);
	buf_put(&out, attributes);
	buf_put(&out, SLICE(") \"/\" "));
	imap_put_mailbox(&out, name, imap_utf8_names(l->s));
	buf_put(&out, SLICE("\r\n"));
	imap_write_buf(l->s, &out);
}

void
imap_do_list(struct imap_session *s, struct imap_lex *x)
{
	struct listing l = {.verb = "LIST"};
	struct store_mailbox *v;
	size_t n;
	int err;

	if (!parse_listing(s, x, &l))
		return;
	if (l.root) {
		imap_write(s, SLICE("* LIST (\\Noselect) \"/\" \"\"\r\n"));
		imap_ok(s, "", "done");
		return;
	}
	err = store_mailboxes(s->account, &s->arena, &v, &n);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	for (size_t i = 0; i < n && !s->ended; i++) {
		char attributes[64];
		int len;
		struct slice role = v[i].role < COUNT_OF(role_names) ? role_names[v[i].role] : SLICE_EMPTY;

		if (!matches(&l, v[i].name))
			continue;
		len = snprintf(attributes, sizeof(attributes), "%s%s%.*s", v[i].selectable ? "" : "\\Noselect ",
		    v[i].has_children ? "\\HasChildren" : "\\HasNoChildren", SLICE_ARG(role));
		write_name(&l, slice_of(attributes, (size_t)len), v[i].name);
	}
	imap_ok(s, "", "done");
}

/* A subscribed name hides below a level that "%" matches: the level is told once, as not selectable (RFC 3501 §6.3.9).
 * `known`: names subscribed to and levels told. */
static int
list_levels_above(const struct listing *l, struct slice name, struct map *known)
{
	for (size_t i = 1; i < name.n; i++) {
		struct slice level = slice_head(name, i);
		int err;

		if (slice_at(name, i) != '/' || !matches(l, level) || map_get(known, level) != NULL)
			continue;
		write_name(l, SLICE("\\Noselect"), level);
		err = map_put(known, level, known);
		if (err != 0)
			return err;
	}
	return 0;
}

static int
list_subscribed(const struct listing *l, struct slice_list names)
{
	struct map known __attribute__((cleanup(map_free)));
	int err = 0;

	map_init(&known, (size_t)l->s->limits->mailboxes * (size_t)l->s->limits->mailbox_depth * 2,
	    house_random_u64(l->s->c->house));
	for (size_t i = 0; i < names.n && err == 0 && l->percent; i++)
		err = map_put(&known, names.v[i], &known);
	for (size_t i = 0; i < names.n && err == 0 && !l->s->ended; i++) {
		if (matches(l, names.v[i]))
			write_name(l, SLICE_EMPTY, names.v[i]);
		else if (l->percent)
			err = list_levels_above(l, names.v[i], &known);
	}
	return err;
}

void
imap_do_lsub(struct imap_session *s, struct imap_lex *x)
{
	struct listing l = {.verb = "LSUB"};
	struct slice_list names;
	int err;

	if (!parse_listing(s, x, &l))
		return;
	if (l.root) {
		imap_write(s, SLICE("* LSUB (\\Noselect) \"/\" \"\"\r\n"));
		imap_ok(s, "", "done");
		return;
	}
	err = store_subscriptions(s->account, &s->arena, &names);
	if (err != 0) {
		imap_no_err(s, err);
		return;
	}
	err = list_subscribed(&l, names);
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, "", "done");
}
