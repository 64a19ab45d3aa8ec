/* mbox_source.c: mail in an mbox file, or in a folder of them (NAME or NAME.mbox; Thunderbird's NAME.sbd has what is below NAME). Messages have no names there: they
 * are known by what they contain, so that one that stands in a file twice comes once. */
#include "move/mbox.h"
#include "move/move.h"
#include "move/move_file.h"
#include "move/move_name.h"

#include <stdlib.h>

#define FOLDERS_MAX 100000
#define DEPTH_MAX 32
#define KEYWORDS_BYTES 65536

struct mbox_source {
	const struct limits *limits;
	char *path;
	struct arena arena; /* of the open folder */
	struct move_lines lines;
	bool open;
	struct move_opened opened;
	struct move_body body;
	struct buf words;
};

struct listing {
	struct mbox_source *s;
	struct arena *a;
	struct move_folder *v;
	size_t n, cap;
};

static int
fail(struct mbox_source *s, const char *what, int err)
{
	buf_reset(&s->words);
	buf_printf(&s->words, "%s: %s", what, err_text(err));
	return ERR_DENIED;
}

static bool
is_mbox(const char *path)
{
	struct move_lines l;
	struct slice piece;
	int64_t ignored;
	bool first, is;

	if (move_lines_open(&l, path) != 0)
		return false;
	is = move_lines_next(&l, &piece, &first) && mbox_begins(piece, move_lines_peek(&l), &ignored);
	move_lines_close(&l);
	return is;
}

static int
add_folder(struct listing *l, struct slice raw, struct slice spelled)
{
	struct move_folder f = {.raw = raw, .name = SLICE("INBOX")}, *v;

	if (spelled.n > 0 && move_name_read(spelled, '/', SLICE_EMPTY, l->s->limits, l->a, &f.name) != 0)
		f.name = SLICE_EMPTY;
	f.role = move_name_role(f.name);
	v = arena_grow(l->a, l->v, l->n, &l->cap, sizeof(*v), FOLDERS_MAX);
	if (v == NULL)
		return ERR_LIMIT;
	l->v = v;
	l->v[l->n++] = f;
	return 0;
}

static struct slice
join(struct arena *a, struct slice below, struct slice name)
{
	return below.n == 0 ? arena_copy(a, name) : arena_printf(a, "%.*s/%.*s", SLICE_ARG(below), SLICE_ARG(name));
}

static int
walk(struct listing *l, struct slice below, struct slice spelled, int depth)
{
	struct arena ARENA_CLEANUP files;
	struct move_file *v;
	const char *dir = move_file_path(l->a, l->s->path, below);
	size_t n;
	int err;

	arena_init(&files, (size_t)256 << 20);
	if (dir == NULL || depth > DEPTH_MAX)
		return ERR_LIMIT;
	err = move_files_list(dir, &files, &v, &n);
	for (size_t i = 0; i < n && err == 0; i++) {
		struct slice raw = join(l->a, below, v[i].name), level = v[i].name;
		const char *path = move_file_path(l->a, l->s->path, raw);

		if (path == NULL)
			return ERR_LIMIT;
		if (slice_at(v[i].name, 0) == '.')
			continue;
		if (v[i].folder ? slice_iends(level, SLICE(".sbd")) : slice_iends(level, SLICE(".mbox")))
			level = slice_head(level, slice_rfind_byte(level, '.'));
		if (v[i].folder)
			err = walk(l, raw, join(l->a, spelled, level), depth + 1);
		else if (is_mbox(path))
			err = add_folder(l, raw, join(l->a, spelled, level));
	}
	return err;
}

static int
mbox_folders(void *of, struct arena *a, struct move_folder **v, size_t *n)
{
	struct mbox_source *s = of;
	struct listing l = {.s = s, .a = a};
	int err = is_mbox(s->path) ? add_folder(&l, SLICE_EMPTY, SLICE_EMPTY) : walk(&l, SLICE_EMPTY, SLICE_EMPTY, 0);

	if (err == 0 && l.n == 0) {
		buf_reset(&s->words);
		buf_put_z(&s->words, "there is no mbox file there: none begins with a line \"From sender date\"");
		err = ERR_DENIED;
	} else if (err != 0) {
		err = fail(s, "the file cannot be read", err);
	}
	*v = l.v;
	*n = l.n;
	return err;
}

static void
mbox_end(void *of)
{
	struct mbox_source *s = of;

	if (s->open)
		move_lines_close(&s->lines);
	s->open = false;
}

