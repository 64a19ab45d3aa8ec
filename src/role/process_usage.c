#include "role/process_usage.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STAT_BYTES 1024
/* Fields behind the name in parentheses (proc(5)): state is 0. */
#define FIELD_UTIME 11
#define FIELD_STIME 12
#define FIELD_RSS 21
#define FILES_STEP 512
/* After so many numbers without a descriptor there are none above: the kernel gives the lowest that is free. */
#define FILES_GAP 8192

int
process_usage_parse(struct slice text, int64_t ticks_s, int64_t page_bytes, struct process_usage *out)
{
	size_t at = slice_rfind_byte(text, ')');
	uint64_t utime = 0, stime = 0, rss = 0, max = INT64_MAX / 4096 / 1000;
	struct slice rest;
	int err = 0;

	if (at == SLICE_NONE || at + 2 > text.n)
		return ERR_SYNTAX;
	rest = slice_trim(slice_from(text, at + 2));
	for (int field = 0; field <= FIELD_RSS && err == 0; field++) {
		struct slice word = slice_cut(&rest, ' ');

		if (field == FIELD_UTIME)
			err = slice_to_u64(word, max, &utime);
		else if (field == FIELD_STIME)
			err = slice_to_u64(word, max, &stime);
		else if (field == FIELD_RSS)
			err = slice_to_u64(word, max, &rss);
	}
	if (err != 0)
		return ERR_SYNTAX;
	out->cpu_ms = (int64_t)(utime + stime) * 1000 / ticks_s;
	out->memory_bytes = (int64_t)rss * page_bytes;
	return 0;
}

int
process_usage(pid_t pid, struct process_usage *out)
{
	char path[64], text[STAT_BYTES];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ERR_NOTFOUND;
	n = read(fd, text, sizeof(text));
	(void)close(fd);
	return n <= 0
	    ? ERR_NOTFOUND
	    : process_usage_parse(slice_of(text, (size_t)n), sysconf(_SC_CLK_TCK), sysconf(_SC_PAGESIZE), out);
}

int64_t
process_open_files(int64_t *max)
{
	struct pollfd *v = calloc(FILES_STEP, sizeof(*v));
	struct rlimit limit = {0};
	int64_t n = 0, last = 0;

	*max = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT32_MAX ? (int64_t)limit.rlim_cur : 0;
	for (int64_t at = 0; v != NULL && at < *max && at - last <= FILES_GAP; at += FILES_STEP) {
		for (int i = 0; i < FILES_STEP; i++)
			v[i] = (struct pollfd){.fd = (int)at + i};
		if (poll(v, FILES_STEP, 0) < 0)
			break;
		for (int i = 0; i < FILES_STEP; i++)
			if ((v[i].revents & POLLNVAL) == 0) {
				n++;
				last = at + i;
			}
	}
	free(v);
	return n;
}
