/* move_run.c: from a source to a target. Several connections work side by side, each on a folder of its own. What has come before is
 * known to the target (an account knows it by store_moved.c), so that a run that was cut off anywhere is simply begun again. */
#include "move/move.h"

#include <sodium.h>
#include <stdlib.h>

/* Tries in a row without any progress, and the pause before the second one; it doubles. */
#define TRIES 8
#define PAUSE_MS 500
#define PAUSE_MAX_MS 60000
#define SKIPS_MAX 1000

struct worker {
	struct move_run *m;
	struct fiber *fiber;
	struct move_source source;
	struct move_target target;
	bool source_begun, target_begun;
	struct arena arena; /* of a folder */
	struct move_folder folder;
	struct slice there; /* its name at the target */
	bool kept;
	struct move_counts n;
	bool at_target;     /* what failed is the target */
	int64_t next_after; /* numbers up to this one have been looked at, for dropping */
	/* One message of this folder may be what ends the connection again and again. */
	bool careful;
	int64_t suspect;
	int64_t skips[SKIPS_MAX];
	size_t skips_n;
	int err;
};

struct run {
	struct move_run *m;
	struct arena arena;
	struct move_folder *folders;
	size_t folders_n, next;
	bool stop;
};

/* ---- small things ------------------------------------------------------------------------------------------------------ */

void
move_source_id(uint8_t out[MOVE_SOURCE_BYTES], struct slice_list words)
{
	crypto_hash_sha256_state h;
	uint8_t hash[32];

	(void)crypto_hash_sha256_init(&h);
	for (size_t i = 0; i < words.n; i++) {
		uint64_t n = words.v[i].n;

		(void)crypto_hash_sha256_update(&h, (const uint8_t *)&n, sizeof(n));
		(void)crypto_hash_sha256_update(&h, words.v[i].p, words.v[i].n);
	}
	(void)crypto_hash_sha256_final(&h, hash);
	memcpy(out, hash, MOVE_SOURCE_BYTES);
}

int64_t
move_number_of(const uint8_t hash[32])
{
	uint64_t v = 0;

	for (size_t i = 0; i < 8; i++)
		v = v << 8 | hash[i];
	return (int64_t)((v >> 2) | 1);
}

void
move_tell(const struct move_report *r, struct move_counts *n, struct slice folder, const struct move_message *m,
    struct slice why)
{
	char which[64];

	if (m->uid != 0)
		(void)snprintf(which, sizeof(which), "UID %u", m->uid);
	else
		(void)snprintf(which, sizeof(which), "message %llu", (unsigned long long)m->place);
	n->damaged++;
	r->damage(r->arg, folder, m->file.n > 0 ? m->file : slice_z(which), why);
}

static void
tell(struct worker *w, const struct move_message *m, struct slice why)
{
	move_tell(&w->m->report, &w->n, w->folder.name, m, why);
}

static void
note(struct move_run *m, const char *what, struct slice words)
{
	char text[1200];

	(void)snprintf(text, sizeof(text), "%s%.*s", what, SLICE_ARG(words));
	m->report.note(m->report.arg, slice_z(text));
}

/* Is it one side's own trouble, which may pass when it is tried again? */
static bool
may_pass(int err)
{
	return err == ERR_CLOSED || err == ERR_TIMEOUT || err == ERR_IO || err == ERR_BUSY || err == ERR_SYNTAX ||
	    err == ERR_UNAVAILABLE || err == ERR_TLS || err == ERR_LIMIT;
}

/* What a target refuses now it may take later, but for what is too much for it. */
static int
target_error(int err)
{
	return err == ERR_QUOTA || err == ERR_NOMEM || err == ERR_CANCELLED ? err : ERR_UNAVAILABLE;
}

/* ---- a batch ------------------------------------------------------------------------------------------------------------- */

struct taking {
	struct worker *w;
	const struct move_message *v;
	bool *done;
	int target_err;
};

static int
take(void *arg, size_t i, struct move_body *b)
{
	struct taking *t = arg;

	if (t->done[i])
		return 0;
	t->done[i] = true;
	t->target_err = t->w->target.put(t->w->target.of, &t->v[i], b);
	return t->target_err;
}

static bool
is_skipped(const struct worker *w, int64_t number)
{
	for (size_t i = 0; i < w->skips_n; i++)
		if (w->skips[i] == number)
			return true;
	return false;
}

