/* store_flags.c: changes of flags and keywords. What is to change is planned from memory under the account's lock. Mostly it is then
 * noted in the account's journal and shown to all views at once, without a transaction: store_unsaved.c writes it
 * behind the sessions' backs. Where that cannot be (the account has no journal yet or it is full, there are new keywords,
 * the database could not be written before) it is a transaction like others.
 *
 * The worker must not look at sets of keywords: sessions of other mailboxes may end meanwhile and free some. So the
 * bytes of the rows are made beforehand. */
#include "store/store_journal.h"

/* An account gets a journal when its flags are changed so often. */
#define JOURNAL_FROM 3

/* A message that is to change, and what it becomes. */
struct item {
	uint32_t uid, handle;  /* new keywords, counted */
	size_t at;             /* in the box, until somebody parks */
	struct slice keywords; /* their bytes, in the operation's arena */
	uint64_t modseq;       /* before */
	uint8_t flags;
};

struct flags_op {
	struct store_view *v;
	struct store_account *a;
	const uint32_t *uids;
	size_t uids_n;
	struct arena mem;
	struct item *items;
	size_t n, cap;
	int64_t modseq;
	const struct store_flag_change *change;
	bool *conflicts;
	size_t names_from; /* keywords from this id on are new */
	uint16_t *ids;
	size_t ids_n;
	int64_t unseen, deleted;
};

static void
drop_handles(struct flags_op *o)
{
	for (size_t i = 0; i < o->n; i++)
		keywords_unref(o->a->keywords, o->items[i].handle);
}

/* ---- the plan ------------------------------------------------------------------------------------------------- */

static int
plan_message(struct flags_op *o, size_t at)
{
	const struct message *m = &o->v->box->v[at];
	uint8_t kept = o->change->kept_flags, flags = flags_after(m->flags, o->change->op, o->change->flags);
	enum store_flag_op op = o->change->kept_keywords ? STORE_FLAGS_ADD : o->change->op;
	struct item *v;
	uint32_t handle;
	int err = keywords_change(o->a, m->keywords, op, o->ids, o->ids_n, &handle);

	flags = (uint8_t)((flags & ~kept) | (m->flags & kept));
	if (err != 0)
		return err;
	if (flags == m->flags && handle == m->keywords) {
		keywords_unref(o->a->keywords, handle);
		return 0;
	}
	if ((v = arena_grow(&o->mem, o->items, o->n, &o->cap, sizeof(*v), 1u << 26)) == NULL) {
		keywords_unref(o->a->keywords, handle);
		return ERR_LIMIT;
	}
	o->items = v;
	o->items[o->n++] = (struct item){
	    .uid = m->uid, .handle = handle, .at = at, .modseq = m->modseq, .flags = flags};
	o->unseen += (int64_t)((flags & STORE_SEEN) == 0) - (int64_t)((m->flags & STORE_SEEN) == 0);
	o->deleted += (int64_t)((flags & STORE_DELETED) != 0) - (int64_t)((m->flags & STORE_DELETED) != 0);
	return 0;
}

static int
plan_messages(struct flags_op *o)
{
	const struct store_box *b = o->v->box;
	size_t at = 0;
	int err = 0;

	for (size_t i = 0; i < o->uids_n && err == 0; i++) {
		/* Mostly they are neighbours. */
		if (at >= b->n || b->v[at].uid != o->uids[i])
			at = box_lower_bound(b, o->uids[i]);
		if (at == b->n || b->v[at].uid != o->uids[i] || b->v[at].dead != 0)
			continue;
		if (o->n > 0 && o->items[o->n - 1].uid >= o->uids[i])
			continue; /* named twice */
		if (b->v[at].modseq <= o->change->unchanged_since)
			err = plan_message(o, at);
		else if (o->conflicts != NULL)
			o->conflicts[i] = true;
		at++;
	}
	return err;
}

