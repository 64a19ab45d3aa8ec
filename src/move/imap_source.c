/* imap_source.c: another server's mail over IMAP, or an account's own, which its desk serves in the same way. Messages are listed by sequence numbers, a few hundred at a time, so that a
 * folder of any size costs the same memory; they are known by their UIDs. A UID that is told twice, or out of order, is none:
 * such messages are known by what they contain. */
#include "move/move.h"
#include "move/move_name.h"

#include "base/err.h"

#include <sodium.h>
#include <stdlib.h>

#define FOLDERS_MAX 100000

struct imap_source {
	struct loop *loop;
	const struct limits *limits;
	const struct move_server *server; /* NULL: … */
	const struct move_account *account;
	const struct move_scratch *scratch;
	struct move_client c;
	bool open;
	struct slice prefix; /* of the personal namespace */
	uint8_t delimiter;
	struct arena names; /* prefix */
	struct slice raw;   /* of the open folder; in `names` */
	struct move_opened opened;
	uint32_t position; /* messages up to this sequence number have been told */
	uint32_t exists, last_uid;
	struct buf why;
};

/* ---- folders --------------------------------------------------------------------------------------------------- */

struct listing {
	struct imap_source *s;
	struct arena *a;
	struct move_folder *v;
	size_t n, cap;
	bool subscribed_only, any_role;
};

static int
on_namespace(void *arg, const struct move_answer *a)
{
	struct imap_source *s = arg;

	if (a->kind != MOVE_ANSWER_NAMESPACE)
		return 0;
	s->prefix = arena_copy(&s->names, a->name);
	s->delimiter = a->delimiter;
	return arena_failed(&s->names) ? ERR_LIMIT : 0;
}

static int
on_list(void *arg, const struct move_answer *a)
{
	struct listing *l = arg;
	struct move_folder *v;
	struct move_folder f = {.role = a->role};

	if (a->kind == MOVE_ANSWER_LSUB) {
		for (size_t i = 0; i < l->n; i++)
			if (slice_eq(l->v[i].raw, a->name))
				l->v[i].subscribed = true;
		return 0;
	}
	if (a->kind != MOVE_ANSWER_LIST || !a->selectable)
		return 0;
	for (size_t i = 0; i < l->n; i++)
		if (slice_eq(l->v[i].raw, a->name))
			return 0;
	l->s->delimiter = a->delimiter;
	f.raw = arena_copy(l->a, a->name);
	if (move_name_read(a->name, a->delimiter, l->s->prefix, l->s->limits, l->a, &f.name) != 0)
		f.name = SLICE_EMPTY; /* none that we can have: told by whoever goes through the list */
	l->any_role = l->any_role || f.role != STORE_ROLE_NONE;
	v = arena_grow(l->a, l->v, l->n, &l->cap, sizeof(*v), FOLDERS_MAX);
	if (v == NULL || arena_failed(l->a))
		return ERR_LIMIT;
	l->v = v;
	l->v[l->n++] = f;
	return 0;
}

/* Where the server tells no roles, names do; the first of each wins. */
static void
guess_roles(struct listing *l)
{
	unsigned had = 0;

	for (size_t i = 0; i < l->n && !l->any_role; i++) {
		enum store_role role = move_name_role(l->v[i].name);

		if (role == STORE_ROLE_NONE || (had & 1u << role) != 0)
			continue;
		had |= 1u << role;
		l->v[i].role = role;
	}
}

static int
imap_folders(void *of, struct arena *a, struct move_folder **v, size_t *n)
{
	struct imap_source *s = of;
	struct listing l = {.s = s, .a = a};
	int err = move_client_command(&s->c, "NAMESPACE", on_namespace, s);

	if (err != 0 && err != ERR_DENIED)
		return err;
	err = move_client_command(
	    &s->c, s->c.special_use ? "LIST \"\" \"*\" RETURN (SPECIAL-USE)" : "LIST \"\" \"*\"", on_list, &l);
	if (err == ERR_DENIED && s->c.special_use)
		err = move_client_command(&s->c, "LIST \"\" \"*\"", on_list, &l);
	if (err == 0 && (err = move_client_command(&s->c, "LSUB \"\" \"*\"", on_list, &l)) == ERR_DENIED)
		err = 0;
	guess_roles(&l);
	*v = l.v;
	*n = l.n;
	return err;
}

