/* imap_thread.c: threads by RFC 5256: ORDEREDSUBJECT, and REFERENCES by the steps of its page 10.
 *
 * Nodes are message ids, whether their message is there or not, and dummies made while subjects are gathered. They live in
 * one array; links are indexes. Parents are assigned first and loops broken afterwards, at the link that was made last: looking for
 * a loop at each link would cost the square of the length of a chain. */
#include "imap/imap_thread.h"

#include "base/map.h"
#include "message/threads.h"

#define NONE UINT32_MAX
/* Different message ids, of messages and of what they refer to. */
#define IDS_MAX ((size_t)1 << 22)

struct node {
	uint32_t message;       /* index of a digest, or NONE */
	uint32_t parent, order; /* when the parent was set: of the messages' links the later has the higher number */
	uint32_t child, last, next;
	uint32_t named; /* by which message last: its index + 1 */
	uint8_t seen;   /* while looking for loops and while pruning: 0 no, 1 on the way, 2 done */
	bool is_root;   /* in the root set after pruning */
};

struct threading {
	const struct imap_digest *d;
	size_t d_n;
	struct arena *a;
	struct node *v;
	size_t n, cap;
	struct map ids; /* message id → node index + 1 */
	uint32_t orders;
	uint32_t *roots;
	size_t roots_n;
};

static uint32_t
new_node(struct threading *t, uint32_t message)
{
	struct node *v = t->n >= NONE - 1 ? NULL : arena_grow(t->a, t->v, t->n, &t->cap, sizeof(*v), (size_t)NONE - 1);

	if (v == NULL)
		return NONE;
	t->v = v;
	t->v[t->n] = (struct node){.message = message, .parent = NONE, .child = NONE, .last = NONE, .next = NONE};
	return (uint32_t)t->n++;
}

static uint32_t
node_of_id(struct threading *t, struct slice id)
{
	uintptr_t known = (uintptr_t)map_get(&t->ids, id);
	uint32_t i;

	if (known != 0)
		return (uint32_t)(known - 1);
	i = new_node(t, NONE);
	if (i == NONE || map_put(&t->ids, id, (void *)(uintptr_t)(i + 1ul)) != 0)
		return NONE;
	return i;
}

/* ---- parents ---- */

static void
set_parent(struct threading *t, uint32_t child, uint32_t parent)
{
	t->v[child].parent = child == parent ? NONE : parent;
	t->v[child].order = ++t->orders;
}

/* Would the link make a loop at once? Looked for where the references of one message name another one twice. */
static bool
is_above(const struct threading *t, uint32_t node, uint32_t below)
{
	for (size_t steps = 0; below != NONE && steps < MESSAGE_REFERENCES_MAX; steps++, below = t->v[below].parent)
		if (below == node)
			return true;
	return false;
}

/* Steps 1.A to 1.C. */
static int
link_message(struct threading *t, uint32_t message)
{
	const struct imap_digest *d = &t->d[message];
	uint32_t own = d->message_id.n > 0 ? node_of_id(t, d->message_id) : NONE, before = NONE;

	if (own == NONE || t->v[own].message != NONE) /* without id, or one that another has already */
		own = new_node(t, message);
	if (own == NONE)
		return ERR_LIMIT;
	t->v[own].message = message;
	for (size_t i = 0; i < d->references.n; i++) {
		uint32_t at = node_of_id(t, d->references.v[i]);

		if (at == NONE)
			return ERR_LIMIT;
		if (before != NONE && at != own && t->v[at].parent == NONE &&
		    !(t->v[at].named == message + 1 && is_above(t, at, before)))
			set_parent(t, at, before);
		t->v[at].named = message + 1;
		before = at;
	}
	/* What others said of this message does not count any more. */
	if (before != own)
		set_parent(t, own, before);
	return 0;
}

/* Takes out the link of a loop that was made last. */
static void
break_loop(struct threading *t, uint32_t on)
{
	uint32_t worst = on;

	t->v[on].seen = 2;
	for (uint32_t i = t->v[on].parent; i != on; i = t->v[i].parent) {
		t->v[i].seen = 2;
		if (t->v[i].order > t->v[worst].order)
			worst = i;
	}
	t->v[worst].parent = NONE;
}

