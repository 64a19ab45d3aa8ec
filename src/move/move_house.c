/* move_house.c: bringing messages into an account of the house, through its desk. Messages that fit in memory go together in one
 * APPEND, which is one transaction there; when it is refused each is tried by itself, so that one that cannot be taken costs no
 * other. */
#include "move/move.h"

#include "imap/imap_utf7.h"
#include "message/date.h"

#include <stdlib.h>

#define TOGETHER 32
#define TOGETHER_BYTES ((size_t)2 << 20)

struct move_house {
	struct loop *loop;
	const struct limits *limits;
	const struct move_account *account;
	struct move_client c;
	bool begun, keep_uids;
	const struct move_report *report;
	struct move_counts *n;
	struct slice mailbox; /* the open one */
	struct move_opened opened;
	/* messages that wait for each other */
	struct arena arena;
	struct move_message waiting[TOGETHER];
	struct slice bodies[TOGETHER];
	size_t waiting_n, waiting_bytes;
};

/* ---- the session --------------------------------------------------------------------------------------------------- */

static void
house_end(void *of)
{
	struct move_house *h = of;

	if (h->begun)
		move_client_close(&h->c);
	h->begun = false;
	h->waiting_n = h->waiting_bytes = 0;
	arena_reset(&h->arena);
}

static int
house_begin(void *of, const struct move_report *r, struct move_counts *n)
{
	struct move_house *h = of;
	int fd = -1, err;

	house_end(h);
	h->report = r;
	h->n = n;
	if ((err = h->account->connect(h->account->arg, &fd)) != 0)
		return err;
	h->begun = true;
	return move_client_adopt(&h->c, h->loop, h->limits, fd);
}

/* A mailbox's name as an argument. */
static int
put_name(struct move_house *h, struct slice name)
{
	struct buf BUF_CLEANUP raw;
	int err;

	buf_init(&raw, 65536);
	err = imap_utf7_encode(name, &raw);
	return err != 0 ? err : move_client_string(&h->c, buf_slice(&raw));
}

/* "VERB name". */
static int
command_on(struct move_house *h, const char *verb, struct slice name, const char *more, move_answer_fn *fn, void *arg)
{
	int err = move_client_begin(&h->c, "%s ", verb);

	if (err == 0)
		err = put_name(h, name);
	if (err == 0)
		err = move_client_put(&h->c, slice_z(more));
	return err != 0 ? err : move_client_run(&h->c, fn, arg);
}

/* ---- mailboxes ------------------------------------------------------------------------------------------------------- */

struct looking {
	struct arena *a;
	const struct move_folder *f;
	struct slice by_role; /* our mailbox of that role, or empty */
	bool exists;
};

static int
on_list(void *arg, const struct move_answer *a)
{
	struct looking *l = arg;
	struct buf BUF_CLEANUP name;

	if (a->kind != MOVE_ANSWER_LIST || !a->selectable)
		return 0;
	buf_init(&name, 65536);
	if (imap_utf7_decode(a->name, &name) != 0)
		return 0;
	if (slice_eq(buf_slice(&name), l->f->name))
		l->exists = true;
	if (l->f->role != STORE_ROLE_NONE && a->role == l->f->role)
		l->by_role = arena_copy(l->a, buf_slice(&name));
	return arena_failed(l->a) ? ERR_LIMIT : 0;
}

struct emptiness {
	uint32_t exists, uidnext;
};

static int
on_examine(void *arg, const struct move_answer *a)
{
	struct emptiness *e = arg;

	if (a->kind == MOVE_ANSWER_EXISTS)
		e->exists = a->number;
	(void)move_answer_code_number(a->code, SLICE("UIDNEXT"), &e->uidnext);
	return 0;
}

static const char *
use_of(enum store_role role)
{
	static const char *const names[] = {"", "", " (USE (\\Drafts))", " (USE (\\Sent))", " (USE (\\Junk))",
	    " (USE (\\Trash))", " (USE (\\Archive))"};

	return (size_t)role < COUNT_OF(names) ? names[role] : "";
}

