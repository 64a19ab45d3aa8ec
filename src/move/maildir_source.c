/* maildir_source.c: mail in a Maildir, with its subfolders (Maildir++, or folders within folders). Where Dovecot has left its list of UIDs
 * they are kept. A message is known by what stays of its file's name when its flags change. */
#include "move/maildir_name.h"
#include "move/move.h"
#include "move/move_file.h"
#include "move/move_name.h"

#include <sodium.h>
#include <stdlib.h>

#define FOLDERS_MAX 100000
#define DEPTH_MAX 32
#define LIST_BYTES ((size_t)2 << 30)
#define TEXT_BYTES ((size_t)1 << 20)
#define KEYWORDS 26

struct entry {
	struct slice file; /* "cur/…" */
	struct maildir_name name;
	int64_t mtime_s;
	uint32_t uid;
};

struct maildir_source {
	const struct limits *limits;
	char *path;
	struct arena arena; /* of the open folder */
	const char *dir;
	struct move_opened opened;
	struct entry *v;
	size_t n, next;
	struct slice keywords[KEYWORDS];
	struct buf words;
};

static int
fail(struct maildir_source *s, const char *what, int err)
{
	buf_reset(&s->words);
	buf_printf(&s->words, "%s: %s", what, err_text(err));
	return ERR_DENIED;
}

/* ---- folders --------------------------------------------------------------------------------------------------------- */

struct listing {
	struct maildir_source *s;
	struct arena *a;
	struct move_folder *v;
	size_t n, cap;
	struct buf subscriptions;
};

static bool
is_subscribed(const struct listing *l, struct slice name)
{
	for (struct slice rest = buf_slice(&l->subscriptions); rest.n > 0;) {
		struct slice line = slice_cut(&rest, '\n');

		if (slice_eq(line, name) ||
		    (slice_istarts(line, SLICE("INBOX.")) && slice_eq(slice_from(line, 6), name)))
			return true;
	}
	return false;
}

/* raw: the folder below the root, "" for the root itself; spelled: its name with `delimiter` between levels. */
static int
add_folder(struct listing *l, struct slice raw, struct slice spelled, uint8_t delimiter)
{
	struct move_folder f = {.raw = raw}, *v;

	if (spelled.n == 0)
		f.name = SLICE("INBOX");
	else if (move_name_read(spelled, delimiter, SLICE_EMPTY, l->s->limits, l->a, &f.name) != 0)
		f.name = SLICE_EMPTY;
	f.role = move_name_role(f.name);
	f.subscribed = spelled.n > 0 && is_subscribed(l, spelled);
	v = arena_grow(l->a, l->v, l->n, &l->cap, sizeof(*v), FOLDERS_MAX);
	if (v == NULL)
		return ERR_LIMIT;
	l->v = v;
	l->v[l->n++] = f;
	return 0;
}

static bool
is_maildir(const char *path)
{
	return move_file_is_folder(path, "cur") || move_file_is_folder(path, "new");
}

/* The folders in `below` ("" or "a/b"). */
static int
walk(struct listing *l, struct slice below, int depth)
{
	struct arena ARENA_CLEANUP files;
	struct move_file *v;
	const char *dir = move_file_path(l->a, l->s->path, below);
	size_t n;
	int err;

	arena_init(&files, (size_t)64 << 20);
	if (dir == NULL || depth > DEPTH_MAX)
		return ERR_LIMIT;
	err = move_files_list(dir, &files, &v, &n);
	for (size_t i = 0; i < n && err == 0; i++) {
		struct slice raw = below.n == 0
		    ? arena_copy(l->a, v[i].name)
		    : arena_printf(l->a, "%.*s/%.*s", SLICE_ARG(below), SLICE_ARG(v[i].name));
		bool dotted = slice_at(v[i].name, 0) == '.';
		const char *path = move_file_path(l->a, l->s->path, raw);

		if (path == NULL)
			return ERR_LIMIT;
		if (!v[i].folder || slice_eq(v[i].name, SLICE("cur")) || slice_eq(v[i].name, SLICE("new")) ||
		    slice_eq(v[i].name, SLICE("tmp")))
			continue;
		if (dotted && below.n == 0 && is_maildir(path))
			err = add_folder(l, raw, slice_from(raw, 1), '.');
		else if (!dotted && is_maildir(path))
			err = add_folder(l, raw, raw, '/');
		if (err == 0 && !dotted)
			err = walk(l, raw, depth + 1);
	}
	return err;
}

