/* restore_account.c: `posthouse restore SOURCE --account ADDRESS`: a backup as a source of mail (src/move/move.h), and the account of the
 * house as its target. A message that the account still has, in whatever mailbox, is not brought again. A mailbox that is gone
 * comes back with its UIDVALIDITY and UIDs. */
#include "cli/cli_move.h"
#include "cli/restore.h"

#include "message/header.h"
#include "store/store_archive.h"

#define MESSAGES_MAX (1u << 26)

struct listed {
	uint64_t email;
	uint8_t email_id[STORE_ID_BYTES];
	uint32_t uid, size;
	int64_t internal_s;
	uint8_t flags;
	struct slice_list keywords;
	struct slice blob;
};

struct account_source {
	struct restore *r;
	struct cli_move m;
	struct move_run run;
	struct store_archive *ar;
	struct map blobs; /* name → file of the backup */
	struct arena arena;
	struct listed *v; /* of the open mailbox */
	size_t n, cap, next;
	int64_t lost;
	struct slice wanted; /* --message, or empty */
	struct buf words;
	struct slice *only;
};

static int
say(struct account_source *s, const char *what, int err)
{
	buf_reset(&s->words);
	buf_printf(&s->words, "%s: %s", what, err_text(err));
	return ERR_DENIED;
}

/* ---- what there is --------------------------------------------------------------------------------------------- */

static int
source_begin(void *of)
{
	(void)of;
	return 0;
}

struct naming {
	struct slice id;
	bool found;
};

static int
look_at_header(void *arg, const struct store_archived *m)
{
	struct naming *x = arg;
	struct header_iter it = header_iter_of(m->header, m->header.n);
	struct header_field f;

	while (!x->found && header_next(&it, &f))
		if (slice_ieq(f.name, SLICE("Message-ID"))) {
			struct slice value = slice_trim(f.value);

			if (slice_starts(value, SLICE("<")) && slice_ends(value, SLICE(">")))
				value = slice_range(value, 1, value.n - 1);
			x->found = slice_eq(value, x->id);
		}
	return 0;
}

/* Is it the one that was asked for? By EMAILID, as IMAP shows it, or by Message-ID. */
static int
is_wanted(struct account_source *s, const struct listed *l, bool *yes)
{
	struct naming x = {.id = s->wanted};
	struct buf hex BUF_CLEANUP;
	int err;

	buf_init(&hex, 128);
	buf_put_z(&hex, "M");
	buf_put_hex(&hex, slice_of(l->email_id, STORE_ID_BYTES));
	*yes = s->wanted.n == 0 || slice_ieq(buf_slice(&hex), s->wanted);
	if (*yes)
		return 0;
	if (slice_starts(x.id, SLICE("<")) && slice_ends(x.id, SLICE(">")))
		x.id = slice_range(x.id, 1, x.id.n - 1);
	err = store_archive_read(s->ar, l->email, look_at_header, &x);
	*yes = x.found;
	return err == ERR_NOTFOUND ? 0 : err;
}

static int
list_message(void *arg, const struct store_archived *m)
{
	struct account_source *s = arg;
	struct listed *v = arena_grow(&s->arena, s->v, s->n, &s->cap, sizeof(*v), MESSAGES_MAX);
	struct slice *words = ARENA_ARRAY(&s->arena, struct slice, m->keywords.n + 1);

	if (v == NULL || words == NULL || m->email_id.n != STORE_ID_BYTES)
		return v == NULL || words == NULL ? ERR_LIMIT : ERR_DAMAGED;
	s->v = v;
	v = &s->v[s->n++];
	*v = (struct listed){.email = m->email,
	    .uid = m->uid,
	    .size = (uint32_t)m->size,
	    .internal_s = m->internal_s,
	    .flags = m->flags,
	    .blob = arena_copy(&s->arena, m->blob)};
	memcpy(v->email_id, m->email_id.p, STORE_ID_BYTES);
	for (size_t i = 0; i < m->keywords.n; i++)
		words[i] = arena_copy(&s->arena, m->keywords.v[i]);
	v->keywords = (struct slice_list){words, m->keywords.n};
	return arena_failed(&s->arena) ? ERR_LIMIT : 0;
}