static void
break_loops(struct threading *t)
{
	for (uint32_t start = 0; start < t->n; start++) {
		uint32_t i = start;

		while (i != NONE && t->v[i].seen == 0) {
			t->v[i].seen = 1;
			i = t->v[i].parent;
		}
		if (i != NONE && t->v[i].seen == 1)
			break_loop(t, i);
		for (i = start; i != NONE && t->v[i].seen == 1; i = t->v[i].parent)
			t->v[i].seen = 2;
	}
}

/* ---- the tree without empty nodes ---- */

static void
add_child(struct threading *t, uint32_t parent, uint32_t child)
{
	struct node *p = &t->v[parent];

	t->v[child].next = NONE;
	if (p->child == NONE)
		p->child = child;
	else
		t->v[p->last].next = child;
	p->last = child;
}

/* Of an empty node: what its children hang on in the end; itself if nothing with a message is above it. Ways are
 * shortened, so that all of them together cost about as much as there are nodes. */
static uint32_t
top_of(struct threading *t, uint32_t i)
{
	uint32_t top = i;

	while (t->v[top].message == NONE && t->v[top].parent != NONE)
		top = t->v[top].parent;
	while (i != top && t->v[i].parent != top) {
		uint32_t next = t->v[i].parent;

		t->v[i].parent = top;
		i = next;
	}
	return top;
}

/* There are at most as many roots as messages, and as many again while subjects are gathered. */
static void
add_root(struct threading *t, uint32_t i)
{
	ASSERT(t->roots_n < 2 * t->d_n);
	t->roots[t->roots_n++] = i;
	t->v[i].is_root = true;
}

/* Step 3. */
static int
build_tree(struct threading *t)
{
	t->roots = ARENA_ARRAY(t->a, uint32_t, 2 * t->d_n);
	if (t->roots == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t parent;

		if (t->v[i].message == NONE)
			continue;
		parent = t->v[i].parent == NONE ? NONE : top_of(t, t->v[i].parent);
		if (parent != NONE)
			add_child(t, parent, i);
		else
			add_root(t, i);
	}
	/* Empty ones that are left have nothing above: with one child it takes their place. */
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->v[i].message != NONE || t->v[i].child == NONE)
			continue;
		add_root(t, t->v[i].child == t->v[i].last ? t->v[i].child : i);
	}
	return 0;
}

/* ---- order ---- */

/* The message that speaks for a node: its own, or the first below. */
static const struct imap_digest *
speaker(const struct threading *t, uint32_t i)
{
	if (t->v[i].message == NONE)
		i = t->v[i].child;
	return &t->d[t->v[i].message];
}