static int
mbox_open(void *of, const struct move_folder *f, struct move_opened *o)
{
	struct mbox_source *s = of;
	const char *path;
	int err;

	mbox_end(s);
	arena_reset(&s->arena);
	path = f->raw.n == 0 ? s->path : move_file_path(&s->arena, s->path, f->raw);
	err = path == NULL ? ERR_LIMIT : move_lines_open(&s->lines, path);
	if (err != 0)
		return fail(s, "the file cannot be read", err);
	s->open = true;
	s->opened = (struct move_opened){0};
	move_source_id(s->opened.source, SLICE_LIST(SLICE("mbox"), slice_z(s->path), f->raw));
	*o = s->opened;
	return 0;
}

static int
set_message(struct mbox_source *s, struct mbox_message *in, struct arena *a, struct move_message *out)
{
	struct slice rest = slice_trim(buf_slice(&in->status.keywords)), *keywords;
	size_t n = 0, words = 2;
	uint8_t hash[32];
	int err = 0;

	for (size_t i = 0; i < rest.n; i++)
		words += slice_at(rest, i) == ' ';
	keywords = ARENA_ARRAY(a, struct slice, words);
	if (keywords == NULL)
		return ERR_LIMIT;
	while (rest.n > 0) {
		struct slice word = slice_cut(&rest, ' ');

		if (store_keyword_valid(s->limits, word))
			keywords[n++] = arena_copy(a, word);
	}
	if (in->status.forwarded)
		keywords[n++] = SLICE("$Forwarded");
	*out = (struct move_message){.flags = in->status.flags,
	    .keywords = {keywords, n},
	    .internal_s = in->epoch_s,
	    .place = in->offset,
	    .file = arena_printf(a, "at byte %llu", (unsigned long long)in->offset)};
	memcpy(out->source, s->opened.source, sizeof(out->source));
	/* One that is too large has no hash: its place must do. */
	if (s->body.err == 0)
		err = move_body_hash(&s->body, hash);
	else
		memcpy(hash, &in->offset, sizeof(in->offset));
	out->number = move_number_of(hash);
	return err != 0 ? err : arena_failed(a) ? ERR_LIMIT : 0;
}

static int
mbox_list(void *of, struct arena *a, struct move_message *v, size_t *n, size_t *lost)
{
	struct mbox_source *s = of;
	struct mbox_message m = {0};
	int err = 1;

	*n = *lost = 0;
	buf_init(&m.status.keywords, KEYWORDS_BYTES);
	while (*n < MOVE_BATCH &&
	    (err = mbox_next(&s->lines, (uint64_t)s->limits->smtp_message_bytes, &s->body, &m)) == 1) {
		if (m.status.gone || m.status.internal)
			continue;
		if ((err = set_message(s, &m, a, &v[*n])) != 0)
			break;
		++*n;
	}
	buf_free(&m.status.keywords);
	return err < 0 ? fail(s, "the file cannot be read", err) : 0;
}

static int
mbox_bodies(void *of, const struct move_message *v, size_t n, struct move_body *b, move_take_fn *take, void *arg)
{
	struct mbox_source *s = of;
	struct mbox_message m = {0};
	uint64_t back = move_lines_offset(&s->lines);
	int err = 0;

	buf_init(&m.status.keywords, KEYWORDS_BYTES);
	for (size_t i = 0; i < n && err == 0; i++) {
		if ((err = move_lines_seek(&s->lines, v[i].place)) != 0)
			break;
		err = mbox_next(&s->lines, (uint64_t)s->limits->smtp_message_bytes, b, &m);
		if (err == 1 && m.offset == v[i].place)
			err = take(arg, i, b);
		else if (err >= 0)
			err = fail(s, "the file has been changed meanwhile", ERR_CONFLICT);
	}
	buf_free(&m.status.keywords);
	return err != 0 ? err : move_lines_seek(&s->lines, back);
}

static int
mbox_begin(void *of)
{
	(void)of;
	return 0;
}

static struct slice
mbox_words(void *of)
{
	return buf_slice(&((struct mbox_source *)of)->words);
}

static void
mbox_free(void *of)
{
	struct mbox_source *s = of;

	mbox_end(s);
	arena_free(&s->arena);
	move_body_free(&s->body);
	buf_free(&s->words);
	free(s->path);
	free(s);
}

int
move_mbox_source(
    const struct limits *limits, const char *path, const struct move_scratch *scratch, struct move_source *out)
{
	struct mbox_source *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ERR_NOMEM;
	s->limits = limits;
	arena_init(&s->arena, 1u << 20);
	move_body_init(&s->body, scratch);
	buf_init(&s->words, 4096);
	s->path = move_file_root(path);
	*out = (struct move_source){.of = s,
	    .begin = mbox_begin,
	    .folders = mbox_folders,
	    .open = mbox_open,
	    .next = mbox_list,
	    .bodies = mbox_bodies,
	    .words = mbox_words,
	    .end = mbox_end,
	    .free = mbox_free};
	return s->path == NULL ? ERR_NOMEM : 0;
}
