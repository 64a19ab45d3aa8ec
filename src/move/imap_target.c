/* imap_target.c: an account's mail to another server over IMAP. That server gives UIDs of its own and remembers nothing for us: what is
 * there already is told by its date, its size and its Message-ID, as often as it is there. */
#include "move/move.h"
#include "move/move_name.h"

#include "message/date.h"

#include <stdlib.h>

#define PRINTS_MAX 50000000
#define FETCH_TOGETHER 500

struct imap_target {
	struct loop *loop;
	const struct limits *limits;
	const struct move_server *server;
	struct move_client c;
	bool begun;
	const struct move_report *report;
	struct move_counts *n;
	struct slice prefix;
	uint8_t delimiter;
	struct arena names;  /* prefix */
	struct arena folder; /* of the open folder */
	struct slice name, raw;
	uint32_t exists;
	uint64_t *prints; /* of the messages that are there, ascending … */
	size_t prints_n, prints_cap;
	bool *matched; /* … and whether one of ours was found to be that */
};

/* ---- the session ----------------------------------------------------------------------------------------------------- */

static void
imap_end(void *of)
{
	struct imap_target *t = of;

	if (t->begun)
		move_client_close(&t->c);
	t->begun = false;
}

static int
on_namespace(void *arg, const struct move_answer *a)
{
	struct imap_target *t = arg;

	if (a->kind == MOVE_ANSWER_NAMESPACE) {
		t->prefix = arena_copy(&t->names, a->name);
		t->delimiter = a->delimiter;
	} else if (a->kind == MOVE_ANSWER_LIST && t->delimiter == 0) {
		t->delimiter = a->delimiter;
	}
	return 0;
}

static int
imap_begin(void *of, const struct move_report *r, struct move_counts *n)
{
	struct imap_target *t = of;
	int err;

	imap_end(t);
	arena_reset(&t->names);
	t->prefix = SLICE_EMPTY;
	t->delimiter = 0;
	t->report = r;
	t->n = n;
	t->begun = true;
	err = move_client_open(&t->c, t->loop, t->limits, t->server);
	if (err == 0 && (err = move_client_command(&t->c, "NAMESPACE", on_namespace, t)) == ERR_DENIED)
		err = 0;
	if (err == 0 && t->delimiter == 0)
		err = move_client_command(&t->c, "LIST \"\" \"\"", on_namespace, t);
	return err;
}

/* ---- a folder ---------------------------------------------------------------------------------------------------------- */

static int
command_on(struct imap_target *t, const char *verb, move_answer_fn *fn)
{
	int err = move_client_begin(&t->c, "%s ", verb);

	if (err == 0)
		err = move_client_string(&t->c, t->raw);
	return err != 0 ? err : move_client_run(&t->c, fn, t);
}

static int
on_select(void *arg, const struct move_answer *a)
{
	struct imap_target *t = arg;

	if (a->kind == MOVE_ANSWER_EXISTS)
		t->exists = a->number;
	return 0;
}

static int
on_there(void *arg, const struct move_answer *a)
{
	struct imap_target *t = arg;
	uint64_t *v;

	if (a->kind != MOVE_ANSWER_FETCH || !a->has_size || !a->has_date)
		return 0;
	v = arena_grow(&t->folder, t->prints, t->prints_n, &t->prints_cap, sizeof(*v), PRINTS_MAX);
	if (v == NULL)
		return ERR_LIMIT;
	t->prints = v;
	t->prints[t->prints_n++] = move_print(a);
	return 0;
}

