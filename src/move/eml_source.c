/* eml_source.c: a folder of messages in files of their own, *.eml, with folders in it. A message is known by its file's name; its date
 * is that of its Date field, or else the file's. */
#include "move/move.h"
#include "move/move_file.h"
#include "move/move_name.h"

#include "message/date.h"
#include "message/header.h"

#include <sodium.h>
#include <stdlib.h>

#define FOLDERS_MAX 100000
#define DEPTH_MAX 32
#define LIST_BYTES ((size_t)2 << 30)

struct eml_source {
	const struct limits *limits;
	char *path;
	struct arena arena; /* of the open folder */
	const char *dir;
	struct move_opened opened;
	struct move_file *v;
	size_t n, next;
	struct buf words;
};

struct listing {
	struct eml_source *s;
	struct arena *a;
	struct move_folder *v;
	size_t n, cap;
};

static int
fail(struct eml_source *s, const char *what, int err)
{
	buf_reset(&s->words);
	buf_printf(&s->words, "%s: %s", what, err_text(err));
	return ERR_DENIED;
}

static bool
is_message(const struct move_file *f)
{
	return !f->folder && slice_at(f->name, 0) != '.' && slice_iends(f->name, SLICE(".eml"));
}

static int
walk(struct listing *l, struct slice below, int depth)
{
	struct arena ARENA_CLEANUP files;
	struct move_file *v;
	struct move_folder f = {.raw = below, .name = SLICE("INBOX")}, *folders;
	const char *dir = move_file_path(l->a, l->s->path, below);
	bool any = false;
	size_t n;
	int err;

	arena_init(&files, LIST_BYTES);
	if (dir == NULL || depth > DEPTH_MAX)
		return ERR_LIMIT;
	err = move_files_list(dir, &files, &v, &n);
	for (size_t i = 0; i < n; i++)
		any = any || is_message(&v[i]);
	if (any) {
		if (below.n > 0 && move_name_read(below, '/', SLICE_EMPTY, l->s->limits, l->a, &f.name) != 0)
			f.name = SLICE_EMPTY;
		f.role = move_name_role(f.name);
		folders = arena_grow(l->a, l->v, l->n, &l->cap, sizeof(*folders), FOLDERS_MAX);
		if (folders == NULL)
			return ERR_LIMIT;
		l->v = folders;
		l->v[l->n++] = f;
	}
	for (size_t i = 0; i < n && err == 0; i++)
		if (v[i].folder && slice_at(v[i].name, 0) != '.')
			err = walk(l,
			    below.n == 0 ? arena_copy(l->a, v[i].name)
					 : arena_printf(l->a, "%.*s/%.*s", SLICE_ARG(below), SLICE_ARG(v[i].name)),
			    depth + 1);
	return err;
}

static int
eml_folders(void *of, struct arena *a, struct move_folder **v, size_t *n)
{
	struct eml_source *s = of;
	struct listing l = {.s = s, .a = a};
	int err = walk(&l, SLICE_EMPTY, 0);

	if (err == 0 && l.n == 0) {
		buf_reset(&s->words);
		buf_put_z(&s->words, "there are no files there whose names end in .eml");
		err = ERR_DENIED;
	} else if (err != 0) {
		err = fail(s, "the folder cannot be read", err);
	}
	*v = l.v;
	*n = l.n;
	return err;
}

static int
eml_open(void *of, const struct move_folder *f, struct move_opened *o)
{
	struct eml_source *s = of;
	int err;

	arena_free(&s->arena);
	arena_init(&s->arena, LIST_BYTES);
	s->next = 0;
	s->dir = f->raw.n == 0 ? s->path : move_file_path(&s->arena, s->path, f->raw);
	err = s->dir == NULL ? ERR_LIMIT : move_files_list(s->dir, &s->arena, &s->v, &s->n);
	if (err != 0)
		return fail(s, "the folder cannot be read", err);
	s->opened = (struct move_opened){0};
	move_source_id(s->opened.source, SLICE_LIST(SLICE("eml"), slice_z(s->path), f->raw));
	*o = s->opened;
	return 0;
}

/* The date of the header, if it has one. */
static int64_t
date_of(struct eml_source *s, const struct move_file *f)
{
	struct arena ARENA_CLEANUP a;
	struct header_field field;
	struct message_date d;
	struct move_lines l;
	struct slice piece;
	struct buf BUF_CLEANUP head;
	struct header_iter it;
	const char *path;
	bool first;

	arena_init(&a, 65536);
	buf_init(&head, 131072);
	path = move_file_path(&a, s->dir, f->name);
	if (path == NULL || move_lines_open(&l, path) != 0)
		return f->mtime_s;
	while (head.n < 65536 && move_lines_next(&l, &piece, &first) && slice_trim(piece).n > 0)
		buf_put(&head, piece);
	move_lines_close(&l);
	it = header_iter_of(buf_slice(&head), head.n);
	while (header_next(&it, &field))
		if (slice_ieq(field.name, SLICE("Date")) && date_parse(field.value, &d) == 0)
			return d.epoch_s;
	return f->mtime_s;
}

static int
eml_next(void *of, struct arena *a, struct move_message *v, size_t *n, size_t *lost)
{
	struct eml_source *s = of;

	*n = *lost = 0;
	for (; s->next < s->n && *n < MOVE_BATCH; s->next++) {
		const struct move_file *f = &s->v[s->next];
		uint8_t hash[32];

		if (!is_message(f))
			continue;
		(void)crypto_hash_sha256(hash, f->name.p, f->name.n);
		v[*n] = (struct move_message){
		    .number = move_number_of(hash), .internal_s = date_of(s, f), .file = arena_copy(a, f->name)};
		memcpy(v[*n].source, s->opened.source, sizeof(v->source));
		++*n;
	}
	return arena_failed(a) ? ERR_LIMIT : 0;
}

static int
eml_bodies(void *of, const struct move_message *v, size_t n, struct move_body *b, move_take_fn *take, void *arg)
{
	struct eml_source *s = of;
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

static int
eml_begin(void *of)
{
	(void)of;
	return 0;
}

static void
eml_end(void *of)
{
	(void)of;
}

static struct slice
eml_words(void *of)
{
	return buf_slice(&((struct eml_source *)of)->words);
}

static void
eml_free(void *of)
{
	struct eml_source *s = of;

	arena_free(&s->arena);
	buf_free(&s->words);
	free(s->path);
	free(s);
}

int
move_eml_source(
    const struct limits *limits, const char *path, const struct move_scratch *scratch, struct move_source *out)
{
	struct eml_source *s = calloc(1, sizeof(*s));

	(void)scratch; /* its files are read in place */
	if (s == NULL)
		return ERR_NOMEM;
	s->limits = limits;
	arena_init(&s->arena, LIST_BYTES);
	buf_init(&s->words, 4096);
	s->path = move_file_root(path);
	*out = (struct move_source){.of = s,
	    .begin = eml_begin,
	    .folders = eml_folders,
	    .open = eml_open,
	    .next = eml_next,
	    .bodies = eml_bodies,
	    .words = eml_words,
	    .end = eml_end,
	    .free = eml_free};
	return s->path == NULL ? ERR_NOMEM : 0;
}
