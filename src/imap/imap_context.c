/* imap_context.c: a context keeps the arguments of its search and the UIDs that it found. When messages come or change, the search
 * is asked about these alone; a sorted one is sorted again when something is to be put into it. */
#include "imap/imap_context.h"

#include "imap/imap_sort.h"

/* UIDs that were touched since the last update; of more, all messages are asked about. */
#define TOUCHED_MAX 10000u

struct context {
	struct list_node node;
	struct buf tag, program, fetch;
	bool uid, sorted;
	uint32_t *uids; /* in the order of the results */
	size_t n, cap;
};

struct imap_contexts {
	struct list all;
	size_t n;
	uint32_t touched[TOUCHED_MAX];
	size_t touched_n;
	bool touched_all;
	uint32_t new_from; /* messages from this UID on are new; 0: none are */
};

/* ---- results ---- */

/* Where the UID is or would be; of a sorted context only where it is, else n. */
static size_t
place_of(const struct context *c, uint32_t uid)
{
	size_t lo = 0, hi = c->n;

	if (c->sorted) {
		while (lo < hi && c->uids[lo] != uid)
			lo++;
		return lo;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->uids[mid] < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
has(const struct context *c, uint32_t uid)
{
	size_t at = place_of(c, uid);

	return at < c->n && c->uids[at] == uid;
}

static void
take_out(struct context *c, size_t at)
{
	memmove(c->uids + at, c->uids + at + 1, (c->n - at - 1) * sizeof(*c->uids));
	c->n--;
}

static int
put_in(struct context *c, size_t at, uint32_t uid)
{
	if (c->n == c->cap) {
		size_t cap = c->cap + c->cap / 2 + 16;
		uint32_t *v = realloc(c->uids, cap * sizeof(*v));

		if (v == NULL)
			return ERR_NOMEM;
		c->uids = v;
		c->cap = cap;
	}
	memmove(c->uids + at + 1, c->uids + at, (c->n - at) * sizeof(*c->uids));
	c->uids[at] = uid;
	c->n++;
	return 0;
}

/* ---- telling ---- */

static void
start_response(struct imap_session *s, const struct context *c, const char *what)
{
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* ESEARCH (TAG "));
	imap_put_string(&s->line, buf_slice(&c->tag));
	buf_printf(&s->line, ")%s %s (", c->uid ? " UID" : "", what);
}

static void
end_response(struct imap_session *s)
{
	buf_put(&s->line, SLICE(")\r\n"));
	imap_write_buf(s, &s->line);
}

static void
put_pair(struct imap_session *s, const struct context *c, size_t at, uint32_t number, bool first)
{
	buf_printf(&s->line, "%s%zu %u", first ? "" : " ", c->sorted ? at + 1 : 0, number);
}

static uint32_t
number_of(const struct imap_session *s, const struct context *c, uint32_t uid)
{
	return c->uid ? uid : (uint32_t)store_view_seq(s->view, uid);
}

static void
free_context(struct imap_contexts *all, struct context *c)
{
	list_remove(&c->node);
	all->n--;
	buf_free(&c->tag);
	buf_free(&c->program);
	buf_free(&c->fetch);
	free(c->uids);
	free(c);
}

/* The context goes: what it knows is no longer right. */
static void
give_up(struct imap_session *s, struct context *c)
{
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* NO [NOUPDATE "));
	imap_put_string(&s->line, buf_slice(&c->tag));
	buf_put(&s->line, SLICE("] the search cannot be kept up to date\r\n"));
	imap_write_buf(s, &s->line);
	free_context(s->contexts, c);
}

/* ---- making and ending ---- */

static const char *
reason_against(const struct imap_session *s, bool sorted, const struct imap_search *p, const struct imap_hits *h)
{
	if (p->by_number || p->by_saved)
		return "sequence numbers and \"$\" change their meaning";
	if (s->contexts != NULL && s->contexts->n >= (size_t)s->limits->imap_contexts)
		return "too many contexts";
	return sorted && h->n > IMAP_CONTEXT_SORTED_MAX ? "too many results to keep them sorted" : NULL;
}

static struct context *
new_context(struct imap_session *s, struct slice program, struct slice fetch, bool sorted, const struct imap_hits *h)
{
	struct context *c;

	if (s->contexts == NULL) {
		if ((s->contexts = calloc(1, sizeof(*s->contexts))) == NULL)
			return NULL;
		list_init(&s->contexts->all);
	}
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	buf_init(&c->tag, s->tag.n + 1);
	buf_init(&c->program, program.n + 1);
	buf_put(&c->tag, s->tag);
	buf_put(&c->program, program);
	buf_init(&c->fetch, fetch.n + 1);
	buf_put(&c->fetch, fetch);
	c->uid = s->uid;
	c->sorted = sorted;
	list_push(&s->contexts->all, &c->node);
	s->contexts->n++;
	c->uids = malloc((h->n + 1) * sizeof(*c->uids));
	if (c->uids == NULL || c->tag.err != 0 || c->program.err != 0 || c->fetch.err != 0) {
		free_context(s->contexts, c);
		return NULL;
	}
	c->cap = h->n + 1;
	for (; c->n < h->n; c->n++)
		c->uids[c->n] = store_view_at(s->view, h->seqs[c->n]).uid;
	return c;
}

void
imap_context_add(struct imap_session *s, struct slice program, struct slice fetch, bool sorted,
    const struct imap_search *p, const struct imap_hits *h)
{
	const char *why = reason_against(s, sorted, p, h);

	if (why == NULL && new_context(s, program, fetch, sorted, h) != NULL)
		return;
	buf_reset(&s->line);
	buf_put(&s->line, SLICE("* NO [NOUPDATE "));
	imap_put_string(&s->line, s->tag);
	buf_printf(&s->line, "] %s\r\n", why != NULL ? why : "out of memory");
	imap_write_buf(s, &s->line);
}

static struct context *
find(const struct imap_session *s, struct slice tag)
{
	if (s->contexts == NULL)
		return NULL;
	LIST_FOREACH (&s->contexts->all, n) {
		struct context *c = CONTAINER_OF(n, struct context, node);

		if (slice_eq(buf_slice(&c->tag), tag))
			return c;
	}
	return NULL;
}

bool
imap_context_has_tag(const struct imap_session *s)
{
	return find(s, s->tag) != NULL;
}

void
imap_contexts_free(struct imap_session *s)
{
	struct list_node *n;

	while (s->contexts != NULL && !list_empty(&s->contexts->all)) {
		n = list_first(&s->contexts->all);
		free_context(s->contexts, CONTAINER_OF(n, struct context, node));
	}
	free(s->contexts);
	s->contexts = NULL;
}

/* CANCELUPDATE (RFC 5267 §4.3.5) */
void
imap_do_cancelupdate(struct imap_session *s, struct imap_lex *x)
{
	bool known = true;

	do {
		struct slice tag;
		struct context *c;

		imap_lex_space(x);
		tag = imap_lex_string(x);
		if (imap_lex_failed(x))
			break;
		c = find(s, tag);
		known = known && c != NULL;
		if (c != NULL)
			free_context(s->contexts, c);
	} while (imap_lex_peek(x) == ' ');
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	if (known)
		imap_ok(s, "", "no further updates");
	else
		imap_bad(s, "no such search is being updated");
}

/* ---- news ---- */

void
imap_contexts_expunged(struct imap_session *s, const struct store_event *e)
{
	if (s->contexts == NULL)
		return;
	LIST_FOREACH (&s->contexts->all, n) {
		struct context *c = CONTAINER_OF(n, struct context, node);
		size_t at = place_of(c, e->uid);

		if (at == c->n || c->uids[at] != e->uid)
			continue;
		start_response(s, c, "REMOVEFROM");
		put_pair(s, c, at, c->uid ? e->uid : (uint32_t)e->seq, true);
		end_response(s);
		take_out(c, at);
	}
}

void
imap_contexts_touched(struct imap_session *s, uint32_t uid, bool is_new)
{
	struct imap_contexts *all = s->contexts;

	if (all == NULL)
		return;
	if (is_new && all->new_from == 0)
		all->new_from = uid;
	if (all->touched_n == TOUCHED_MAX)
		all->touched_all = true;
	else
		all->touched[all->touched_n++] = uid;
}

/* The program applied to the touched messages: a flag for each message of touched[], in the arena. */
static int
ask_again(struct imap_session *s, const struct context *c, const uint32_t *uids, size_t n, struct imap_hits *h)
{
	struct imap_lex x = imap_lex_of(buf_slice(&c->program), &s->arena, s->limits->imap_nesting);
	struct imap_search *p = ARENA_NEW(&s->arena, struct imap_search);
	struct imap_key *k = ARENA_NEW(&s->arena, struct imap_key);
	int err;

	if (p == NULL || k == NULL)
		return ERR_LIMIT;
	if (c->sorted)
		imap_parse_sort_search(&x, s->limits, p);
	else
		imap_parse_search(&x, s->limits, p);
	if (imap_lex_failed(&x))
		return ERR_SYNTAX;
	k->kind = IMAP_KEY_UID;
	k->set.v = ARENA_ARRAY(&s->arena, struct imap_range, n);
	if (k->set.v == NULL)
		return ERR_LIMIT;
	for (k->set.n = 0; k->set.n < n; k->set.n++)
		k->set.v[k->set.n] = (struct imap_range){uids[k->set.n], uids[k->set.n]};
	k->next = p->root->first;
	p->root->first = k;
	err = imap_search_ready(s, p);
	return err != 0 ? err : imap_search_run(s, s->view, p, false, h);
}

static int
by_uid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The UIDs that are hits, ascending. */
static uint32_t *
uids_of(struct imap_session *s, const struct imap_hits *h)
{
	uint32_t *v = ARENA_ARRAY(&s->arena, uint32_t, h->n + 1);

	for (size_t i = 0; v != NULL && i < h->n; i++)
		v[i] = store_view_at(s->view, h->seqs[i]).uid;
	return v;
}

static void
tell_removed(
    struct imap_session *s, struct context *c, const uint32_t *touched, size_t n, const uint32_t *hits, size_t hits_n)
{
	bool first = true;

	for (size_t i = 0; i < n; i++) {
		size_t at = place_of(c, touched[i]);

		if (at == c->n || c->uids[at] != touched[i] || store_view_seq(s->view, touched[i]) == 0 ||
		    bsearch(&touched[i], hits, hits_n, sizeof(*hits), by_uid) != NULL)
			continue;
		if (first)
			start_response(s, c, "REMOVEFROM");
		put_pair(s, c, at, number_of(s, c, touched[i]), first);
		first = false;
		take_out(c, at);
	}
	if (!first)
		end_response(s);
}

/* RFC 5465 §7: what is asked for of messages that were not there before, not of those whose flags changed. */
static int
fetch_new(struct imap_session *s, const struct context *c, const uint32_t *hits, size_t n)
{
	struct imap_lex x = imap_lex_of(buf_slice(&c->fetch), &s->arena, s->limits->imap_nesting);
	struct imap_sequence set = {ARENA_ARRAY(&s->arena, struct imap_range, n), 0};
	struct imap_fetch f;

	if (c->fetch.n == 0 || s->contexts->new_from == 0)
		return 0;
	imap_parse_fetch_items(&x, s->limits, &f);
	if (imap_lex_failed(&x) || set.v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++)
		if (hits[i] >= s->contexts->new_from && !has(c, hits[i]))
			set.v[set.n++] = (struct imap_range){hits[i], hits[i]};
	imap_fetch_beside(s, &f, &set);
	return 0;
}

/* Those of hits[] that are new, each at its place in the whole. */
static int
tell_added(struct imap_session *s, struct context *c, const uint32_t *hits, size_t n)
{
	bool first = true;
	int err = fetch_new(s, c, hits, n);

	/* Telling may have parked. */
	if (err != 0 || s->ended || store_view_gone(s->view))
		return err;
	for (size_t i = 0; i < n; i++) {
		size_t at;

		if (has(c, hits[i]))
			continue;
		/* Behind the one before it. */
		at = !c->sorted ? place_of(c, hits[i]) : i == 0 ? 0 : place_of(c, hits[i - 1]) + 1;
		if (at > c->n || put_in(c, at, hits[i]) != 0)
			return ERR_NOMEM;
		if (first)
			start_response(s, c, "ADDTO");
		put_pair(s, c, at, number_of(s, c, hits[i]), first);
		first = false;
	}
	if (!first)
		end_response(s);
	return 0;
}

static bool
any_new(const struct context *c, const uint32_t *hits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!has(c, hits[i]))
			return true;
	return false;
}

static int
update(struct imap_session *s, struct context *c, const uint32_t *touched, size_t n)
{
	struct imap_hits h;
	uint32_t *hits;
	size_t hits_n;
	int err = ask_again(s, c, touched, n, &h);

	if (err != 0)
		return err;
	hits = uids_of(s, &h);
	if (hits == NULL)
		return ERR_LIMIT;
	hits_n = h.n;
	tell_removed(s, c, touched, n, hits, hits_n);
	if (!any_new(c, hits, hits_n))
		return 0;
	if (c->sorted) {
		/* Where the new ones belong, only sorting tells. */
		err = imap_sort_again(s, buf_slice(&c->program), &h);
		if (err != 0)
			return err;
		if (h.n > IMAP_CONTEXT_SORTED_MAX)
			return ERR_LIMIT;
		hits = uids_of(s, &h);
		hits_n = h.n;
	}
	return hits == NULL ? ERR_LIMIT : tell_added(s, c, hits, hits_n);
}

void
imap_contexts_update(struct imap_session *s)
{
	struct imap_contexts *all = s->contexts;
	uint32_t *touched;
	size_t n = 0;

	if (all == NULL || (all->touched_n == 0 && !all->touched_all) || store_view_gone(s->view))
		return;
	if (all->touched_all)
		n = store_view_count(s->view);
	touched = ARENA_ARRAY(&s->arena, uint32_t, n > all->touched_n ? n : all->touched_n);
	for (size_t i = 0; touched != NULL && i < n; i++)
		touched[i] = store_view_at(s->view, i + 1).uid;
	if (touched != NULL && n == 0) {
		qsort(all->touched, all->touched_n, sizeof(*all->touched), by_uid);
		for (size_t i = 0; i < all->touched_n; i++)
			if (i == 0 || all->touched[i] != all->touched[i - 1])
				touched[n++] = all->touched[i];
	}
	all->touched_n = 0;
	all->touched_all = false;
	LIST_FOREACH (&all->all, node) {
		struct context *c = CONTAINER_OF(node, struct context, node);

		if (s->ended)
			return;
		if (touched == NULL || update(s, c, touched, n) != 0)
			give_up(s, c);
	}
	all->new_from = 0;
}
