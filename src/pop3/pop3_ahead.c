/* pop3_ahead.c: reading messages before they are asked for. A message by itself costs a round through the account's lock and a
 * worker thread, many together hardly more than one. How many are read grows while the client goes on in order. */
#include "pop3/pop3_ahead.h"

#define WINDOW_MAX 64
#define WINDOW_GROWTH 4
/* Of one message that is read by itself: what is larger than limits.body_inline_bytes is not read here. */
#define MEMORY_BYTES (512u << 10)

void
pop3_ahead_init(struct pop3_ahead *a, struct store_view *view, const bool *deleted, size_t bytes_max)
{
	*a = (struct pop3_ahead){.view = view, .deleted = deleted, .bytes_max = bytes_max};
	arena_init(&a->mem, MEMORY_BYTES + bytes_max);
}

bool
pop3_ahead_holds(const struct pop3_ahead *a)
{
	return a->n > 0;
}

void
pop3_ahead_forget(struct pop3_ahead *a)
{
	arena_free(&a->mem);
	a->f = NULL;
	a->seqs = NULL;
	a->n = 0;
}

/* The first message behind `seq` that is not marked; count + 1 if none. */
static size_t
next_after(const struct pop3_ahead *a, size_t seq)
{
	size_t count = store_view_count(a->view);

	do
		seq++;
	while (seq <= count && a->deleted[seq - 1]);
	return seq;
}

static const struct store_fetched *
find(const struct pop3_ahead *a, size_t seq)
{
	/* What was removed since is not there any more, though it was read. */
	if (store_view_gone(a->view) || store_view_at(a->view, seq).expunged)
		return NULL;
	for (size_t i = 0; i < a->n && a->seqs[i] <= seq; i++)
		if (a->seqs[i] == seq)
			return &a->f[i];
	return NULL;
}

/* Reads `seq` and what comes behind it, `most` messages altogether. */
static int
read_from(struct pop3_ahead *a, size_t seq, size_t most)
{
	size_t bytes = 0, n = 0, done = 0;
	int err;

	arena_reset(&a->mem);
	a->n = 0;
	a->f = arena_array(&a->mem, most, sizeof(*a->f));
	a->seqs = arena_array(&a->mem, most, sizeof(*a->seqs));
	if (a->f == NULL || a->seqs == NULL)
		return ERR_NOMEM;
	for (size_t s = seq; n < most && s <= store_view_count(a->view); s = next_after(a, s)) {
		struct store_entry e = store_view_at(a->view, s);

		bytes += e.size;
		if (n > 0 && bytes > a->bytes_max)
			break;
		a->seqs[n] = s;
		a->f[n++].uid = e.uid;
	}
	err = store_fetch(a->view, a->f, n, STORE_WANT_RAW, &a->mem, &done);
	if (err == 0)
		a->n = done;
	return err;
}

int
pop3_ahead_take(struct pop3_ahead *a, size_t seq, const struct store_fetched **out)
{
	bool in_order = a->last != 0 && seq == next_after(a, a->last);
	int err = 0;

	*out = find(a, seq);
	if (*out == NULL) {
		a->window = !in_order                        ? 1
		    : a->window < WINDOW_MAX / WINDOW_GROWTH ? a->window * WINDOW_GROWTH
							     : WINDOW_MAX;
		err = read_from(a, seq, a->window);
		/* What is wrong with one of the others is not this one's. */
		if (err != 0 && a->window > 1) {
			a->window = 1;
			err = read_from(a, seq, 1);
		}
		if (err == 0)
			*out = &a->f[0];
	}
	a->last = seq;
	return err;
}
