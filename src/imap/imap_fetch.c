/* imap_fetch.c: FETCH (RFC 3501 §6.4.5). Messages are read in batches; what must be parsed is parsed on a worker thread; what
 * is sent goes straight from the message to the stream, large ones in pieces, so that memory does not grow with
 * what is fetched. */
#include "imap/imap_session.h"

#include "base/log.h"
#include "imap/imap_fetch.h"
#include "message/date.h"

#include <inttypes.h>

#define BATCH_MESSAGES 64u
#define BATCH_BYTES (1u << 20)
#define PIECE_BYTES 65536u
#define RENDERED_BYTES_MAX (64u << 20)

struct fetching {
	struct imap_session *s;
	struct imap_fetch f;
	unsigned want; /* of the store */
	bool needs_job;
	bool cacheable;            /* parts are needed only to be told of */
	struct imap_fetch_job job; /* of the batch */
	struct arena arena;        /* of the batch: messages */
	struct store_fetched fetched[BATCH_MESSAGES];
	struct imap_fetch_one items[BATCH_MESSAGES];
	bool gone;        /* some messages no longer exist */
	bool failed;      /* some could not be told */
	bool unreadable;  /* some could not be read: the file of a large one is not there */
	bool unknown_cte; /* a part asked for by BINARY has an encoding that is not known */
};

static bool
is_binary(const struct imap_section *s)
{
	return s->form == IMAP_FORM_BINARY || s->form == IMAP_FORM_BINARY_SIZE;
}

static void
plan(struct fetching *g)
{
	bool all = false, header = false, fields = false, numbered = false;

	if (g->f.items & (IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE | IMAP_FETCH_PREVIEW))
		g->job.tree = g->needs_job = all = true;
	if (g->f.items & IMAP_FETCH_ENVELOPE)
		g->needs_job = header = true;
	for (size_t i = 0; i < g->f.sections_n; i++) {
		const struct imap_section *s = &g->f.sections[i];

		if (s->numbers_n > 0 || is_binary(s))
			g->job.tree = g->needs_job = all = numbered = true;
		else if (s->fields || s->fields_not)
			g->needs_job = header = fields = true;
		else if (s->section == MIME_SECTION_HEADER)
			header = true;
		else
			all = true;
	}
	g->cacheable = (g->f.items & (IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE)) != 0 &&
	    (g->f.items & IMAP_FETCH_PREVIEW) == 0 && !fields && !numbered;
	g->want = all ? STORE_WANT_RAW : header ? STORE_WANT_HEADER : 0;
	if (g->cacheable && g->f.sections_n == 0)
		g->want = STORE_WANT_UNCACHED;
	if (g->cacheable) {
		g->want |= STORE_WANT_CACHE;
		g->job.tree = true;
	}
	if (g->f.items & (IMAP_FETCH_EMAILID | IMAP_FETCH_THREADID | IMAP_FETCH_SAVEDATE))
		g->want |= STORE_WANT_IDS;
}

