/* sandbox.h: what a process of the house may still do once it has started. The one table is sandbox.def: folders
 * (Landlock), system calls (seccomp), ways into the network. */
#ifndef ROLE_SANDBOX_H
#define ROLE_SANDBOX_H

#include "base/buf.h"
#include "bus/bus.h"
#include "role/settings.h"

/* Beside the roles: what readers, which the reader forks, are left with. */
#define SANDBOX_READER_CHILD 256u
/* What moves mail for the operator who asked for it: it reads what strangers wrote, from descriptors that it is given, and files below one
 * path; or also writes below it. */
#define SANDBOX_MOVER 512u
#define SANDBOX_MOVER_OUT 1024u

struct sandbox_config {
	unsigned role;                   /* enum bus_role, or one of the above */
	const char *data_dir;            /* of the house */
	const struct settings *settings; /* NULL for who is no role */
	const char *path;                /* of a mover; NULL: none */
	bool allow_unsandboxed;          /* go on with a warning in `detail` where the kernel cannot */
};

/* Becomes this user (uid 0: stays who it is), keeping of root only the right to read files until sandbox_enter(): what is
 * made from now on belongs to the user, and keys that only root may read can still be loaded. */
NODISCARD int sandbox_drop_root(uid_t uid, gid_t gid, struct buf *detail);
/* Gives up every capability, where it is not root that we stay, then enters Landlock and seccomp; cannot be undone. The
 * process must have one thread. 0, also when something was missing and allowed to be (`detail` is then not empty); ERR_UNSUPPORTED with a
 * sentence in `detail` when the kernel cannot; ERR_DENIED and others when a step failed. */
NODISCARD int sandbox_enter(const struct sandbox_config *c, struct buf *detail);
/* Before anything else in a process that will be sandboxed: no new privileges, no core files, not traceable, ends with
 * its parent `parent_pid`. */
NODISCARD int sandbox_prepare(pid_t parent_pid);

/* The last walls of a reader, made ready before the sandbox so that entering them is one call: its system calls are
 * those of the group `pipe`. ERR_UNSUPPORTED with a sentence in `detail`. Kept until the process ends. */
struct sandbox_program;
NODISCARD int sandbox_child_build(struct sandbox_program **out, struct buf *detail);
/* In the new process, which has one thread; NULL does nothing. */
NODISCARD int sandbox_child_enter(const struct sandbox_program *p);

#endif
