/* process_usage.h: what a process uses of the machine, for status. */
#ifndef ROLE_PROCESS_USAGE_H
#define ROLE_PROCESS_USAGE_H

#include "base/slice.h"

#include <sys/types.h>

struct process_usage {
	int64_t cpu_ms, memory_bytes;
};
/* From /proc/PID/stat: 0, ERR_NOTFOUND (no such process, or it may not be seen), ERR_SYNTAX. */
NODISCARD int process_usage(pid_t pid, struct process_usage *out);
/* The text of such a file. Its second field is a name in parentheses that may hold anything. */
NODISCARD int process_usage_parse(struct slice text, int64_t ticks_s, int64_t page_bytes, struct process_usage *out);
/* How many descriptors this process has open, and how many it may have. Needs no file: a sandboxed role can ask it. A descriptor far
 * above all others may be missed. */
int64_t process_open_files(int64_t *max);

#endif