/* Sections without part numbers need no parsing: the store knows where the header ends. */
static void
place_whole(const struct fetching *g, const struct store_fetched *f, struct imap_fetch_one *it)
{
	for (size_t i = 0; i < g->f.sections_n; i++) {
		const struct imap_section *s = &g->f.sections[i];
		struct imap_extent *e = &it->extents[i];

		if (s->numbers_n > 0 || s->fields || s->fields_not || is_binary(s))
			continue;
		e->where = IMAP_EXTENT_MESSAGE;
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

/* The bytes of a section, from where they are. */
static void
write_bytes(
    struct fetching *g, const struct imap_extent *e, struct slice raw, struct store_body *body, size_t from, size_t n)
{
	if (e->where == IMAP_EXTENT_RENDERED)
		imap_write(g->s, slice_range(buf_slice(&g->job.out), from, from + n));
	else if (raw.p != NULL)
		imap_write(g->s, slice_range(raw, from, from + n));
	else if (n > 0)
		write_piece(g, body, from, n);
}

/* literal8 is for decoded bytes with NULs; of those that are not at hand nobody knows (RFC 3516 §4.3). */
static bool
needs_literal8(const struct fetching *g, const struct imap_section *sec, const struct imap_extent *e, struct slice raw,
    size_t from, size_t n)
{
	struct slice all = e->where == IMAP_EXTENT_RENDERED ? buf_slice(&g->job.out) : raw;

	if (sec->form != IMAP_FORM_BINARY)
		return false;
	return all.p == NULL || slice_find_byte(slice_range(all, from, from + n), 0) != SLICE_NONE;
}

/* Behind what is in the session's line already. */
static void
write_section(struct fetching *g, const struct imap_section *sec, const struct imap_extent *e, struct slice raw,
    struct store_body *body)
{
	struct buf *line = &g->s->line;
	size_t from = e->from, n = e->n;

	imap_put_section(line, sec);
	buf_put_u8(line, ' ');
	if (sec->form == IMAP_FORM_BINARY_SIZE) {
		buf_put_u64(line, e->n);
		return;
	}
	if (sec->partial) {
		size_t skip = sec->offset < n ? sec->offset : n;

		from += skip;
		n = sec->count < n - skip ? sec->count : n - skip;
	}
	if (e->where == IMAP_EXTENT_NIL) {
		buf_put(line, SLICE("NIL"));
		return;
	}
	if (needs_literal8(g, sec, e, raw, from, n))
		buf_put_u8(line, '~');
	imap_put_literal_size(line, n);
	imap_write_buf(g->s, line);
	buf_reset(line);
	write_bytes(g, e, raw, body, from, n);
}

/* A space, unless it is the first item. */
static void
put_item(struct buf *out, struct slice name)
{
	if (out->n > 0 && !slice_ends(buf_slice(out), SLICE("(")))
		buf_put_u8(out, ' ');
	buf_put(out, name);
}

static void
put_ids(struct fetching *g, struct buf *out, const struct store_fetched *f)
{
	unsigned items = g->f.items;

	if (items & IMAP_FETCH_EMAILID) {
		put_item(out, SLICE("EMAILID ("));
		imap_put_object_id(out, 'M', slice_of(f->email_id, STORE_ID_BYTES));
		buf_put_u8(out, ')');
	}
	if (items & IMAP_FETCH_THREADID) {
		put_item(out, SLICE("THREADID ("));
		imap_put_object_id(out, 'T', slice_of(f->thread_id, STORE_ID_BYTES));
		buf_put_u8(out, ')');
	}
	if (items & IMAP_FETCH_SAVEDATE) {
		put_item(out, SLICE("SAVEDATE \""));
		date_put_imap(out, f->saved_s, 0);
		buf_put_u8(out, '"');
	}
}

static void
put_plain_items(struct fetching *g, struct buf *out, const struct store_entry *e, bool now_seen)
{
	unsigned items = g->f.items;

	if (items & IMAP_FETCH_UID) {
		put_item(out, SLICE("UID "));
		buf_put_u64(out, e->uid);
	}
	if ((items & IMAP_FETCH_FLAGS) || now_seen) {
		put_item(out, SLICE_EMPTY);
		imap_put_entry_flags(g->s, out, e, now_seen ? STORE_SEEN : 0);
	}
	if ((items & IMAP_FETCH_MODSEQ) || (now_seen && imap_is_on(g->s, IMAP_ON_CONDSTORE))) {
		put_item(out, SLICE("MODSEQ ("));
		buf_put_u64(out, e->modseq);
		buf_put_u8(out, ')');
	}
	if (items & IMAP_FETCH_INTERNALDATE) {
		put_item(out, SLICE("INTERNALDATE \""));
		date_put_imap(out, e->internal_s, 0);
		buf_put_u8(out, '"');
	}
	if (items & IMAP_FETCH_SIZE) {
		put_item(out, SLICE("RFC822.SIZE "));
		buf_put_u64(out, e->size);
	}
}

static void
put_told_items(struct fetching *g, struct buf *out, const struct imap_fetch_one *it)
{
	struct slice told = buf_slice(&g->job.out);

	for (int i = 0; i < IMAP_TOLD; i++) {
		if ((g->f.items & imap_told_names[i].item) == 0)
			continue;
		put_item(out, imap_told_names[i].name);
		buf_put(out, slice_range(told, it->told[i].from, it->told[i].from + it->told[i].n));
	}
	if (g->f.items & IMAP_FETCH_PREVIEW) {
		put_item(out, SLICE("PREVIEW "));
		buf_put(out,
		    it->preview.where == IMAP_EXTENT_NIL
			? SLICE("NIL")
			: slice_range(told, it->preview.from, it->preview.from + it->preview.n));
	}
}

/* "* n FETCH (…)". `f` is NULL when nothing but what the view knows is told. */
static void
write_message(struct fetching *g, const struct imap_fetch_one *it, const struct store_fetched *f, struct slice raw,
    struct store_body *body, bool now_seen)
{
	struct store_entry e = store_view_at(g->s->view, it->seq);
	struct buf *line = &g->s->line;

	buf_reset(line);
	imap_put_fetch_start(g->s, line, it->seq, e.uid);
	put_plain_items(g, line, &e, now_seen);
	if (f != NULL)
		put_ids(g, line, f);
	put_told_items(g, line, it);
	if (line->err != 0) {
		g->failed = true;
		return;
	}
	for (size_t i = 0; i < g->f.sections_n && !g->s->ended; i++) {
		/* Behind a literal the line is empty. */
		if (i > 0 || !slice_ends(buf_slice(line), SLICE("(")))
			buf_put_u8(line, ' ');
		write_section(g, &g->f.sections[i], &it->extents[i], raw, body);
	}
	buf_put(line, SLICE(")\r\n"));
	if (!g->s->ended)
		imap_write_buf(g->s, line);
	g->unknown_cte |= it->unknown_cte;
}

/* Takes what was told of the message before. */
static bool
recall(struct fetching *g, const struct store_fetched *f, struct imap_fetch_one *it)
{
	struct slice told[IMAP_TOLD];

	if (!g->cacheable || !imap_cache_read(f->cache, told))
		return false;
	for (int i = 0; i < IMAP_TOLD; i++) {
		it->told[i] = (struct imap_extent){IMAP_EXTENT_RENDERED, g->job.out.n, told[i].n};
		buf_put(&g->job.out, told[i]);
	}
	return g->job.out.err == 0;
}

static void
remember(struct fetching *g, const struct store_fetched *f, const struct imap_fetch_one *it)
{
	struct slice out = buf_slice(&g->job.out), told[IMAP_TOLD];
	struct buf BUF_CLEANUP cache;
	int err;

	for (int i = 0; i < IMAP_TOLD; i++)
		told[i] = slice_range(out, it->told[i].from, it->told[i].from + it->told[i].n);
	buf_init(&cache, RENDERED_BYTES_MAX);
	imap_cache_write(told, &cache);
	err = cache.err != 0 ? cache.err : store_cache_put(store_view_account(g->s->view), f->email, buf_slice(&cache));
	if (err != 0)
		LOG(g->s->c->house, DEBUG, "imap_not_remembered", LOG_S("login", g->s->c->login), LOG_E(err));
}

/* Who does not want to wait for previews (LAZY) gets none of HTML. */
static void
read_previews(struct fetching *g)
{
	if ((g->f.items & IMAP_FETCH_PREVIEW) && (g->f.items & IMAP_FETCH_PREVIEW_LAZY) == 0)
		imap_preview_html(store_view_account(g->s->view), &g->job);
}

/* A message that is a file: its header, or all of it where parts are needed, is in memory for the job only. */
static int
render_large(struct fetching *g, const struct store_fetched *f, struct imap_fetch_one *it, struct store_body *body)
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
	if (g->f.items & IMAP_FETCH_PREVIEW_LAZY)
		g->job.items &= ~(unsigned)IMAP_FETCH_PREVIEW;
	if (g->cacheable)
		g->job.items |= IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE;
	err = work_run(g->s->c->workers, imap_fetch_render, &g->job);
	if (err == 0 && it->failed)
		err = ERR_LIMIT;
	if (err == 0)
		read_previews(g);
	if (err == 0 && g->cacheable)
		remember(g, f, it);
	return err;
}

static int
write_large(struct fetching *g, const struct store_fetched *f, struct imap_fetch_one *it, bool now_seen)
{
	struct store_body *body STORE_BODY_CLEANUP = NULL;
	struct buf of_batch = g->job.out; /* the small messages of the batch still need theirs */
	bool recalled;
	int err = 0;

	buf_init(&g->job.out, RENDERED_BYTES_MAX);
	recalled = recall(g, f, it);
	if (!recalled || g->f.sections_n > 0) {
		err = store_body_open(store_view_account(g->s->view), f->email, &body);
		if (err == 0 && g->needs_job && !recalled)
			err = render_large(g, f, it, body);
	}
	if (err == 0)
		write_message(g, it, f, SLICE_EMPTY, body, now_seen);
	buf_free(&g->job.out);
	g->job.out = of_batch;
	return err;
}

/* \Seen for those of the batch whose content is read without PEEK, before they are told. */
static int
set_seen(struct fetching *g, size_t n, bool now_seen[])
{
	static const struct store_flag_change seen = {
	    .op = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX};
	uint32_t uids[BATCH_MESSAGES];
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct store_entry e = store_view_at(g->s->view, g->items[i].seq);

		now_seen[i] = g->f.sets_seen && g->fetched[i].found && !store_view_read_only(g->s->view) &&
		    (g->s->rights & STORE_RIGHT_SEEN) != 0 && (e.flags & STORE_SEEN) == 0;
		if (now_seen[i])
			uids[count++] = e.uid;
	}
	return count == 0 ? 0 : store_flags(g->s->view, uids, count, &seen, NULL);
}

