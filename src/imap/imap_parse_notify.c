/* imap_parse_notify.c: the arguments of NOTIFY (RFC 5465 §8). */
#include "imap/imap_notify.h"

static const struct event_row {
	struct slice name;
	unsigned event;
} event_rows[] = {
    {SLICE_INIT("MessageNew"), IMAP_EVENT_MESSAGE_NEW},
    {SLICE_INIT("MessageExpunge"), IMAP_EVENT_MESSAGE_EXPUNGE},
    {SLICE_INIT("FlagChange"), IMAP_EVENT_FLAG_CHANGE},
    {SLICE_INIT("MailboxName"), IMAP_EVENT_MAILBOX_NAME},
    {SLICE_INIT("SubscriptionChange"), IMAP_EVENT_SUBSCRIPTION},
    {SLICE_INIT("MailboxMetadataChange"), IMAP_EVENT_MAILBOX_METADATA},
    {SLICE_INIT("ServerMetadataChange"), IMAP_EVENT_SERVER_METADATA},
};

static const struct where_row {
	struct slice name;
	enum imap_notify_where where;
} where_rows[] = {
    {SLICE_INIT("SELECTED"), IMAP_NOTIFY_SELECTED},
    {SLICE_INIT("SELECTED-DELAYED"), IMAP_NOTIFY_SELECTED_DELAYED},
    {SLICE_INIT("INBOXES"), IMAP_NOTIFY_PERSONAL},
    {SLICE_INIT("PERSONAL"), IMAP_NOTIFY_PERSONAL},
    {SLICE_INIT("SUBSCRIBED"), IMAP_NOTIFY_SUBSCRIBED},
    {SLICE_INIT("SUBTREE"), IMAP_NOTIFY_SUBTREE},
    {SLICE_INIT("MAILBOXES"), IMAP_NOTIFY_MAILBOXES},
};

static bool
is_selected(const struct imap_notify_group *g)
{
	return g->where == IMAP_NOTIFY_SELECTED || g->where == IMAP_NOTIFY_SELECTED_DELAYED;
}

static void
one_more(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out)
{
	if (++out->names <= (size_t)l->imap_notify_names)
		return;
	out->too_many = true;
	imap_lex_fail(x, "too many mailboxes");
}

/* one-or-more-mailbox */
static void
parse_names(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out, struct imap_notify_group *g)
{
	bool several = imap_lex_accept(x, '(');
	struct slice *v = NULL;
	size_t n = 0, cap = 0;

	do {
		struct slice name = imap_lex_astring(x);

		one_more(x, l, out);
		if (imap_lex_failed(x))
			return;
		v = arena_grow(x->arena, v, n, &cap, sizeof(*v), (size_t)l->imap_notify_names);
		if (v == NULL) {
			imap_lex_fail(x, "too many mailboxes");
			return;
		}
		v[n++] = name;
	} while (several && imap_lex_accept(x, ' '));
	if (several)
		imap_lex_expect(x, ')');
	g->names = (struct slice_list){v, n};
}

static void
parse_where(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out, struct imap_notify_group *g)
{
	struct slice name = imap_lex_atom(x);

	for (size_t i = 0; i < COUNT_OF(where_rows); i++) {
		if (!slice_ieq(name, where_rows[i].name))
			continue;
		g->where = where_rows[i].where;
		if (g->where == IMAP_NOTIFY_SUBTREE || g->where == IMAP_NOTIFY_MAILBOXES) {
			imap_lex_space(x);
			parse_names(x, l, out, g);
		}
		return;
	}
	imap_lex_fail(x, "no such kind of mailboxes");
}

static void
parse_event(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out, struct imap_notify_group *g)
{
	struct slice name = imap_lex_atom(x);
	struct imap_lex before;
	unsigned event = 0;

	for (size_t i = 0; i < COUNT_OF(event_rows); i++)
		if (slice_ieq(name, event_rows[i].name))
			event = event_rows[i].event;
	if (event == 0)
		out->unsupported = true;
	g->events |= event;
	if (event != IMAP_EVENT_MESSAGE_NEW)
		return;
	before = *x;
	if (!imap_lex_accept(x, ' ') || imap_lex_peek(x) != '(') {
		*x = before;
		return;
	}
	if (!is_selected(g) || g->has_fetch)
		imap_lex_fail(x, "what to fetch is said once, of the selected mailbox");
	imap_parse_fetch_items(x, l, &g->fetch);
	g->has_fetch = true;
}

/* RFC 5465 §5, §6.1 */
static void
check_events(struct imap_lex *x, const struct imap_notify_group *g)
{
	unsigned messages = g->events & IMAP_EVENTS_OF_MESSAGES;

	if (messages != 0 && (messages & IMAP_EVENT_MESSAGE_NEW) == 0)
		imap_lex_fail(x, "MessageExpunge and FlagChange need MessageNew");
	if (messages != 0 && (messages & IMAP_EVENT_MESSAGE_EXPUNGE) == 0)
		imap_lex_fail(x, "MessageNew and FlagChange need MessageExpunge");
	if (is_selected(g) && messages != g->events)
		imap_lex_fail(x, "only events of messages go with the selected mailbox");
}

/* The grammar has the events in parentheses, the RFC's first example has them without. */
static void
parse_events(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out, struct imap_notify_group *g)
{
	bool bare = imap_lex_peek(x) != '(';
	struct imap_lex before = *x;

	if (bare && slice_ieq(imap_lex_atom(x), SLICE("NONE")))
		return;
	*x = before;
	if (!bare)
		imap_lex_expect(x, '(');
	do
		parse_event(x, l, out, g);
	while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
	if (!bare)
		imap_lex_expect(x, ')');
	check_events(x, g);
}

static void
parse_group(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out)
{
	struct imap_notify_group g = {0};

	imap_lex_expect(x, '(');
	one_more(x, l, out);
	parse_where(x, l, out, &g);
	imap_lex_space(x);
	parse_events(x, l, out, &g);
	imap_lex_expect(x, ')');
	for (size_t i = 0; i < out->n; i++)
		if (is_selected(&g) && is_selected(&out->groups[i]))
			imap_lex_fail(x, "SELECTED or SELECTED-DELAYED can be given once");
	if (imap_lex_failed(x))
		return;
	out->groups = arena_grow(x->arena, out->groups, out->n, &out->cap, sizeof(g), (size_t)l->imap_notify_names);
	if (out->groups == NULL)
		imap_lex_fail(x, "too many groups");
	else
		out->groups[out->n++] = g;
}

void
imap_parse_notify(struct imap_lex *x, const struct limits *l, struct imap_notify_args *out)
{
	struct slice word = imap_lex_atom(x);
	struct imap_lex before;

	*out = (struct imap_notify_args){.none = slice_ieq(word, SLICE("NONE"))};
	if (!out->none && !slice_ieq(word, SLICE("SET")))
		imap_lex_fail(x, "expected SET or NONE");
	if (!out->none) {
		imap_lex_space(x);
		before = *x;
		out->status = imap_lex_peek(x) != '(' && slice_ieq(imap_lex_atom(x), SLICE("STATUS"));
		if (out->status)
			imap_lex_space(x);
		else
			*x = before;
		do
			parse_group(x, l, out);
		while (!imap_lex_failed(x) && imap_lex_accept(x, ' '));
	}
	imap_lex_end(x);
}
