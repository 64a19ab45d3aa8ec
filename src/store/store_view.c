/* store_view.c: a session's look at a selected mailbox. The box holds the messages once for all sessions; a view adds what
 * this session has been told: how far into the array (`known`), and which dead messages it knows to be gone
 * (`hidden`, mostly empty). Sequence numbers are places in the array less the hidden ones before. */
#include "store/store_private.h"

/* ---- places and sequence numbers --------------------------------------------------------------------------- */

/* How many hidden UIDs are below `uid`. */
static size_t
hidden_below(const struct store_view *v, uint32_t uid)
{
	size_t low = 0, high = v->hidden_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (v->hidden[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
is_hidden(const struct store_view *v, uint32_t uid)
{
	size_t i = hidden_below(v, uid);

	return i < v->hidden_n && v->hidden[i] == uid;
}

bool
view_shows(const struct store_view *v, size_t i)
{
	return i < v->known && (v->box->v[i].dead == 0 || !is_hidden(v, v->box->v[i].uid));
}

void
view_forget_dropped(struct store_view *v)
{
	const struct store_box *b = v->box;
	size_t to = 0, dropped = 0;

	for (size_t j = 0; j < v->hidden_n; j++)
		if (b->v[box_lower_bound(b, v->hidden[j])].dead != 2)
			v->hidden[to++] = v->hidden[j];
	v->hidden_n = to;
	for (size_t i = 0; i < v->known; i++)
		dropped += b->v[i].dead == 2;
	v->known -= dropped;
	if (v->hidden_n == 0) {
		free(v->hidden);
		v->hidden = NULL;
		v->hidden_cap = 0;
	}
}

static int
hide(struct store_view *v, uint32_t uid)
{
	size_t at = hidden_below(v, uid);

	if (v->hidden_n == v->hidden_cap) {
		size_t cap = v->hidden_cap == 0 ? 8 : v->hidden_cap * 2;
		uint32_t *p = realloc(v->hidden, cap * sizeof(*p));

		if (p == NULL)
			return ERR_NOMEM;
		v->hidden = p;
		v->hidden_cap = cap;
	}
	memmove(v->hidden + at + 1, v->hidden + at, (v->hidden_n - at) * sizeof(*v->hidden));
	v->hidden[at] = uid;
	v->hidden_n++;
	return 0;
}

/* The place of the message with sequence number seq: as many hidden ones lie before it as have at most seq - 1
 * shown ones before them. */
static size_t
index_of_seq(const struct store_view *v, size_t seq)
{
	size_t low = 0, high = v->hidden_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (box_lower_bound(v->box, v->hidden[mid]) - mid <= seq - 1)
			low = mid + 1;
		else
			high = mid;
	}
	return seq - 1 + low;
}

static size_t
seq_of_index(const struct store_view *v, size_t i)
{
	return i + 1 - hidden_below(v, v->box->v[i].uid);
}

size_t
store_view_count(const struct store_view *v)
{
	return v->known - v->hidden_n;
}

static bool
is_recent(const struct store_view *v, uint32_t uid)
{
	for (size_t i = v->recent_n; i > 0; i--)
		if (uid >= v->recent[i - 1].from)
			return uid <= v->recent[i - 1].to;
	return false;
}

struct store_entry
store_view_at(const struct store_view *v, size_t seq)
{
	const struct message *m;

	ASSERT(seq >= 1 && seq <= store_view_count(v));
	m = &v->box->v[index_of_seq(v, seq)];
	return (struct store_entry){.modseq = m->modseq,
	    .email = m->email,
	    .internal_s = m->internal_s,
	    .uid = m->uid,
	    .size = m->size,
	    .keywords = m->keywords,
	    .flags = m->flags,
	    .recent = is_recent(v, m->uid),
	    .expunged = m->dead != 0};
}

size_t
store_view_seq(const struct store_view *v, uint32_t uid)
{
	size_t i = box_lower_bound(v->box, uid);

	return i < v->box->n && v->box->v[i].uid == uid && view_shows(v, i) ? seq_of_index(v, i) : 0;
}

size_t
store_view_seq_from(const struct store_view *v, uint32_t uid)
{
	size_t i = box_lower_bound(v->box, uid);

	if (i >= v->known)
		return store_view_count(v) + 1;
	return i + 1 - hidden_below(v, uid);
}

/* ---- what a view tells ---------------------------------------------------------------------------------------- */

struct store_account *
store_view_account(struct store_view *v)
{
	return v->box->account;
}
bool
store_view_read_only(const struct store_view *v)
{
	return v->read_only;
}
bool
store_view_gone(const struct store_view *v)
{
	return v->box->gone;
}
int64_t
store_view_mailbox_id(const struct store_view *v)
{
	return v->box->id;
}
struct slice
store_view_object_id(const struct store_view *v)
{
	return slice_of(v->box->object_id, STORE_ID_BYTES);
}
struct slice
store_view_name(const struct store_view *v)
{
	return slice_of(v->box->name, v->box->name_n);
}
uint32_t
store_view_uidvalidity(const struct store_view *v)
{
	return v->box->uidvalidity;
}
uint32_t
store_view_uidnext(const struct store_view *v)
{
	return v->box->uidnext;
}
uint64_t
store_view_highestmodseq(const struct store_view *v)
{
	return v->box->highestmodseq;
}

size_t
store_view_recent(const struct store_view *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->recent_n; i++)
		n += store_view_seq_from(v, v->recent[i].to + 1) - store_view_seq_from(v, v->recent[i].from);
	return n;
}

size_t
store_view_first_unseen(const struct store_view *v)
{
	for (size_t i = 0; i < v->known; i++)
		if ((v->box->v[i].flags & STORE_SEEN) == 0 && view_shows(v, i))
			return seq_of_index(v, i);
	return 0;
}

size_t
store_view_keywords(const struct store_view *v, const struct store_entry *e, struct slice out[], size_t max)
{
	const struct store_keywords *k = v->box->account->keywords;
	const struct keyword_set *s = keywords_set(k, e->keywords);

	for (size_t i = 0; s != NULL && i < s->n && i < max; i++)
		out[i] = slice_z(k->names[s->ids[i]]);
	return s == NULL ? 0 : s->n;
}

size_t
store_view_all_keywords(const struct store_view *v, struct slice out[], size_t max)
{
	const struct store_keywords *k = v->box->account->keywords;

	for (size_t i = 0; k != NULL && i < k->names_n && i < max; i++)
		out[i] = slice_z(k->names[i]);
	return k == NULL ? 0 : k->names_n;
}

bool
store_view_has_keyword(const struct store_view *v, const struct store_entry *e, struct slice keyword)
{
	const struct store_keywords *k = v->box->account->keywords;
	const struct keyword_set *s = keywords_set(k, e->keywords);
	int id = s == NULL ? -1 : keywords_find(k, keyword);

	for (size_t i = 0; id >= 0 && i < s->n; i++)
		if (s->ids[i] == id)
			return true;
	return false;
}

/* ---- news ------------------------------------------------------------------------------------------------------ */

static uint64_t
log_end(const struct store_box *b)
{
	return b->log_first + b->log_n;
}

bool
store_view_has_news(const struct store_view *v)
{
	const struct store_box *b = v->box;

	return (b->gone && !v->gone_told) || v->renamed || v->untold_dead > 0 || v->known < b->n ||
	    v->change < log_end(b);
}

bool
store_view_has_news_but_expunges(const struct store_view *v)
{
	const struct store_box *b = v->box;

	return (b->gone && !v->gone_told) || v->renamed || v->known < b->n || v->change < log_end(b);
}

/* Claims the messages that no session had as \Recent before. */
static void
claim_recent(struct store_view *v)
{
	struct store_box *b = v->box;
	uint32_t from = v->recent_n > 0 && v->recent[v->recent_n - 1].to >= b->first_recent
	    ? v->recent[v->recent_n - 1].to + 1
	    : b->first_recent;

	if (from >= b->uidnext)
		return;
	if (!v->read_only)
		b->first_recent = b->uidnext;
	if (v->recent_n > 0 && v->recent[v->recent_n - 1].to + 1 == from) {
		v->recent[v->recent_n - 1].to = b->uidnext - 1;
		return;
	}
	if (v->recent_n == v->recent_cap) {
		size_t cap = v->recent_cap == 0 ? 1 : v->recent_cap * 2;
		struct uid_range *p = realloc(v->recent, cap * sizeof(*p));

		if (p == NULL)
			return; /* they are not \Recent: nothing that matters */
		v->recent = p;
		v->recent_cap = cap;
	}
	v->recent[v->recent_n++] = (struct uid_range){from, b->uidnext - 1};
}

static struct store_event
gone_event(struct store_view *v)
{
	v->gone_told = true;
	return (struct store_event){.kind = STORE_EVENT_GONE};
}

/* The next dead message that the view has not been told of. */
static struct store_event
next_expunge(struct store_view *v)
{
	struct store_box *b = v->box;

	for (int round = 0; round < 2; round++) {
		for (size_t i = box_lower_bound(b, v->dead_cursor + 1); i < v->known; i++) {
			struct store_event e = {.kind = STORE_EVENT_EXPUNGE, .uid = b->v[i].uid};

			if (b->v[i].dead == 0 || is_hidden(v, e.uid))
				continue;
			e.seq = seq_of_index(v, i);
			if (hide(v, e.uid) != 0) {
				box_gone(b);
				return gone_event(v);
			}
			e.own = b->expunge_origin == v->number;
			v->dead_cursor = --v->untold_dead > 0 ? e.uid : 0;
			return e;
		}
		v->dead_cursor = 0; /* some were expunged behind the cursor */
	}
	v->untold_dead = 0;
	return (struct store_event){0};
}

/* The next message between the UIDs (the first excluded) that carries the modseq, or one above it. */
static struct store_event
next_with_modseq(struct store_view *v, uint32_t after, uint32_t to, uint64_t modseq, bool above)
{
	const struct store_box *b = v->box;

	for (size_t i = box_lower_bound(b, after + 1); i < v->known && b->v[i].uid <= to; i++) {
		const struct message *m = &b->v[i];

		if (m->dead != 0 || (above ? m->modseq <= modseq : m->modseq != modseq))
			continue;
		return (struct store_event){.kind = STORE_EVENT_FLAGS, .uid = m->uid, .seq = seq_of_index(v, i)};
	}
	return (struct store_event){0};
}

static struct store_event
next_flags(struct store_view *v)
{
	const struct store_box *b = v->box;
	struct store_event e;

	while (v->change < log_end(b)) {
		const struct box_change *c;

		if (v->catch_change == 0 && v->change < b->log_first)
			v->catch_change = log_end(b);
		if (v->catch_change != 0) {
			e = next_with_modseq(v, v->change_uid, UINT32_MAX, v->told_modseq, true);
			v->change_uid = e.uid;
			if (e.kind != STORE_EVENT_NONE)
				return e;
			v->change = v->catch_change;
			v->catch_change = 0;
			v->told_modseq = b->highestmodseq;
			continue;
		}
		c = &b->log[v->change - b->log_first];
		e = next_with_modseq(
		    v, v->change_uid >= c->uid_min ? v->change_uid : c->uid_min - 1, c->uid_max, c->modseq, false);
		e.own = c->origin == v->number;
		v->change_uid = e.uid;
		if (e.kind != STORE_EVENT_NONE)
			return e;
		v->told_modseq = c->modseq;
		v->change++;
	}
	return (struct store_event){0};
}

static struct store_event
next_exists(struct store_view *v)
{
	struct store_box *b = v->box;
	size_t before = store_view_count(v);

	while (v->known < b->n) {
		v->known++;
		if (b->v[v->known - 1].dead != 0 && hide(v, b->v[v->known - 1].uid) != 0) {
			box_gone(b);
			return gone_event(v);
		}
	}
	claim_recent(v);
	if (store_view_count(v) == before)
		return (struct store_event){0};
	return (struct store_event){
	    .kind = STORE_EVENT_EXISTS, .seq = store_view_count(v), .own = b->append_origin == v->number};
}

struct store_event
store_view_next(struct store_view *v, bool expunges)
{
	struct store_box *b = v->box;
	struct store_event e = {0};

	if (b->gone)
		return v->gone_told ? e : gone_event(v);
	if (v->renamed) {
		v->renamed = false;
		e.kind = STORE_EVENT_RENAMED;
		return e;
	}
	if (expunges && v->untold_dead > 0)
		e = next_expunge(v);
	if (e.kind == STORE_EVENT_NONE)
		e = next_flags(v);
	if (e.kind == STORE_EVENT_NONE)
		e = next_exists(v);
	if (e.kind == STORE_EVENT_NONE)
		box_compact(b);
	return e;
}

void
store_view_watch(struct store_view *v, struct fiber *f)
{
	v->watcher = f;
	if (f != NULL && store_view_has_news(v))
		fiber_wake(f);
}

/* ---- \Recent on disk ----------------------------------------------------------------------------------------------- */

struct recent_op {
	struct list_node node; /* in store->recents */
	struct store_account *a;
	int64_t mailbox;
	uint32_t first;
};

static int
recent_tx(struct sqltx *tx, void *arg)
{
	struct recent_op *r = arg;

	return SQL_EXEC(tx, &store_sql_mailbox_recent, ACC(r->a), SQLI(r->mailbox), SQLI(r->first));
}

static void
save_recent(void *arg)
{
	struct recent_op *r = arg;
	struct store *s = r->a->store;
	struct store_op op = {.tx = recent_tx, .arg = r, .write = true};

	if (store_run(r->a, &op) != 0)
		LOG(s->house, DEBUG, "recent_not_saved", LOG_S("account", acc_id(r->a)));
	list_remove(&r->node);
	store_account_put(&r->a);
	free(r);
}

/* What is not written yet counts already. */
static void
apply_recents(struct store_box *b)
{
	LIST_FOREACH (&b->account->store->recents, n) {
		const struct recent_op *r = CONTAINER_OF(n, struct recent_op, node);

		if (r->a == b->account && r->mailbox == b->id && r->first > b->first_recent)
			b->first_recent = r->first;
	}
}

/* What has been shown as \Recent shall not be again; written behind the last session's back. */
static void
save_recent_later(struct store_box *b)
{
	struct store *s = b->account->store;
	struct recent_op *r;

	if (b->gone || b->first_recent == b->recent_saved || s->stopping || (r = calloc(1, sizeof(*r))) == NULL)
		return;
	*r = (struct recent_op){.a = b->account, .mailbox = b->id, .first = b->first_recent};
	store_account_ref(r->a);
	list_push(&s->recents, &r->node);
	if (fiber_start(s->loop, "store recent", save_recent, r, NULL) != 0) {
		list_remove(&r->node);
		store_account_put(&r->a);
		free(r);
		return;
	}
	b->recent_saved = b->first_recent;
}

/* ---- selecting ---------------------------------------------------------------------------------------------------- */

struct open_op {
	struct store_account *a;
	struct slice name;
	struct arena mem;
	struct store_box *box;
	/* read by the worker */
	struct mailbox_row row;
	struct store_keywords *dictionary;
	struct message *v;
	size_t n;
	struct slice *sets; /* different sets of keywords; message.keywords is 1 + the place here for now */
	size_t sets_n, sets_cap;
	int err;
};

static int
open_prepare(void *arg)
{
	struct open_op *o = arg;

	o->box = box_find_name(o->a, o->name);
	return o->box != NULL;
}

static int
note_set(struct open_op *o, struct slice bytes, uint32_t *out)
{
	struct slice *v;

	*out = 0;
	if (bytes.n == 0)
		return 0;
	for (size_t i = o->sets_n; i > 0; i--) /* mail that lies together is mostly marked alike */
		if (slice_eq(o->sets[i - 1], bytes)) {
			*out = (uint32_t)i;
			return 0;
		}
	if ((v = arena_grow(&o->mem, o->sets, o->sets_n, &o->sets_cap, sizeof(*v), 1u << 22)) == NULL)
		return ERR_LIMIT;
	o->sets = v;
	o->sets[o->sets_n++] = arena_copy(&o->mem, bytes);
	*out = (uint32_t)o->sets_n;
	return arena_failed(&o->mem) ? ERR_LIMIT : 0;
}

static int
read_messages(struct sqltx *tx, struct open_op *o)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	size_t cap = (size_t)(o->row.messages < 0 ? 0 : o->row.messages);
	int err = SQL_QUERY(tx, &q, &store_sql_placement_list, ACC(o->a), SQLI(o->row.id));

	if (err == 0 && cap > 0 && (o->v = calloc(cap, sizeof(*o->v))) == NULL)
		return ERR_NOMEM;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct message *m;
		uint32_t place = 0;

		if (o->n == cap)
			return ERR_DAMAGED; /* the sums do not agree with the rows */
		m = &o->v[o->n];
		m->uid = (uint32_t)sql_col_int(&q, 0);
		m->email = (uint64_t)sql_col_int(&q, 1);
		m->flags = (uint8_t)(sql_col_int(&q, 2) & STORE_FLAGS_ALL);
		m->modseq = (uint64_t)sql_col_int(&q, 4);
		m->internal_s = sql_col_int(&q, 5);
		m->size = (uint32_t)sql_col_int(&q, 6);
		if (o->n > 0 && m->uid <= o->v[o->n - 1].uid)
			return ERR_DAMAGED;
		o->n++;
		err = note_set(o, sql_col_bytes(&q, 3), &place);
		m->keywords = place;
	}
	return err;
}