static int
source_open(void *of, const struct move_folder *f, struct move_opened *o)
{
	struct account_source *s = of;
	struct store_mailbox *boxes;
	struct arena a ARENA_CLEANUP;
	size_t count;
	int err;

	arena_init(&a, (size_t)256 << 20);
	arena_reset(&s->arena);
	s->v = NULL;
	s->n = s->cap = s->next = 0;
	s->lost = 0;
	*o = (struct move_opened){.complete = false};
	memset(o->source, 0xff, sizeof(o->source));
	err = store_archive_mailboxes(s->ar, &a, &boxes, &count);
	for (size_t i = 0; i < count && err == 0; i++) {
		if (!slice_eq(boxes[i].name, f->raw))
			continue;
		o->uidvalidity = boxes[i].uidvalidity;
		o->uidnext = boxes[i].uidnext;
		err = store_archive_each(s->ar, boxes[i].id, false, list_message, s, &s->lost);
	}
	return err == 0 ? 0 : say(s, "the mailbox cannot be read in the backup", err);
}

/* A mailbox without the message that was asked for is not touched. */
static int
has_wanted(struct account_source *s, const struct move_folder *f, bool *yes)
{
	struct move_opened o;
	int err;

	if (s->wanted.n == 0)
		return 0;
	*yes = false;
	err = source_open(s, f, &o);
	for (size_t i = 0; i < s->n && err == 0 && !*yes; i++)
		if ((err = is_wanted(s, &s->v[i], yes)) != 0)
			return say(s, "a message cannot be read in the backup", err);
	return err;
}

static int
source_folders(void *of, struct arena *a, struct move_folder **v, size_t *n)
{
	struct account_source *s = of;
	struct store_mailbox *boxes;
	size_t count, kept = 0;
	int err = store_archive_mailboxes(s->ar, a, &boxes, &count);

	*n = 0;
	if (err != 0)
		return say(s, "the mailboxes in the backup cannot be read", err);
	*v = ARENA_ARRAY(a, struct move_folder, count + 1);
	if (*v == NULL)
		return ERR_LIMIT;
	for (size_t i = 0; i < count; i++)
		if (boxes[i].selectable && err == 0) {
			bool wanted = true;

			(*v)[kept] = (struct move_folder){
			    .name = boxes[i].name, .raw = boxes[i].name, .role = boxes[i].role, .subscribed = true};
			err = has_wanted(s, &(*v)[kept], &wanted);
			kept += wanted;
		}
	*n = kept;
	return err;
}

static int
source_next(void *of, struct arena *a, struct move_message *v, size_t *n, size_t *lost)
{
	struct account_source *s = of;

	(void)a;
	*n = 0;
	*lost = (size_t)s->lost;
	s->lost = 0;
	for (; s->next < s->n && *n < MOVE_BATCH; s->next++) {
		const struct listed *l = &s->v[s->next];
		bool wanted;
		int err = is_wanted(s, l, &wanted);

		if (err != 0)
			return say(s, "a message cannot be read in the backup", err);
		if (!wanted)
			continue;
		v[*n] = (struct move_message){.number = (int64_t)l->email,
		    .uid = l->uid,
		    .flags = l->flags,
		    .keywords = l->keywords,
		    .internal_s = l->internal_s,
		    .size = l->size,
		    .place = s->next,
		    .file = l->blob};
		memset(v[*n].source, 0xff, 8);
		memcpy(v[*n].source + 8, l->email_id + 8, 8);
		++*n;
	}
	return 0;
}

/* ---- bodies ------------------------------------------------------------------------------------------------------ */

static int
put_rows(void *arg, const struct store_archived *m)
{
	struct move_body *b = arg;

	move_body_put(b, m->head);
	move_body_put(b, m->header);
	move_body_put(b, m->rest);
	return 0;
}

static int
read_body(struct account_source *s, const struct move_message *m, struct move_body *b)
{
	const json_t *file;
	struct buf bytes BUF_CLEANUP;
	int err;

	if (m->file.n == 0)
		return store_archive_read(s->ar, (uint64_t)m->number, put_rows, b);
	file = map_get(&s->blobs, m->file);
	if (file == NULL)
		return ERR_NOTFOUND;
	buf_init(&bytes, (size_t)m->size + BACKUP_PIECE_MAX);
	err = backup_bytes_get(s->r->w.repo, file, &bytes);
	if (err == 0)
		move_body_put(b, buf_slice(&bytes));
	return err;
}

static int
source_bodies(void *of, const struct move_message *v, size_t n, struct move_body *b, move_take_fn *take, void *arg)
{
	struct account_source *s = of;
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++) {
		move_body_reset(b);
		err = read_body(s, &v[i], b);
		if (err == 0 && b->err == 0 && b->n != v[i].size)
			err = ERR_DAMAGED;
		if (err == 0)
			err = take(arg, i, b);
		else if (n == 1)
			return say(s, "the message cannot be read in the backup", err);
		else
			err = 0; /* asked for by itself it says why */
	}
	return err;
}