/* Our mailbox of that role has another name. Where it has never been used it takes the folder's, so that clients find what they
 * know; else the folder's messages go into it. */
static int
share_role(struct move_house *h, const struct looking *l, struct slice *name)
{
	struct emptiness e = {0};
	int err;

	*name = l->by_role;
	if (l->exists || slice_eq(l->by_role, SLICE("INBOX")))
		return 0;
	if ((err = command_on(h, "EXAMINE", l->by_role, "", on_examine, &e)) != 0 ||
	    (err = move_client_command(&h->c, "UNSELECT", NULL, NULL)) != 0)
		return err;
	if (e.exists > 0 || e.uidnext > 1)
		return 0;
	err = move_client_begin(&h->c, "RENAME ");
	if (err == 0)
		err = put_name(h, l->by_role);
	if (err == 0)
		err = move_client_put(&h->c, SLICE(" "));
	if (err == 0)
		err = put_name(h, l->f->name);
	if (err == 0)
		err = move_client_run(&h->c, NULL, NULL);
	if (err == 0)
		err = command_on(h, "UNSUBSCRIBE", l->by_role, "", NULL, NULL);
	if (err == 0)
		err = command_on(h, "SUBSCRIBE", l->f->name, "", NULL, NULL);
	if (err == 0)
		*name = l->f->name;
	return err;
}

static int
find_mailbox(struct move_house *h, const struct move_folder *f, struct arena *a)
{
	struct looking l = {.a = a, .f = f};
	struct slice name = f->name;
	int err = move_client_command(&h->c, "LIST \"\" \"*\" RETURN (SPECIAL-USE)", on_list, &l);

	if (err != 0)
		return err;
	if (l.by_role.n > 0 && !slice_eq(l.by_role, f->name))
		err = share_role(h, &l, &name);
	else if (!l.exists)
		err = command_on(h, "CREATE", name, use_of(f->role), NULL, NULL);
	if (err == 0 && f->subscribed)
		err = command_on(h, "SUBSCRIBE", name, "", NULL, NULL);
	h->mailbox = name;
	return err;
}

static int
on_adopted(void *arg, const struct move_answer *a)
{
	if (a->kind == MOVE_ANSWER_ADOPTED)
		*(bool *)arg = a->number == 1;
	return 0;
}

/* store_mailbox_adopt(), where the folder has UIDs; selects the mailbox unless `done`. */
static int
adopt(struct move_house *h, const struct move_opened *o, bool done)
{
	char more[96];
	int err = 0;

	h->keep_uids = false;
	(void)snprintf(more, sizeof(more), " %u %u %llu %s", o->uidvalidity, o->uidnext, (unsigned long long)o->modseq,
	    done ? "END" : "BEGIN");
	if (o->uidvalidity != 0 && o->uidnext != 0)
		err = command_on(h, "XMOVE-ADOPT", h->mailbox, more, on_adopted, &h->keep_uids);
	/* Not before: a selected mailbox that becomes another one ends the session. */
	return err != 0 || done ? err : command_on(h, "SELECT", h->mailbox, "", NULL, NULL);
}

static int
house_open(void *of, const struct move_folder *f, const struct move_opened *o, struct arena *a, struct slice *there,
    bool *kept)
{
	struct move_house *h = of;
	int err = find_mailbox(h, f, a);

	if (err == 0)
		err = adopt(h, o, false);
	h->opened = *o;
	*there = h->mailbox;
	*kept = h->keep_uids;
	return err;
}

static int
house_close(void *of)
{
	struct move_house *h = of;

	return h->keep_uids ? adopt(h, &h->opened, true) : 0;
}

/* ---- what is here already ------------------------------------------------------------------------------------------------ */