static int
open_tx(struct sqltx *tx, void *arg)
{
	struct open_op *o = arg;
	int err;

	free(o->v);
	o->v = NULL;
	o->n = o->sets_n = 0;
	keywords_free(&o->dictionary);
	if ((err = row_mailbox_by_name(tx, o->a, o->name, &o->mem, &o->row)) != 0)
		return err;
	if (!o->row.selectable)
		return ERR_NOTFOUND;
	if (o->a->keywords == NULL && (err = keywords_read(tx, o->a, &o->dictionary)) != 0)
		return err;
	return read_messages(tx, o);
}

/* Turns the worker's places of sets into handles. */
static int
adopt_keywords(struct open_op *o)
{
	int err = 0;

	if (o->a->keywords == NULL) {
		o->a->keywords = o->dictionary;
		o->dictionary = NULL;
	}
	for (size_t i = 0; i < o->n; i++) {
		uint32_t place = o->v[i].keywords, handle = 0;

		if (place != 0 && err == 0)
			err = keywords_intern_bytes(o->a, o->sets[place - 1], &handle);
		o->v[i].keywords = handle;
	}
	return err;
}

static void
open_finish(void *arg, int err)
{
	struct open_op *o = arg;

	if (err != 0)
		return;
	o->err = adopt_keywords(o);
	if (o->err == 0)
		o->err = box_new(o->a, &o->row, &o->box);
	if (o->err != 0) {
		for (size_t i = 0; i < o->n; i++)
			keywords_unref(o->a->keywords, o->v[i].keywords);
		return;
	}
	apply_recents(o->box);
	o->box->v = o->v;
	o->box->n = o->box->cap = o->n;
	o->a->store->counters.messages_in_views += (int64_t)o->n;
	o->v = NULL;
}

