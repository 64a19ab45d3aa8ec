/* bus.h: typed requests and replies between the processes of the house, over stream socket pairs that the keeper
 * hands out. Every message is in messages.def; there is nothing else on these sockets. A request runs its
 * handler in a fiber of its own; requests to a dead peer fail with ERR_CLOSED. */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "base/arena.h"
#include "base/buf.h"
#include "bus/values.h"
#include "rt/fiber.h"

/* Roles are bits, so that a message can name several. */
enum bus_role {
	ROLE_KEEPER = 1,
	ROLE_VAULT = 2,
	ROLE_GATE = 4,
	ROLE_PORCH = 8,
	ROLE_DESK = 16,
	ROLE_CLERK = 32,
	ROLE_COURIER = 64,
	ROLE_READER = 128,
	ROLE_ANY = 255
};
const char *bus_role_name(enum bus_role r); /* "gate" */

#define REQ(...) __VA_ARGS__
#define REP(...) __VA_ARGS__
#define INT(n) int64_t n;
#define FD(n) int64_t n;
#define TEXT(n) struct slice n;
#define BYTES(n) struct slice n;
#define LIST(n) struct slice_list n;
#define MESSAGE(name, from, to, req, rep) \
	struct bus_##name##_request { \
		req \
	}; \
	struct bus_##name##_reply { \
		rep \
	};
#include "bus/messages.def"
#undef MESSAGE

enum bus_type {
	BUS_NONE = 0,
#define MESSAGE(name, from, to, req, rep) BUS_##name,
#include "bus/messages.def"
#undef MESSAGE
	BUS_TYPE_COUNT
};
#undef INT
#undef FD
#undef TEXT
#undef BYTES
#undef LIST
#undef REQ
#undef REP

struct bus;      /* all links of this process */
struct bus_peer; /* one link */

/* Answers a request: fills *reply (zeroed, descriptors -1; slices may lie in `a`, which lives until the reply is sent) and returns 0,
 * or a negative enum err that the caller's bus_call() returns. Descriptors in the request are closed afterwards
 * unless the handler sets their field to -1; those in the reply are closed after they are sent. Runs in its
 * own fiber and may park and call others. */
typedef int bus_handler(void *ctx, struct bus_peer *from, void *request, struct arena *a, void *reply);

NODISCARD int bus_new(struct bus **out, struct loop *l, enum bus_role self, int index);
void bus_free(struct bus **b);
void bus_handle(struct bus *b, enum bus_type type, bus_handler *fn, void *ctx);
/* Typed: BUS_HANDLE(bus, clerk_rcpt, fn, ctx) where fn takes the message's own structs. */
#define BUS_HANDLE(b, name, fn, ctx) \
	do { \
		int (*typed_)(__typeof__(ctx), struct bus_peer *, struct bus_##name##_request *, struct arena *, \
		    struct bus_##name##_reply *) = (fn); \
		bus_handle((b), BUS_##name, (bus_handler *)(uintptr_t)typed_, (ctx)); \
	} while (0)

/* Adds (or replaces) the link to a peer; takes the socket. */
NODISCARD int bus_add_peer(struct bus *b, enum bus_role role, int index, int fd);
/* The link to a peer, or NULL while there is none. */
struct bus_peer *bus_peer(struct bus *b, enum bus_role role, int index);
int bus_peer_count(struct bus *b, enum bus_role role); /* highest index known + 1 */
enum bus_role bus_peer_role(const struct bus_peer *p);
int bus_peer_index(const struct bus_peer *p);
/* Called on the loop when a link ends; the keeper will hand out a new one. */
void bus_on_peer_closed(struct bus *b, void (*fn)(void *ctx, enum bus_role role, int index), void *ctx);

/* Asks and waits: 0 and *reply filled (its slices lie in `a`; received descriptors are the caller's to close), a
 * handler's error, ERR_CLOSED (no link, or it ended before the reply: the request may or may not have been acted
 * on), ERR_TIMEOUT, ERR_CANCELLED, ERR_LIMIT (too large, or too many under way), ERR_INVALID (TEXT that is none),
 * ERR_BUSY and ERR_UNAVAILABLE (the peer is overloaded, or not ready for this yet). Descriptors in the request
 * stay the caller's; 0, 1 and 2 are never sent and count as none, so that a zeroed FD field is harmless. *reply
 * is zeroed on failure. Called on a fiber. */
NODISCARD int bus_call(struct bus *b, enum bus_role role, int index, enum bus_type type, const void *request,
    struct arena *a, void *reply, int64_t timeout_ms);
#define BUS_CALL(b, role, index, name, req, a, rep, timeout_ms) \
	bus_call((b), (role), (index), BUS_##name, (1 ? (req) : (const struct bus_##name##_request *)0), (a), \
	    (1 ? (rep) : (struct bus_##name##_reply *)0), (timeout_ms))
/* As bus_call, but when the link is down or ends it waits for a new one and asks again until the deadline: only for
 * requests that are harmless to repeat. */
NODISCARD int bus_call_again(struct bus *b, enum bus_role role, int index, enum bus_type type, const void *request,
    struct arena *a, void *reply, int64_t timeout_ms);

/* Coding alone, for tests and fuzzing: reply = false codes the request form. */
NODISCARD int bus_encode(
    enum bus_type type, bool reply, const void *msg, struct buf *out, int fds[], size_t *nfds, size_t fds_max);
NODISCARD int bus_decode(
    enum bus_type type, bool reply, struct slice in, const int fds[], size_t nfds, struct arena *a, void *msg);

#endif
