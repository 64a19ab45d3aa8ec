/* imap_lsub.c: LSUB (RFC 3501 §6.3.9), which IMAP4rev2 replaced by LIST (SUBSCRIBED). */
#include "imap/imap_list.h"

#include "base/map.h"

static void
write_name(const struct imap_listing *l, struct slice attributes, struct slice name)
{
	struct buf *out = &l->s->line;

	buf_reset(out);
	buf_printf(out, "* LSUB (%.*s) \"/\" ", SLICE_ARG(attributes));
	imap_put_mailbox(out, name, imap_utf8_names(l->s));
	buf_put(out, SLICE("\r\n"));
	imap_write_buf(l->s, out);
}

/* A subscribed name hides below a level that "%" matches: the level is told once, as not selectable. `known`: names
 * subscribed to and levels told. */
static int
list_levels_above(const struct imap_listing *l, struct slice name, struct map *known)
{
	for (size_t i = 1; i < name.n; i++) {
		struct slice level = slice_head(name, i);
		int err;

		if (slice_at(name, i) != '/' || !imap_listing_matches(l, level) || map_get(known, level) != NULL)
			continue;
		write_name(l, SLICE("\\Noselect"), level);
		err = map_put(known, level, known);
		if (err != 0)
			return err;
	}
	return 0;
}

static int
list_subscribed(const struct imap_listing *l, struct slice_list names)
{
	struct map known __attribute__((cleanup(map_free)));
	int err = 0;

	map_init(&known, (size_t)l->s->limits->mailboxes * (size_t)l->s->limits->mailbox_depth * 2,
	    house_random_u64(l->s->c->house));
	for (size_t i = 0; i < names.n && err == 0 && l->percent; i++)
		err = map_put(&known, names.v[i], &known);
	for (size_t i = 0; i < names.n && err == 0 && !l->s->ended; i++) {
		if (imap_listing_matches(l, names.v[i]))
			write_name(l, SLICE_EMPTY, names.v[i]);
		else if (l->percent)
			err = list_levels_above(l, names.v[i], &known);
	}
	return err;
}

void
imap_do_lsub(struct imap_session *s, struct imap_lex *x)
{
	struct imap_listing l;
	struct slice_list names;
	int err;

	if (!imap_parse_listing(s, x, false, &l))
		return;
	if (l.root) {
		imap_write(s, SLICE("* LSUB (\\Noselect) \"/\" \"\"\r\n"));
		imap_ok(s, "", "done");
		return;
	}
	err = store_subscriptions(s->account, &s->arena, &names);
	if (err == 0)
		err = list_subscribed(&l, names);
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, "", "done");
}
