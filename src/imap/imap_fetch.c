/* imap_fetch.c: FETCH (RFC 3501 §6.4.5). Messages are read in batches; what must be parsed is parsed on a worker thread; what
 * is sent goes straight from the message to the stream, large ones in pieces, so that memory does not grow with
 * what is fetched. */
#include "imap/imap_session.h"

#include "base/log.h"
#include "imap/imap_cache.h"
#include "imap/imap_content.h"
#include "message/date.h"

#define BATCH_MESSAGES 64u
#define BATCH_BYTES (1u << 20)
#define PIECE_BYTES 65536u
#define RENDERED_BYTES_MAX (64u << 20)
/* For envelopes, beside the tree of parts. */
#define PARSE_EXTRA_BYTES (16u << 20)

/* Where the bytes of a section are. */
struct extent {
	enum { EXTENT_NIL, EXTENT_MESSAGE, EXTENT_RENDERED } where;
	size_t from, n; /* in the message, or in job.out */
};

struct item {
	size_t seq;
	bool failed;                   /* could not be rendered */
	struct slice raw;              /* what the job reads: the message, or its header only */
	struct extent told[IMAP_TOLD]; /* in job.out */
	struct extent *extents;        /* one for each section */
};

static const struct {
	unsigned item;
	struct slice name;
} told_names[IMAP_TOLD] = {
    [IMAP_TOLD_ENVELOPE] = {IMAP_FETCH_ENVELOPE, SLICE_INIT(" ENVELOPE ")},
    [IMAP_TOLD_BODY] = {IMAP_FETCH_BODY, SLICE_INIT(" BODY ")},
    [IMAP_TOLD_BODYSTRUCTURE] = {IMAP_FETCH_BODYSTRUCTURE, SLICE_INIT(" BODYSTRUCTURE ")},
};

/* Work for a thread: parse and render these messages. */
struct job {
	const struct imap_fetch *fetch;
	unsigned items; /* what is told of each */
	const struct limits *limits;
	bool tree; /* parts are needed, not only the header */
	struct item *v;
	size_t n;
	struct buf out;
};

struct fetching {
	struct imap_session *s;
	struct imap_fetch f;
	unsigned want; /* of the store */
	bool needs_job;
	bool cacheable;     /* parts are needed only to be told of */
	struct job job;     /* of the batch */
	struct arena arena; /* of the batch: messages */
	struct buf line;    /* of the response at hand */
	struct store_fetched fetched[BATCH_MESSAGES];
	struct item items[BATCH_MESSAGES];
	bool gone;       /* some messages no longer exist */
	bool failed;     /* some could not be told */
	bool unreadable; /* some could not be read: the file of a large one is not there */
};

/* ---- on the worker thread ---- */

static void
render_numbered(struct job *j, struct item *it, struct arena *a, const struct mime *m, const struct imap_section *s,
    struct extent *e)
{
	struct slice bytes;

	if (mime_section(m, s->numbers, s->numbers_n, s->section, &bytes) != 0)
		return;
	if (s->fields || s->fields_not) {
		e->where = EXTENT_RENDERED;
		e->from = j->out.n;
		imap_put_fields(&j->out, a, bytes, s, j->limits);
		e->n = j->out.n - e->from;
		return;
	}
	e->where = EXTENT_MESSAGE;
	e->from = bytes.n == 0 ? 0 : (size_t)(bytes.p - it->raw.p);
	e->n = bytes.n;
}

static void
render_sections(struct job *j, struct item *it, struct arena *a, const struct mime *m)
{
	for (size_t i = 0; i < j->fetch->sections_n; i++) {
		const struct imap_section *s = &j->fetch->sections[i];
		struct extent *e = &it->extents[i];

		if (s->numbers_n > 0) {
			render_numbered(j, it, a, m, s, e);
		} else if (s->fields || s->fields_not) {
			e->where = EXTENT_RENDERED;
			e->from = j->out.n;
			imap_put_fields(&j->out, a, it->raw, s, j->limits);
			e->n = j->out.n - e->from;
		}
	}
}

