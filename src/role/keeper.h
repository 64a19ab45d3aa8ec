/* keeper.h: the parent of the house: it opens the ports, starts the roles as separate processes, restarts them when
 * they die, hands out the links between them, and ends them in order. It reads no mail and holds no keys. */
#ifndef ROLE_KEEPER_H
#define ROLE_KEEPER_H

#include "base/buf.h"
#include "bus/bus.h"
#include "role/settings.h"

struct keeper_config {
	struct slice config;     /* text of the configuration */
	const char *config_path; /* where a reload reads it again; NULL: a reload reads the same text */
	const char *data_dir;    /* overrides the configuration's; NULL: that one */
	unsigned roles;          /* enum bus_role bits to start; 0: all */
	int64_t flags;           /* enum start_flag */
	/* Every role is ready and the ports are open. Called on a fiber of the keeper's loop. May be NULL. */
	void (*on_ready)(void *ctx, struct loop *l, const struct settings *s);
	void *on_ready_ctx;
};

/* Runs the house until SIGTERM, SIGINT or a command ends it: a code of sysexits.h. When it cannot start, `detail` says
 * why and what to do. The process must have one thread. */
int keeper_run(const struct keeper_config *c, struct buf *detail);

/* keeper_files.c: also for the commands of the house. */
/* Takes DIR/lock: 0 and *fd (hold it open), ERR_BUSY with a sentence naming the process that has it, or another error. */
NODISCARD int house_lock(const char *data_dir, int *fd, struct buf *detail);
/* A folder and its parents (mode 0711: others pass, nobody looks). */
NODISCARD int house_make_folder(const char *path, mode_t mode, struct buf *detail);
/* Reads a whole file of at most `max` bytes. */
NODISCARD int house_read_file(const char *path, size_t max, struct buf *out, struct buf *detail);
/* Writes a file (mode 0600) whole or not at all, over an older one. */
NODISCARD int house_write_file(const char *path, struct slice text, struct buf *detail);
/* Writes a new file (mode 0600) and makes it durable; ERR_EXISTS when there is one. */
NODISCARD int house_write_new_file(const char *path, struct slice text, struct buf *detail);

#endif