/* ---- a folder ---------------------------------------------------------------------------------------------------- */

/* What may come with any command. */
static void
note_changes(struct imap_source *s, const struct move_answer *a)
{
	if (a->kind == MOVE_ANSWER_EXISTS) {
		s->exists = a->number;
	} else if (a->kind == MOVE_ANSWER_EXPUNGE && a->number > 0) {
		if (a->number <= s->position)
			s->position--;
		if (s->exists > 0)
			s->exists--;
	}
}

static int
on_examine(void *arg, const struct move_answer *a)
{
	struct imap_source *s = arg;

	note_changes(s, a);
	(void)move_answer_code_number(a->code, SLICE("UIDVALIDITY"), &s->opened.uidvalidity);
	(void)move_answer_code_number(a->code, SLICE("UIDNEXT"), &s->opened.uidnext);
	(void)move_answer_code_number64(a->code, SLICE("HIGHESTMODSEQ"), &s->opened.modseq);
	return 0;
}

static int
imap_open(void *of, const struct move_folder *f, struct move_opened *o)
{
	struct imap_source *s = of;
	char number[24];
	int err;

	s->opened = (struct move_opened){.complete = true};
	s->position = s->exists = s->last_uid = 0;
	err = move_client_begin(&s->c, "EXAMINE ");
	if (err == 0)
		err = move_client_string(&s->c, f->raw);
	if (err == 0)
		err = move_client_run(&s->c, on_examine, s);
	if (err != 0)
		return err;
	(void)snprintf(number, sizeof(number), "%u", s->opened.uidvalidity);
	move_source_id(s->opened.source,
	    s->server == NULL ? SLICE_LIST(SLICE("house"), f->raw, slice_z(number))
			      : SLICE_LIST(SLICE("imap"), s->server->host, s->server->user, f->raw, slice_z(number)));
	*o = s->opened;
	return 0;
}

/* ---- listing ------------------------------------------------------------------------------------------------------- */

uint64_t
move_print(const struct move_answer *a)
{
	crypto_hash_sha256_state h;
	int64_t date = a->has_date ? a->internal_s : 0, size = a->size;
	struct slice id = slice_trim(a->other);
	size_t colon = slice_find_byte(id, ':');
	uint8_t hash[32];

	id = colon == SLICE_NONE ? SLICE_EMPTY : slice_trim(slice_from(id, colon + 1));
	(void)crypto_hash_sha256_init(&h);
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)&date, sizeof(date));
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)&size, sizeof(size));
	(void)crypto_hash_sha256_update(&h, id.p, id.n);
	(void)crypto_hash_sha256_final(&h, hash);
	return (uint64_t)move_number_of(hash);
}

struct batch {
	struct imap_source *s;
	struct arena *a;
	struct move_message *v; /* v[i] is that of the sequence number first + i; number 0: not told */
	uint32_t first;
	size_t n;
};

static int
on_message(void *arg, const struct move_answer *a)
{
	struct batch *b = arg;
	struct move_message *m;
	struct slice *keywords;

	if (a->kind != MOVE_ANSWER_FETCH) {
		note_changes(b->s, a);
		return 0;
	}
	if (!a->has_uid || !a->has_flags || a->number < b->first || a->number - b->first >= b->n)
		return 0;
	m = &b->v[a->number - b->first];
	if (m->number != 0)
		return 0;
	keywords = ARENA_ARRAY(b->a, struct slice, a->keywords.n + 1);
	if (keywords == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < a->keywords.n; i++)
		keywords[i] = arena_copy(b->a, a->keywords.v[i]);
	*m = (struct move_message){.number = a->uid,
	    .uid = a->uid,
	    .flags = a->flags,
	    .keywords = {keywords, a->keywords.n},
	    .internal_s = a->has_date ? a->internal_s : INT64_MIN,
	    .size = a->size,
	    .print = b->s->server == NULL ? move_print(a) : 0,
	    .place = a->number};
	memcpy(m->source, b->s->opened.source, sizeof(m->source));
	return arena_failed(b->a) ? ERR_LIMIT : 0;
}