/* 0: something is to change; 1: nothing. */
static int
plan(struct flags_op *o)
{
	struct slice_list names = o->change->keywords;
	int err = o->v->box->gone ? ERR_NOTFOUND : o->v->read_only ? ERR_DENIED : 0;

	if (err != 0)
		return err;
	o->names_from = o->a->keywords->names_n;
	if (names.n > 0 && (o->ids = ARENA_ARRAY(&o->mem, uint16_t, names.n)) == NULL)
		return ERR_LIMIT;
	err = keywords_ids(o->a, names, o->change->op != STORE_FLAGS_REMOVE, o->ids, &o->ids_n);
	if (err == 0)
		err = plan_messages(o);
	if (err == 0 && o->n > 0)
		return 0;
	drop_handles(o);
	keywords_forget_from(o->a->keywords, o->names_from);
	return err != 0 ? err : 1;
}

/* Was one of the messages changed by somebody else, and the view has not been told? Its next look at the flags would find this
 * change in place of that one. */
static bool
covers_news(const struct flags_op *o)
{
	const struct store_view *v = o->v;
	const struct store_box *b = v->box;

	if (v->change < b->log_first)
		return true;
	for (uint64_t change = v->change; change < b->log_first + b->log_n; change++) {
		const struct box_change *c = &b->log[change - b->log_first];
		uint32_t told = change == v->change ? v->change_uid : 0;

		for (size_t i = 0; i < o->n && c->origin != v->number; i++)
			if (o->items[i].modseq == c->modseq && o->items[i].uid > told)
				return true;
	}
	return false;
}

static void
finish(struct flags_op *o, bool unsaved)
{
	struct store_box *b = o->v->box;
	uint32_t lo = o->items[0].uid, hi = o->items[o->n - 1].uid;
	/* RFC 9051 §6.4.6: even a session that wants to hear nothing of its own change shall hear of the other one. */
	uint64_t origin = covers_news(o) ? 0 : o->v->number;

	for (size_t i = 0; i < o->n; i++) {
		const struct item *it = &o->items[i];
		struct message *m = it->at < b->n && b->v[it->at].uid == it->uid ? &b->v[it->at]
										 : box_message(b, it->uid);

		ASSERT(m != NULL && m->uid == it->uid && m->dead == 0);
		keywords_unref(o->a->keywords, m->keywords);
		m->keywords = it->handle;
		m->flags = it->flags;
		m->modseq = (uint64_t)o->modseq;
		b->unsaved_n += unsaved && !m->unsaved;
		o->a->unsaved_n += unsaved && !m->unsaved;
		m->unsaved = unsaved;
	}
	box_changed(b, (uint64_t)o->modseq, origin, lo, hi);
	box_wake(b);
	watch_messages(o->a, b->id, STORE_CHANGE_FLAGS);
}

/* ---- at once ---------------------------------------------------------------------------------------------------- */

/* The messages of the plan as runs of neighbours. */
static struct uid_run *
runs_of(struct flags_op *o, size_t *n)
{
	struct uid_run *v = NULL;
	size_t cap = 0;

	*n = 0;
	for (size_t i = 0; i < o->n; i++) {
		if (i > 0 && o->items[i].at == o->items[i - 1].at + 1) {
			v[*n - 1].hi = o->items[i].uid;
			continue;
		}
		if ((v = arena_grow(&o->mem, v, *n, &cap, sizeof(*v), STORE_JOURNAL_BYTES)) == NULL)
			return NULL;
		v[(*n)++] = (struct uid_run){o->items[i].uid, o->items[i].uid};
	}
	return v;
}

static struct slice
ids_bytes(struct flags_op *o)
{
	uint8_t *p = arena_alloc(&o->mem, 2 * o->ids_n + 1);

	for (size_t i = 0; i < o->ids_n && p != NULL; i++) {
		p[2 * i] = (uint8_t)(o->ids[i] >> 8);
		p[2 * i + 1] = (uint8_t)o->ids[i];
	}
	return slice_of(p, p == NULL ? 0 : 2 * o->ids_n);
}

