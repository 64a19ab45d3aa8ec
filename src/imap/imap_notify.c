/* imap_notify.c: NOTIFY (RFC 5465). A session that used it keeps what it asked for, and a watch of its account (store_watch.h); the
 * selected mailbox is its view's matter as ever, only that here is said when its news may be told. Changes are told as things stand when
 * the client can take them: of a mailbox that got a thousand messages meanwhile there is one STATUS. A client that does not read while
 * more than limits.imap_notify_pending different things change is told so and hears no more. */
#include "imap/imap_notify.h"

#include "imap/imap_list.h"
#include "imap/imap_metadata.h"
#include "imap/imap_notify_shared.h"

#define NOTIFY_ARENA_BYTES (8u << 20)

struct imap_notify {
	struct imap_notify_args args; /* names are in the form in which they are kept; impossible ones are empty */
	const struct imap_notify_group *selected; /* of args, or NULL */
	struct store_watch *watch;                /* NULL: nothing but the selected mailbox is of interest */
	struct imap_notify_shared *shared;        /* NULL: nor anything that others share */
	struct arena arena;
};

/* ---- what is wanted ------------------------------------------------------------------------------------------------------ */

static bool
is_selected(const struct imap_notify_group *g)
{
	return g->where == IMAP_NOTIFY_SELECTED || g->where == IMAP_NOTIFY_SELECTED_DELAYED;
}

static bool
is_named(const struct imap_notify_group *g, struct slice name, bool subtree)
{
	for (size_t i = 0; i < g->names.n; i++) {
		struct slice of = g->names.v[i];

		if (slice_eq(name, of) ||
		    (subtree && name.n > of.n && slice_starts(name, of) && slice_at(name, of.n) == '/'))
			return of.n > 0;
	}
	return false;
}

static bool
covers(const struct imap_notify_group *g, struct slice name, bool subscribed)
{
	switch (g->where) {
	case IMAP_NOTIFY_PERSONAL: return !imap_is_others(name);
	case IMAP_NOTIFY_SUBSCRIBED: return subscribed;
	case IMAP_NOTIFY_SUBTREE: return is_named(g, name, true);
	case IMAP_NOTIFY_MAILBOXES: return is_named(g, name, false);
	case IMAP_NOTIFY_SELECTED:
	case IMAP_NOTIFY_SELECTED_DELAYED: break;
	}
	return false;
}

/* The events of all groups that the mailbox is in (RFC 5465 §6). */
static unsigned
events_of(const struct imap_notify *n, struct slice name, bool subscribed)
{
	unsigned events = 0;

	for (size_t i = 0; i < n->args.n; i++)
		if (covers(&n->args.groups[i], name, subscribed))
			events |= n->args.groups[i].events;
	return events;
}

static unsigned
events_of_all(const struct imap_notify *n)
{
	unsigned events = 0;

	for (size_t i = 0; i < n->args.n; i++)
		if (!is_selected(&n->args.groups[i]))
			events |= n->args.groups[i].events;
	return events;
}

/* Commands whose own doing is told by EXPUNGE: sequence numbers must follow it. */
static bool
removes(struct slice name)
{
	static const struct slice names[] = {SLICE_INIT("EXPUNGE"), SLICE_INIT("MOVE"), SLICE_INIT("REPLACE")};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (name.n >= names[i].n && slice_ieq(slice_from(name, name.n - names[i].n), names[i]))
			return true;
	return false;
}

bool
imap_notify_allows(const struct imap_session *s)
{
	return s->notify == NULL || (s->notify->selected != NULL && s->notify->selected->events != 0) ||
	    removes(s->name);
}

bool
imap_notify_allows_flags(const struct imap_session *s)
{
	return s->notify == NULL ||
	    (s->notify->selected != NULL && (s->notify->selected->events & IMAP_EVENT_FLAG_CHANGE) != 0);
}

const struct imap_fetch *
imap_notify_fetch(const struct imap_session *s)
{
	return s->notify != NULL && s->notify->selected != NULL && s->notify->selected->has_fetch
	    ? &s->notify->selected->fetch
	    : NULL;
}

/* Is the view's news to be told between commands? */
static bool
pushes_view(const struct imap_session *s)
{
	return s->notify != NULL && s->notify->selected != NULL && s->notify->selected->events != 0;
}

static bool
expunges_now(const struct imap_session *s)
{
	return s->idling || (pushes_view(s) && s->notify->selected->where == IMAP_NOTIFY_SELECTED);
}

