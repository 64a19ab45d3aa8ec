/* store_check.c: what must be true of an account, one check after the other; see the header. All checks of the rows run in one
 * transaction; files are compared with the rows before it, so that their names are known in it. */
#include "store/store_check.h"

#include "store/store_index.h"
#include "store/store_salvage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#define RECOVERED SLICE("Recovered")
#define ITEMS_MAX (1u << 24)

struct item {
	int64_t a, b, c;
};
struct items {
	struct item *v;
	size_t n, cap;
};

struct checking {
	struct store_account *a;
	bool repair;
	struct arena *out; /* of the findings */
	struct store_finding *v;
	size_t n, cap, total;
	bool shape;    /* mailboxes or placements were mended */
	bool readable; /* the database is */
	struct buf unlink;
	struct account_row ar;
	struct mailbox_row recovered; /* id 0: not there yet */
};

static int found(struct checking *k, enum store_mended mended, const char *kind, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

static int
found(struct checking *k, enum store_mended mended, const char *kind, const char *fmt, ...)
{
	struct store_finding *v;
	char text[600];
	va_list ap;

	if (++k->total > (size_t)k->a->store->house->limits.check_findings)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v = arena_grow(k->out, k->v, k->n, &k->cap, sizeof(*v), ITEMS_MAX);
	if (v == NULL)
		return ERR_LIMIT;
	k->v = v;
	k->v[k->n++] = (struct store_finding){kind, arena_copy(k->out, slice_z(text)), mended};
	return arena_failed(k->out) ? ERR_LIMIT : 0;
}

static enum store_mended
as_told(const struct checking *k)
{
	return k->repair ? STORE_MENDED : STORE_FOUND;
}

/* Rows of up to three integers. */
static int
list_items(struct sqltx *tx, struct checking *k, const struct sql_text *t, struct arena *mem, struct items *out)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, t, ACC(k->a));

	*out = (struct items){NULL, 0, 0};
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct item *v = arena_grow(mem, out->v, out->n, &out->cap, sizeof(*v), ITEMS_MAX);

		if (v == NULL)
			return ERR_LIMIT;
		out->v = v;
		out->v[out->n++] = (struct item){sql_col_int(&q, 0), sql_col_int(&q, 1), sql_col_int(&q, 2)};
		err = 0;
	}
	return err;
}

/* ---- what nothing refers to any more ------------------------------------------------------------------------ */

/* Rows that follow from others and may simply go. */
static const struct {
	const char *kind, *what;
	const struct sql_text *count, *remove;
} leftovers[] = {
    {"cache_without_email", "descriptions of messages that are no more", &store_sql_check_caches,
	&store_sql_mend_caches},
    {"unindexed_without_email", "messages to be indexed that are no more", &store_sql_check_unindexed,
	&store_sql_mend_unindexed},
    {"thread_without_email", "references of messages that are no more", &store_sql_check_threads,
	&store_sql_mend_threads},
    {"metadata_without_mailbox", "annotations of mailboxes that are no more", &store_sql_check_metadata,
	&store_sql_mend_metadata},
    {"tombstone_without_mailbox", "expunged UIDs of mailboxes that are no more", &store_sql_check_tombstones,
	&store_sql_mend_tombstones},
    {"tombstone_of_living", "UIDs that count as expunged, but are there", &store_sql_check_risen,
	&store_sql_mend_risen},
};

static int
check_leftovers(struct sqltx *tx, struct checking *k)
{
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(leftovers) && err == 0; i++) {
		int64_t n = 0;

		err = row_count(tx, k->a, leftovers[i].count, &n);
		if (err != 0 || n == 0)
			continue;
		err = found(k, as_told(k), leftovers[i].kind, "%lld %s", (long long)n, leftovers[i].what);
		if (err == 0 && k->repair)
			err = SQL_EXEC(tx, leftovers[i].remove, ACC(k->a));
	}
	return err;
}

/* ---- the mailbox for what belongs to none ------------------------------------------------------------------ */

static int
find_recovered(struct sqltx *tx, struct checking *k)
{
	int64_t id;
	int err;

	if (k->recovered.id != 0)
		return 0;
	err = row_mailbox_by_name(tx, k->a, RECOVERED, NULL, &k->recovered);
	if (err == ERR_NOTFOUND || (err == 0 && !k->recovered.selectable)) {
		err = store_mailbox_insert_row(tx, k->a, &k->ar, RECOVERED, STORE_ROLE_NONE, &id);
		if (err == 0)
			err = row_mailbox_by_id(tx, k->a, id, NULL, &k->recovered);
	}
	return err;
}