/* Not asked for again in this folder. */
static int
skip(struct worker *w, const struct move_message *m, struct slice why)
{
	tell(w, m, why);
	if (w->skips_n == SKIPS_MAX)
		return ERR_DAMAGED;
	w->skips[w->skips_n++] = m->number;
	return 0;
}

/* A message by itself. The second time that the connection ends over it, it is what ends it. */
static int
fetch_one(struct worker *w, struct taking *t, size_t i, struct move_body *b)
{
	const struct move_message *m = t->v + i;
	struct taking one = {w, m, t->done + i, 0};
	int err = w->source.bodies(w->source.of, m, 1, b, take, &one), skipped;

	t->target_err = one.target_err;
	if (one.target_err != 0 || err == ERR_BUSY)
		return err;
	if (err == ERR_DENIED)
		return skip(w, m, w->source.words(w->source.of));
	if (err == 0)
		return t->done[i]
		    ? 0
		    : skip(w, m, SLICE("the source does not give it; it may have been removed there meanwhile"));
	if (!w->careful || w->suspect != m->number) {
		w->careful = true;
		w->suspect = m->number;
		return err;
	}
	w->careful = false;
	skipped = skip(w, m, w->source.words(w->source.of));
	return skipped != 0 ? skipped : err;
}

/* v[0..n-1] are missing here. */
static int
fetch(struct worker *w, const struct move_message *v, size_t n)
{
	struct move_body b MOVE_BODY_CLEANUP;
	bool done[MOVE_BATCH] = {false};
	struct taking t = {w, v, done, 0};
	int err = 0, flushed;

	move_body_init(&b, w->m->scratch);
	if (!w->careful) {
		err = w->source.bodies(w->source.of, v, n, &b, take, &t);
		if (t.target_err == 0 && err == ERR_DENIED)
			err = 0;
		else if (t.target_err == 0 && err != 0 && err != ERR_BUSY)
			w->careful = true;
	}
	for (size_t i = 0; i < n && err == 0; i++)
		if (!done[i])
			err = fetch_one(w, &t, i, &b);
	w->at_target = t.target_err != 0;
	if (w->at_target)
		return target_error(t.target_err);
	/* Whatever ended the connection is not among these, or has been passed over. */
	if (err == 0)
		w->careful = false;
	flushed = w->target.flush(w->target.of);
	w->at_target = flushed != 0;
	return flushed != 0 ? target_error(flushed) : err;
}

/* A run of messages of one source: v[0..n-1]. */
static int
bring(struct worker *w, struct move_message *v, size_t n, bool complete)
{
	bool missing[MOVE_BATCH];
	size_t wanted = 0;
	bool drop = w->m->drop && complete;
	int64_t lo = drop ? w->next_after + 1 : v->number, hi = v[n - 1].number;
	int err;

	w->at_target = true;
	if ((err = w->target.check(w->target.of, v, n, drop, lo, hi, missing)) != 0)
		return target_error(err);
	w->at_target = false;
	if (drop)
		w->next_after = hi;
	for (size_t i = 0; i < n; i++)
		if (missing[i] && !is_skipped(w, v[i].number))
			v[wanted++] = v[i];
	return wanted == 0 ? 0 : fetch(w, v, wanted);
}

static int
bring_batch(struct worker *w, const struct move_opened *o, struct move_message *v, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0;) {
		size_t run = 1;

		while (i + run < n && memcmp(v[i].source, v[i + run].source, MOVE_SOURCE_BYTES) == 0)
			run++;
		err = bring(w, v + i, run, o->complete && memcmp(v[i].source, o->source, MOVE_SOURCE_BYTES) == 0);
		i += run;
	}
	return err;
}

/* ---- a folder ------------------------------------------------------------------------------------------------------------- */

/* What came here from behind the last message that is there. */
static int
drop_rest(struct worker *w, const struct move_opened *o)
{
	struct move_message last = {.number = INT64_MAX};
	bool missing;

	if (!w->m->drop || !o->complete)
		return 0;
	memcpy(last.source, o->source, sizeof(last.source));
	return w->target.check(w->target.of, &last, 1, true, w->next_after + 1, INT64_MAX, &missing);
}