static int
maildir_folders(void *of, struct arena *a, struct move_folder **v, size_t *n)
{
	struct maildir_source *s = of;
	struct listing l = {.s = s, .a = a};
	const char *subscriptions = move_file_path(a, s->path, SLICE("subscriptions"));
	int err = 0;

	buf_init(&l.subscriptions, TEXT_BYTES + 65536);
	if (subscriptions == NULL || move_file_text(subscriptions, TEXT_BYTES, &l.subscriptions) != 0)
		buf_reset(&l.subscriptions);
	if (is_maildir(s->path))
		err = add_folder(&l, SLICE_EMPTY, SLICE_EMPTY, 0);
	if (err == 0)
		err = walk(&l, SLICE_EMPTY, 0);
	if (err == 0 && l.n == 0) {
		buf_reset(&s->words);
		buf_put_z(&s->words, "there is no Maildir there: no folder with cur or new in it");
		err = ERR_DENIED;
	} else if (err != 0) {
		err = fail(s, "the folder cannot be read", err);
	}
	buf_free(&l.subscriptions);
	*v = l.v;
	*n = l.n;
	return err;
}

/* ---- a folder ---------------------------------------------------------------------------------------------------------- */

static int
list_part(struct maildir_source *s, const char *part, size_t *cap)
{
	const char *dir = move_file_path(&s->arena, s->dir, slice_z(part));
	struct move_file *files;
	size_t n;
	int err = dir == NULL ? ERR_LIMIT : move_files_list(dir, &s->arena, &files, &n);

	if (err == ERR_NOTFOUND)
		return 0;
	for (size_t i = 0; i < n && err == 0; i++) {
		struct entry *v;

		if (files[i].folder || slice_at(files[i].name, 0) == '.')
			continue;
		v = arena_grow(&s->arena, s->v, s->n, cap, sizeof(*v), MOVE_FILES_MAX);
		if (v == NULL)
			return ERR_LIMIT;
		s->v = v;
		v = &s->v[s->n++];
		*v = (struct entry){.file = arena_printf(&s->arena, "%s/%.*s", part, SLICE_ARG(files[i].name)),
		    .mtime_s = files[i].mtime_s};
		maildir_name_parse(files[i].name, &v->name);
		err = arena_failed(&s->arena) ? ERR_LIMIT : 0;
	}
	return err;
}

static int
by_base(const void *a, const void *b)
{
	return slice_cmp(((const struct entry *)a)->name.base, ((const struct entry *)b)->name.base);
}

/* With UIDs first, in their order; the others as they came. */
static int
by_age(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;

	if (a->uid != b->uid)
		return a->uid == 0 ? 1 : b->uid == 0 ? -1 : a->uid < b->uid ? -1 : 1;
	if (a->mtime_s != b->mtime_s)
		return a->mtime_s < b->mtime_s ? -1 : 1;
	return by_base(x, y);
}

static struct entry *
find(struct maildir_source *s, struct slice base)
{
	struct entry key = {.name = {.base = base}};

	return s->n == 0 ? NULL : bsearch(&key, s->v, s->n, sizeof(*s->v), by_base);
}

static void
read_uids(struct maildir_source *s)
{
	const char *path = move_file_path(&s->arena, s->dir, SLICE("dovecot-uidlist"));
	struct move_lines l;
	struct slice line, base;
	uint32_t uid, last = 0;
	bool first, head = true;

	if (path == NULL || move_lines_open(&l, path) != 0)
		return;
	while (move_lines_next(&l, &line, &first)) {
		line = slice_trim(line);
		if (head && !maildir_uidlist_head(line, &s->opened.uidvalidity, &s->opened.uidnext))
			break;
		if (!head && first && maildir_uidlist_line(line, &uid, &base) && uid > last &&
		    uid < s->opened.uidnext) {
			struct entry *e = find(s, base);

			if (e != NULL && e->uid == 0)
				e->uid = uid;
			last = uid;
		}
		head = false;
	}
	move_lines_close(&l);
}

/* "0 NonJunk" */
static void
read_keywords(struct maildir_source *s)
{
	const char *path = move_file_path(&s->arena, s->dir, SLICE("dovecot-keywords"));
	struct buf BUF_CLEANUP text;
	uint64_t n;

	memset(s->keywords, 0, sizeof(s->keywords));
	buf_init(&text, TEXT_BYTES + 65536);
	if (path == NULL || move_file_text(path, TEXT_BYTES, &text) != 0)
		return;
	for (struct slice rest = buf_slice(&text); rest.n > 0;) {
		struct slice line = slice_trim(slice_cut(&rest, '\n'));

		if (slice_to_u64(slice_cut(&line, ' '), KEYWORDS - 1, &n) == 0 && store_keyword_valid(s->limits, line))
			s->keywords[n] = arena_copy(&s->arena, line);
	}
}

