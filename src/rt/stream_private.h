/* stream_private.h: the inside of a stream, shared by stream.c (buffers), stream_io.c (the descriptor),
 * stream_tls.c and stream_proxy.c; private to rt/. */
#ifndef RT_STREAM_PRIVATE_H
#define RT_STREAM_PRIVATE_H

#include "rt/loop_private.h"
#include "rt/stream.h"

/* Bytes between `at` and `at + n`; no memory while there are none and the stream waits. */
struct stream_bytes {
	uint8_t *p;
	size_t at, n, cap;
};

/* Who waits for the descriptor: a reader and a writer (which under TLS may both wait for the same event). */
enum stream_side { STREAM_READER, STREAM_WRITER, STREAM_SIDES };
struct stream_waiter {
	struct fiber *fiber; /* NULL: nobody */
	int events;          /* UV_READABLE, UV_WRITABLE */
	bool fired;
};

struct stream_poll;
struct stream_deflate;
struct tls_session;

struct stream {
	struct loop *loop;
	struct stream_poll *poll; /* from the first wait on */
	struct tls_session *tls;
	struct stream_deflate *deflate; /* NULL: bytes go as they are */
	struct stream_bytes in, out;
	size_t scanned; /* so many pending bytes hold no line end */
	struct stream_waiter wait[STREAM_SIDES];
	int64_t read_ms, write_ms, deadline_ms;
	uint64_t bytes_in, bytes_out;
	size_t burst; /* bytes moved since the fiber last let others run */
	int fd;
	int armed;   /* events that the poll handle watches */
	int err_in;  /* sticks; ERR_CLOSED at the end of input, when output may go on */
	int err_out; /* sticks */
	bool dry;    /* the last read took all there was, and no event has come since: the next one is in vain */
	bool socket;
	bool shut; /* our direction has ended */
};

/* stream_io.c. One attempt, never waiting: the number of bytes (> 0), ERR_CLOSED at the end of input, ERR_BUSY with the
 * event to wait for in *want, or another error. They look at no buffer. Only an error of reading
 * sticks by itself, which tells a reset from the end. */
NODISCARD int64_t stream_try_read(struct stream *st, void *p, size_t n, int *want);
NODISCARD int64_t stream_try_write(struct stream *st, const void *p, size_t n, int *want);
/* The same as stream_try_read() and stream_try_write() below a compressor. */
NODISCARD int64_t stream_transport_read(struct stream *st, void *p, size_t n, int *want);
NODISCARD int64_t stream_transport_write(struct stream *st, const void *p, size_t n, int *want);
/* 0, ERR_BUSY with *want, or an error. */
NODISCARD int stream_try_shutdown(struct stream *st, int *want);
/* The first half of a wait: registers the running fiber and arms the poll handle. */
NODISCARD int stream_watch(struct stream *st, enum stream_side side, int events);
void stream_unwatch(struct stream *st, enum stream_side side);
/* Watch, wait, unwatch. */
NODISCARD int stream_wait(struct stream *st, enum stream_side side, int events, int64_t deadline_ms);
/* `ms` from now, but not after the stream's own end. */
int64_t stream_wait_end(const struct stream *st, int64_t ms);
/* Counts n moved bytes; lets others run after many. */
NODISCARD int stream_moved(struct stream *st, size_t n);
/* Gives back the buffers that hold nothing. */
void stream_release_idle(struct stream *st);
/* Closes the poll handle; the descriptor may be closed or used elsewhere after. */
void stream_poll_close(struct stream *st);
/* Sets both errors. */
int stream_fail(struct stream *st, int err);

NODISCARD int stream_bytes_put(struct stream_bytes *b, const void *p, size_t n);
void stream_bytes_took(struct stream_bytes *b, size_t n);
void stream_bytes_free(struct stream_bytes *b);
static inline uint8_t *
stream_bytes_first(const struct stream_bytes *b)
{
	return b->p == NULL ? NULL : b->p + b->at;
}

/* stream_deflate.c */
NODISCARD int64_t stream_deflate_read(struct stream *st, void *p, size_t n, int *want);
NODISCARD int64_t stream_deflate_write(struct stream *st, const void *p, size_t n, int *want);
/* Sends what the compressor still holds: 0, ERR_BUSY with *want, or an error. */
NODISCARD int stream_deflate_flush(struct stream *st, int *want);
/* Gives back what a stream that waits does not need. */
void stream_deflate_release(struct stream_deflate *d);
void stream_deflate_free(struct stream_deflate **d);

/* stream_tls.c */
NODISCARD int64_t tls_session_read(struct stream *st, void *p, size_t n, int *want);
NODISCARD int64_t tls_session_write(struct stream *st, const void *p, size_t n, int *want);
NODISCARD int tls_session_shutdown(struct stream *st, int *want);
/* `polite`: everything was sent, so a close_notify is in order. */
void tls_session_free(struct tls_session **t, bool polite);

#endif