static int
go_through(struct worker *w)
{
	struct move_message *v = ARENA_ARRAY(&w->arena, struct move_message, MOVE_BATCH);
	struct move_opened o;
	size_t n, lost;
	int err;

	if (v == NULL)
		return ERR_LIMIT;
	if ((err = w->source.open(w->source.of, &w->folder, &o)) != 0)
		return err;
	w->at_target = true;
	if ((err = w->target.open(w->target.of, &w->folder, &o, &w->arena, &w->there, &w->kept)) != 0)
		return err;
	w->at_target = false;
	w->next_after = 0;
	do {
		struct arena_mark mark = arena_mark(&w->arena);

		err = w->source.next(w->source.of, &w->arena, v, &n, &lost);
		w->n.seen += n + lost;
		if (lost > 0) {
			char words[80];

			(void)snprintf(
			    words, sizeof(words), "%zu messages that the source counts but does not tell of", lost);
			w->n.damaged += lost;
			w->m->report.damage(w->m->report.arg, w->folder.name, SLICE_EMPTY, slice_z(words));
		}
		if (err == 0 && n > 0)
			err = bring_batch(w, &o, v, n);
		arena_release(&w->arena, mark);
	} while (err == 0 && (n > 0 || lost > 0));
	if (err != 0)
		return err;
	w->at_target = true;
	err = drop_rest(w, &o);
	return err != 0 ? err : w->target.close(w->target.of);
}

static void
close_both(struct worker *w)
{
	if (w->source_begun)
		w->source.end(w->source.of);
	if (w->target_begun)
		w->target.end(w->target.of);
	w->source_begun = w->target_begun = false;
}

static int
open_both(struct worker *w)
{
	int err = 0;

	w->at_target = true;
	if (!w->target_begun) {
		w->target_begun = true;
		if ((err = w->target.begin(w->target.of, &w->m->report, &w->n)) != 0)
			return err;
	}
	w->at_target = false;
	if (!w->source_begun) {
		w->source_begun = true;
		err = w->source.begin(w->source.of);
	}
	return err;
}

static void
add(struct move_counts *to, const struct move_counts *n)
{
	to->seen += n->seen;
	to->moved += n->moved;
	to->known += n->known;
	to->dropped += n->dropped;
	to->damaged += n->damaged;
}

/* The words of whichever side failed. */
static struct slice
words_of(struct worker *w, int err)
{
	struct slice words = w->at_target ? w->target.words(w->target.of) : w->source.words(w->source.of);

	return words.n > 0 ? words : slice_z(err_text(err));
}

/* Until it is through, or nothing helps. */
static int
do_folder(struct worker *w, const struct move_folder *f)
{
	int64_t pause = PAUSE_MS;
	int err = 0;

	w->folder = *f;
	w->careful = false;
	w->skips_n = 0;
	for (int tries = 0; tries < TRIES; tries++) {
		struct move_counts before = w->n;

		w->n.seen = 0;

		err = open_both(w);
		if (err == 0)
			err = go_through(w);
		if (err == 0 || !may_pass(err))
			break;
		note(w->m, "interrupted, going on: ", words_of(w, err));
		if (w->n.moved > before.moved || w->n.damaged > before.damaged) {
			tries = -1;
			pause = PAUSE_MS;
		}
		close_both(w);
		if (fiber_sleep(w->m->loop, pause) != 0)
			return ERR_CANCELLED;
		pause = pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause * 2;
	}
	return err;
}

