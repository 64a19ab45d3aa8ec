/* maildir_target.c: an account's mail as a Maildir++ (flags in the names, dates on the files), with what Dovecot keeps beside it: dovecot-uidlist
 * with UIDVALIDITY and UIDs, dovecot-keywords, and subscriptions. A message is written below tmp/ and gets its name in cur/ when
 * it is whole; its name tells which one it is, so that writing again adds only what is new and changes the flags of the rest. */
#include "move/maildir_name.h"
#include "move/move.h"
#include "move/move_file.h"
#include "move/move_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYWORDS 26
#define LIST_BYTES ((size_t)2 << 30)
#define PATH_BYTES 4096

struct uid_name {
	uint32_t uid;
	struct slice base;
};

struct maildir_target {
	const struct limits *limits;
	char *path;
	const struct move_report *report;
	struct move_counts *n;
	struct arena arena; /* of the open folder */
	const char *dir;
	struct slice folder;
	struct move_opened opened;
	struct move_file *files; /* in cur/ before we began, by name */
	size_t files_n;
	struct uid_name *uids;
	size_t uids_n, uids_cap;
	struct slice keywords[KEYWORDS];
	size_t keywords_n, keywords_lost;
	struct buf words, subscriptions;
};

static int
fail(struct maildir_target *t, const char *what, int err)
{
	buf_reset(&t->words);
	buf_printf(&t->words, "%s: %s", what, err_text(err));
	return err == ERR_FULL ? ERR_QUOTA : ERR_DENIED;
}

static int
make_folder(const char *path)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : err_from_errno(errno);
}

/* ---- a folder ---------------------------------------------------------------------------------------------------------- */

static int
make_parts(struct maildir_target *t)
{
	static const char *const parts[] = {"cur", "new", "tmp"};
	int err = make_folder(t->path);

	if (err == 0)
		err = make_folder(t->dir);
	for (size_t i = 0; i < COUNT_OF(parts) && err == 0; i++) {
		const char *path = move_file_path(&t->arena, t->dir, slice_z(parts[i]));

		err = path == NULL ? ERR_LIMIT : make_folder(path);
	}
	return err;
}

static void
read_keywords(struct maildir_target *t)
{
	const char *path = move_file_path(&t->arena, t->dir, SLICE("dovecot-keywords"));
	struct buf BUF_CLEANUP text;

	buf_init(&text, 1u << 18);
	t->keywords_n = t->keywords_lost = 0;
	if (path == NULL || move_file_text(path, 65536, &text) != 0)
		return;
	for (struct slice rest = buf_slice(&text); rest.n > 0 && t->keywords_n < KEYWORDS;) {
		struct slice line = slice_trim(slice_cut(&rest, '\n'));
		uint64_t n;

		/* They stand in order; what does not is not ours to mend. */
		if (slice_to_u64(slice_cut(&line, ' '), KEYWORDS - 1, &n) != 0 || n != t->keywords_n)
			return;
		t->keywords[t->keywords_n++] = arena_copy(&t->arena, line);
	}
}

