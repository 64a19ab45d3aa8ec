/* bus_link.c: one link: frames and descriptors over a stream socket. What the fibers of one turn of the loop
 * have queued goes out in one sendmsg(); one recvmsg() takes whatever has come. A peer that breaks the
 * framing is logged and cut off: it is broken or hostile.
 *
 * Descriptors travel with the first byte of the sendmsg() that carries their frame, or earlier frames of the same
 * batch: they are claimed in order by the frames that name them. */
#include "bus/bus_private.h"

#include "base/cursor.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#define READ_TURN_BYTES (512u * 1024u) /* from one link before others get their turn */
#define SEND_SOON_BYTES (64u * 1024u)  /* sent at once when so much is queued */
#define OUT_WAIT_BYTES (8u << 20)      /* senders wait above this */
#define OUT_MAX_BYTES (1u << 30)       /* a bound that waiting senders never reach */
#define OUT_KEEP_BYTES (64u * 1024u)
#define SEND_FDS_MAX 64u /* of one sendmsg(); the kernel takes 253 */
#define RECEIVE_FDS_MAX 253u
#define IN_FDS_MAX 512u /* received and not yet claimed */
#define FLUSH_RETRY_MS 10

static void
link_violation(struct bus_peer *p, const char *what, int err)
{
	LOG(p->bus->house, ERROR, "bus_violation", LOG_Z("peer", bus_role_name(p->role)), LOG_I("peer_index", p->index),
	    LOG_Z("what", what), LOG_E(err));
}

/* ---- ending ------------------------------------------------------------------------------------------ */

static void
link_free(struct bus_peer *p)
{
	struct bus *b = p->bus;

	buf_free(&p->in);
	buf_free(&p->out);
	free(p->in_fds);
	free(p->out_fds);
	free(p->slots);
	free(p);
	bus_unref(b);
}

void
link_unref(struct bus_peer *p)
{
	ASSERT(p->refs > 0);
	if (--p->refs == 0)
		link_free(p);
}

static void
link_handle_closed(uv_handle_t *h)
{
	struct bus_peer *p = h->data;

	(void)close(p->fd);
	link_unref(p);
}

void
link_close(struct bus_peer *p)
{
	if (!p->open)
		return;
	p->open = false;
	list_remove(&p->dirty);
	for (size_t i = 0; i < p->in_fds_n; i++)
		(void)close(p->in_fds[i]);
	for (size_t i = 0; i < p->out_fds_n; i++)
		(void)close(p->out_fds[i].fd);
	p->in_fds_n = p->out_fds_n = 0;
	/* Tells the other side at once; the number is closed when the loop has let go of it. */
	(void)shutdown(p->fd, SHUT_RDWR);
	bus_link_ended(p);
	waitq_wake_all(&p->writable);
	uv_close((uv_handle_t *)&p->poll, link_handle_closed);
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static void link_event(uv_poll_t *h, int status, int events);

static void
link_poll_for(struct bus_peer *p, int events)
{
	if (!p->open || p->events == events)
		return;
	p->events = events;
	if (uv_poll_start(&p->poll, events, link_event) != 0)
		link_close(p);
}

/* How many of the queued bytes may go into one sendmsg(), and with how many descriptors: those whose frames begin
 * within the bytes. */
static size_t
send_batch(const struct bus_peer *p, size_t *nfds)
{
	uint64_t from = p->out_base + p->out_at, to = p->out_base + p->out.n;

	*nfds = p->out_fds_n < SEND_FDS_MAX ? p->out_fds_n : SEND_FDS_MAX;
	if (*nfds < p->out_fds_n && p->out_fds[*nfds].at < to) {
		/* Its frame waits for the next batch; a frame's descriptors are never parted. */
		while (*nfds > 0 && p->out_fds[*nfds - 1].at == p->out_fds[*nfds].at)
			--*nfds;
		to = p->out_fds[*nfds].at;
	}
	return (size_t)(to - from);
}

static void
drop_out_fds(struct bus_peer *p, size_t n)
{
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		(void)close(p->out_fds[i].fd);
	p->out_fds_n -= n;
	memmove(p->out_fds, p->out_fds + n, p->out_fds_n * sizeof(*p->out_fds));
}

/* One sendmsg(): bytes sent, 0 when the socket is full, or a negative error. */
static ssize_t
send_once(struct bus_peer *p)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(SEND_FDS_MAX * sizeof(int))];
	} control;
	size_t nfds, n = send_batch(p, &nfds);
	struct slice bytes = slice_range(buf_slice(&p->out), p->out_at, p->out_at + n);
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes.p, .iov_len = bytes.n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (nfds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (size_t i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &p->out_fds[i].fd, sizeof(int));
	}
	do
		sent = sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == EAGAIN)
		return 0;
	if (sent < 0)
		return errno == ETOOMANYREFS ? ERR_BUSY : ERR_CLOSED;
	drop_out_fds(p, nfds);
	return sent;
}