static void
render_told(struct job *j, struct item *it, struct arena *a, const struct mime *m, const struct header *h, int which)
{
	struct extent *e = &it->told[which];

	e->from = j->out.n;
	if (which == IMAP_TOLD_ENVELOPE)
		imap_put_envelope(&j->out, a, h, j->limits);
	else
		imap_put_structure(&j->out, a, m, j->limits, which == IMAP_TOLD_BODYSTRUCTURE);
	e->n = j->out.n - e->from;
}

static void
render(struct job *j, struct item *it)
{
	struct arena ARENA_CLEANUP a;
	struct mime m = {0};
	struct header h = {0};
	size_t start = j->out.n;
	int err;

	arena_init(&a, mime_arena_max(j->limits, it->raw.n) + PARSE_EXTRA_BYTES);
	err = j->tree ? mime_parse(&a, it->raw, j->limits, CHARSET_THREAD, &m) : 0;
	if (err == 0 && (j->items & IMAP_FETCH_ENVELOPE))
		err = header_parse(&a, it->raw, j->limits, &h);
	if (err == 0) {
		for (int i = 0; i < IMAP_TOLD; i++)
			if (j->items & told_names[i].item)
				render_told(j, it, &a, &m, &h, i);
		render_sections(j, it, &a, &m);
	}
	if (err != 0 || j->out.err != 0) {
		j->out.err = 0;
		buf_truncate(&j->out, start);
		it->failed = true;
	}
}

static int
run_job(void *arg)
{
	struct job *j = arg;

	for (size_t i = 0; i < j->n; i++)
		if (j->v[i].raw.p != NULL)
			render(j, &j->v[i]);
	return 0;
}

/* ---- on the fiber ---- */

static void
plan(struct fetching *g)
{
	bool all = false, header = false, fields = false, numbered = false;

	if (g->f.items & (IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE))
		g->job.tree = g->needs_job = all = true;
	if (g->f.items & IMAP_FETCH_ENVELOPE)
		g->needs_job = header = true;
	for (size_t i = 0; i < g->f.sections_n; i++) {
		const struct imap_section *s = &g->f.sections[i];

		if (s->numbers_n > 0)
			g->job.tree = g->needs_job = all = numbered = true;
		else if (s->fields || s->fields_not)
			g->needs_job = header = fields = true;
		else if (s->section == MIME_SECTION_HEADER)
			header = true;
		else
			all = true;
	}
	g->cacheable = (g->f.items & (IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE)) != 0 && !fields && !numbered;
	g->want = all ? STORE_WANT_RAW : header ? STORE_WANT_HEADER : 0;
	if (g->cacheable)
		g->want |= STORE_WANT_CACHE;
}

/* Sections without part numbers need no parsing: the store knows where the header ends. */
static void
place_whole(const struct fetching *g, const struct store_fetched *f, struct item *it)
{
	for (size_t i = 0; i < g->f.sections_n; i++) {
		const struct imap_section *s = &g->f.sections[i];
		struct extent *e = &it->extents[i];

		if (s->numbers_n > 0 || s->fields || s->fields_not)
			continue;
		e->where = EXTENT_MESSAGE;
		e->from = s->section == MIME_SECTION_TEXT ? f->header_size : 0;
		e->n = (s->section == MIME_SECTION_HEADER ? f->header_size : f->size) - e->from;
	}
}

static void
write_piece(struct fetching *g, struct store_body *body, size_t from, size_t n)
{
	struct imap_session *s = g->s;
	struct buf BUF_CLEANUP piece;

	buf_init(&piece, PIECE_BYTES);
	while (n > 0 && !s->ended) {
		size_t step = n < PIECE_BYTES ? n : PIECE_BYTES;
		int err;

		buf_reset(&piece);
		err = store_body_read(body, from, step, &piece);
		if (err != 0 || piece.n != step) {
			/* The literal was announced and cannot be kept: there is no way on but to close. */
			LOG(s->c->house, ERROR, "imap_body_unreadable", LOG_S("login", s->c->login), LOG_E(err));
			s->ended = true;
			return;
		}
		imap_write(s, buf_slice(&piece));
		from += step;
		n -= step;
	}
}