void
move_put_flags(struct buf *out, const struct move_message *m)
{
	static const struct {
		uint8_t flag;
		const char *name;
	} table[] = {{STORE_SEEN, "\\Seen"}, {STORE_ANSWERED, "\\Answered"}, {STORE_FLAGGED, "\\Flagged"},
	    {STORE_DELETED, "\\Deleted"}, {STORE_DRAFT, "\\Draft"}};
	bool first = true;

	buf_put_u8(out, '(');
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		if ((m->flags & table[i].flag) == 0)
			continue;
		buf_put_z(out, first ? "" : " ");
		buf_put_z(out, table[i].name);
		first = false;
	}
	for (size_t i = 0; i < m->keywords.n; i++) {
		buf_put_z(out, first ? "" : " ");
		buf_put(out, m->keywords.v[i]);
		first = false;
	}
	buf_put_u8(out, ')');
}

struct checking {
	struct move_house *h;
	const struct move_message *v;
	size_t n;
	bool *missing;
};

static int
on_missing(void *arg, const struct move_answer *a)
{
	struct checking *c = arg;

	if (a->kind == MOVE_ANSWER_DROPPED)
		c->h->n->dropped += a->number;
	if (a->kind != MOVE_ANSWER_MISSING)
		return 0;
	/* Both are in the same order. */
	for (size_t i = 0, k = 0; i < c->n && k < a->numbers_n; i++) {
		c->missing[i] = c->v[i].number == a->numbers[k];
		k += c->missing[i];
	}
	return 0;
}

static int
house_check(void *of, const struct move_message *v, size_t n, bool drop, int64_t lo, int64_t hi, bool *missing)
{
	struct move_house *h = of;
	static const uint8_t nobody[MOVE_SOURCE_BYTES];
	struct checking c = {h, v, n, missing};
	struct buf BUF_CLEANUP b;
	int err;

	for (size_t i = 0; i < n; i++)
		missing[i] = false;
	buf_init(&b, 1u << 20);
	buf_put_hex(&b, slice_of(n > 0 ? v->source : nobody, MOVE_SOURCE_BYTES));
	buf_printf(&b, " %s %lld %lld (", drop ? "DROP" : "KEEP", (long long)lo, (long long)hi);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, i == 0 ? "%lld " : " %lld ", (long long)v[i].number);
		move_put_flags(&b, &v[i]);
	}
	buf_put_u8(&b, ')');
	err = b.err != 0 ? b.err : move_client_begin(&h->c, "XMOVE-CHECK ");
	if (err == 0)
		err = move_client_put(&h->c, buf_slice(&b));
	return err != 0 ? err : move_client_run(&h->c, on_missing, &c);
}

/* ---- adding ----------------------------------------------------------------------------------------------------------- */

static int
put_head(struct move_house *h, const struct move_message *m)
{
	struct buf BUF_CLEANUP b;

	buf_init(&b, 1u << 20);
	buf_put_u8(&b, ' ');
	move_put_flags(&b, m);
	if (m->internal_s != INT64_MIN) {
		buf_put_z(&b, " \"");
		date_put_imap(&b, m->internal_s, 0);
		buf_put_u8(&b, '"');
	}
	buf_put_z(&b, " XORIGIN (");
	buf_put_hex(&b, slice_of(m->source, MOVE_SOURCE_BYTES));
	buf_printf(&b, " %lld %u) ", (long long)m->number, h->keep_uids ? m->uid : 0);
	return b.err != 0 ? b.err : move_client_put(&h->c, buf_slice(&b));
}

static int
begin_append(struct move_house *h)
{
	int err = move_client_begin(&h->c, "APPEND ");

	return err != 0 ? err : put_name(h, h->mailbox);
}

/* What the house says no to is that message's trouble, unless there is no room for any. */
static int
judge(struct move_house *h, const struct move_message *m, int err)
{
	if (err == 0)
		h->n->moved++;
	if (err != ERR_DENIED && err != ERR_BUSY)
		return err;
	if (slice_ifind(buf_slice(&h->c.words), SLICE("OVERQUOTA")) != SLICE_NONE)
		return ERR_QUOTA;
	move_tell(h->report, h->n, h->mailbox, m, buf_slice(&h->c.words));
	return 0;
}