static int
take_hash(void *arg, size_t i, struct move_body *b)
{
	struct move_message *m = arg;
	uint8_t hash[32];
	int err = b->err != 0 ? b->err : move_body_hash(b, hash);

	(void)i;
	if (err == 0)
		m->number = move_number_of(hash);
	return 0;
}

static int imap_bodies(
    void *of, const struct move_message *v, size_t n, struct move_body *b, move_take_fn *take, void *arg);

/* A message whose UID is another's too. */
static int
name_by_content(struct imap_source *s, struct move_message *m)
{
	struct move_body b MOVE_BODY_CLEANUP;
	int err;

	m->uid = 0;
	m->number = 0;
	move_source_id(m->source, SLICE_LIST(SLICE("content"), slice_of(s->opened.source, MOVE_SOURCE_BYTES)));
	move_body_init(&b, s->scratch);
	err = imap_bodies(s, m, 1, &b, take_hash, m);
	return err == ERR_DENIED ? 0 : err;
}

/* Leaves out what was not told. */
static int
sort_out(struct imap_source *s, struct move_message *v, size_t told, size_t *n, size_t *lost)
{
	size_t kept = 0;

	for (size_t i = 0; i < told; i++) {
		struct move_message m = v[i];

		if (m.number != 0 && m.uid <= s->last_uid) {
			int err = name_by_content(s, &m);

			if (err != 0)
				return err;
		} else if (m.number != 0) {
			s->last_uid = m.uid;
		}
		if (m.number == 0)
			++*lost;
		else
			v[kept++] = m;
	}
	*n = kept;
	return 0;
}

static int
imap_next(void *of, struct arena *a, struct move_message *v, size_t *n, size_t *lost)
{
	struct imap_source *s = of;

	*n = *lost = 0;
	while (*n == 0 && *lost == 0 && s->position < s->exists) {
		uint32_t left = s->exists - s->position;
		struct batch b = {s, a, v, s->position + 1, left < MOVE_BATCH ? left : MOVE_BATCH};
		int err;

		memset(v, 0, b.n * sizeof(*v));
		err = move_client_begin(&s->c, "FETCH %u:%u (UID FLAGS INTERNALDATE RFC822.SIZE%s)", b.first,
		    b.first + (uint32_t)b.n - 1, s->server == NULL ? " " MOVE_PRINT_ITEM : "");
		if (err == 0)
			err = move_client_run(&s->c, on_message, &b);
		if (err != 0)
			return err;
		s->position += (uint32_t)b.n;
		if ((err = sort_out(s, v, b.n, n, lost)) != 0)
			return err;
	}
	return 0;
}

/* ---- bodies ---------------------------------------------------------------------------------------------------------- */

struct reading {
	struct imap_source *s;
	const struct move_message *v;
	size_t n, at;
	struct move_body *b;
	move_take_fn *take;
	void *arg;
};

static bool
is_it(const struct move_message *m, const struct move_answer *a)
{
	return m->uid != 0 ? a->has_uid && a->uid == m->uid : a->number == m->place;
}

static int
on_body(void *arg, const struct move_answer *a)
{
	struct reading *r = arg;

	if (a->kind != MOVE_ANSWER_FETCH) {
		note_changes(r->s, a);
		return 0;
	}
	if (!a->has_body && !r->s->c.sunk)
		return 0;
	if (!r->s->c.sunk) { /* a short one, as a quoted string */
		move_body_reset(r->b);
		move_body_put(r->b, a->body);
	}
	for (size_t k = 0; k < r->n; k++) {
		size_t i = (r->at + k) % r->n;

		if (is_it(&r->v[i], a)) {
			r->at = i + 1;
			return r->take(r->arg, i, r->b);
		}
	}
	return 0;
}

