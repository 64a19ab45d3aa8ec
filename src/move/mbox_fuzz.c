/* Any file as an mbox: it is read to its end, and messages begin where the form of a separator is. */
#include "move/mbox.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct move_body body MOVE_BODY_CLEANUP;
	struct mbox_message m = {0};
	struct move_lines l;
	int64_t date, last = -1;
	int fd = memfd_create("mbox", MFD_CLOEXEC), err;

	ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)mbox_from_line(slice_of(data, size), &date);
	move_lines_adopt(&l, fd);
	ASSERT(move_lines_seek(&l, 0) == 0);
	move_body_init(&body, NULL);
	buf_init(&m.status.keywords, 65536);
	while ((err = mbox_next(&l, 1u << 20, &body, &m)) == 1) {
		ASSERT((int64_t)m.offset > last && m.offset < size);
		last = (int64_t)m.offset;
		ASSERT(slice_starts(slice_from(slice_of(data, size), m.offset), SLICE("From ")));
	}
	ASSERT(err == 0);
	buf_free(&m.status.keywords);
	move_lines_close(&l);
	return 0;
}