static int
maildir_open(void *of, const struct move_folder *f, const struct move_opened *o, struct arena *a, struct slice *there,
    bool *kept)
{
	struct maildir_target *t = of;
	struct slice raw;
	int err;

	arena_free(&t->arena);
	arena_init(&t->arena, LIST_BYTES);
	t->opened = *o;
	t->folder = arena_copy(&t->arena, f->name);
	t->uids = NULL;
	t->uids_n = t->uids_cap = 0;
	*there = slice_eq(f->name, SLICE("INBOX")) ? SLICE("INBOX") : SLICE_EMPTY;
	*kept = true;
	t->dir = t->path;
	if (there->n == 0) {
		if ((err = move_name_write(f->name, '.', SLICE_EMPTY, a, &raw)) != 0)
			return fail(t, "the name is too long", err);
		*there = arena_printf(a, ".%.*s", SLICE_ARG(raw));
		t->dir = move_file_path(&t->arena, t->path, *there);
		if (f->subscribed && slice_find(buf_slice(&t->subscriptions), raw) == SLICE_NONE)
			buf_printf(&t->subscriptions, "%.*s\n", SLICE_ARG(raw));
		if (t->dir == NULL)
			return fail(t, "the name is too long", ERR_LIMIT);
	}
	if ((err = make_parts(t)) != 0)
		return fail(t, "the folder cannot be made", err);
	err = move_files_list(move_file_path(&t->arena, t->dir, SLICE("cur")), &t->arena, &t->files, &t->files_n);
	read_keywords(t);
	return err == 0 ? 0 : fail(t, "the folder cannot be read", err);
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

/* What stays of its name. */
static struct slice
base_of(struct maildir_target *t, struct arena *a, const struct move_message *m)
{
	return arena_printf(a, "%lld.V%uU%u.posthouse", (long long)(m->internal_s == INT64_MIN ? 0 : m->internal_s),
	    t->opened.uidvalidity, m->uid);
}

static int
keyword_letter(struct maildir_target *t, struct slice word)
{
	for (size_t i = 0; i < t->keywords_n; i++)
		if (slice_ieq(t->keywords[i], word))
			return (int)i;
	if (t->keywords_n == KEYWORDS) {
		t->keywords_lost++;
		return -1;
	}
	t->keywords[t->keywords_n] = arena_copy(&t->arena, word);
	return (int)t->keywords_n++;
}

static struct slice
name_of(struct maildir_target *t, struct arena *a, const struct move_message *m, struct slice base)
{
	struct buf BUF_CLEANUP b;
	uint32_t letters = 0;
	bool forwarded = false;
	struct slice out;

	for (size_t i = 0; i < m->keywords.n; i++) {
		int n = -1;

		/* Maildir has a letter for it, Dovecot has it as a keyword. */
		if (slice_ieq(m->keywords.v[i], SLICE("$Forwarded")))
			forwarded = true;
		if ((n = keyword_letter(t, m->keywords.v[i])) >= 0)
			letters |= 1u << n;
	}
	buf_init(&b, PATH_BYTES);
	buf_put(&b, base);
	maildir_name_put_info(&b, m->flags, forwarded, letters);
	out = arena_copy(a, buf_slice(&b));
	return out;
}

static int
compare_base(const void *key, const void *file)
{
	struct maildir_name name;

	maildir_name_parse(((const struct move_file *)file)->name, &name);
	return slice_cmp(*(const struct slice *)key, name.base);
}

static int
note_uid(struct maildir_target *t, uint32_t uid, struct slice base)
{
	struct uid_name *v = arena_grow(&t->arena, t->uids, t->uids_n, &t->uids_cap, sizeof(*v), MOVE_FILES_MAX);

	if (v == NULL)
		return ERR_LIMIT;
	t->uids = v;
	t->uids[t->uids_n++] = (struct uid_name){uid, arena_copy(&t->arena, base)};
	return 0;
}

static const char *
path_in(struct maildir_target *t, struct arena *a, const char *part, struct slice name)
{
	const char *dir = move_file_path(a, t->dir, slice_z(part));

	return dir == NULL ? NULL : move_file_path(a, dir, name);
}

static int
maildir_check(void *of, const struct move_message *v, size_t n, bool drop, int64_t lo, int64_t hi, bool *missing)
{
	struct maildir_target *t = of;
	int err = 0;

	(void)drop;
	(void)lo;
	(void)hi;
	for (size_t i = 0; i < n && err == 0; i++) {
		struct arena ARENA_CLEANUP a;
		const struct move_file *f;
		struct slice base, name;
		const char *from, *to;

		arena_init(&a, 65536);
		base = base_of(t, &a, &v[i]);
		f = t->files_n == 0 ? NULL : bsearch(&base, t->files, t->files_n, sizeof(*t->files), compare_base);
		missing[i] = f == NULL;
		if (f == NULL)
			continue;
		err = note_uid(t, v[i].uid, base);
		name = name_of(t, &a, &v[i], base);
		from = path_in(t, &a, "cur", f->name);
		to = path_in(t, &a, "cur", name);
		if (err == 0 && from != NULL && to != NULL && !slice_eq(name, f->name) && rename(from, to) != 0)
			err = err_from_errno(errno);
	}
	return err == 0 ? 0 : fail(t, "flags cannot be written", err);
}

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? ERR_IO : err_from_errno(errno);
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

/* LF at the ends of lines, where that loses nothing. */
static int
write_body(int fd, struct move_body *b)
{
	struct buf BUF_CLEANUP part, lines;
	bool plain = false;
	int err = move_body_is_crlf(b, &plain);

	buf_init(&part, 65536);
	buf_init(&lines, 65536);
	for (uint64_t at = 0; at < b->n && err == 0; at += part.n) {
		if ((err = move_body_read(b, at, 65536, &part)) != 0)
			break;
		buf_reset(&lines);
		for (size_t i = 0; plain && i < part.n; i++)
			if (slice_at(buf_slice(&part), i) != '\r')
				buf_put_u8(&lines, slice_at(buf_slice(&part), i));
		err = lines.err != 0 ? lines.err : write_all(fd, buf_slice(plain ? &lines : &part));
	}
	return err;
}

static int
write_file(const char *path, int64_t date_s, struct move_body *b)
{
	struct timespec times[2] = {{.tv_sec = date_s}, {.tv_sec = date_s}};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err;

	if (fd < 0)
		return err_from_errno(errno);
	err = write_body(fd, b);
	if (err == 0 && date_s != INT64_MIN && futimens(fd, times) != 0)
		err = err_from_errno(errno);
	if (close(fd) != 0 && err == 0)
		err = err_from_errno(errno);
	return err;
}

static int
maildir_put(void *of, const struct move_message *m, struct move_body *b)
{
	struct maildir_target *t = of;
	struct arena ARENA_CLEANUP a;
	struct slice base;
	const char *tmp, *path;
	int err;

	arena_init(&a, 65536);
	if (b->err != 0) {
		move_tell(t->report, t->n, t->folder, m, slice_z(err_text(b->err)));
		return 0;
	}
	base = base_of(t, &a, m);
	tmp = path_in(t, &a, "tmp", base);
	path = path_in(t, &a, "cur", name_of(t, &a, m, base));
	if (tmp == NULL || path == NULL)
		return fail(t, "the name is too long", ERR_LIMIT);
	err = write_file(tmp, m->internal_s, b);
	if (err == 0 && rename(tmp, path) != 0)
		err = err_from_errno(errno);
	if (err == 0)
		err = note_uid(t, m->uid, base);
	if (err != 0) {
		(void)unlink(tmp);
		return fail(t, "a message cannot be written", err);
	}
	t->n->moved++;
	return 0;
}

static int
maildir_flush(void *of)
{
	(void)of;
	return 0;
}

/* ---- what Dovecot keeps ------------------------------------------------------------------------------------------------ */

static int
by_uid(const void *x, const void *y)
{
	const struct uid_name *a = x, *b = y;

	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

/* A small file, whole or not at all. */
static int
write_text(struct maildir_target *t, const char *dir, const char *name, const struct buf *text)
{
	const char *path = move_file_path(&t->arena, dir, slice_z(name)),
		   *part = path == NULL ? NULL : move_file_path(&t->arena, dir, SLICE("posthouse.part"));
	int fd = part == NULL ? -1 : open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err;

	if (text->err != 0 || part == NULL)
		return ERR_LIMIT;
	if (fd < 0)
		return err_from_errno(errno);
	err = write_all(fd, buf_slice(text));
	if (err == 0 && syncfs(fd) != 0) /* the messages too */
		err = err_from_errno(errno);
	(void)close(fd);
	return err == 0 && rename(part, path) != 0 ? err_from_errno(errno) : err;
}

static int
write_uids(struct maildir_target *t)
{
	struct buf BUF_CLEANUP b;
	uint8_t guid[MOVE_SOURCE_BYTES];

	buf_init(&b, LIST_BYTES);
	move_source_id(guid, SLICE_LIST(SLICE("maildir"), slice_z(t->path), t->folder));
	buf_printf(&b, "3 V%u N%u G", t->opened.uidvalidity, t->opened.uidnext);
	buf_put_hex(&b, slice_of(guid, sizeof(guid)));
	buf_put_u8(&b, '\n');
	if (t->uids_n > 1)
		qsort(t->uids, t->uids_n, sizeof(*t->uids), by_uid);
	for (size_t i = 0; i < t->uids_n; i++)
		buf_printf(&b, "%u :%.*s\n", t->uids[i].uid, SLICE_ARG(t->uids[i].base));
	return write_text(t, t->dir, "dovecot-uidlist", &b);
}

static int
maildir_close(void *of)
{
	struct maildir_target *t = of;
	struct buf BUF_CLEANUP b;
	int err = t->opened.uidvalidity == 0 ? 0 : write_uids(t);

	buf_init(&b, 1u << 20);
	for (size_t i = 0; i < t->keywords_n; i++)
		buf_printf(&b, "%zu %.*s\n", i, SLICE_ARG(t->keywords[i]));
	if (err == 0 && t->keywords_n > 0)
		err = write_text(t, t->dir, "dovecot-keywords", &b);
	if (err == 0 && t->subscriptions.n > 0)
		err = write_text(t, t->path, "subscriptions", &t->subscriptions);
	if (t->keywords_lost > 0)
		t->report->note(t->report->arg,
		    SLICE("a Maildir has 26 keywords in a folder: some of a folder with more are left out"));
	return err == 0 ? 0 : fail(t, "the folder cannot be finished", err);
}

/* ---- the target --------------------------------------------------------------------------------------------------------- */

static int
maildir_begin(void *of, const struct move_report *r, struct move_counts *n)
{
	struct maildir_target *t = of;

	t->report = r;
	t->n = n;
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
	return buf_slice(&((struct maildir_target *)of)->words);
}

static void
maildir_free(void *of)
{
	struct maildir_target *t = of;

	arena_free(&t->arena);
	buf_free(&t->words);
	buf_free(&t->subscriptions);
	free(t->path);
	free(t);
}

int
move_maildir_target(const struct limits *limits, const char *path, struct move_target *out)
{
	struct maildir_target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return ERR_NOMEM;
	t->limits = limits;
	arena_init(&t->arena, LIST_BYTES);
	buf_init(&t->words, 4096);
	buf_init(&t->subscriptions, 4u << 20);
	t->path = strdup(path);
	*out = (struct move_target){.of = t,
	    .begin = maildir_begin,
	    .open = maildir_open,
	    .check = maildir_check,
	    .put = maildir_put,
	    .flush = maildir_flush,
	    .close = maildir_close,
	    .words = maildir_words,
	    .end = maildir_end,
	    .free = maildir_free};
	return t->path == NULL ? ERR_NOMEM : 0;
}