static void
write_section(struct fetching *g, const struct imap_section *sec, const struct extent *e, struct slice raw,
    struct store_body *body, bool first)
{
	size_t from = e->from, n = e->n;

	buf_reset(&g->line);
	if (!first)
		buf_put_u8(&g->line, ' ');
	imap_put_section(&g->line, sec);
	if (sec->partial) {
		size_t skip = sec->offset < n ? sec->offset : n;

		from += skip;
		n = sec->count < n - skip ? sec->count : n - skip;
	}
	if (e->where == EXTENT_NIL) {
		buf_put(&g->line, SLICE(" NIL"));
		imap_write_buf(g->s, &g->line);
		return;
	}
	buf_put_u8(&g->line, ' ');
	imap_put_literal_size(&g->line, n);
	imap_write_buf(g->s, &g->line);
	if (e->where == EXTENT_RENDERED)
		imap_write(g->s, slice_range(buf_slice(&g->job.out), from, from + n));
	else if (raw.p != NULL)
		imap_write(g->s, slice_range(raw, from, from + n));
	else if (n > 0)
		write_piece(g, body, from, n);
}

/* Each with a space in front. */
static void
put_plain_items(struct fetching *g, struct buf *out, const struct store_entry *e, bool now_seen)
{
	unsigned items = g->f.items;

	if (items & IMAP_FETCH_UID) {
		buf_put(out, SLICE(" UID "));
		buf_put_u64(out, e->uid);
	}
	if ((items & IMAP_FETCH_FLAGS) || now_seen) {
		buf_put_u8(out, ' ');
		imap_put_entry_flags(g->s, out, e, now_seen ? STORE_SEEN : 0);
	}
	if (items & IMAP_FETCH_INTERNALDATE) {
		buf_put(out, SLICE(" INTERNALDATE \""));
		date_put_imap(out, e->internal_s, 0);
		buf_put_u8(out, '"');
	}
	if (items & IMAP_FETCH_SIZE) {
		buf_put(out, SLICE(" RFC822.SIZE "));
		buf_put_u64(out, e->size);
	}
}

/* "* n FETCH (…)": items have a space in front but for the first one. */
static void
write_message(struct fetching *g, const struct item *it, struct slice raw, struct store_body *body, bool now_seen)
{
	struct store_entry e = store_view_at(g->s->view, it->seq);
	struct buf *line = &g->line;
	size_t lead;
	bool bare;

	buf_reset(line);
	buf_put(line, SLICE("* "));
	buf_put_u64(line, it->seq);
	buf_put(line, SLICE(" FETCH ("));
	lead = line->n;
	put_plain_items(g, line, &e, now_seen);
	for (int i = 0; i < IMAP_TOLD; i++) {
		if ((g->f.items & told_names[i].item) == 0)
			continue;
		buf_put(line, told_names[i].name);
		buf_put(line, slice_range(buf_slice(&g->job.out), it->told[i].from, it->told[i].from + it->told[i].n));
	}
	if (line->err != 0) {
		g->failed = true;
		return;
	}
	imap_write(g->s, slice_head(buf_slice(line), lead));
	bare = line->n == lead;
	if (!bare)
		imap_write(g->s, slice_from(buf_slice(line), lead + 1));
	for (size_t i = 0; i < g->f.sections_n && !g->s->ended; i++)
		write_section(g, &g->f.sections[i], &it->extents[i], raw, body, i == 0 && bare);
	imap_write(g->s, SLICE(")\r\n"));
}

/* Takes what was told of the message before. */
static bool
recall(struct fetching *g, const struct store_fetched *f, struct item *it)
{
	struct slice told[IMAP_TOLD];

	if (!g->cacheable || !imap_cache_read(f->cache, told))
		return false;
	for (int i = 0; i < IMAP_TOLD; i++) {
		it->told[i] = (struct extent){EXTENT_RENDERED, g->job.out.n, told[i].n};
		buf_put(&g->job.out, told[i]);
	}
	return g->job.out.err == 0;
}

