/* role.h: what every role is given and what it provides. The keeper starts the binary again as
 * `posthouse --role NAME`; role_main() (role/role.c) reads its start-up message, warms up, enters the sandbox
 * and runs the role's table of functions. */
#ifndef ROLE_ROLE_H
#define ROLE_ROLE_H

#include "bus/bus.h"
#include "role/settings.h"

#include <jansson.h>

struct role_listener {
	const struct listen_settings *settings; /* which [listen NAME] it is */
	int fd;                                 /* listening socket, owned by the role */
};

struct role_context {
	struct house *house;
	struct loop *loop;
	struct bus *bus;
	const struct settings *settings; /* the present generation; replaced by reload() */
	enum bus_role role;
	int index;            /* 0 … count-1 */
	int count;            /* processes of this role */
	int desks;            /* processes of the desk role: account_desk() */
	const char *data_dir; /* absolute; what a role may touch is the sandbox's table. The clerk's is DATA/books, so
	                                  * that its databases have a folder of their own; everybody else's is DATA. */
	struct role_listener *listeners;
	size_t listeners_count;
	bool quiet;  /* started for one command: nothing is to be delivered or fetched */
	void *state; /* the role's own, set by start() */
};

struct role_ops {
	enum bus_role role;
	/* Single-threaded, before the sandbox, as the role's own user but able to read what the keeper's may: open every iconv charset,
	 * touch what must be loaded. There are no fibers and no links yet. May be NULL. */
	int (*warm)(struct role_context *c, struct buf *detail);
	/* In the sandbox, on a fiber: open databases, register bus handlers, start threads. The role is ready when
	 * it returns 0; on failure `detail` says what the operator should do. Handlers may already be called while it runs
	 * once they are registered. */
	int (*start)(struct role_context *c, struct buf *detail);
	/* Counters into a JSON object. */
	void (*status)(struct role_context *c, json_t *into);
	/* New settings were parsed and are valid: take them over or return an error and keep the old. May be NULL. */
	int (*reload)(struct role_context *c, const struct settings *fresh, struct buf *detail);
	/* Stop accepting, let sessions end politely within grace_ms, sync, close. On a fiber; the process exits after. */
	void (*shutdown)(struct role_context *c, int64_t grace_ms);
};

extern const struct role_ops role_vault_ops, role_gate_ops, role_porch_ops, role_desk_ops, role_clerk_ops,
    role_courier_ops, role_reader_ops;

/* All roles that the binary knows; ends with NULL. */
typedef const struct role_ops *const role_table[];

/* Runs `posthouse --role NAME --start FD` and returns the exit code. */
int role_main(int argc, char **argv, role_table roles);
/* True if that is what the command line asks for. */
bool role_is_asked(int argc, char **argv);

/* What of the machine this process uses, as counters of status: its descriptors. */
void process_status(json_t *into);

/* The desk that an account belongs to: hash of its id. */
int account_desk(struct slice account_id, int desks);

#endif