static int
attach(struct store_account *a, struct store_box *b, bool read_only, struct store_view **out)
{
	struct store_view *v = calloc(1, sizeof(*v));

	if (v == NULL) {
		if (list_empty(&b->views) && !list_linked(&b->idle_node))
			box_rest(b);
		return ERR_NOMEM;
	}
	box_wake_up(b);
	v->box = b;
	v->number = ++a->store->view_last;
	v->read_only = read_only;
	v->change = log_end(b);
	v->told_modseq = b->highestmodseq;
	list_push(&b->views, &v->node);
	(void)next_exists(v);
	a->store->counters.views++;
	store_account_ref(a);
	*out = v;
	return 0;
}

int
store_view_open(struct store_account *a, struct slice name, bool read_only, struct store_view **out)
{
	struct open_op o = {.a = a};
	struct store_op op = {.prepare = open_prepare, .tx = open_tx, .finish = open_finish, .arg = &o};
	int err;

	*out = NULL;
	arena_init(&o.mem, 64u << 20);
	err = store_name_normal(&a->store->house->limits, name, &o.mem, &o.name);
	if (err == 0)
		err = store_run(a, &op);
	if (err == 0)
		err = o.err;
	if (err == 0)
		err = attach(a, o.box, read_only, out);
	free(o.v);
	keywords_free(&o.dictionary);
	arena_free(&o.mem);
	return err == ERR_INVALID ? ERR_NOTFOUND : err;
}

/* ---- closing --------------------------------------------------------------------------------------------------------- */

void
store_view_close(struct store_view **vp)
{
	struct store_view *v = *vp;
	struct store_box *b;
	struct store_account *a;

	*vp = NULL;
	if (v == NULL)
		return;
	b = v->box;
	a = b->account;
	list_remove(&v->node);
	free(v->hidden);
	free(v->recent);
	free(v);
	a->store->counters.views--;
	if (list_empty(&b->views)) {
		save_recent_later(b);
		box_rest(b);
	}
	store_account_put(&a);
}