static void
remember(struct fetching *g, const struct store_fetched *f, const struct item *it)
{
	struct slice out = buf_slice(&g->job.out), told[IMAP_TOLD];
	struct buf BUF_CLEANUP cache;
	int err;

	for (int i = 0; i < IMAP_TOLD; i++)
		told[i] = slice_range(out, it->told[i].from, it->told[i].from + it->told[i].n);
	buf_init(&cache, RENDERED_BYTES_MAX);
	imap_cache_write(told, &cache);
	err = cache.err != 0 ? cache.err : store_cache_put(g->s->account, f->email, buf_slice(&cache));
	if (err != 0)
		LOG(g->s->c->house, DEBUG, "imap_not_remembered", LOG_S("login", g->s->c->login), LOG_E(err));
}

/* A message that is a file: its header, or all of it where parts are needed, is in memory for the job only. */
static int
render_large(struct fetching *g, const struct store_fetched *f, struct item *it, struct store_body *body)
{
	struct buf BUF_CLEANUP header;
	int err;

	buf_init(&header, f->header_size + 1u);
	if (g->job.tree)
		err = store_body_raw(body, &it->raw);
	else
		err = store_body_read(body, 0, f->header_size, &header);
	if (err != 0)
		return err;
	if (!g->job.tree)
		it->raw = buf_slice(&header);
	g->job.v = it;
	g->job.n = 1;
	g->job.items = g->f.items;
	if (g->cacheable)
		g->job.items |= IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE;
	err = work_run(g->s->c->workers, run_job, &g->job);
	if (err == 0 && it->failed)
		err = ERR_LIMIT;
	if (err == 0 && g->cacheable)
		remember(g, f, it);
	return err;
}

static int
write_large(struct fetching *g, const struct store_fetched *f, struct item *it, bool now_seen)
{
	struct store_body *body STORE_BODY_CLEANUP = NULL;
	struct buf of_batch = g->job.out; /* the small messages of the batch still need theirs */
	bool recalled;
	int err = 0;

	buf_init(&g->job.out, RENDERED_BYTES_MAX);
	recalled = recall(g, f, it);
	if (!recalled || g->f.sections_n > 0) {
		err = store_body_open(g->s->account, f->email, &body);
		if (err == 0 && g->needs_job && !recalled)
			err = render_large(g, f, it, body);
	}
	if (err == 0)
		write_message(g, it, SLICE_EMPTY, body, now_seen);
	buf_free(&g->job.out);
	g->job.out = of_batch;
	return err;
}

/* \Seen for those of the batch whose content is read without PEEK, before they are told. */
static int
set_seen(struct fetching *g, size_t n, bool now_seen[])
{
	static const struct store_flag_change seen = {STORE_FLAGS_ADD, STORE_SEEN, {NULL, 0}, UINT64_MAX};
	uint32_t uids[BATCH_MESSAGES];
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct store_entry e = store_view_at(g->s->view, g->items[i].seq);

		now_seen[i] = g->f.sets_seen && g->fetched[i].found && !store_view_read_only(g->s->view) &&
		    (e.flags & STORE_SEEN) == 0;
		if (now_seen[i])
			uids[count++] = e.uid;
	}
	return count == 0 ? 0 : store_flags(g->s->view, uids, count, &seen, NULL);
}

static int
render_batch(struct fetching *g, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		struct store_fetched *f = &g->fetched[i];

		if (f->found && !f->large) {
			g->items[i].raw = (g->want & STORE_WANT_RAW) ? f->raw : f->header;
			any = true;
		}
		place_whole(g, f, &g->items[i]);
	}
	g->job.v = g->items;
	g->job.n = n;
	g->job.items = g->f.items;
	return any && g->needs_job ? work_run(g->s->c->workers, run_job, &g->job) : 0;
}