static bool
view_has_news(const struct imap_session *s)
{
	if (s->view == NULL || !(pushes_view(s) || (s->idling && s->notify == NULL)))
		return false;
	return expunges_now(s) ? store_view_has_news(s->view) : store_view_has_news_but_expunges(s->view);
}

bool
imap_has_news_to_push(const struct imap_session *s)
{
	if (imap_view_is_stale(s) && (s->idling || pushes_view(s)))
		return true;
	return view_has_news(s) ||
	    (s->notify != NULL &&
		((s->notify->watch != NULL && store_watch_has_changes(s->notify->watch)) ||
		    imap_notify_shared_has_changes(s->notify->shared)));
}

void
imap_watch_view(struct imap_session *s)
{
	if (s->view != NULL)
		store_view_watch(s->view, s->idling || pushes_view(s) ? s->fiber : NULL);
}

/* ---- telling ------------------------------------------------------------------------------------------------------------- */

/* RFC 5465 §5.1 to §5.3; what NOTIFY SET STATUS tells has UIDVALIDITY in any case. */
static unsigned
status_items(const struct imap_session *s, unsigned events, unsigned what)
{
	unsigned items = 0;

	if ((events & what & (IMAP_EVENT_MESSAGE_NEW | IMAP_EVENT_MESSAGE_EXPUNGE)) != 0)
		items = IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT | IMAP_STATUS_UIDVALIDITY;
	if ((events & IMAP_EVENT_FLAG_CHANGE) != 0 && (events & what) != 0)
		items |= IMAP_STATUS_UIDVALIDITY | IMAP_STATUS_UNSEEN;
	if (items != 0 && imap_is_on(s, IMAP_ON_CONDSTORE))
		items |= IMAP_STATUS_HIGHESTMODSEQ;
	return items;
}

static bool
is_selected_now(const struct imap_session *s, const struct store_account *account, int64_t mailbox)
{
	return s->view != NULL && !store_view_gone(s->view) && store_view_account(s->view) == account &&
	    store_view_mailbox_id(s->view) == mailbox;
}

static void
tell_status(struct imap_session *s, struct store_account *account, const struct store_mailbox *m, unsigned items)
{
	if (items == 0)
		return;
	buf_reset(&s->line);
	imap_put_status(s, &s->line, account, m, items);
	imap_write_buf(s, &s->line);
}

static int
tell_messages(struct imap_session *s, const struct store_change *c)
{
	struct store_mailbox m;
	int err;

	if (is_selected_now(s, s->account, c->mailbox))
		return 0;
	err = store_mailbox_by_id(s->account, c->mailbox, &s->arena, &m);
	if (err == 0 && m.selectable)
		tell_status(s, s->account, &m, status_items(s, events_of(s->notify, m.name, m.subscribed), c->what));
	return err == ERR_NOTFOUND ? 0 : err;
}

/* A name that does not exist may be subscribed to. */
static int
is_subscribed(struct imap_session *s, struct slice name, bool *out)
{
	struct slice_list names;
	int err = store_subscriptions(s->account, &s->arena, &names);

	*out = false;
	for (size_t i = 0; err == 0 && i < names.n && !*out; i++)
		*out = slice_eq(names.v[i], name);
	return err;
}

static int
tell_name(struct imap_session *s, struct slice name, struct slice old_name, unsigned event)
{
	struct store_mailbox m;
	bool exists, subscribed = false;
	unsigned events;
	int err = store_mailbox(s->account, name, &s->arena, &m);

	exists = err == 0;
	if (exists)
		subscribed = m.subscribed;
	else if (err == ERR_NOTFOUND)
		err = is_subscribed(s, name, &subscribed);
	if (err != 0)
		return err;
	/* Of a subscription that ended those who watch the subscribed ones are to hear. */
	events = events_of(s->notify, name, subscribed || event == IMAP_EVENT_SUBSCRIPTION);
	if (old_name.n > 0)
		events |= events_of(s->notify, old_name, false);
	if ((events & event) == 0)
		return 0;
	buf_reset(&s->line);
	imap_put_list(s, &s->line, name, exists ? &m : NULL, subscribed, old_name);
	imap_write_buf(s, &s->line);
	return 0;
}

/* The level above counts as affected, since it may have got or lost its only child (RFC 5465 §5.4). */
static int
tell_names(struct imap_session *s, const struct store_change *c)
{
	size_t at = slice_rfind_byte(c->name, '/');
	int err = tell_name(s, c->name, c->old_name, IMAP_EVENT_MAILBOX_NAME);

	if (err == 0 && c->old_name.n == 0 && at != SLICE_NONE)
		err = tell_name(s, slice_head(c->name, at), SLICE_EMPTY, IMAP_EVENT_MAILBOX_NAME);
	return err;
}