static bool
note(struct flags_op *o)
{
	struct store_account *a = o->a;
	struct store_box *b = o->v->box;
	struct journal_record r = {
	    .modseq = a->modseq + 1, .mailbox = b->id, .op = o->change->op, .flags = o->change->flags};

	/* What stays as it is cannot be said in a record. */
	if (o->change->kept_flags != 0 || o->change->kept_keywords)
		return false;
	if (a->journal == NULL || a->unsaved_stuck || a->keywords->names_n != o->names_from ||
	    a->modseq - a->modseq_synced > STORE_UNSYNCED_MODSEQS_MAX)
		return false;
	r.keywords = ids_bytes(o);
	if ((r.runs = runs_of(o, &r.runs_n)) == NULL || arena_failed(&o->mem) || !journal_put(a->journal, &r))
		return false;
	o->modseq = (int64_t)++a->modseq;
	if (b->unsaved_n == 0 || o->items[0].uid < b->unsaved_min)
		b->unsaved_min = o->items[0].uid;
	if (b->unsaved_n == 0 || o->items[o->n - 1].uid > b->unsaved_max)
		b->unsaved_max = o->items[o->n - 1].uid;
	b->unsaved_unseen += o->unseen;
	b->unsaved_deleted += o->deleted;
	finish(o, true);
	store_mark_dirty(a);
	return true;
}

/* ---- as a transaction --------------------------------------------------------------------------------------------- */

static int
make_keywords(struct flags_op *o)
{
	for (size_t i = 0; i < o->n; i++) {
		struct item *it = &o->items[i];

		it->keywords = i > 0 && o->items[i - 1].handle == it->handle
		    ? o->items[i - 1].keywords
		    : keywords_bytes(o->a->keywords, it->handle, &o->mem);
	}
	return arena_failed(&o->mem) ? ERR_LIMIT : 0;
}

static int
flags_before(struct store_account *a, void *arg)
{
	(void)arg;
	if (a->journal == NULL && ++a->flag_jobs >= JOURNAL_FROM && journal_open(a, &a->journal) != 0)
		a->flag_jobs = 0; /* not now: the changes are written one by one */
	return 0;
}

static int
flags_tx(struct sqltx *tx, void *arg)
{
	struct flags_op *o = arg;
	struct store_account *a = o->a;
	struct account_row ar;
	struct mailbox_row m;
	int err;

	if ((err = row_account_load(tx, a, &ar)) != 0 || (err = row_mailbox_by_id(tx, a, o->v->box->id, NULL, &m)) != 0)
		return err;
	m.highestmodseq = o->modseq = ++ar.modseq;
	m.unseen += o->unseen;
	m.deleted += o->deleted;
	err = keywords_save(tx, a, o->names_from);
	for (size_t i = 0; i < o->n && err == 0; i++) {
		const struct item *it = &o->items[i];

		err = SQL_EXEC(tx, &store_sql_placement_flags, ACC(a), SQLI(m.id), SQLI(it->uid), SQLI(it->flags),
		    it->keywords.n == 0 ? SQLN : SQLB(it->keywords), SQLI(o->modseq));
		if (err == 0 && sql_changes(tx) != 1)
			err = ERR_DAMAGED;
	}
	if (err != 0 || (err = row_mailbox_save(tx, a, &m)) != 0)
		return err;
	return row_account_save(tx, a, &ar);
}

static void
flags_finish(void *arg, int err)
{
	struct flags_op *o = arg;

	if (err == 0) {
		finish(o, false);
		return;
	}
	drop_handles(o);
	keywords_forget_from(o->a->keywords, o->names_from);
}

static int
change_locked(struct flags_op *o)
{
	struct store_op op = {.before = flags_before, .tx = flags_tx, .finish = flags_finish, .arg = o, .write = true};
	int err = plan(o);

	if (err != 0)
		return err == 1 ? 0 : err;
	if (note(o))
		return 0;
	if ((err = make_keywords(o)) == 0)
		return store_run_locked(o->a, &op);
	flags_finish(o, err);
	return err;
}

int
store_flags(struct store_view *v, const uint32_t *uids, size_t n, const struct store_flag_change *c, bool *conflicts)
{
	struct flags_op o = {
	    .v = v, .a = v->box->account, .uids = uids, .uids_n = n, .change = c, .conflicts = conflicts};
	struct store_account *a = o.a;
	int err;

	for (size_t i = 0; conflicts != NULL && i < n; i++)
		conflicts[i] = false;
	if ((err = store_lock(a)) != 0)
		return err;
	store_account_ref(a);
	arena_init(&o.mem, 1u << 30);
	err = store_state(a);
	if (err == 0)
		err = change_locked(&o);
	arena_free(&o.mem);
	store_unlock(a);
	store_account_put(&a);
	return err;
}