static int
write_batch(struct fetching *g, size_t n)
{
	bool now_seen[BATCH_MESSAGES];
	int err = render_batch(g, n);

	if (err == 0)
		err = set_seen(g, n, now_seen);
	for (size_t i = 0; i < n && err == 0 && !g->s->ended; i++) {
		struct item *it = &g->items[i];

		if (!g->fetched[i].found)
			g->gone = true;
		else if (g->fetched[i].large)
			err = write_large(g, &g->fetched[i], it, now_seen[i]);
		else if (it->failed)
			g->failed = true;
		else
			write_message(g, it, it->raw, NULL, now_seen[i]);
		/* The others can be read. */
		if (err == ERR_UNAVAILABLE) {
			g->unreadable = true;
			err = 0;
		}
		g->s->c->counters->messages_fetched++;
	}
	return err;
}

/* Messages seqs[0..n-1], n <= BATCH_MESSAGES. `*done` says how many could be read at once. */
static int
fetch_batch(struct fetching *g, const size_t *seqs, size_t n, size_t *done)
{
	int err;

	arena_reset(&g->arena);
	buf_reset(&g->job.out);
	for (size_t i = 0; i < n; i++) {
		g->fetched[i] = (struct store_fetched){.uid = store_view_at(g->s->view, seqs[i]).uid};
		g->items[i] = (struct item){
		    .seq = seqs[i], .extents = ARENA_ARRAY(&g->arena, struct extent, g->f.sections_n)};
		if (g->items[i].extents == NULL)
			return ERR_LIMIT;
	}
	err = store_fetch(g->s->view, g->fetched, n, g->want, &g->arena, done);
	return err != 0 ? err : write_batch(g, *done);
}

/* Nothing but what the view knows is asked for. */
static void
fetch_plain(struct fetching *g, struct imap_iter *it)
{
	struct item item = {0};

	while (!g->s->ended && (item.seq = imap_iter_next(g->s, it)) != 0) {
		write_message(g, &item, SLICE_EMPTY, NULL, false);
		g->s->c->counters->messages_fetched++;
	}
}

static int
fetch_content(struct fetching *g, struct imap_iter *it)
{
	size_t seqs[BATCH_MESSAGES], n = 0, done;
	size_t seq = 1;

	while (!g->s->ended) {
		int err;

		while (n < BATCH_MESSAGES && seq != 0 && (seq = imap_iter_next(g->s, it)) != 0)
			seqs[n++] = seq;
		if (n == 0)
			break;
		err = fetch_batch(g, seqs, n, &done);
		if (err != 0)
			return err;
		memmove(seqs, seqs + done, (n - done) * sizeof(*seqs));
		n -= done;
	}
	return 0;
}

static void
fetch_answer(struct fetching *g, int err)
{
	struct imap_session *s = g->s;

	if (s->ended)
		return;
	if (err != 0)
		imap_no_err(s, err);
	else if (g->gone)
		imap_no(s, "[EXPUNGEISSUED]", "some of the messages no longer exist");
	else if (g->unreadable)
		imap_no(s, "[UNAVAILABLE]", "some of the messages cannot be read; the operator must look at it");
	else if (g->failed)
		imap_no(s, "[LIMIT]", "some of the messages are too large to be told");
	else
		imap_ok(s, "", "done");
}

void
imap_do_fetch(struct imap_session *s, struct imap_lex *x)
{
	struct fetching *g = ARENA_NEW(&s->arena, struct fetching);
	struct imap_iter it;
	int err = 0;

	if (g == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	g->s = s;
	imap_lex_messages(s, x, &it);
	imap_lex_space(x);
	imap_parse_fetch(x, s->limits, &g->f);
	imap_lex_end(x);
	if (imap_bad_syntax(s, x))
		return;
	if (s->uid)
		g->f.items |= IMAP_FETCH_UID;
	g->job.fetch = &g->f;
	g->job.limits = s->limits;
	buf_init(&g->job.out, RENDERED_BYTES_MAX);
	buf_init(&g->line, RENDERED_BYTES_MAX);
	arena_init(&g->arena, BATCH_BYTES + BATCH_MESSAGES * (g->f.sections_n + 1) * sizeof(struct extent) * 2);
	plan(g);
	if (g->want == 0)
		fetch_plain(g, &it);
	else
		err = fetch_content(g, &it);
	fetch_answer(g, err);
	buf_free(&g->job.out);
	buf_free(&g->line);
	arena_free(&g->arena);
}