/* What has been told of the small messages of a batch, in one go. */
static void
remember_batch(struct fetching *g, size_t n)
{
	struct slice out = buf_slice(&g->job.out);
	struct store_cached v[BATCH_MESSAGES];
	size_t count = 0;
	int err;

	for (size_t i = 0; i < n; i++) {
		const struct imap_fetch_one *it = &g->items[i];
		struct slice told[IMAP_TOLD];
		struct buf BUF_CLEANUP cache;

		if (it->raw.p == NULL || it->failed)
			continue;
		for (int k = 0; k < IMAP_TOLD; k++)
			told[k] = slice_range(out, it->told[k].from, it->told[k].from + it->told[k].n);
		buf_init(&cache, RENDERED_BYTES_MAX);
		imap_cache_write(told, &cache);
		v[count] = (struct store_cached){g->fetched[i].email, arena_copy(&g->arena, buf_slice(&cache))};
		count += v[count].cache.n > 0;
	}
	err = store_caches_put(store_view_account(g->s->view), v, count);
	if (err != 0)
		LOG(g->s->c->house, DEBUG, "imap_not_remembered", LOG_S("login", g->s->c->login), LOG_E(err));
}

static int
render_batch(struct fetching *g, size_t n)
{
	bool any = false;
	size_t done;
	int err;

	for (size_t i = 0; i < n; i++) {
		struct store_fetched *f = &g->fetched[i];

		if ((g->want & STORE_WANT_UNCACHED) && f->found && f->cache.n > 0) {
			if (recall(g, f, &g->items[i]))
				continue;
			/* Kept by another version. */
			err = store_fetch(g->s->view, f, 1, (g->want | STORE_WANT_RAW) & ~(unsigned)STORE_WANT_UNCACHED,
			    &g->arena, &done);
			if (err != 0)
				return err;
		}
		if (f->found && !f->large) {
			g->items[i].raw = (g->want & (STORE_WANT_RAW | STORE_WANT_UNCACHED)) ? f->raw : f->header;
			any = true;
		}
		place_whole(g, f, &g->items[i]);
	}
	g->job.v = g->items;
	g->job.n = n;
	g->job.items = g->f.items;
	if (g->want & STORE_WANT_UNCACHED)
		g->job.items |= IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE;
	if (!any || !g->needs_job)
		return 0;
	err = work_run(g->s->c->workers, imap_fetch_render, &g->job);
	if (err == 0 && (g->want & STORE_WANT_UNCACHED))
		remember_batch(g, n);
	if (err == 0)
		read_previews(g);
	return err;
}