static int
by_date(const void *a, const void *b, void *arg)
{
	const struct threading *t = arg;
	const struct imap_digest *x = speaker(t, *(const uint32_t *)a), *y = speaker(t, *(const uint32_t *)b);

	if (x->date_s != y->date_s)
		return x->date_s < y->date_s ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int
sort_children(struct threading *t, uint32_t parent)
{
	struct arena_mark mark = arena_mark(t->a);
	uint32_t *v;
	size_t n = 0;

	if (t->v[parent].child == t->v[parent].last)
		return 0;
	for (uint32_t i = t->v[parent].child; i != NONE; i = t->v[i].next)
		n++;
	v = ARENA_ARRAY(t->a, uint32_t, n);
	if (v == NULL)
		return ERR_LIMIT;
	n = 0;
	for (uint32_t i = t->v[parent].child; i != NONE; i = t->v[i].next)
		v[n++] = i;
	qsort_r(v, n, sizeof(*v), by_date, t);
	t->v[parent].child = t->v[parent].last = NONE;
	for (size_t i = 0; i < n; i++)
		add_child(t, parent, v[i]);
	arena_release(t->a, mark);
	return 0;
}

/* Dummies are only at the top: they are sorted inside first, since their first child speaks for them. */
static int
sort_all(struct threading *t)
{
	int err = 0;

	for (uint32_t i = 0; i < t->n && err == 0; i++)
		if (t->v[i].child != NONE)
			err = sort_children(t, i);
	if (err == 0)
		qsort_r(t->roots, t->roots_n, sizeof(*t->roots), by_date, t);
	return err;
}

/* ---- step 5: roots of the same subject ---- */

static bool
is_reply(const struct threading *t, uint32_t i)
{
	return t->v[i].message != NONE && t->d[t->v[i].message].is_reply;
}

/* Does `i` speak better for its subject than `other`? (step 5.B) */
static bool
speaks_better(const struct threading *t, uint32_t i, uint32_t other)
{
	if (t->v[other].message == NONE)
		return false;
	return t->v[i].message == NONE || (is_reply(t, other) && !is_reply(t, i));
}

static int
note_subjects(struct threading *t, struct map *subjects)
{
	for (size_t r = 0; r < t->roots_n; r++) {
		struct slice subject = speaker(t, t->roots[r])->text[IMAP_DIGEST_SUBJECT];
		uintptr_t known = subject.n == 0 ? 0 : (uintptr_t)map_get(subjects, subject);

		if (subject.n == 0 || (known != 0 && !speaks_better(t, t->roots[r], (uint32_t)(known - 1))))
			continue;
		if (map_put(subjects, subject, (void *)(uintptr_t)(t->roots[r] + 1ul)) != 0)
			return ERR_LIMIT;
	}
	return 0;
}

/* Step 5.C: puts root `i` under `other`, or both under a new one that takes the place of `other`: its index, or NONE. */
static uint32_t
merge(struct threading *t, uint32_t i, uint32_t other)
{
	uint32_t both;

	t->v[i].is_root = false;
	if (t->v[i].message == NONE && t->v[other].message == NONE) {
		uint32_t next;

		for (uint32_t c = t->v[i].child; c != NONE; c = next) {
			next = t->v[c].next;
			add_child(t, other, c);
		}
		t->v[i].child = t->v[i].last = NONE;
		return other;
	}
	if (t->v[other].message == NONE || (is_reply(t, i) && !is_reply(t, other))) {
		add_child(t, other, i);
		return other;
	}
	both = new_node(t, NONE);
	if (both == NONE)
		return NONE;
	t->v[other].is_root = false;
	add_child(t, both, other);
	add_child(t, both, i);
	t->v[both].is_root = true;
	return both;
}

static int
gather_subjects(struct threading *t, struct map *subjects)
{
	size_t n = t->roots_n, to = 0;
	int err = note_subjects(t, subjects);

	for (size_t r = 0; r < n && err == 0; r++) {
		uint32_t i = t->roots[r], other, merged;
		struct slice subject = speaker(t, i)->text[IMAP_DIGEST_SUBJECT];

		other = subject.n == 0 ? i : (uint32_t)((uintptr_t)map_get(subjects, subject) - 1);
		if (other == i)
			continue;
		merged = merge(t, i, other);
		if (merged == NONE)
			return ERR_LIMIT;
		if (merged == other)
			continue;
		add_root(t, merged);
		if (map_put(subjects, subject, (void *)(uintptr_t)(merged + 1ul)) != 0)
			err = ERR_LIMIT;
	}
	for (size_t r = 0; r < t->roots_n; r++)
		if (t->v[t->roots[r]].is_root)
			t->roots[to++] = t->roots[r];
	t->roots_n = to;
	return err;
}

/* ---- telling ---- */

/* A node behind what came before it: an only child follows with a space, siblings each in parentheses. */
static int
put_thread(struct threading *t, uint32_t root, struct buf *out)
{
	uint32_t *stack = NULL;
	size_t n = 0, cap = 0;
	uint32_t i = root;
	bool first = true; /* nothing stands between the parenthesis and here */

	buf_put_u8(out, '(');
	for (;;) {
		uint32_t child = t->v[i].child;

		if (t->v[i].message != NONE) {
			if (!first)
				buf_put_u8(out, ' ');
			buf_put_u64(out, t->d[t->v[i].message].number);
			first = false;
		}
		if (child != NONE && t->v[child].next == NONE && t->v[i].message != NONE) {
			i = child; /* an only child follows without parentheses */
			continue;
		}
		if (child != NONE) {
			if (!first)
				buf_put_u8(out, ' ');
			stack = arena_grow(t->a, stack, n, &cap, sizeof(*stack), SIZE_MAX / sizeof(*stack));
			if (stack == NULL)
				return ERR_LIMIT;
			stack[n++] = child;
			buf_put_u8(out, '(');
			first = true;
			i = child;
			continue;
		}
		/* Up to where a sibling waits. */
		for (;;) {
			buf_put_u8(out, ')');
			if (n == 0)
				return out->err;
			i = t->v[stack[n - 1]].next;
			if (i != NONE)
				break;
			n--;
		}
		stack[n - 1] = i;
		buf_put_u8(out, '(');
		first = true;
	}
}

static int
put_threads(struct threading *t, struct buf *out)
{
	int err = 0;

	for (size_t r = 0; r < t->roots_n && err == 0; r++) {
		struct arena_mark mark = arena_mark(t->a);

		err = put_thread(t, t->roots[r], out);
		arena_release(t->a, mark);
	}
	return err;
}

/* ---- the two algorithms ---- */

static int
by_references(struct threading *t, uint64_t key)
{
	struct map subjects;
	int err = 0;

	for (uint32_t i = 0; i < t->d_n && err == 0; i++)
		err = link_message(t, i);
	if (err != 0)
		return err;
	break_loops(t);
	err = build_tree(t);
	if (err == 0)
		err = sort_all(t);
	if (err != 0)
		return err;
	map_init(&subjects, t->d_n + 1, key);
	err = gather_subjects(t, &subjects);
	map_free(&subjects);
	return err == 0 ? sort_all(t) : err;
}

static int
by_subject(const void *a, const void *b, void *arg)
{
	const struct threading *t = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int order = slice_cmp(
	    t->d[t->v[i].message].text[IMAP_DIGEST_SUBJECT], t->d[t->v[j].message].text[IMAP_DIGEST_SUBJECT]);

	return order != 0 ? order : by_date(a, b, arg);
}

/* Messages of a base subject: the oldest, and the others as its children. */
static int
by_ordered_subject(struct threading *t)
{
	uint32_t *all = ARENA_ARRAY(t->a, uint32_t, t->d_n);
	uint32_t head = NONE;

	t->roots = ARENA_ARRAY(t->a, uint32_t, t->d_n);
	if (all == NULL || t->roots == NULL)
		return ERR_LIMIT;
	for (uint32_t i = 0; i < t->d_n; i++)
		if ((all[i] = new_node(t, i)) == NONE)
			return ERR_LIMIT;
	qsort_r(all, t->d_n, sizeof(*all), by_subject, t);
	for (size_t i = 0; i < t->d_n; i++) {
		if (head != NONE &&
		    slice_eq(t->d[t->v[head].message].text[IMAP_DIGEST_SUBJECT],
			t->d[t->v[all[i]].message].text[IMAP_DIGEST_SUBJECT])) {
			add_child(t, head, all[i]);
		} else {
			head = all[i];
			t->roots[t->roots_n++] = head;
		}
	}
	qsort_r(t->roots, t->roots_n, sizeof(*t->roots), by_date, t);
	return 0;
}

int
imap_thread(enum imap_thread_algorithm algorithm, const struct imap_digest *d, size_t n, uint64_t key, struct arena *a,
    struct buf *out)
{
	struct threading t = {.d = d, .d_n = n, .a = a};
	int err;

	if (n == 0)
		return 0;
	map_init(&t.ids, IDS_MAX, key);
	err = algorithm == IMAP_THREAD_REFERENCES ? by_references(&t, key) : by_ordered_subject(&t);
	map_free(&t.ids);
	return err != 0 ? err : put_threads(&t, out);
}