/* "* METADATA mailbox entry": that it changed, not what it is now (RFC 5464 §4.4.2). */
static int
tell_metadata(struct imap_session *s, const struct store_change *c)
{
	struct store_mailbox m = {0};
	bool server = c->name.n == 0; /* or a note on what somebody shares, which is kept there */
	int err = server ? 0 : store_mailbox(s->account, c->name, &s->arena, &m);
	unsigned events;

	if (err != 0 || (server && slice_starts(c->entry, SLICE("@"))))
		return err == ERR_NOTFOUND ? 0 : err;
	events = server ? events_of_all(s->notify) : events_of(s->notify, c->name, m.subscribed);
	if ((events & (server ? IMAP_EVENT_SERVER_METADATA : IMAP_EVENT_MAILBOX_METADATA)) == 0)
		return 0;
	buf_reset(&s->line);
	imap_put_metadata_change(s, &s->line, c->name, c->entry);
	imap_write_buf(s, &s->line);
	return 0;
}

static int
tell_change(struct imap_session *s, const struct store_change *c)
{
	switch (c->what) {
	case STORE_CHANGE_NAME: return tell_names(s, c);
	case STORE_CHANGE_SUBSCRIPTION: return tell_name(s, c->name, SLICE_EMPTY, IMAP_EVENT_SUBSCRIPTION);
	case STORE_CHANGE_METADATA: return tell_metadata(s, c);
	default: return tell_messages(s, c);
	}
}

/* RFC 5465 §5.8: as if NOTIFY NONE had come. */
static void
overflow(struct imap_session *s)
{
	imap_write(
	    s, SLICE("* OK [NOTIFICATIONOVERFLOW] more changed than could be told; nothing is told any more\r\n"));
	store_watch_close(&s->notify->watch);
	imap_notify_shared_close(&s->notify->shared);
	s->notify->args.n = 0;
	s->notify->selected = NULL;
	imap_watch_view(s);
}

/* ---- what others share --------------------------------------------------------------------------------------------------- */

static unsigned
shared_events(struct imap_session *s, struct slice name)
{
	bool subscribed = false;

	/* One that cannot be looked up now counts as not subscribed to. */
	(void)!is_subscribed(s, name, &subscribed);
	return events_of(s->notify, name, subscribed);
}

static void
shared_messages(struct imap_session *s, struct store_account *account, const struct store_mailbox *m, unsigned what)
{
	if (!is_selected_now(s, account, m->id) && m->selectable)
		tell_status(s, account, m, status_items(s, shared_events(s, m->name), what));
}

static void
shared_name(struct imap_session *s, struct slice name, const struct store_mailbox *m)
{
	bool subscribed = false;

	(void)!is_subscribed(s, name, &subscribed);
	if ((events_of(s->notify, name, subscribed) & IMAP_EVENT_MAILBOX_NAME) == 0)
		return;
	buf_reset(&s->line);
	imap_put_list(s, &s->line, name, m, subscribed, SLICE_EMPTY);
	imap_write_buf(s, &s->line);
}

static void
shared_metadata(struct imap_session *s, const struct store_mailbox *m, struct slice entry)
{
	if ((shared_events(s, m->name) & IMAP_EVENT_MAILBOX_METADATA) == 0)
		return;
	buf_reset(&s->line);
	imap_put_metadata_change(s, &s->line, m->name, entry);
	imap_write_buf(s, &s->line);
}

static void
tell_shared(struct imap_session *s)
{
	static const struct imap_notify_shared_fns fns = {shared_messages, shared_name, shared_metadata};

	if (s->notify != NULL && !s->ended && imap_notify_shared_tell(s, s->notify->shared, &fns) != 0)
		overflow(s);
}

/* Does the client ask for anything of this owner's? */
static bool
names_owner(const struct imap_notify *n, struct slice owner, const struct slice_list *subscribed)
{
	struct slice below = owner;

	for (size_t i = 0; i < n->args.n; i++) {
		const struct imap_notify_group *g = &n->args.groups[i];
		const struct slice_list *names = g->where == IMAP_NOTIFY_SUBSCRIBED ? subscribed : &g->names;

		for (size_t k = 0; k < names->n && !is_selected(g); k++)
			if (slice_eq(names->v[k], IMAP_OTHER_USERS) || slice_eq(names->v[k], owner) ||
			    (slice_starts(names->v[k], below) && slice_at(names->v[k], below.n) == '/'))
				return true;
	}
	return false;
}

