/* stream.h: a buffered two-way byte stream over a socket, in the clear or under TLS, for fibers. Errors
 * stick: after the first failed read or write every later call fails with the same error. Only the end of
 * input, a read that timed out and a cancelled one leave writing as it was, so that a reply to a half-closed
 * client or a last "421" can be sent. Each wait has a deadline; buffers are taken when bytes arrive and given
 * back when idle. One fiber reads and one (the same or another) writes. */
#ifndef RT_STREAM_H
#define RT_STREAM_H

#include "base/buf.h"
#include "rt/fiber.h"

struct stream;
struct tls_server;
struct tls_client;
struct tls_info;
struct tls_peer;
struct tls_expect;

/* Takes the descriptor (a stream socket or pipe end; made non-blocking). */
NODISCARD int stream_new(struct stream **out, struct loop *l, int fd);
/* Two connected streams, for tests and for sessions handed between fibers. */
NODISCARD int stream_pair(struct loop *l, struct stream **a, struct stream **b);
/* Closes without flushing, frees, sets *st to NULL. NULL is fine. */
void stream_close(struct stream **st);
#define STREAM_CLEANUP __attribute__((cleanup(stream_close)))
/* Takes the descriptor back out of a cleartext stream with nothing buffered to write; unread input is
 * appended to *unread. Frees the stream. */
NODISCARD int stream_detach(struct stream **st, struct buf *unread, int *fd);

/* How long one wait for input (for taking output) may last; default 5 minutes each. */
void stream_set_timeouts(struct stream *st, int64_t read_ms, int64_t write_ms);
/* In addition an absolute end of everything; DEADLINE_NEVER by default. */
void stream_set_deadline(struct stream *st, int64_t deadline_ms);
int stream_error(const struct stream *st);
uint64_t stream_bytes_in(const struct stream *st);
uint64_t stream_bytes_out(const struct stream *st);

/* What has arrived and is not consumed; valid until the next call on the stream. */
struct slice stream_pending(const struct stream *st);
/* Waits until more than stream_pending().n bytes are there (grows the buffer, at most to `max` pending
 * bytes): 0, ERR_CLOSED at the end, ERR_LIMIT when `max` are pending already, ERR_TIMEOUT, … */
NODISCARD int stream_fill(struct stream *st, size_t max);
void stream_consume(struct stream *st, size_t n);
/* A line up to and without its terminator, and consumes both. The terminator is exactly `end` ("\r\n" or
 * "\n"). The slice is valid until the next read or stream_readable_now(). ERR_LIMIT: more than max bytes came without one (nothing
 * is consumed; use stream_skip_line). ERR_CLOSED with pending bytes left means an unfinished line. */
NODISCARD int stream_read_line(struct stream *st, struct slice end, size_t max, struct slice *line);
/* Discards up to and with the terminator, in constant memory. */
NODISCARD int stream_skip_line(struct stream *st, struct slice end);
/* Exactly n bytes into p. */
NODISCARD int stream_read_exact(struct stream *st, void *p, size_t n);

/* Appends to the output buffer; sends when it is over 16 KB. */
NODISCARD int stream_write(struct stream *st, struct slice s);
NODISCARD int stream_printf(struct stream *st, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sends all. */
NODISCARD int stream_flush(struct stream *st);
/* Sends what is queued, then `s` (not empty) with a descriptor on its first byte, over a plain Unix socket; the descriptor stays
 * the caller's. */
NODISCARD int stream_send_fd(struct stream *st, struct slice s, int fd);
/* True if input is there (or the end) without waiting: pipelining. */
bool stream_readable_now(struct stream *st);
/* Waits for input, the end, or a fiber_wake() of this fiber by somebody else: 0 (look at both), or an
 * error. For IDLE. */
NODISCARD int stream_wait_readable_or_wake(struct stream *st, int64_t deadline_ms);
/* Flushes, then ends our direction (close_notify under TLS). */
NODISCARD int stream_shutdown(struct stream *st);

/* From here on all bytes are compressed, in both directions (raw DEFLATE, RFC 1951; RFC 4978 §3). Flushes first. Unread
 * input from before is an error (ERR_SYNTAX), as is doing it twice. What the peer compresses badly is ERR_SYNTAX of the
 * read that meets it. */
NODISCARD int stream_start_deflate(struct stream *st);
bool stream_is_deflate(const struct stream *st);
/* Sends what is to be sent, and ends the compression of both directions, if there is one: the peer's ends with the flush of what was
 * read last, or with a final block. Waits for the rest of that. Unread input that was compressed is an error (ERR_SYNTAX). */
NODISCARD int stream_stop_deflate(struct stream *st);
/* Puts bytes in front of what is pending, as if they had just been read. */
NODISCARD int stream_unread(struct stream *st, struct slice bytes);

/* Copies bytes both ways between a and b until both directions ended, an error, or `idle_ms` without a
 * byte. Gives buffers back whenever idle; meant for thousands of idle sessions. */
NODISCARD int stream_proxy(struct stream *a, struct stream *b, int64_t idle_ms);
/* The same until `*stop`, too, which is looked at when the fiber is woken: then b gets what was read of a, and the end, but a is not
 * read any more, and not ended when b ends: it can be used after. */
NODISCARD int stream_proxy_until(struct stream *a, struct stream *b, int64_t idle_ms, const bool *stop);

/* TLS. Unread cleartext input at the moment of the upgrade is an error (ERR_SYNTAX: command injection,
 * RFC 3207 §5 and CVE-2011-0411); callers discard nothing silently. */
NODISCARD int stream_start_tls_server(struct stream *st, struct tls_server *s, int64_t deadline_ms);
/* `name` is sent as SNI and, when the client verifies, checked against the certificate. */
NODISCARD int stream_start_tls_client(struct stream *st, struct tls_client *c, struct slice name, int64_t deadline_ms);
/* The same with what is expected in full. ERR_INVALID: no TLSA record that can be used, or the name is none. */
NODISCARD int stream_start_tls_expect(
    struct stream *st, struct tls_client *c, const struct tls_expect *expect, int64_t deadline_ms);
bool stream_is_tls(const struct stream *st);
/* What this connection and no other has, for a sign-in that is bound to it. Appends, for the exporter (RFC 9266), 32 bytes
 * that only both ends know, or the hash of the server's certificate (RFC 5929 §4): 0, or ERR_UNAVAILABLE in the clear, for a
 * client's stream, and where the protocol version or a resumption does not allow to tell. */
enum stream_binding { STREAM_BINDING_EXPORTER, STREAM_BINDING_SERVER_END_POINT };
NODISCARD int stream_tls_binding(struct stream *st, enum stream_binding kind, struct buf *out);
/* The certificate that a client has shown to a server that asks for one (tls.h); NULL: none. Owned by the stream. */
const struct tls_peer *stream_tls_peer(const struct stream *st);
/* Version, cipher, SNI, verification result of the session; all static or owned by the stream. */
const struct tls_info *stream_tls_info(struct stream *st);

#endif
