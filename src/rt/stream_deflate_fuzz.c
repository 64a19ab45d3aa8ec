/* Whatever a peer says it has compressed: read in lines and in pieces. */
#include "rt/stream.h"

#include "rt/loop.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	struct loop *loop;
	const uint8_t *data;
	size_t size;
};

static void
read_all(void *arg)
{
	struct input *in = arg;
	struct stream *st = NULL;
	struct slice line;
	int fd[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0) {
		(void)!write(fd[1], in->data, in->size < 60000 ? in->size : 60000);
		(void)close(fd[1]);
		if (stream_new(&st, in->loop, fd[0]) == 0 && stream_start_deflate(st) == 0)
			for (int i = 0; r == 0 && i < 1000; i++) {
				r = stream_read_line(st, SLICE("\r\n"), 1000, &line);
				if (r == ERR_LIMIT)
					r = stream_skip_line(st, SLICE("\r\n"));
			}
		stream_close(&st);
	}
	loop_stop(in->loop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.data = data, .size = size};
	struct house house;

	house_init(&house, "fuzz");
	if (loop_new(&in.loop, &house) != 0)
		return 0;
	if (fiber_start(in.loop, "fuzz", read_all, &in, NULL) == 0)
		loop_run(in.loop);
	loop_free(&in.loop);
	return 0;
}
