/* bus.c: requests that wait for their replies, and the handlers that answer. A call lies on its caller's
 * stack; the link knows it by a slot, which stays taken after the caller has given up until the late reply has come
 * and is discarded. Every request runs its handler in a fiber with a pooled arena. */
#include "bus/bus_private.h"

#include "base/cursor.h"
#include "base/log.h"

#define PEER_INDEX_MAX 1023
#define IDLE_JOBS_MAX 64u
#define REPLY_WAIT_MS 60000

struct call {
	struct fiber *fiber;
	enum bus_type type;
	struct arena *a;
	void *reply;
	int err;
	bool done;
};

/* A request being handled. */
struct job {
	struct list_node node; /* in bus->idle_jobs */
	struct bus_peer *peer;
	enum bus_type type;
	uint64_t id;
	size_t bytes;
	void *request, *reply; /* in the arena */
	struct arena a;
};

/* ---- the bus ----------------------------------------------------------------------------------------- */

void
bus_unref(struct bus *b)
{
	struct list_node *n;

	ASSERT(b->refs > 0);
	if (--b->refs > 0)
		return;
	while ((n = list_pop(&b->idle_jobs)) != NULL) {
		struct job *j = CONTAINER_OF(n, struct job, node);

		arena_free(&j->a);
		free(j);
	}
	free(b->peers);
	free(b->scratch);
	free(b);
}

int
bus_new(struct bus **out, struct loop *l, enum bus_role self, int index)
{
	struct bus *b = calloc(1, sizeof(*b));

	*out = NULL;
	if (b == NULL)
		return ERR_NOMEM;
	b->loop = l;
	b->house = loop_house(l);
	b->self = self;
	b->index = index;
	b->refs = 1;
	waitq_init(&b->changed);
	list_init(&b->dirty);
	list_init(&b->idle_jobs);
	b->scratch = malloc(BUS_SCRATCH_BYTES);
	if (b->scratch == NULL || bus_flush_init(b) != 0) {
		free(b->scratch);
		free(b);
		return ERR_NOMEM;
	}
	*out = b;
	return 0;
}

void
bus_free(struct bus **bp)
{
	struct bus *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	b->closing = true;
	bus_flush_stop(b);
	for (size_t i = 0; i < b->peers_n; i++)
		if (b->peers[i].peer != NULL)
			link_close(b->peers[i].peer);
	waitq_wake_all(&b->changed);
	bus_unref(b);
}

void
bus_handle(struct bus *b, enum bus_type type, bus_handler *fn, void *ctx)
{
	ASSERT((bus_message(type)->to & b->self) != 0);
	b->handlers[type] = (struct bus_handler_entry){fn, ctx};
}

void
bus_on_peer_closed(struct bus *b, void (*fn)(void *ctx, enum bus_role role, int index), void *ctx)
{
	b->closed_fn = fn;
	b->closed_ctx = ctx;
}

/* ---- peers ------------------------------------------------------------------------------------------- */

static struct peer_slot *
peer_slot(struct bus *b, enum bus_role role, int index)
{
	for (size_t i = 0; i < b->peers_n; i++)
		if (b->peers[i].role == role && b->peers[i].index == index)
			return &b->peers[i];
	return NULL;
}