/* Whose mailboxes are to be watched, each once; owners lie together in the list of what is shared. */
static int
wanted_owners(struct imap_session *s, const struct imap_notify *n, const struct imap_shared *v, size_t count,
    struct slice_list *out)
{
	struct slice *owners = ARENA_ARRAY(&s->arena, struct slice, count + 1);
	struct slice_list subscribed;
	int err = owners == NULL ? ERR_LIMIT : store_subscriptions(s->account, &s->arena, &subscribed);

	*out = (struct slice_list){owners, 0};
	for (size_t i = 0; i < count && err == 0; i++)
		if ((i == 0 || !slice_eq(v[i - 1].owner, v[i].owner)) && names_owner(n, v[i].owner, &subscribed))
			owners[out->n++] = v[i].owner;
	return err;
}

/* How they stand, as tell_states(); of what may be seen only, that it may not be read (RFC 5465 §3.1). */
static void
tell_shared_states(struct imap_session *s, const struct imap_shared *v, size_t n)
{
	for (size_t i = 0; i < n && !s->ended; i++) {
		const struct store_mailbox *m = &v[i].m;
		unsigned events = events_of(s->notify, m->name, m->subscribed);

		if (events != 0 && (v[i].rights & STORE_RIGHT_READ) == 0) {
			buf_reset(&s->line);
			buf_put(&s->line, SLICE("* LIST (\\NoAccess) \"/\" "));
			imap_put_mailbox(&s->line, m->name, imap_utf8_names(s));
			buf_put(&s->line, SLICE("\r\n"));
			imap_write_buf(s, &s->line);
		} else if (s->notify->args.status && m->selectable && !is_selected_now(s, v[i].account, m->id)) {
			unsigned items = status_items(s, events, IMAP_EVENTS_OF_MESSAGES);

			if ((events & IMAP_EVENT_FLAG_CHANGE) != 0)
				items |= IMAP_STATUS_HIGHESTMODSEQ;
			tell_status(s, v[i].account, m, items);
		}
	}
}

static int
install_shared(struct imap_session *s, struct imap_notify *n, unsigned events)
{
	static const unsigned kinds = IMAP_EVENTS_OF_MESSAGES | IMAP_EVENT_MAILBOX_METADATA;
	struct imap_shared *v;
	struct slice_list owners;
	size_t count;
	int err = imap_shared_mailboxes(s, &v, &count);

	if (err == 0)
		err = wanted_owners(s, n, v, count, &owners);
	if (err == 0 && owners.n > 0)
		err = imap_notify_shared_open(s, &owners, v, count, events & kinds, &n->shared);
	if (err == 0 && owners.n > 0)
		tell_shared_states(s, v, count);
	return err;
}

void
imap_notify_tell(struct imap_session *s)
{
	struct imap_notify *n = s->notify;

	while (!s->ended && n != NULL && n->watch != NULL) {
		struct arena_mark mark = arena_mark(&s->arena);
		struct store_change c;
		int err = store_watch_next(n->watch, &s->arena, &c);

		if (err == 0)
			break;
		if (err == 1)
			err = tell_change(s, &c);
		arena_release(&s->arena, mark);
		/* Something that cannot be told now would be missing. */
		if (err != 0)
			overflow(s);
	}
	tell_shared(s);
}

void
imap_push_news(struct imap_session *s)
{
	s->uid = false;
	s->tag = s->name = SLICE_EMPTY;
	if (view_has_news(s))
		imap_tell_news(s, expunges_now(s));
	imap_notify_tell(s);
}

/* ---- the command --------------------------------------------------------------------------------------------------------- */

static void
refuse_event(struct imap_session *s)
{
	imap_no(s,
	    "[BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange"
	    " ServerMetadataChange)]",
	    "there are no other events");
}

