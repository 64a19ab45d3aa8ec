/* queue_content.c: head and body of a message for an attempt: from memory, or read from the database, or the
 * file that holds a large body. */
#include "queue/queue_private.h"

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
	if (c.in_file) {
		out->fd = blob_open(q, m->id);
		if (out->fd < 0)
			return out->fd;
	}
	return 0;
}
