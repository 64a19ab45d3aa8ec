/* queue_content.c: head and body of a message for an attempt: from memory, or read from the database, or the
 * file that holds a large body. */
#include "queue/queue_private.h"

#include <sys/stat.h>

struct content_read {
	struct slice id;
	struct arena *arena;
	struct slice head, body;
	bool in_file;
};

static int
read_content(struct sqltx *tx, void *arg)
{
	struct content_read *c = arg;
	struct sql_rows r SQL_ROWS_CLEANUP = {0};
	int err = SQL_QUERY(tx, &r, &queue_sql_content_get, SQLT(c->id));

	if (err == 0)
		err = sql_next(&r);
	if (err <= 0)
		return err < 0 ? err : ERR_NOTFOUND;
	c->head = arena_copy(c->arena, sql_col_bytes(&r, 0));
	c->body = arena_copy(c->arena, sql_col_bytes(&r, 1));
	c->in_file = sql_col_int(&r, 2) != 0;
	return arena_failed(c->arena) ? ERR_LIMIT : 0;
}

/* The file of a large body. ERR_NOTFOUND: the message has left meanwhile, and its file with it. ERR_DAMAGED: the message is
 * there, its file is not or is too short; perhaps somebody brings it back. */
static int
open_body(struct queue *q, struct window_message *m, struct arena *a, int *fd)
{
	struct content_read c = {.id = m->id, .arena = a};
	struct stat st;
	int err;

	*fd = blob_open(q, m->id);
	if (*fd >= 0 && fstat(*fd, &st) == 0 && st.st_size >= m->size_bytes)
		return 0;
	err = *fd < 0 ? *fd : ERR_DAMAGED;
	if (err == ERR_NOTFOUND)
		err = sql_read(q->db, read_content, &c) == 0 ? ERR_DAMAGED : ERR_NOTFOUND;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (err != ERR_NOTFOUND)
		LOG(q->house, ERROR, "body_unreadable", LOG_S("id", m->id), LOG_Z("folder", q->dir), LOG_E(err),
		    LOG_Z("do", "bring the file of this id back into blobs/, or remove the message from the queue"));
	return err;
}

int
content_load(struct queue *q, struct window_message *m, struct arena *a, struct carried *out)
{
	struct content_read c = {.id = m->id, .arena = a};
	int err = 0;

	*out = (struct carried){.fd = -1};
	if (!m->loaded) {
		err = sql_read(q->db, read_content, &c);
		if (err != 0)
			return err;
		/* While we read, another attempt of the message may have kept it. */
		if (!m->loaded && m->active > 0)
			(void)window_content_keep(q, m, c.head, c.body, c.in_file);
	}
	if (m->loaded) {
		struct slice content = slice_of(m->content, m->content_n);

		c.head = slice_head(content, m->head_n);
		c.body = slice_from(content, m->head_n);
		c.in_file = m->in_file;
	}
	out->head = c.head;
	out->body = c.body;
	return c.in_file ? open_body(q, m, a, &out->fd) : 0;
}