/* A message comes into Recovered. Its counters are set by check_mailboxes() behind it. */
static int
place_recovered(struct sqltx *tx, struct checking *k, struct message *msg, struct slice keywords)
{
	int err = find_recovered(tx, k);

	if (err == 0)
		err = row_place(
		    tx, k->a, &k->recovered, msg, keywords, ++k->ar.modseq, house_now_s(k->a->store->house));
	if (err == 0)
		err = row_mailbox_save(tx, k->a, &k->recovered);
	k->shape = true;
	return err;
}

/* ---- emails ---------------------------------------------------------------------------------------------------- */

static int
check_unplaced(struct sqltx *tx, struct checking *k, struct arena *mem)
{
	struct items l;
	int err = list_items(tx, k, &store_sql_check_unplaced, mem, &l);

	for (size_t i = 0; i < l.n && err == 0; i++) {
		struct message msg = {.email = (uint64_t)l.v[i].a, .size = (uint32_t)l.v[i].b, .internal_s = l.v[i].c};

		err = found(k, as_told(k), "email_unplaced", "message %lld is in no mailbox%s", (long long)l.v[i].a,
		    k->repair ? ": it came into Recovered" : "");
		if (err == 0 && k->repair)
			err = place_recovered(tx, k, &msg, SLICE_EMPTY);
	}
	return err;
}

/* The message is shorter or longer than its row says: the row is wrong. */
static int
check_sizes(struct sqltx *tx, struct checking *k, struct arena *mem)
{
	struct items l;
	int err = list_items(tx, k, &store_sql_check_sizes, mem, &l);

	for (size_t i = 0; i < l.n && err == 0; i++) {
		err = found(k, as_told(k), "email_size", "message %lld has %lld bytes, and counts as %lld",
		    (long long)l.v[i].a, (long long)l.v[i].c, (long long)l.v[i].b);
		if (err == 0 && k->repair)
			err = SQL_EXEC(tx, &store_sql_mend_size, ACC(k->a), SQLI(l.v[i].a), SQLI(l.v[i].c));
	}
	if (err == 0)
		err = list_items(tx, k, &store_sql_check_placed_sizes, mem, &l);
	for (size_t i = 0; i < l.n && err == 0; i++) {
		k->shape |= k->repair;
		err = found(k, as_told(k), "placement_size",
		    "UID %lld of mailbox %lld has another size than its message", (long long)l.v[i].b,
		    (long long)l.v[i].a);
		if (err == 0 && k->repair)
			err = SQL_EXEC(
			    tx, &store_sql_mend_placed_size, ACC(k->a), SQLI(l.v[i].a), SQLI(l.v[i].b), SQLI(l.v[i].c));
	}
	return err;
}

/* ---- placements ------------------------------------------------------------------------------------------------- */

static int
check_placements(struct sqltx *tx, struct checking *k, struct arena *mem)
{
	struct items l;
	int err = list_items(tx, k, &store_sql_check_no_email, mem, &l);

	for (size_t i = 0; i < l.n && err == 0; i++) {
		err = found(k, as_told(k), "placement_without_email", "UID %lld of mailbox %lld has no message%s",
		    (long long)l.v[i].b, (long long)l.v[i].a, k->repair ? ": it counts as expunged" : "");
		if (err != 0 || !k->repair)
			continue;
		k->shape = true;
		err = SQL_EXEC(tx, &store_sql_placement_delete, ACC(k->a), SQLI(l.v[i].a), SQLI(l.v[i].b));
		if (err == 0)
			err = SQL_EXEC(tx, &store_sql_tombstone_insert, ACC(k->a), SQLI(l.v[i].a), SQLI(++k->ar.modseq),
			    SQLI(l.v[i].b));
	}
	if (err == 0)
		err = list_items(tx, k, &store_sql_check_no_mailbox, mem, &l);
	for (size_t i = 0; i < l.n && err == 0; i++) {
		err = found(k, as_told(k), "placement_without_mailbox", "UID %lld lies in a mailbox that is no more%s",
		    (long long)l.v[i].b, k->repair ? ": its message came into Recovered" : "");
		/* If that was its only place it has none now, which is dealt with behind this. */
		if (err == 0 && k->repair)
			err = SQL_EXEC(tx, &store_sql_placement_delete, ACC(k->a), SQLI(l.v[i].a), SQLI(l.v[i].b));
	}
	return err;
}