/* Names in the form in which they are kept. */
static int
normalise(struct imap_session *s, struct imap_notify *n)
{
	for (size_t i = 0; i < n->args.n; i++) {
		struct slice_list names = n->args.groups[i].names;
		struct slice *v = ARENA_ARRAY(&n->arena, struct slice, names.n);

		if (v == NULL)
			return ERR_LIMIT;
		for (size_t k = 0; k < names.n; k++) {
			struct buf BUF_CLEANUP utf8;

			buf_init(&utf8, (size_t)s->limits->mailbox_name_bytes + IMAP_OTHER_BYTES);
			if (imap_name_decode(s, names.v[k], &utf8) != 0 ||
			    imap_name_normal(s, buf_slice(&utf8), &n->arena, &v[k]) != 0)
				v[k] = SLICE_EMPTY;
		}
		n->args.groups[i].names = (struct slice_list){v, names.n};
		if (is_selected(&n->args.groups[i]))
			n->selected = &n->args.groups[i];
	}
	return arena_failed(&n->arena) ? ERR_LIMIT : 0;
}

/* How the mailboxes stand of whose messages the client wants to hear (RFC 5465 §3.1). */
static int
tell_states(struct imap_session *s)
{
	struct store_mailbox *v;
	size_t n;
	int err = store_mailboxes(s->account, &s->arena, &v, &n);

	for (size_t i = 0; i < n && err == 0 && !s->ended; i++) {
		unsigned events = events_of(s->notify, v[i].name, v[i].subscribed), items;

		if (!v[i].selectable || is_selected_now(s, s->account, v[i].id))
			continue;
		items = status_items(s, events, IMAP_EVENTS_OF_MESSAGES);
		if ((events & IMAP_EVENT_FLAG_CHANGE) != 0)
			items |= IMAP_STATUS_HIGHESTMODSEQ;
		tell_status(s, s->account, &v[i], items);
	}
	return err;
}

/* Takes the new set in the place of the old one. */
static int
install(struct imap_session *s, struct imap_notify *n)
{
	unsigned events = events_of_all(n);
	int err = 0;

	imap_notify_end(s);
	imap_tell_news(s, true);
	if ((events & IMAP_EVENT_SERVER_METADATA) != 0)
		events |= IMAP_EVENT_MAILBOX_METADATA;
	if (events != 0)
		err = store_watch_open(s->account, events & ~(unsigned)IMAP_EVENT_SERVER_METADATA, s->fiber, &n->watch);
	if (err != 0)
		return err;
	if (n->watch != NULL)
		store_watch_own(n->watch, fiber_self(s->c->loop));
	s->notify = n;
	imap_watch_view(s);
	err = n->args.status ? tell_states(s) : 0;
	return err == 0 && events != 0 ? install_shared(s, n, events) : err;
}

static struct imap_notify *
parse(struct imap_session *s, struct imap_lex *x)
{
	struct imap_notify *n = calloc(1, sizeof(*n));
	struct imap_lex own;

	if (n == NULL) {
		imap_no_err(s, ERR_NOMEM);
		return NULL;
	}
	arena_init(&n->arena, NOTIFY_ARENA_BYTES);
	/* What it says must outlive the command. */
	own = imap_lex_of(arena_copy(&n->arena, cursor_rest(&x->c)), &n->arena, s->limits->imap_nesting);
	imap_parse_notify(&own, s->limits, &n->args);
	if (n->args.too_many || arena_failed(&n->arena))
		imap_no(s, "[NOTIFICATIONOVERFLOW]", "that is too much to watch");
	else if (imap_bad_syntax(s, &own))
		;
	else if (n->args.unsupported)
		refuse_event(s);
	else if (normalise(s, n) != 0)
		imap_no(s, "[NOTIFICATIONOVERFLOW]", "that is too much to watch");
	else
		return n;
	arena_free(&n->arena);
	free(n);
	return NULL;
}

void
imap_do_notify(struct imap_session *s, struct imap_lex *x)
{
	struct imap_notify *n;
	int err;

	imap_lex_space(x);
	if (imap_bad_syntax(s, x) || (n = parse(s, x)) == NULL)
		return;
	err = install(s, n);
	if (err != 0 && s->notify == NULL) {
		arena_free(&n->arena);
		free(n);
	}
	if (err != 0)
		imap_no_err(s, err);
	else
		imap_ok(s, "", "done");
}

void
imap_notify_end(struct imap_session *s)
{
	struct imap_notify *n = s->notify;

	s->notify = NULL;
	if (n == NULL)
		return;
	store_watch_close(&n->watch);
	imap_notify_shared_close(&n->shared);
	arena_free(&n->arena);
	free(n);
}

void
imap_notify_own(struct imap_session *s, const struct fiber *f)
{
	if (s->notify != NULL)
		imap_notify_shared_own(s->notify->shared, f);
	if (s->notify != NULL && s->notify->watch != NULL)
		store_watch_own(s->notify->watch, f);
}