static int
ask_bodies(struct imap_source *s, const struct move_message *v, size_t n)
{
	struct buf BUF_CLEANUP set;

	buf_init(&set, 16384);
	if (v->uid == 0) {
		buf_printf(&set, "FETCH %llu (BODY.PEEK[])", (unsigned long long)v->place);
	} else {
		buf_put_z(&set, "UID FETCH ");
		for (size_t i = 0; i < n; i++)
			buf_printf(&set, i == 0 ? "%u" : ",%u", v[i].uid);
		buf_put_z(&set, " (UID BODY.PEEK[])");
	}
	if (set.err != 0)
		return set.err;
	if (move_client_begin(&s->c, "%s", "") != 0)
		return ERR_CLOSED;
	return move_client_put(&s->c, buf_slice(&set));
}

static int
imap_bodies(void *of, const struct move_message *v, size_t n, struct move_body *b, move_take_fn *take, void *arg)
{
	struct imap_source *s = of;
	int err = 0;

	for (size_t i = 0; i < n && err == 0;) {
		struct reading r = {.s = s, .v = v + i, .n = 1, .b = b, .take = take, .arg = arg};
		size_t run = 1;

		/* The indexes that take() is told are of all of them: one run is all, but for messages without a UID. */
		while (v[i].uid != 0 && i == 0 && run < n && v[run].uid != 0)
			run++;
		r.n = run;
		if (i > 0) {
			r.v = v;
			r.n = i + 1;
			r.at = i;
		}
		s->c.sink = b;
		err = ask_bodies(s, v + i, run);
		if (err == 0)
			err = move_client_run(&s->c, on_body, &r);
		s->c.sink = NULL;
		i += run;
	}
	return err;
}

/* ---- the source --------------------------------------------------------------------------------------------------------- */

static void
imap_end(void *of)
{
	struct imap_source *s = of;

	if (!s->open)
		return;
	buf_reset(&s->why);
	buf_put(&s->why, buf_slice(&s->c.words));
	move_client_close(&s->c);
	s->open = false;
}

static int
begin_account(struct imap_source *s)
{
	int fd = -1, err = s->account->connect(s->account->arg, &fd);

	if (err != 0) {
		s->open = false;
		return err;
	}
	return move_client_adopt(&s->c, s->loop, s->limits, fd);
}

static int
imap_begin(void *of)
{
	struct imap_source *s = of;

	imap_end(s);
	arena_reset(&s->names);
	s->prefix = SLICE_EMPTY;
	s->open = true;
	if (s->server != NULL)
		return move_client_open(&s->c, s->loop, s->limits, s->server);
	return begin_account(s);
}

static struct slice
imap_words(void *of)
{
	struct imap_source *s = of;

	return s->open ? buf_slice(&s->c.words) : buf_slice(&s->why);
}

static void
imap_free(void *of)
{
	struct imap_source *s = of;

	imap_end(s);
	arena_free(&s->names);
	buf_free(&s->why);
	free(s);
}

static int
new_source(struct loop *l, const struct limits *limits, const struct move_server *server,
    const struct move_account *account, const struct move_scratch *scratch, struct move_source *out)
{
	struct imap_source *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ERR_NOMEM;
	s->loop = l;
	s->limits = limits;
	s->server = server;
	s->account = account;
	s->scratch = scratch;
	arena_init(&s->names, 1u << 20);
	buf_init(&s->why, 2048);
	*out = (struct move_source){.of = s,
	    .begin = imap_begin,
	    .folders = imap_folders,
	    .open = imap_open,
	    .next = imap_next,
	    .bodies = imap_bodies,
	    .words = imap_words,
	    .end = imap_end,
	    .free = imap_free};
	return 0;
}

int
move_imap_source(struct loop *l, const struct limits *limits, const struct move_server *server,
    const struct move_scratch *scratch, struct move_source *out)
{
	return new_source(l, limits, server, NULL, scratch, out);
}

int
move_house_source(struct loop *l, const struct limits *limits, const struct move_account *account,
    const struct move_scratch *scratch, struct move_source *out)
{
	return new_source(l, limits, NULL, account, scratch, out);
}