static struct slice
source_words(void *of)
{
	return buf_slice(&((struct account_source *)of)->words);
}

static void
source_end(void *of)
{
	(void)of;
}

static int
new_source(void *arg, struct move_source *out)
{
	*out = (struct move_source){.of = arg,
	    .begin = source_begin,
	    .folders = source_folders,
	    .open = source_open,
	    .next = source_next,
	    .bodies = source_bodies,
	    .words = source_words,
	    .end = source_end,
	    .free = source_end};
	return 0;
}

static int
new_target(void *arg, struct move_target *out)
{
	struct account_source *s = arg;

	return move_house_target(s->m.loop, &s->m.house.limits, &s->m.account, out);
}

/* ---- the account in the backup ------------------------------------------------------------------------------------- */

static int
move_in(struct account_source *s)
{
	struct cli *c = s->r->w.c;
	int code = cli_move_begin(c, &s->m, cli_text(c, "account"), "brought back");

	s->run = (struct move_run){
	    .limits = &s->m.house.limits, .source = new_source, .target = new_target, .arg = s, .connections = 1};
	if (cli_text(c, "into") != NULL)
		s->run.into = slice_z(cli_text(c, "into"));
	if (code == 0)
		code = cli_move_folders(&s->m, &s->only, &s->run.only);
	if (code == 0)
		code = cli_move_run_here(&s->m, &s->run);
	if (code == 0 && s->wanted.n > 0 && s->run.counts.seen == 0)
		code = cli_fail(c, EX_NOINPUT, "the account has no such message in this backup");
	free(s->only);
	return cli_move_end(&s->m, code);
}

static int
open_account(struct account_source *s, const json_t *account, const json_t *tree, char path[RESTORE_PATH_BYTES])
{
	const char *id = json_string_value(json_object_get(account, "id"));
	const json_t *file, *database = NULL;
	struct buf detail BUF_CLEANUP;
	bool bad = false;
	size_t i;
	int code, err = 0;

	buf_init(&detail, 65536);
	json_array_foreach(json_object_get(tree, "files"), i, file)
	{
		const char *name = json_string_value(json_object_get(file, "path"));

		if (name != NULL && strcmp(name, "mail.db") == 0)
			database = file;
		else if (name != NULL && strncmp(name, "blobs/", 6) == 0 && err == 0)
			err = map_put(&s->blobs, slice_z(name + 6), (void *)(uintptr_t)file);
	}
	if (database == NULL || id == NULL || err != 0)
		return cli_fail(s->r->w.c, EX_DATAERR, "the account is not whole in this backup");
	code = restore_scratch(s->r, database, path, &bad);
	if (code != 0)
		return code;
	err = store_archive_open(&s->ar, &s->r->w.house, path, slice_z(id), &detail);
	return err == 0 ? 0
			: cli_fail(s->r->w.c, EX_DATAERR, "the account's database is damaged in this backup: %.*s",
			      SLICE_ARG(slice_trim(buf_slice(&detail))));
}

static const json_t *
find_account(const struct restore *r, const char *address)
{
	const json_t *account;
	size_t i;

	json_array_foreach(json_object_get(r->about, "accounts"), i, account)
	{
		const char *a = json_string_value(json_object_get(account, "address"));

		if (a != NULL && slice_ieq(slice_z(a), slice_z(address)))
			return account;
	}
	return NULL;
}

int
restore_into_account(struct restore *r)
{
	struct account_source s = {.r = r};
	struct cli *c = r->w.c;
	const char *address = cli_text(c, "account"), *wanted = cli_text(c, "message");
	const json_t *account = find_account(r, address);
	char path[RESTORE_PATH_BYTES] = "";
	json_t *tree = NULL;
	int code, err;

	if (account == NULL)
		return cli_fail(c, EX_NOUSER, "the backup has no account %s", address);
	if (wanted != NULL)
		s.wanted = slice_z(wanted);
	buf_init(&s.words, 4096);
	arena_init(&s.arena, (size_t)4 << 30);
	map_init(&s.blobs, SIZE_MAX, house_random_u64(&r->w.house));
	err = backup_tree_get(r->w.repo, json_object_get(account, "tree"), &tree);
	code = err == 0 ? open_account(&s, account, tree, path) : backup_fail(&r->w, err);
	if (code == 0)
		code = move_in(&s);
	store_archive_close(&s.ar);
	if (path[0] != '\0')
		restore_scratch_remove(path);
	map_free(&s.blobs);
	arena_free(&s.arena);
	buf_free(&s.words);
	json_decref(tree);
	return code;
}