static int
by_value(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

static int
read_prints(struct imap_target *t)
{
	int err = 0;

	t->prints = NULL;
	t->prints_n = t->prints_cap = 0;
	for (uint32_t from = 1; from <= t->exists && err == 0; from += FETCH_TOGETHER) {
		uint32_t to = t->exists - from < FETCH_TOGETHER ? t->exists : from + FETCH_TOGETHER - 1;

		err = move_client_begin(&t->c, "FETCH %u:%u (INTERNALDATE RFC822.SIZE " MOVE_PRINT_ITEM ")", from, to);
		if (err == 0)
			err = move_client_run(&t->c, on_there, t);
	}
	if (err == 0 && t->prints_n > 1)
		qsort(t->prints, t->prints_n, sizeof(*t->prints), by_value);
	t->matched = ARENA_ARRAY(&t->folder, bool, t->prints_n + 1);
	return err != 0 ? err : t->matched == NULL ? ERR_LIMIT : 0;
}

static int
imap_open(void *of, const struct move_folder *f, const struct move_opened *o, struct arena *a, struct slice *there,
    bool *kept)
{
	struct imap_target *t = of;
	int err;

	(void)o;
	arena_free(&t->folder);
	arena_init(&t->folder, (size_t)2 << 30);
	t->exists = 0;
	t->name = arena_copy(&t->folder, f->name);
	*kept = false;
	if ((err = move_name_write(f->name, t->delimiter, t->prefix, &t->folder, &t->raw)) != 0)
		return err;
	*there = arena_copy(a, t->raw);
	err = command_on(t, "SELECT", on_select);
	if (err == ERR_DENIED && (err = command_on(t, "CREATE", NULL)) == 0)
		err = command_on(t, "SELECT", on_select);
	if (err == 0 && f->subscribed && (err = command_on(t, "SUBSCRIBE", NULL)) == ERR_DENIED)
		err = 0;
	return err == 0 ? read_prints(t) : err;
}

/* Finds one that is like it and has not been found yet. */
static bool
match(struct imap_target *t, uint64_t print)
{
	size_t low = 0, high = t->prints_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (t->prints[mid] < print)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < t->prints_n && t->prints[low] == print; low++)
		if (!t->matched[low])
			return t->matched[low] = true;
	return false;
}

static int
imap_check(void *of, const struct move_message *v, size_t n, bool drop, int64_t lo, int64_t hi, bool *missing)
{
	struct imap_target *t = of;

	(void)drop;
	(void)lo;
	(void)hi;
	for (size_t i = 0; i < n; i++)
		missing[i] = !match(t, v[i].print);
	return 0;
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

static int
put_head(struct imap_target *t, const struct move_message *m)
{
	struct buf BUF_CLEANUP b;

	buf_init(&b, 1u << 20);
	buf_put_z(&b, " ");
	move_put_flags(&b, m);
	if (m->internal_s != INT64_MIN) {
		buf_put_z(&b, " \"");
		date_put_imap(&b, m->internal_s, 0);
		buf_put_u8(&b, '"');
	}
	buf_put_u8(&b, ' ');
	return b.err != 0 ? b.err : move_client_put(&t->c, buf_slice(&b));
}

static int
imap_put(void *of, const struct move_message *m, struct move_body *b)
{
	struct imap_target *t = of;
	int err;

	if (b->err != 0) {
		move_tell(t->report, t->n, t->name, m, slice_z(err_text(b->err)));
		return 0;
	}
	err = move_client_begin(&t->c, "APPEND ");
	if (err == 0)
		err = move_client_string(&t->c, t->raw);
	if (err == 0)
		err = put_head(t, m);
	if (err == 0)
		err = move_client_body(&t->c, b);
	if (err == 0)
		err = move_client_run(&t->c, NULL, NULL);
	if (err == 0)
		t->n->moved++;
	if (err != ERR_DENIED)
		return err;
	if (slice_ifind(buf_slice(&t->c.words), SLICE("OVERQUOTA")) != SLICE_NONE)
		return ERR_QUOTA;
	move_tell(t->report, t->n, t->name, m, buf_slice(&t->c.words));
	return 0;
}

static int
imap_flush(void *of)
{
	(void)of;
	return 0;
}

static int
imap_close(void *of)
{
	(void)of;
	return 0;
}

/* ---- the target --------------------------------------------------------------------------------------------------------- */

static struct slice
imap_words(void *of)
{
	struct imap_target *t = of;

	return t->begun ? buf_slice(&t->c.words) : SLICE_EMPTY;
}

static void
imap_free(void *of)
{
	struct imap_target *t = of;

	imap_end(t);
	arena_free(&t->names);
	arena_free(&t->folder);
	free(t);
}

int
move_imap_target(struct loop *l, const struct limits *limits, const struct move_server *server, struct move_target *out)
{
	struct imap_target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return ERR_NOMEM;
	t->loop = l;
	t->limits = limits;
	t->server = server;
	arena_init(&t->names, 1u << 20);
	arena_init(&t->folder, 1u << 20);
	*out = (struct move_target){.of = t,
	    .begin = imap_begin,
	    .open = imap_open,
	    .check = imap_check,
	    .put = imap_put,
	    .flush = imap_flush,
	    .close = imap_close,
	    .words = imap_words,
	    .end = imap_end,
	    .free = imap_free};
	return 0;
}