/* ---- mailboxes --------------------------------------------------------------------------------------------------- */

struct sums {
	struct mailbox_row row;
	int64_t messages, unseen, deleted, bytes, uid_max, modseq_max;
};

static int
read_sums(struct sqltx *tx, struct checking *k, struct arena *mem, struct sums **out, size_t *n)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	size_t cap = 0;
	int err = SQL_QUERY(tx, &q, &store_sql_mailbox_list, ACC(k->a));

	*out = NULL;
	*n = 0;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct sums *v = arena_grow(mem, *out, *n, &cap, sizeof(*v), ITEMS_MAX);

		if (v == NULL)
			return ERR_LIMIT;
		*out = v;
		v[*n] = (struct sums){.messages = 0};
		err = row_mailbox_read(&q, mem, &v[*n].row);
		++*n;
	}
	return err;
}

static int
add_up(struct sqltx *tx, struct checking *k, struct sums *s)
{
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	struct sql_rows SQL_ROWS_CLEANUP gone = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_check_sums, ACC(k->a), SQLI(s->row.id));

	if (err == 0 && (err = sql_next(&q)) == 1) {
		s->messages = sql_col_int(&q, 0);
		s->unseen = sql_col_int(&q, 1);
		s->deleted = sql_col_int(&q, 2);
		s->bytes = sql_col_int(&q, 3);
		s->uid_max = sql_col_int(&q, 4);
		s->modseq_max = sql_col_int(&q, 5);
		err = SQL_QUERY(tx, &gone, &store_sql_check_gone, ACC(k->a), SQLI(s->row.id));
	}
	if (err == 0 && (err = sql_next(&gone)) == 1) {
		s->uid_max = sql_col_int(&gone, 0) > s->uid_max ? sql_col_int(&gone, 0) : s->uid_max;
		s->modseq_max = sql_col_int(&gone, 1) > s->modseq_max ? sql_col_int(&gone, 1) : s->modseq_max;
		err = 0;
	}
	return err;
}

static int
check_mailbox(struct sqltx *tx, struct checking *k, struct sums *s)
{
	struct mailbox_row *m = &s->row;
	size_t before = k->total;
	int err = add_up(tx, k, s);

	if (err == 0 &&
	    (m->messages != s->messages || m->unseen != s->unseen || m->deleted != s->deleted ||
		m->bytes != s->bytes)) {
		err = found(k, as_told(k), "mailbox_counts",
		    "%.*s has %lld messages (%lld unseen, %lld deleted, %lld bytes), and counts %lld (%lld, %lld, "
		    "%lld)",
		    SLICE_ARG(m->name), (long long)s->messages, (long long)s->unseen, (long long)s->deleted,
		    (long long)s->bytes, (long long)m->messages, (long long)m->unseen, (long long)m->deleted,
		    (long long)m->bytes);
		m->messages = s->messages;
		m->unseen = s->unseen;
		m->deleted = s->deleted;
		m->bytes = s->bytes;
	}
	if (err == 0 && m->uidnext <= s->uid_max) {
		err = found(k, as_told(k), "mailbox_uidnext", "%.*s would give UID %lld again (the highest is %lld)",
		    SLICE_ARG(m->name), (long long)m->uidnext, (long long)s->uid_max);
		m->uidnext = s->uid_max + 1 + STORE_GAP_UID;
	}
	if (err == 0 && m->highestmodseq < s->modseq_max) {
		err = found(k, as_told(k), "mailbox_modseq", "%.*s has changes above its highest mod-sequence",
		    SLICE_ARG(m->name));
		m->highestmodseq = s->modseq_max;
	}
	if (k->ar.modseq < m->highestmodseq)
		k->ar.modseq = m->highestmodseq; /* told by check_account() */
	if (err != 0 || k->total == before || !k->repair)
		return err;
	k->shape = true;
	return row_mailbox_save(tx, k->a, m);
}

static int
check_mailboxes(struct sqltx *tx, struct checking *k, struct arena *mem)
{
	struct sums *v;
	size_t n;
	bool inbox = false;
	int64_t id;
	int err = read_sums(tx, k, mem, &v, &n);

	for (size_t i = 0; i < n && err == 0; i++) {
		inbox |= slice_eq(v[i].row.name, SLICE("INBOX")) && v[i].row.selectable;
		err = check_mailbox(tx, k, &v[i]);
		if (err == 0 && k->ar.next_mailbox <= v[i].row.id) {
			err = found(k, as_told(k), "account_counters", "the number of %.*s would be given again",
			    SLICE_ARG(v[i].row.name));
			k->ar.next_mailbox = v[i].row.id + 1;
		}
	}
	if (err == 0 && !inbox) {
		err = found(k, as_told(k), "inbox_missing", "the account has no INBOX");
		if (err == 0 && k->repair)
			err = store_mailbox_insert_row(tx, k->a, &k->ar, SLICE("INBOX"), STORE_ROLE_INBOX, &id);
		k->shape |= k->repair;
	}
	return err;
}

