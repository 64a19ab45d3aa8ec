/* log.h: one line an event, as key=value for people or as JSON. Lines go to house->log_fd whole,
 * so that the lines of several roles never mix. Values are escaped: a stranger's bytes cannot forge a
 * line. Keys and events are short snake_case words. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/house.h"

struct log_field {
	const char *key;
	enum { LOG_FIELD_TEXT, LOG_FIELD_INT } kind;
	struct slice text;
	int64_t number;
};

#define LOG_S(k, s) ((struct log_field){.key = (k), .kind = LOG_FIELD_TEXT, .text = (s)})
#define LOG_Z(k, z) ((struct log_field){.key = (k), .kind = LOG_FIELD_TEXT, .text = slice_z(z)})
#define LOG_I(k, i) ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .number = (int64_t)(i)})
/* The name of an error code. */
#define LOG_E(e) LOG_Z("error", err_name(e))

/* LOG(h, INFO, "message_accepted", LOG_S("id", id), LOG_I("size", n)); at least one field. */
#define LOG(h, level, event, ...) \
	log_event((h), LOG_##level, (event), (const struct log_field[]){__VA_ARGS__}, \
	    sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* Lines below WARN that a thread logs between log_batch_begin() and log_batch_end() wait for log_batch_flush(), for a line of
 * WARN or ERROR, or for more lines than the batch holds. The loop flushes before it waits. */
#define LOG_BATCH_BYTES 4096u /* a pipe takes so many whole (PIPE_BUF) */
struct log_batch {
	struct house *house;
	struct log_batch *outer; /* the thread's batch before this one */
	size_t n;
	char p[LOG_BATCH_BYTES];
};
void log_batch_begin(struct log_batch *b, struct house *h);
void log_batch_end(struct log_batch *b);
/* Of the calling thread, if it has a batch. Safe in a signal handler. */
void log_batch_flush(void);

void log_event(struct house *h, enum log_level level, const char *event, const struct log_field *fields, size_t n);

#endif