static void flush_retry(uv_timer_t *t);

static void
link_flush(struct bus_peer *p)
{
	ssize_t sent = 0;

	list_remove(&p->dirty);
	if (!p->open)
		return;
	while (p->out_at < p->out.n) {
		sent = send_once(p);
		if (sent <= 0)
			break;
		p->out_at += (size_t)sent;
	}
	if (sent == ERR_CLOSED) {
		link_end(p);
		return;
	}
	if (p->out_at == p->out.n || p->out_at >= OUT_KEEP_BYTES) {
		buf_consume(&p->out, p->out_at);
		p->out_base += p->out_at;
		p->out_at = 0;
	}
	if (p->out.n == 0 && p->out.cap > OUT_KEEP_BYTES)
		buf_reset(&p->out);
	if (p->out.n - p->out_at <= OUT_WAIT_BYTES)
		waitq_wake_all(&p->writable);
	if (sent == ERR_BUSY)
		(void)uv_timer_start(&p->bus->flush_retry, flush_retry, FLUSH_RETRY_MS, 0);
	link_poll_for(p, p->out.n > p->out_at && sent != ERR_BUSY ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void
flush_all(struct bus *b)
{
	struct list_node *n;

	while ((n = list_first(&b->dirty)) != NULL)
		link_flush(CONTAINER_OF(n, struct bus_peer, dirty));
}

/* Fibers run before and after the loop polls. What they queue goes out just before the next poll; while something
 * is queued the idle handle keeps a poll from waiting. */
static void
flush_on_prepare(uv_prepare_t *h)
{
	struct bus *b = h->data;

	flush_all(b);
	uv_idle_stop(&b->flush_idle);
}

static void
flush_on_idle(uv_idle_t *h)
{
	(void)h;
}

static void
flush_soon(struct bus_peer *p)
{
	struct bus *b = p->bus;

	if (list_linked(&p->dirty))
		return;
	list_push(&b->dirty, &p->dirty);
	if (!b->closing)
		uv_idle_start(&b->flush_idle, flush_on_idle);
}

static void
flush_retry(uv_timer_t *t)
{
	struct bus *b = t->data;

	for (size_t i = 0; i < b->peers_n; i++) {
		struct bus_peer *p = b->peers[i].peer;

		if (p != NULL && p->open && p->out.n > p->out_at)
			flush_soon(p);
	}
}

static void
flush_handle_closed(uv_handle_t *h)
{
	bus_unref(h->data);
}

int
bus_flush_init(struct bus *b)
{
	struct uv_loop_s *uv = loop_uv(b->loop);

	if (uv_prepare_init(uv, &b->flush_prepare) != 0 || uv_idle_init(uv, &b->flush_idle) != 0 ||
	    uv_timer_init(uv, &b->flush_retry) != 0)
		return ERR_NOMEM;
	b->flush_prepare.data = b->flush_idle.data = b->flush_retry.data = b;
	b->refs += 3;
	uv_prepare_start(&b->flush_prepare, flush_on_prepare);
	/* They keep no loop alive by themselves. */
	uv_unref((uv_handle_t *)&b->flush_prepare);
	uv_unref((uv_handle_t *)&b->flush_idle);
	uv_unref((uv_handle_t *)&b->flush_retry);
	return 0;
}

void
bus_flush_stop(struct bus *b)
{
	flush_all(b);
	uv_close((uv_handle_t *)&b->flush_prepare, flush_handle_closed);
	uv_close((uv_handle_t *)&b->flush_idle, flush_handle_closed);
	uv_close((uv_handle_t *)&b->flush_retry, flush_handle_closed);
}

static int
out_fds_room(struct bus_peer *p, size_t n)
{
	struct out_fd *v;
	size_t cap = p->out_fds_cap == 0 ? 16 : p->out_fds_cap * 2;

	if (p->out_fds_cap - p->out_fds_n >= n)
		return 0;
	v = realloc(p->out_fds, cap * sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	p->out_fds = v;
	p->out_fds_cap = cap;
	return 0;
}

/* Queues the frame's descriptors: the message's own ones or duplicates of them. */
static int
queue_fds(struct bus_peer *p, const int fds[], size_t n, uint64_t at, bool own)
{
	size_t before = p->out_fds_n;
	int err = out_fds_room(p, n);

	for (size_t i = 0; i < n; i++) {
		int fd = own ? fds[i] : err == 0 ? fcntl(fds[i], F_DUPFD_CLOEXEC, 3) : -1;

		if (err == 0 && fd < 0)
			err = err_from_errno(errno);
		if (err == 0)
			p->out_fds[p->out_fds_n++] = (struct out_fd){fd, at};
		else if (fd >= 0)
			(void)close(fd);
	}
	while (err != 0 && p->out_fds_n > before)
		(void)close(p->out_fds[--p->out_fds_n].fd);
	return err;
}

static int
encode_frame(
    struct bus_peer *p, enum frame_kind kind, enum bus_type type, uint64_t id, const void *msg, int fds[], size_t *nfds)
{
	struct buf *out = &p->out;
	size_t start = out->n, length;
	int err = 0;

	*nfds = 0;
	/* The length and the number of descriptors are filled in below. */
	buf_put_be32(out, 0);
	buf_put_u8(out, (uint8_t)kind);
	buf_put_u8(out, 0);
	buf_put_be16(out, (uint16_t)type);
	buf_put_be64(out, id);
	if (kind == FRAME_FAILURE)
		buf_put_be32(out, (uint32_t) - *(const int *)msg);
	else if (out->err == 0)
		err = bus_encode(type, kind == FRAME_REPLY, msg, out, fds, nfds, BUS_FDS_MAX);
	if (err == 0)
		err = out->err;
	length = out->n - start - FRAME_LENGTH_BYTES;
	if (err == 0 && length > (uint64_t)p->bus->house->limits.bus_message_bytes)
		err = ERR_LIMIT;
	if (err != 0) {
		buf_truncate(out, start);
		out->err = 0;
		return err;
	}
	buf_patch_be32(out, start, (uint32_t)length);
	buf_patch_u8(out, start + FRAME_LENGTH_BYTES + 1, (uint8_t)*nfds);
	return 0;
}

int
link_send(struct bus_peer *p, enum frame_kind kind, enum bus_type type, uint64_t id, void *msg, bool own_fds)
{
	size_t start = p->out.n, nfds = 0;
	int fds[BUS_FDS_MAX];
	int err = p->open ? encode_frame(p, kind, type, id, msg, fds, &nfds) : ERR_CLOSED;

	if (err != 0) {
		if (own_fds && kind == FRAME_REPLY)
			bus_close_fds(type, true, msg);
		return err;
	}
	err = queue_fds(p, fds, nfds, p->out_base + start, own_fds);
	if (err != 0) {
		buf_truncate(&p->out, start);
		return err;
	}
	if ((p->events & UV_WRITABLE) == 0)
		flush_soon(p);
	if (list_linked(&p->dirty) && p->out.n - p->out_at >= SEND_SOON_BYTES)
		link_flush(p);
	return 0;
}

int
link_wait_room(struct bus_peer *p, int64_t deadline_ms)
{
	while (p->open && p->out.n - p->out_at > OUT_WAIT_BYTES) {
		int err = waitq_wait(p->bus->loop, &p->writable, deadline_ms);

		if (err != 0)
			return err;
	}
	return p->open ? 0 : ERR_CLOSED;
}

bool
link_overrun(const struct bus_peer *p)
{
	return p->out.n - p->out_at > 2 * OUT_WAIT_BYTES;
}

/* ---- receiving --------------------------------------------------------------------------------------- */

/* Keeps the descriptors of one recvmsg() in order. */
static int
take_fds(struct bus_peer *p, struct msghdr *m)
{
	int err = (m->msg_flags & MSG_CTRUNC) != 0 ? ERR_LIMIT : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (p->in_fds_cap - p->in_fds_n < n && p->in_fds_n + n <= IN_FDS_MAX) {
			int *v = realloc(p->in_fds, IN_FDS_MAX * sizeof(int));

			if (v != NULL) {
				p->in_fds = v;
				p->in_fds_cap = IN_FDS_MAX;
			}
		}
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (p->in_fds_n < p->in_fds_cap) {
				p->in_fds[p->in_fds_n++] = fd;
			} else {
				(void)close(fd);
				err = ERR_LIMIT;
			}
		}
	}
	return err;
}

/* Reads the head of a frame: 1 when the frame is whole (and *f, *size are filled), 0 when more must come, negative when
 * it is none of ours. */
static int
frame_parse(struct bus_peer *p, struct slice bytes, struct frame *f, size_t *size)
{
	struct cursor c = cursor_of(bytes);
	uint32_t length = cursor_be32(&c);
	size_t fds;

	if (bytes.n < FRAME_LENGTH_BYTES)
		return 0;
	if (length < FRAME_HEAD_BYTES || length > (uint64_t)p->bus->house->limits.bus_message_bytes)
		return ERR_LIMIT;
	*size = FRAME_LENGTH_BYTES + length;
	if (bytes.n < *size)
		return 0;
	*f = (struct frame){.kind = (enum frame_kind)cursor_u8(&c)};
	fds = cursor_u8(&c);
	f->type = (enum bus_type)cursor_be16(&c);
	f->id = cursor_be64(&c);
	f->payload = cursor_take(&c, length - FRAME_HEAD_BYTES);
	if (f->kind < FRAME_REQUEST || f->kind > FRAME_FAILURE || f->type <= BUS_NONE || f->type >= BUS_TYPE_COUNT ||
	    fds > BUS_FDS_MAX || fds > p->in_fds_n)
		return ERR_SYNTAX;
	for (; f->nfds < fds; f->nfds++)
		f->fds[f->nfds] = p->in_fds[f->nfds];
	p->in_fds_n -= fds;
	if (fds > 0)
		memmove(p->in_fds, p->in_fds + fds, p->in_fds_n * sizeof(int));
	return 1;
}

/* Hands on every whole frame: the bytes they took, or a negative error. */
static ssize_t
frames_in(struct bus_peer *p, struct slice bytes)
{
	size_t at = 0;

	while (p->open) {
		struct frame f;
		size_t size;
		int got = frame_parse(p, slice_from(bytes, at), &f, &size);

		if (got == 0)
			break;
		if (got > 0)
			got = bus_frame_arrived(p, &f);
		if (got < 0) {
			link_violation(p, "message", got);
			return got;
		}
		at += size;
	}
	return (ssize_t)at;
}

/* The bytes that have come, `bytes` (in the shared scratch) or the link's own unfinished frame: 0 or a negative
 * error. */
static int
link_took(struct bus_peer *p, struct slice bytes)
{
	bool own = p->in.n > 0;
	ssize_t used;

	if (own)
		buf_put(&p->in, bytes);
	if (p->in.err != 0)
		return p->in.err;
	used = frames_in(p, own ? buf_slice(&p->in) : bytes);
	if (used < 0)
		return (int)used;
	if (own) {
		buf_consume(&p->in, (size_t)used);
	} else {
		buf_put(&p->in, slice_from(bytes, (size_t)used));
		if (p->in.err != 0)
			return p->in.err;
	}
	/* Between frames a link holds no memory. */
	if (p->in.n == 0)
		buf_free(&p->in);
	return 0;
}

/* One recvmsg(): bytes, 0 when there are none now, or a negative error. */
static ssize_t
receive_once(struct bus_peer *p)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(RECEIVE_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = p->bus->scratch, .iov_len = BUS_SCRATCH_BYTES};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t got;
	int err;

	do
		got = recvmsg(p->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : ERR_CLOSED;
	if (got == 0)
		return ERR_CLOSED;
	err = take_fds(p, &m);
	if (err != 0)
		link_violation(p, "descriptors", err);
	return err != 0 ? err : got;
}

/* Takes what has come, up to about `max` bytes: how many there were, or a negative error: the link has to be closed. */
static ssize_t
link_receive(struct bus_peer *p, size_t max)
{
	size_t total = 0;

	while (p->open && total < max) {
		ssize_t got = receive_once(p);
		int err = got <= 0 ? (int)got : link_took(p, slice_of(p->bus->scratch, (size_t)got));

		if (err != 0)
			return err;
		total += (size_t)got;
		/* A short read has emptied the socket, unless it stopped at descriptors: then the poll says so. */
		if ((size_t)got < BUS_SCRATCH_BYTES)
			break;
	}
	return (ssize_t)total;
}

static void
link_event(uv_poll_t *h, int status, int events)
{
	struct bus_peer *p = h->data;
	bool failed = status < 0;

	p->refs++;
	if (!failed && (events & UV_READABLE) != 0)
		failed = link_receive(p, READ_TURN_BYTES) < 0;
	if (failed)
		link_close(p);
	else if (p->open && (events & UV_WRITABLE) != 0)
		link_flush(p);
	link_unref(p);
}

void
link_end(struct bus_peer *p)
{
	p->refs++;
	while (p->open && link_receive(p, READ_TURN_BYTES) > 0)
		;
	link_close(p);
	link_unref(p);
}

/* ---- opening ----------------------------------------------------------------------------------------- */

int
link_open(struct bus *b, enum bus_role role, int index, int fd, struct bus_peer **out)
{
	struct bus_peer *p = calloc(1, sizeof(*p));
	int flags = fcntl(fd, F_GETFL);

	*out = NULL;
	if (p == NULL || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || uv_poll_init(loop_uv(b->loop), &p->poll, fd) != 0) {
		free(p);
		(void)close(fd);
		return p == NULL ? ERR_NOMEM : ERR_INVALID;
	}
	p->poll.data = p;
	p->bus = b;
	b->refs++;
	p->role = role;
	p->index = index;
	p->fd = fd;
	p->open = true;
	p->refs = 2; /* the caller's and the handle's */
	p->free_slot = SLOT_NONE;
	buf_init(&p->in, (size_t)b->house->limits.bus_message_bytes + 2 * BUS_SCRATCH_BYTES);
	buf_init(&p->out, OUT_MAX_BYTES);
	waitq_init(&p->writable);
	link_poll_for(p, UV_READABLE);
	if (!p->open) {
		link_unref(p);
		return ERR_INVALID;
	}
	*out = p;
	return 0;
}
