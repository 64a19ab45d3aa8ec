/* porch_return.c: a client that leaves its account and stays connected (IMAP UNAUTHENTICATE, RFC 8437) comes back from the desk. The
 * desk has answered the command; what the client has sent after it may lie anywhere between both. So first the porch
 * sends on what it has read, and says that no more will come; then the desk gives all of it back, and closes its end. */
#include "role/porch_private.h"

static struct slice
key_of(const int64_t *number)
{
	return slice_of(number, sizeof(*number));
}

int
porch_return_expect(struct porch_session *s)
{
	s->number = ++s->porch->numbers;
	s->returning = s->returned = false;
	return map_put(&s->porch->returns, key_of(&s->number), s);
}

void
porch_return_forget(struct porch_session *s)
{
	if (s->number != 0)
		(void)map_remove(&s->porch->returns, key_of(&s->number));
	s->number = 0;
}

/* The session, if it is one of that desk. */
static struct porch_session *
find(struct porch *p, struct bus_peer *from, int64_t number)
{
	struct porch_session *s = map_get(&p->returns, key_of(&number));

	return s != NULL && s->desk_index == bus_peer_index(from) ? s : NULL;
}

static int
on_return(struct porch *p, struct bus_peer *from, struct bus_porch_return_request *q, struct arena *a,
    struct bus_porch_return_reply *rep)
{
	struct porch_session *s = find(p, from, q->session);

	(void)a;
	(void)rep;
	if (s == NULL)
		return ERR_NOTFOUND;
	s->returning = true;
	fiber_wake(s->waiter);
	return 0;
}

static int
on_returned(struct porch *p, struct bus_peer *from, struct bus_porch_returned_request *q, struct arena *a,
    struct bus_porch_returned_reply *rep)
{
	struct porch_session *s = find(p, from, q->session);

	(void)a;
	(void)rep;
	if (s == NULL || !s->returning || s->returned)
		return ERR_NOTFOUND;
	buf_put(&s->unread, q->pending);
	s->returned = s->unread.err == 0;
	return s->unread.err;
}

void
porch_return_start(struct porch *p)
{
	map_init(&p->returns, SIZE_MAX, house_random_u64(p->c->house));
	BUS_HANDLE(p->c->bus, porch_return, on_return, p);
	BUS_HANDLE(p->c->bus, porch_returned, on_returned, p);
}