static int
maildir_open(void *of, const struct move_folder *f, struct move_opened *o)
{
	struct maildir_source *s = of;
	size_t cap = 0;
	int err;

	arena_free(&s->arena);
	arena_init(&s->arena, LIST_BYTES);
	s->opened = (struct move_opened){0};
	s->v = NULL;
	s->n = s->next = 0;
	s->dir = f->raw.n == 0 ? s->path : move_file_path(&s->arena, s->path, f->raw);
	if (s->dir == NULL)
		return fail(s, "the name is too long", ERR_LIMIT);
	if ((err = list_part(s, "cur", &cap)) != 0 || (err = list_part(s, "new", &cap)) != 0)
		return fail(s, "the folder cannot be read", err);
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_base);
	read_uids(s);
	read_keywords(s);
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_age);
	move_source_id(s->opened.source, SLICE_LIST(SLICE("maildir"), slice_z(s->path), f->raw));
	*o = s->opened;
	return 0;
}

static int
set_message(struct maildir_source *s, const struct entry *e, struct arena *a, struct move_message *m)
{
	struct slice *keywords = ARENA_ARRAY(a, struct slice, KEYWORDS + 1);
	bool forwarded = e->name.forwarded;
	size_t n = 0;
	uint8_t hash[32];

	if (keywords == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < KEYWORDS; i++)
		if ((e->name.keywords & 1u << i) != 0 && s->keywords[i].n > 0) {
			keywords[n++] = s->keywords[i];
			forwarded = forwarded && !slice_ieq(s->keywords[i], SLICE("$Forwarded"));
		}
	if (forwarded)
		keywords[n++] = SLICE("$Forwarded");
	(void)crypto_hash_sha256(hash, e->name.base.p, e->name.base.n);
	*m = (struct move_message){.number = move_number_of(hash),
	    .uid = e->uid,
	    .flags = e->name.flags,
	    .keywords = {keywords, n},
	    .internal_s = e->mtime_s,
	    .file = e->file};
	memcpy(m->source, s->opened.source, sizeof(m->source));
	return 0;
}

static int
maildir_next(void *of, struct arena *a, struct move_message *v, size_t *n, size_t *lost)
{
	struct maildir_source *s = of;
	int err = 0;

	*n = *lost = 0;
	for (; s->next < s->n && *n < MOVE_BATCH && err == 0; s->next++)
		err = set_message(s, &s->v[s->next], a, &v[(*n)++]);
	return err;
}

static int
maildir_bodies(void *of, const struct move_message *v, size_t n, struct move_body *b, move_take_fn *take, void *arg)
{
	struct maildir_source *s = of;
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++) {
		struct arena ARENA_CLEANUP a;
		const char *path;

		arena_init(&a, 65536);
		path = move_file_path(&a, s->dir, v[i].file);
		err = path == NULL ? ERR_LIMIT : move_file_read(path, (uint64_t)s->limits->smtp_message_bytes, b);
		if (err == 0 || err == ERR_LIMIT) {
			b->err = err;
			err = take(arg, i, b);
		} else if (n == 1) {
			return fail(s, "the file cannot be read", err);
		} else {
			err = 0; /* asked for by itself it says why */
		}
	}
	return err;
}

/* ---- the source ----------------------------------------------------------------------------------------------------------- */

static int
maildir_begin(void *of)
{
	(void)of;
	return 0;
}

static void
maildir_end(void *of)
{
	(void)of;
}

static struct slice
maildir_words(void *of)
{
	return buf_slice(&((struct maildir_source *)of)->words);
}

static void
maildir_free(void *of)
{
	struct maildir_source *s = of;

	arena_free(&s->arena);
	buf_free(&s->words);
	free(s->path);
	free(s);
}

int
move_maildir_source(
    const struct limits *limits, const char *path, const struct move_scratch *scratch, struct move_source *out)
{
	struct maildir_source *s = calloc(1, sizeof(*s));

	(void)scratch; /* its files are read in place */
	if (s == NULL)
		return ERR_NOMEM;
	s->limits = limits;
	arena_init(&s->arena, LIST_BYTES);
	buf_init(&s->words, 4096);
	s->path = move_file_root(path);
	*out = (struct move_source){.of = s,
	    .begin = maildir_begin,
	    .folders = maildir_folders,
	    .open = maildir_open,
	    .next = maildir_next,
	    .bodies = maildir_bodies,
	    .words = maildir_words,
	    .end = maildir_end,
	    .free = maildir_free};
	return s->path == NULL ? ERR_NOMEM : 0;
}