/* ---- the account --------------------------------------------------------------------------------------------------- */

static int
check_account(struct sqltx *tx, struct checking *k, int64_t modseq_before)
{
	int64_t used = 0;
	int err = row_count(tx, k->a, &store_sql_check_used, &used);

	if (err == 0 && used != k->ar.used_bytes) {
		err = found(k, as_told(k), "account_bytes", "the messages have %lld bytes, and count as %lld",
		    (long long)used, (long long)k->ar.used_bytes);
		k->ar.used_bytes = used;
	}
	if (err == 0 && !k->repair && k->ar.modseq > modseq_before)
		err = found(k, STORE_FOUND, "account_counters", "changes lie above the account's mod-sequence");
	return err;
}

static int
check_rows(struct sqltx *tx, void *arg)
{
	struct checking *k = arg;
	struct arena ARENA_CLEANUP mem;
	struct buf BUF_CLEANUP words;
	int64_t modseq;
	int err;

	buf_init(&words, 65536);
	arena_init(&mem, 1u << 30);
	k->recovered.id = 0;
	err = sql_integrity(tx, &words);
	if (err == ERR_DAMAGED) {
		struct slice rest = buf_slice(&words), line = slice_cut(&rest, '\n');

		k->readable = false;
		return found(k, STORE_FOUND, "database_damaged", "mail.db: %.*s", SLICE_ARG(slice_head(line, 400)));
	}
	if (err == 0)
		err = row_account_load(tx, k->a, &k->ar);
	modseq = k->ar.modseq;
	if (err == 0)
		err = check_placements(tx, k, &mem);
	if (err == 0)
		err = check_sizes(tx, k, &mem);
	if (err == 0)
		err = check_unplaced(tx, k, &mem);
	if (err == 0)
		err = check_leftovers(tx, k);
	if (err == 0)
		err = check_mailboxes(tx, k, &mem);
	if (err == 0)
		err = check_account(tx, k, modseq);
	return err == 0 && k->repair ? row_account_save(tx, k->a, &k->ar) : err;
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

struct file {
	char name[STORE_BLOB_NAME + 1];
	uint64_t email;
	int64_t size;
	bool seen;
};
struct files {
	struct checking *k;
	struct arena mem;
	struct file *v;
	size_t n, cap;
	struct map by_name;
};

static int
list_files(struct sqltx *tx, void *arg)
{
	struct files *f = arg;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	int err = SQL_QUERY(tx, &q, &store_sql_check_blobs, ACC(f->k->a));

	f->n = 0;
	while (err == 0 && (err = sql_next(&q)) == 1) {
		struct file *v = arena_grow(&f->mem, f->v, f->n, &f->cap, sizeof(*v), ITEMS_MAX);
		struct slice name = sql_col_bytes(&q, 1);

		if (v == NULL)
			return ERR_LIMIT;
		f->v = v;
		v[f->n] = (struct file){.email = (uint64_t)sql_col_int(&q, 0), .size = sql_col_int(&q, 2)};
		if (name.n == STORE_BLOB_NAME)
			memcpy(v[f->n].name, name.p, STORE_BLOB_NAME);
		f->n++;
		err = 0;
	}
	for (size_t i = 0; i < f->n && err == 0; i++)
		if (f->v[i].name[0] != '\0')
			err = map_put(&f->by_name, slice_z(f->v[i].name), &f->v[i]);
	return err;
}

/* A name in aside/, which is made. */
static int
aside_path(struct store_account *a, const char *name, char out[STORE_PATH_MAX])
{
	char tail[128];
	int err = store_path(a->store, acc_id(a), "/aside", out);

	if (err == 0 && mkdir(out, 0700) != 0 && errno != EEXIST)
		err = err_from_errno(errno);
	(void)snprintf(tail, sizeof(tail), "/aside/%s.eml", name);
	return err != 0 ? err : store_path(a->store, acc_id(a), tail, out);
}

/* A file that no message has: it is a message, or a part of one. */
static int
put_aside(struct checking *k, const char *name)
{
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
	int err;

	if (!k->repair)
		return found(k, STORE_FOUND, "file_without_message", "blobs/%s belongs to no message", name);
	if ((err = store_blob_path(k->a, name, false, from)) != 0 || (err = aside_path(k->a, name, to)) != 0)
		return err;
	if (rename(from, to) != 0)
		return err_from_errno(errno);
	return found(k, STORE_ASIDE, "file_without_message", "blobs/%s belongs to no message: it is now %s", name, to);
}

/* Files whose removal waits for the disk are none. */
static bool
is_leaving(const struct store_account *a, const char *name)
{
	struct slice names = a->work == NULL ? SLICE_EMPTY : buf_slice(&a->work->unlink);

	for (size_t i = 0; i + STORE_BLOB_NAME <= names.n; i += STORE_BLOB_NAME)
		if (slice_eq(slice_range(names, i, i + STORE_BLOB_NAME), slice_z(name)))
			return true;
	return false;
}

static int
look_in_folder(struct files *f)
{
	struct checking *k = f->k;
	char path[STORE_PATH_MAX];
	struct dirent *e;
	DIR *d;
	int err = store_path(k->a->store, acc_id(k->a), "/blobs", path);

	if (err != 0 || (d = opendir(path)) == NULL)
		return err != 0 ? err : err_from_errno(errno);
	while (err == 0 && (e = readdir(d)) != NULL) {
		struct file *file;
		struct stat st;

		/* Others are being written, and get their name when they are whole. */
		if (strlen(e->d_name) != STORE_BLOB_NAME || is_leaving(k->a, e->d_name))
			continue;
		file = map_get(&f->by_name, slice_z(e->d_name));
		if (file == NULL) {
			err = put_aside(k, e->d_name);
			continue;
		}
		file->seen = fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (file->seen && st.st_size != file->size) {
			err = found(k, STORE_FOUND, "file_size",
			    "blobs/%s has %lld bytes and its message %lld: bring the file back from a backup",
			    e->d_name, (long long)st.st_size, (long long)file->size);
		}
	}
	closedir(d);
	return err;
}

/* What is left of a message whose file is gone: what mail.db has of it. */
struct remains {
	struct checking *k;
	const struct file *file;
};

static int
write_remains(struct sqltx *tx, void *arg)
{
	struct remains *r = arg;
	struct store_account *a = r->k->a;
	struct sql_rows SQL_ROWS_CLEANUP q = {0};
	char path[STORE_PATH_MAX], name[64];
	int fd, err = SQL_QUERY(tx, &q, &store_sql_email_header, ACC(a), SQLI(r->file->email));

	if (err != 0 || (err = sql_next(&q)) <= 0)
		return err;
	(void)snprintf(name, sizeof(name), "header-%llu", (unsigned long long)r->file->email);
	if ((err = aside_path(a, name, path)) != 0)
		return err;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	err = store_file_write(fd, sql_col_bytes(&q, 4));
	if (err == 0)
		err = store_file_write(fd, sql_col_bytes(&q, 5));
	if (err == 0 && fsync(fd) != 0)
		err = ERR_IO;
	close(fd);
	if (err != 0)
		return err;
	/* The row stays: the file may come back, out of a backup. */
	return found(r->k, STORE_ASIDE, "file_missing",
	    "blobs/%s is gone: the header of its message is now %s; bring the file back from a backup", r->file->name,
	    path);
}

static int
check_missing(struct files *f)
{
	struct checking *k = f->k;
	int err = 0;

	for (size_t i = 0; i < f->n && err == 0; i++) {
		struct remains r = {k, &f->v[i]};

		if (f->v[i].seen)
			continue;
		err = k->repair ? sql_read_blocking(k->a->db, write_remains, &r)
				: found(k, STORE_FOUND, "file_missing",
				      "blobs/%s of message %llu is gone: bring it back from a backup", f->v[i].name,
				      (unsigned long long)f->v[i].email);
	}
	return err;
}

static int
check_files(struct checking *k)
{
	struct files f = {.k = k};
	int err;

	arena_init(&f.mem, 1u << 30);
	map_init(&f.by_name, SIZE_MAX, house_random_u64(k->a->store->house));
	err = sql_read_blocking(k->a->db, list_files, &f);
	if (err == 0)
		err = look_in_folder(&f);
	if (err == 0)
		err = check_missing(&f);
	map_free(&f.by_name);
	arena_free(&f.mem);
	return err;
}

/* ---- the search index -------------------------------------------------------------------------------------------------- */

/* It can always be made anew, and is when anything is wrong with its file. */
static int
index_tx(struct sqltx *tx, void *arg)
{
	return sql_integrity(tx, arg);
}

static int
check_index(struct checking *k)
{
	struct store_index *x = NULL;
	struct buf BUF_CLEANUP words;
	int err = index_take(k->a, &x);

	buf_init(&words, 65536);
	if (err != 0) /* not now */
		return found(k, STORE_FOUND, "search_index", "search.db cannot be looked at: %s", err_text(err));
	err = index_run(x, index_tx, &words, false, false);
	index_give(x);
	if (err == ERR_CONFLICT)
		return found(k, STORE_MENDED, "search_index", "search.db was damaged: it is made anew");
	return err != 0 ? found(k, STORE_FOUND, "search_index", "search.db: %s", err_text(err)) : 0;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static int
files_before(struct store_account *a, void *arg)
{
	(void)a;
	return check_files(arg);
}

static void
rows_finish(void *arg, int err)
{
	struct checking *k = arg;

	if (err != 0 || !k->shape)
		return;
	LIST_FOREACH (&k->a->boxes, n)
		box_gone(CONTAINER_OF(n, struct store_box, node));
}

static int
run_checks(struct checking *k)
{
	struct store_op rows = {
	    .tx = check_rows, .finish = rows_finish, .arg = k, .write = k->repair, .sync = k->repair};
	struct store_op files = {.before = files_before, .arg = k};
	int err;

	k->readable = true;
	err = store_run(k->a, &rows);
	if (err == ERR_DAMAGED) {
		k->readable = false;
		return found(k, STORE_FOUND, "database_damaged", "mail.db cannot be read");
	}
	if (err == 0 && k->readable)
		err = store_run(k->a, &files);
	return err == 0 && k->readable ? check_index(k) : err;
}

/* A new database out of what can be read of the old one, which is then looked through as any other. */
static int
salvage(struct checking *k)
{
	struct buf BUF_CLEANUP detail;
	struct salvaging *s = calloc(1, sizeof(*s));
	struct store_op op = {.before = salvage_account, .finish = salvage_finish, .arg = s, .closed = true};
	int err = s == NULL ? ERR_NOMEM : index_remove(k->a);

	buf_init(&detail, 65536);
	if (s != NULL)
		*s = (struct salvaging){.a = k->a, .detail = &detail};
	k->a->broken = 0;
	if (err == 0)
		err = store_run(k->a, &op);
	if (err == 0) {
		k->repair = true;
		err = run_checks(k);
	}
	if (err == 0)
		err = found(k, STORE_ASIDE, s->nothing ? "database_lost" : "database_salvaged",
		    s->nothing ? "nothing of mail.db could be read; it is now %s, with all its mail: restore the "
				 "account from a "
				 "backup"
			       : "a new mail.db has the %2$lld rows that could be read; the old one is now %1$s",
		    s->aside, (long long)s->n.rows);
	else if (detail.n > 0)
		LOG(k->a->store->house, ERROR, "salvage_failed", LOG_S("account", acc_id(k->a)), LOG_E(err),
		    LOG_S("detail", buf_slice(&detail)));
	free(s);
	return err;
}

static int
tell_rest(struct checking *k)
{
	size_t more = k->total > k->n ? k->total - k->n : 0;

	k->total = 0;
	return more == 0 ? 0 : found(k, STORE_FOUND, "more", "and %zu more", more);
}

int
store_account_check(
    struct store *s, struct slice account_id, bool repair, struct arena *a, struct store_finding **v, size_t *n)
{
	struct store_account STORE_ACCOUNT_CLEANUP *account = NULL;
	struct checking k = {.repair = repair, .out = a};
	int err = store_account_get(s, account_id, &account);

	*v = NULL;
	*n = 0;
	if (err == ERR_DAMAGED && account == NULL && (err = store_account_intern(s, account_id, &account)) == 0)
		err = ERR_DAMAGED;
	k.a = account;
	if (err == 0)
		err = run_checks(&k);
	else if (err == ERR_DAMAGED)
		err = found(&k, STORE_FOUND, "database_damaged", "mail.db is missing or cannot be opened");
	if (err == 0 && repair && k.n > 0 && strcmp(k.v[0].kind, "database_damaged") == 0)
		err = salvage(&k);
	if (err == 0)
		err = tell_rest(&k);
	*v = k.v;
	*n = k.n;
	return err;
}