static void
work_folder(struct worker *w, struct run *r, const struct move_folder *f)
{
	int err;

	w->n = (struct move_counts){0};
	err = do_folder(w, f);
	if (err == 0) {
		w->n.known = w->n.seen < w->n.moved + w->n.damaged ? 0 : w->n.seen - w->n.moved - w->n.damaged;
		w->m->report.folder(w->m->report.arg, f->name, w->there, &w->n, w->kept);
	} else {
		w->m->folders_failed++;
		w->m->report.damage(w->m->report.arg, f->name, SLICE_EMPTY, words_of(w, err));
		if (err == ERR_QUOTA || err == ERR_CANCELLED) {
			w->m->err = err;
			r->stop = true;
		}
		close_both(w);
	}
	add(&w->m->counts, &w->n);
	w->m->folders++;
	arena_reset(&w->arena);
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------ */

static bool
is_wanted(const struct move_run *m, const struct move_folder *f)
{
	if (m->only.n == 0)
		return true;
	for (size_t i = 0; i < m->only.n; i++)
		if (slice_eq(m->only.v[i], f->name) ||
		    (slice_ieq(f->name, SLICE("INBOX")) && slice_ieq(m->only.v[i], f->name)))
			return true;
	return false;
}

struct worker_start {
	struct worker *w;
	struct run *r;
};

static void
work(void *arg)
{
	struct worker_start *s = arg;
	struct worker *w = s->w;
	struct run *r = s->r;

	while (!r->stop && r->next < r->folders_n) {
		struct move_folder f = r->folders[r->next++];

		if (!is_wanted(w->m, &f))
			continue;
		if (f.name.n == 0) {
			w->m->folders_failed++;
			w->m->report.damage(
			    w->m->report.arg, f.raw, SLICE_EMPTY, SLICE("no mailbox can have that name here"));
			continue;
		}
		if (w->m->into.n > 0) {
			f.name = w->m->into;
			f.role = STORE_ROLE_NONE;
		}
		work_folder(w, r, &f);
	}
	close_both(w);
}

static int
new_worker(struct move_run *m, struct worker **out)
{
	struct worker *w = calloc(1, sizeof(*w));
	int err;

	*out = w;
	if (w == NULL)
		return ERR_NOMEM;
	w->m = m;
	arena_init(&w->arena, (size_t)64 << 20);
	err = m->source(m->arg, &w->source);
	if (err == 0 && (err = m->target(m->arg, &w->target)) != 0)
		w->source.free(w->source.of);
	if (err != 0) {
		arena_free(&w->arena);
		free(w);
		*out = NULL;
	}
	return err;
}

static void
free_worker(struct worker *w)
{
	if (w == NULL)
		return;
	close_both(w);
	w->source.free(w->source.of);
	w->target.free(w->target.of);
	arena_free(&w->arena);
	free(w);
}

/* New mail goes to the INBOX, which takes over UIDs only while it is empty here. */
static void
put_inbox_first(struct run *r)
{
	for (size_t i = 0; i < r->folders_n; i++)
		if (slice_ieq(r->folders[i].name, SLICE("INBOX"))) {
			struct move_folder inbox = r->folders[i];

			r->folders[i] = r->folders[0];
			r->folders[0] = inbox;
			return;
		}
}

/* The first worker asks for the folders. */
static int
list_folders(struct worker *w, struct run *r)
{
	int err = 0;

	for (int tries = 0; tries < 3; tries++) {
		err = open_both(w);
		if (err == 0)
			err = w->source.folders(w->source.of, &r->arena, &r->folders, &r->folders_n);
		if (err == 0 || !may_pass(err) || tries == 2)
			break;
		note(w->m, "the source cannot be read yet: ", words_of(w, err));
		close_both(w);
		if (fiber_sleep(w->m->loop, PAUSE_MS << tries) != 0)
			return ERR_CANCELLED;
	}
	if (err == 0)
		put_inbox_first(r);
	else
		w->m->report.damage(w->m->report.arg, SLICE_EMPTY, SLICE_EMPTY, words_of(w, err));
	return err;
}

static int
run_workers(struct move_run *m, struct run *r, struct worker **v)
{
	size_t n = m->connections, running = 1;
	struct worker_start first = {v[0], r}, *starts = calloc(n, sizeof(*starts));
	int err = starts == NULL ? ERR_NOMEM : 0;

	for (; running < n && running < r->folders_n && err == 0; running++) {
		if ((err = new_worker(m, &v[running])) != 0)
			break;
		starts[running] = (struct worker_start){v[running], r};
		err = fiber_start(m->loop, "move", work, &starts[running], &v[running]->fiber);
	}
	if (err == 0)
		work(&first);
	for (size_t i = 1; i < n; i++)
		if (v[i] != NULL && v[i]->fiber != NULL)
			fiber_join(m->loop, &v[i]->fiber);
	free(starts);
	return err;
}

int
move_run(struct move_run *m)
{
	struct run r = {.m = m};
	struct worker **v = calloc(m->connections, sizeof(*v));
	int err = v == NULL ? ERR_NOMEM : new_worker(m, &v[0]);

	arena_init(&r.arena, (size_t)64 << 20);
	if (err == 0)
		err = list_folders(v[0], &r);
	if (err == 0)
		err = run_workers(m, &r, v);
	for (size_t i = 0; v != NULL && i < m->connections; i++)
		free_worker(v[i]);
	free(v);
	arena_free(&r.arena);
	return err != 0 ? err : m->err;
}
