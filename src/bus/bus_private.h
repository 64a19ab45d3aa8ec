/* bus_private.h: what bus.c (calls and handlers) and bus_link.c (sockets and frames) share. */
#ifndef BUS_BUS_PRIVATE_H
#define BUS_BUS_PRIVATE_H

#include "bus/bus_table.h"

#include "base/list.h"

#include <uv.h>

/* A frame: u32 length of what follows it, u8 kind, u8 descriptors, u16 type, u64 id, then the message. A failure's
 * message is the u32 number of the error. Big-endian. */
enum frame_kind { FRAME_REQUEST = 1, FRAME_REPLY = 2, FRAME_FAILURE = 3 };
#define FRAME_LENGTH_BYTES 4u
#define FRAME_HEAD_BYTES 12u /* after the length */

struct frame {
	enum frame_kind kind;
	enum bus_type type;
	uint64_t id;
	struct slice payload;
	int fds[BUS_FDS_MAX]; /* owned by whom the frame is handed to */
	size_t nfds;
};

/* A descriptor that waits to be sent: beside or before the byte at stream offset `at`. */
struct out_fd {
	int fd;
	uint64_t at;
};

struct call;

/* A request of ours that has no reply yet. Its id is generation << 32 | place. */
struct call_slot {
	uint32_t generation;
	enum bus_type type; /* BUS_NONE: the place is free */
	struct call *call;  /* NULL: the caller has given up; the late reply is discarded */
	uint32_t next_free;
};

struct bus_peer {
	struct bus *bus;
	enum bus_role role;
	int index;
	int fd;
	bool open;
	bool replaced; /* by a fresh link: its end is no news */
	unsigned refs; /* the loop's handle, the peer table, each handler under way */
	uv_poll_t poll;
	int events;

	struct buf in; /* an unfinished frame */
	int *in_fds;   /* received, not yet claimed by a frame; in order */
	size_t in_fds_n, in_fds_cap;

	struct buf out;
	size_t out_at;     /* sent bytes of `out` */
	uint64_t out_base; /* stream offset of out's first byte */
	struct out_fd *out_fds;
	size_t out_fds_n, out_fds_cap;
	struct list_node dirty; /* in bus->dirty: has output that nobody has tried to send */
	struct waitq writable;  /* fibers that wait for `out` to shrink */

	struct call_slot *slots;
	size_t slots_n, slots_cap, calls; /* calls: slots in use */
	uint32_t free_slot;               /* head of the free list, or SLOT_NONE */

	size_t jobs;      /* handlers under way for this peer */
	size_t job_bytes; /* and the bytes of their requests */
};
#define SLOT_NONE UINT32_MAX
#define BUS_SCRATCH_BYTES (64u * 1024u)

struct bus_handler_entry {
	bus_handler *fn;
	void *ctx;
};

struct peer_slot {
	enum bus_role role;
	int index;
	struct bus_peer *peer; /* NULL while there is no link */
};

struct bus {
	struct loop *loop;
	struct house *house;
	enum bus_role self;
	int index;
	bool closing;
	unsigned refs; /* the owner, each peer, the flush handles */
	struct bus_handler_entry handlers[BUS_TYPE_COUNT];
	struct peer_slot *peers;
	size_t peers_n;
	struct waitq changed; /* fibers that wait for a new link */
	struct list dirty;
	uv_prepare_t flush_prepare;
	uv_idle_t flush_idle;
	uv_timer_t flush_retry; /* the kernel had no room for more descriptors in flight */
	struct list idle_jobs;
	size_t idle_jobs_n;
	void (*closed_fn)(void *ctx, enum bus_role role, int index);
	void *closed_ctx;
	uint8_t *scratch; /* BUS_SCRATCH_BYTES: one read at a time goes here */
};

/* bus_link.c: */
NODISCARD int link_open(struct bus *b, enum bus_role role, int index, int fd, struct bus_peer **out);
/* Ends the link: pending calls fail with ERR_CLOSED, descriptors are closed. Idempotent. */
void link_close(struct bus_peer *p);
void link_unref(struct bus_peer *p);
/* Reads what the peer had sent before it went (replies may be among it), then closes. */
void link_end(struct bus_peer *p);
/* Queues a frame. `msg` is the request or reply; for FRAME_FAILURE a pointer to the int error. With `own_fds` the
 * message's descriptors are taken over (also on failure), else duplicated. */
NODISCARD int link_send(
    struct bus_peer *p, enum frame_kind kind, enum bus_type type, uint64_t id, void *msg, bool own_fds);
/* Parks while too much output is queued: 0, ERR_CLOSED, ERR_TIMEOUT, ERR_CANCELLED. */
NODISCARD int link_wait_room(struct bus_peer *p, int64_t deadline_ms);
/* More is queued than any sender that waits for room would leave. */
bool link_overrun(const struct bus_peer *p);
NODISCARD int bus_flush_init(struct bus *b);
void bus_flush_stop(struct bus *b);
void bus_unref(struct bus *b);

/* bus.c: a frame has arrived. Takes its descriptors. A negative result ends the link: the peer is broken. */
NODISCARD int bus_frame_arrived(struct bus_peer *p, struct frame *f);
/* The link has ended. */
void bus_link_ended(struct bus_peer *p);

#endif