static int
put_alone(struct move_house *h, const struct move_message *m, struct move_body *b)
{
	int err = begin_append(h);

	if (err == 0)
		err = put_head(h, m);
	if (err == 0)
		err = move_client_body(&h->c, b);
	if (err == 0)
		err = move_client_run(&h->c, NULL, NULL);
	return judge(h, m, err);
}

static int
put_together(struct move_house *h, size_t from, size_t n)
{
	int err = begin_append(h);

	for (size_t i = from; i < from + n && err == 0; i++) {
		char literal[32];

		err = put_head(h, &h->waiting[i]);
		(void)snprintf(literal, sizeof(literal), "{%zu+}\r\n", h->bodies[i].n);
		if (err == 0)
			err = move_client_put(&h->c, slice_z(literal));
		if (err == 0)
			err = move_client_put(&h->c, h->bodies[i]);
	}
	return err != 0 ? err : move_client_run(&h->c, NULL, NULL);
}

static int
house_flush(void *of)
{
	struct move_house *h = of;
	size_t n = h->waiting_n;
	int err = n == 0 ? 0 : put_together(h, 0, n);

	if (err == 0) {
		h->n->moved += n;
	} else if (err == ERR_DENIED || err == ERR_BUSY) {
		err = n == 1 ? judge(h, &h->waiting[0], err) : 0;
		for (size_t i = 0; i < n && n > 1 && err == 0; i++)
			err = judge(h, &h->waiting[i], put_together(h, i, 1));
	}
	h->waiting_n = h->waiting_bytes = 0;
	arena_reset(&h->arena);
	return err;
}

static int
house_put(void *of, const struct move_message *m, struct move_body *b)
{
	struct move_house *h = of;
	struct move_message *w = &h->waiting[h->waiting_n];
	struct slice *keywords;
	int err;

	if (b->err != 0 || b->n == 0) {
		move_tell(h->report, h->n, h->mailbox, m,
		    b->err == ERR_LIMIT ? SLICE("it is larger than limits.smtp_message_bytes allows")
			: b->err != 0   ? slice_z(err_text(b->err))
					: SLICE("it is empty"));
		return 0;
	}
	if (b->fd >= 0)
		return (err = house_flush(h)) != 0 ? err : put_alone(h, m, b);
	*w = *m;
	keywords = ARENA_ARRAY(&h->arena, struct slice, m->keywords.n + 1);
	for (size_t i = 0; keywords != NULL && i < m->keywords.n; i++)
		keywords[i] = arena_copy(&h->arena, m->keywords.v[i]);
	w->keywords = (struct slice_list){keywords, m->keywords.n};
	w->file = arena_copy(&h->arena, m->file);
	h->bodies[h->waiting_n] = arena_copy(&h->arena, buf_slice(&b->mem));
	if (arena_failed(&h->arena))
		return ERR_LIMIT;
	h->waiting_bytes += (size_t)b->n;
	if (++h->waiting_n == TOGETHER || h->waiting_bytes >= TOGETHER_BYTES)
		return house_flush(h);
	return 0;
}

/* ---- the target ------------------------------------------------------------------------------------------------------ */

static struct slice
house_words(void *of)
{
	struct move_house *h = of;

	return h->begun ? buf_slice(&h->c.words) : SLICE_EMPTY;
}

static void
house_free(void *of)
{
	struct move_house *h = of;

	house_end(h);
	arena_free(&h->arena);
	free(h);
}

int
move_house_target(struct loop *l, const struct limits *limits, const struct move_account *a, struct move_target *out)
{
	struct move_house *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return ERR_NOMEM;
	h->loop = l;
	h->limits = limits;
	h->account = a;
	arena_init(&h->arena, 4 * TOGETHER_BYTES + ((size_t)64 << 20));
	*out = (struct move_target){.of = h,
	    .begin = house_begin,
	    .open = house_open,
	    .check = house_check,
	    .put = house_put,
	    .flush = house_flush,
	    .close = house_close,
	    .words = house_words,
	    .end = house_end,
	    .free = house_free};
	return 0;
}