static int
peer_slot_add(struct bus *b, enum bus_role role, int index)
{
	struct peer_slot *v;

	if (peer_slot(b, role, index) != NULL)
		return 0;
	v = realloc(b->peers, (b->peers_n + 1) * sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	v[b->peers_n] = (struct peer_slot){role, index, NULL};
	b->peers = v;
	b->peers_n++;
	return 0;
}

int
bus_add_peer(struct bus *b, enum bus_role role, int index, int fd)
{
	struct peer_slot *slot;
	struct bus_peer *p;
	int err = index < 0 || index > PEER_INDEX_MAX || b->closing ? ERR_INVALID : peer_slot_add(b, role, index);

	if (err != 0) {
		(void)close(fd);
		return err;
	}
	err = link_open(b, role, index, fd, &p);
	if (err != 0)
		return err;
	slot = peer_slot(b, role, index);
	if (slot->peer != NULL) {
		struct bus_peer *old = slot->peer;

		old->replaced = true;
		link_end(old);
	}
	/* link_end() may have moved the table. */
	slot = peer_slot(b, role, index);
	ASSERT(slot->peer == NULL);
	slot->peer = p;
	waitq_wake_all(&b->changed);
	return 0;
}

struct bus_peer *
bus_peer(struct bus *b, enum bus_role role, int index)
{
	struct peer_slot *s = peer_slot(b, role, index);

	return s == NULL ? NULL : s->peer;
}

int
bus_peer_count(struct bus *b, enum bus_role role)
{
	int n = 0;

	for (size_t i = 0; i < b->peers_n; i++)
		if (b->peers[i].role == role && b->peers[i].index >= n)
			n = b->peers[i].index + 1;
	return n;
}

enum bus_role
bus_peer_role(const struct bus_peer *p)
{
	return p->role;
}
int
bus_peer_index(const struct bus_peer *p)
{
	return p->index;
}

/* ---- calls ------------------------------------------------------------------------------------------- */

static int
slot_take(struct bus_peer *p, struct call *call, uint64_t *id)
{
	uint32_t i = p->free_slot;

	if (p->calls >= (uint64_t)p->bus->house->limits.bus_in_flight)
		return ERR_LIMIT;
	if (i == SLOT_NONE) {
		if (p->slots_n == p->slots_cap) {
			size_t cap = p->slots_cap == 0 ? 64 : p->slots_cap * 2;
			struct call_slot *v = realloc(p->slots, cap * sizeof(*v));

			if (v == NULL)
				return ERR_NOMEM;
			p->slots = v;
			p->slots_cap = cap;
		}
		i = (uint32_t)p->slots_n++;
		p->slots[i] = (struct call_slot){.next_free = SLOT_NONE};
	}
	p->free_slot = p->slots[i].next_free;
	p->slots[i].generation++;
	p->slots[i].type = call->type;
	p->slots[i].call = call;
	p->calls++;
	*id = (uint64_t)p->slots[i].generation << 32 | i;
	return 0;
}

/* The slot of an id that is under way, or NULL. */
static struct call_slot *
slot_of(struct bus_peer *p, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (i >= p->slots_n || p->slots[i].type == BUS_NONE || p->slots[i].generation != (uint32_t)(id >> 32))
		return NULL;
	return &p->slots[i];
}

static void
slot_free(struct bus_peer *p, uint64_t id)
{
	struct call_slot *s = slot_of(p, id);

	s->type = BUS_NONE;
	s->call = NULL;
	s->next_free = p->free_slot;
	p->free_slot = (uint32_t)id;
	p->calls--;
}

static void
call_done(struct call *c, int err)
{
	c->err = err;
	c->done = true;
	fiber_wake(c->fiber);
}

void
bus_link_ended(struct bus_peer *p)
{
	struct bus *b = p->bus;
	struct peer_slot *slot = peer_slot(b, p->role, p->index);

	for (size_t i = 0; i < p->slots_n; i++)
		if (p->slots[i].call != NULL) {
			call_done(p->slots[i].call, ERR_CLOSED);
			p->slots[i].call = NULL;
		}
	if (slot == NULL || slot->peer != p)
		return;
	slot->peer = NULL;
	if (!b->closing && !p->replaced && b->closed_fn != NULL)
		b->closed_fn(b->closed_ctx, p->role, p->index);
	link_unref(p);
}

/* Waits for the reply. A wake that was meant for something else is given back, so that the caller's own waits see it. */
static int
call_wait(struct bus_peer *p, struct call *c, uint64_t id, int64_t deadline_ms)
{
	struct loop *l = p->bus->loop;
	bool stray = false;
	int err = 0;

	while (!c->done && err == 0) {
		err = fiber_park(l, deadline_ms);
		stray = stray || (err == 0 && !c->done);
	}
	if (stray)
		fiber_wake(c->fiber);
	if (c->done)
		return c->err;
	slot_of(p, id)->call = NULL;
	return err;
}

static int
call_once(
    struct bus_peer *p, enum bus_type type, const void *request, struct arena *a, void *reply, int64_t deadline_ms)
{
	struct call c = {.fiber = fiber_self(p->bus->loop), .type = type, .a = a, .reply = reply};
	uint64_t id;
	int err = link_wait_room(p, deadline_ms);

	if (err != 0)
		return err;
	err = slot_take(p, &c, &id);
	if (err != 0)
		return err;
	err = link_send(p, FRAME_REQUEST, type, id, (void *)(uintptr_t)request, false);
	if (err != 0) {
		if (slot_of(p, id) != NULL)
			slot_free(p, id);
		return err;
	}
	return call_wait(p, &c, id, deadline_ms);
}

static int
call_until(struct bus *b, enum bus_role role, int index, enum bus_type type, const void *request, struct arena *a,
    void *reply, int64_t deadline_ms)
{
	const struct bus_message *m = bus_message(type);
	struct bus_peer *p = bus_peer(b, role, index);
	int err;

	ASSERT(fiber_self(b->loop) != NULL && (m->from & b->self) != 0 && (m->to & role) != 0);
	bus_clear(type, true, reply);
	if (p == NULL)
		return ERR_CLOSED;
	p->refs++;
	err = call_once(p, type, request, a, reply, deadline_ms);
	link_unref(p);
	return err;
}

int
bus_call(struct bus *b, enum bus_role role, int index, enum bus_type type, const void *request, struct arena *a,
    void *reply, int64_t timeout_ms)
{
	return call_until(b, role, index, type, request, a, reply, loop_deadline(b->loop, timeout_ms));
}

int
bus_call_again(struct bus *b, enum bus_role role, int index, enum bus_type type, const void *request, struct arena *a,
    void *reply, int64_t timeout_ms)
{
	int64_t deadline_ms = loop_deadline(b->loop, timeout_ms);
	int err;

	b->refs++;
	for (;;) {
		err = call_until(b, role, index, type, request, a, reply, deadline_ms);
		if (err != ERR_CLOSED || b->closing)
			break;
		if (bus_peer(b, role, index) != NULL)
			continue;
		err = waitq_wait(b->loop, &b->changed, deadline_ms);
		if (err != 0)
			break;
	}
	bus_unref(b);
	return err;
}

/* ---- handlers ---------------------------------------------------------------------------------------- */

static struct job *
job_new(struct bus *b)
{
	struct list_node *n = list_pop(&b->idle_jobs);
	struct job *j;

	if (n != NULL) {
		b->idle_jobs_n--;
		return CONTAINER_OF(n, struct job, node);
	}
	j = calloc(1, sizeof(*j));
	/* The request, its lists (16 bytes for every 4 on the wire), and as much again for the reply. */
	if (j != NULL)
		arena_init(&j->a, (size_t)b->house->limits.bus_message_bytes * 10 + 65536);
	return j;
}

static void
job_free(struct bus *b, struct job *j)
{
	arena_reset(&j->a);
	if (b->idle_jobs_n >= IDLE_JOBS_MAX || b->closing) {
		arena_free(&j->a);
		free(j);
		return;
	}
	b->idle_jobs_n++;
	list_push_front(&b->idle_jobs, &j->node);
}

static void
send_failure(struct bus_peer *p, enum bus_type type, uint64_t id, int err)
{
	/* A peer that asks and asks and never reads is cut off; out of memory, no link is better than a caller that
	 * waits in vain. */
	if (link_overrun(p) || link_send(p, FRAME_FAILURE, type, id, &err, false) != 0)
		link_close(p);
}

static void
job_reply(struct job *j, int err)
{
	struct bus_peer *p = j->peer;

	if (err == 0 && link_wait_room(p, loop_deadline(p->bus->loop, REPLY_WAIT_MS)) != 0) {
		bus_close_fds(j->type, true, j->reply);
		link_close(p);
	}
	if (!p->open)
		return;
	if (err == 0)
		err = link_send(p, FRAME_REPLY, j->type, j->id, j->reply, true);
	else
		bus_close_fds(j->type, true, j->reply);
	if (err != 0)
		send_failure(p, j->type, j->id, err);
}

static void
job_run(void *arg)
{
	struct job *j = arg;
	struct bus_peer *p = j->peer;
	const struct bus_handler_entry *h = &p->bus->handlers[j->type];
	int err = h->fn(h->ctx, p, j->request, &j->a, j->reply);

	ASSERT(err <= 0);
	bus_close_fds(j->type, false, j->request);
	if (p->open)
		job_reply(j, err);
	else
		bus_close_fds(j->type, true, j->reply);
	p->jobs--;
	p->job_bytes -= j->bytes;
	job_free(p->bus, j);
	link_unref(p);
}

/* The request in an arena, decoded; its payload is copied since the handler outlives the input buffer. */
static int
job_decode(struct job *j, const struct frame *f)
{
	const struct bus_message *m = bus_message(f->type);
	struct slice payload = arena_copy(&j->a, f->payload);

	j->request = arena_alloc(&j->a, m->form[0].size);
	j->reply = arena_alloc(&j->a, m->form[1].size);
	if (arena_failed(&j->a))
		return ERR_NOMEM;
	bus_clear(f->type, true, j->reply);
	return bus_decode(f->type, false, payload, f->fds, f->nfds, &j->a, j->request);
}

static void
close_frame_fds(struct frame *f)
{
	for (size_t i = 0; i < f->nfds; i++)
		(void)close(f->fds[i]);
	f->nfds = 0;
}

static int
request_arrived(struct bus_peer *p, struct frame *f)
{
	struct bus *b = p->bus;
	const struct bus_message *m = bus_message(f->type);
	const struct limits *limits = &b->house->limits;
	struct job *j;
	int err;

	if ((m->from & p->role) == 0 || (m->to & b->self) == 0) {
		close_frame_fds(f);
		return ERR_DENIED;
	}
	err = b->handlers[f->type].fn == NULL ? ERR_UNAVAILABLE
	    : p->jobs >= (uint64_t)limits->bus_in_flight ||
		p->job_bytes + f->payload.n > (uint64_t)limits->bus_held_bytes
	    ? ERR_BUSY
	    : 0;
	j = err == 0 ? job_new(b) : NULL;
	if (j == NULL) {
		close_frame_fds(f);
		send_failure(p, f->type, f->id, err == 0 ? ERR_NOMEM : err);
		return 0;
	}
	err = job_decode(j, f);
	if (err != 0) {
		close_frame_fds(f);
		job_free(b, j);
		return err;
	}
	j->peer = p;
	j->type = f->type;
	j->id = f->id;
	j->bytes = f->payload.n;
	err = fiber_start(b->loop, m->name, job_run, j, NULL);
	if (err != 0) {
		bus_close_fds(f->type, false, j->request);
		job_free(b, j);
		send_failure(p, f->type, f->id, ERR_BUSY);
		return 0;
	}
	p->refs++;
	p->jobs++;
	p->job_bytes += j->bytes;
	return 0;
}

/* Decodes into the memory of the caller, who is parked. */
static int
reply_decode(struct call *c, const struct frame *f)
{
	struct slice payload = arena_copy(c->a, f->payload);

	if (arena_failed(c->a))
		return ERR_LIMIT;
	return bus_decode(f->type, true, payload, f->fds, f->nfds, c->a, c->reply);
}

static int
failure_decode(const struct frame *f, int *err)
{
	struct cursor c = cursor_of(f->payload);
	uint32_t number = cursor_be32(&c);

	if (c.err != 0 || !cursor_end(&c) || number == 0 || number >= ERRN_COUNT || f->nfds != 0)
		return ERR_SYNTAX;
	*err = -(int)number;
	return 0;
}

static int
reply_arrived(struct bus_peer *p, struct frame *f)
{
	struct call_slot *slot = slot_of(p, f->id);
	struct call *c;
	int err = 0, bad = 0;

	if (slot == NULL || slot->type != f->type) {
		close_frame_fds(f);
		return ERR_SYNTAX;
	}
	c = slot->call;
	slot_free(p, f->id);
	if (f->kind == FRAME_FAILURE)
		bad = failure_decode(f, &err);
	else if (c != NULL)
		err = reply_decode(c, f);
	if (c == NULL || err != 0 || bad != 0)
		close_frame_fds(f);
	if (f->kind == FRAME_REPLY && err == ERR_SYNTAX)
		bad = err;
	if (c != NULL)
		call_done(c, bad != 0 ? ERR_CLOSED : err);
	return bad;
}

int
bus_frame_arrived(struct bus_peer *p, struct frame *f)
{
	return f->kind == FRAME_REQUEST ? request_arrived(p, f) : reply_arrived(p, f);
}