static int
write_batch(struct fetching *g, size_t n)
{
	bool now_seen[BATCH_MESSAGES];
	int err = render_batch(g, n);

	if (err == 0)
		err = set_seen(g, n, now_seen);
	for (size_t i = 0; i < n && err == 0 && !g->s->ended; i++) {
		struct imap_fetch_one *it = &g->items[i];

		if (!g->fetched[i].found)
			g->gone = true;
		else if (g->fetched[i].large &&
		    (g->want & (STORE_WANT_RAW | STORE_WANT_HEADER | STORE_WANT_UNCACHED)) != 0)
			err = write_large(g, &g->fetched[i], it, now_seen[i]);
		else if (it->failed)
			g->failed = true;
		else
			write_message(g, it, &g->fetched[i], it->raw, NULL, now_seen[i]);
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
		g->items[i] = (struct imap_fetch_one){
		    .seq = seqs[i], .extents = ARENA_ARRAY(&g->arena, struct imap_extent, g->f.sections_n)};
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
	struct imap_fetch_one item = {0};

	while (!g->s->ended && (item.seq = imap_iter_next(g->s, it)) != 0) {
		write_message(g, &item, NULL, SLICE_EMPTY, NULL, false);
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
fetch_answer(struct fetching *g, int err, uint32_t lowest)
{
	struct imap_session *s = g->s;

	if (s->ended)
		return;
	if (err != 0)
		imap_no_err(s, err);
	else if (g->gone)
		imap_no(s, "[EXPUNGEISSUED]", "some of the messages no longer exist");
	else if (g->unknown_cte)
		imap_no(s, "[UNKNOWN-CTE]", "a part has a transfer encoding that is not known here");
	else if (g->unreadable)
		imap_no(s, "[UNAVAILABLE]", "some of the messages cannot be read; the operator must look at it");
	else if (g->failed)
		imap_no(s, "[LIMIT]", "some of the messages are too large to be told");
	else
		imap_ok_limited(s, lowest, "");
}

static bool
parse_fetch(struct fetching *g, struct imap_lex *x, struct imap_iter *it)
{
	struct imap_session *s = g->s;

	imap_lex_messages(s, x, it);
	imap_lex_space(x);
	imap_parse_fetch(x, s->limits, &g->f);
	if (g->f.vanished && (!s->uid || !imap_is_on(s, IMAP_ON_QRESYNC)))
		imap_lex_fail(x, "VANISHED is for UID FETCH once QRESYNC is enabled");
	if (g->f.partial.given && !s->uid)
		imap_lex_fail(x, "PARTIAL is for UID FETCH");
	if (imap_bad_syntax(s, x))
		return false;
	if (s->uid && !imap_is_on(s, IMAP_ON_UIDONLY))
		g->f.items |= IMAP_FETCH_UID;
	if (g->f.items & IMAP_FETCH_MODSEQ)
		imap_condstore_on(s);
	return true;
}

static int
fetch(struct fetching *g, struct imap_iter *it)
{
	int err = 0;

	if (g->f.vanished)
		err = imap_tell_vanished_earlier(g->s, g->f.changed_since, &it->set);
	it->changed_since = g->f.changed_since;
	if (err != 0)
		return err;
	if (g->want != 0)
		return fetch_content(g, it);
	fetch_plain(g, it);
	return 0;
}

static void
fetching_init(struct fetching *g)
{
	g->job.fetch = &g->f;
	g->job.limits = g->s->limits;
	buf_init(&g->job.out, RENDERED_BYTES_MAX);
	arena_init(&g->arena, BATCH_BYTES + BATCH_MESSAGES * (g->f.sections_n + 1) * sizeof(struct imap_extent) * 2);
	plan(g);
}

static void
fetching_free(struct fetching *g)
{
	buf_free(&g->job.out);
	arena_free(&g->arena);
}

void
imap_fetch_beside(struct imap_session *s, const struct imap_fetch *f, const struct imap_sequence *uids)
{
	struct fetching *g = ARENA_NEW(&s->arena, struct fetching);
	struct imap_iter it = {.set = *uids, .uid = true, .left = SIZE_MAX};
	int err;

	if (g == NULL || s->ended || store_view_gone(s->view))
		return;
	g->s = s;
	g->f = *f;
	fetching_init(g);
	err = fetch(g, &it);
	if (err != 0)
		LOG(s->c->house, INFO, "imap_notify_fetch_failed", LOG_S("login", s->c->login), LOG_E(err));
	fetching_free(g);
}

void
imap_do_fetch(struct imap_session *s, struct imap_lex *x)
{
	struct fetching *g = ARENA_NEW(&s->arena, struct fetching);
	struct imap_iter it;
	int64_t max = s->limits->imap_messages;
	uint32_t lowest = 0;

	if (g == NULL) {
		imap_no_err(s, ERR_LIMIT);
		return;
	}
	g->s = s;
	if (!parse_fetch(g, x, &it))
		return;
	if (g->f.partial.given && (int64_t)g->f.partial.hi - g->f.partial.lo >= max) {
		imap_no(s, arena_z(&s->arena, arena_printf(&s->arena, "[MESSAGELIMIT %" PRId64 "]", max)),
		    "that is too many messages at once");
		return;
	}
	if (g->f.partial.given)
		imap_iter_partial(s, &it, &g->f.partial);
	else
		lowest = imap_iter_limit(s, &it);
	fetching_init(g);
	fetch_answer(g, fetch(g, &it), lowest);
	fetching_free(g);
}
