/* keeper_private.h: what the keeper's files share. */
#ifndef ROLE_KEEPER_PRIVATE_H
#define ROLE_KEEPER_PRIVATE_H

#include "role/keeper.h"

#include "base/log.h"
#include "role/role_start.h"
#include "rt/stream.h"

#include <sys/types.h>
#include <uv.h>

#define KEEPER_ROLES_COUNT 7
/* In the order of starting; they end in the reverse order of their groups. */
extern const enum bus_role keeper_order[KEEPER_ROLES_COUNT];

struct keeper;

/* One process of the house, over all its restarts. */
struct child {
	struct keeper *k;
	enum bus_role role;
	int index;
	pid_t pid; /* 0: not running */
	unsigned restarts;
	int64_t started_ms; /* monotonic */
	int64_t since_us;   /* wall clock */
	bool reported;      /* keeper_ready has come from this process */
	bool ready;
	bool proved; /* some process of it was ready: from then on it is started again whenever it ends */
	bool ended;  /* its supervisor has given up: stopping, or it failed at the first start */
	bool killed; /* it outlived its grace */
	int result;  /* of keeper_ready */
	struct buf detail;
	struct waitq changed;
	struct fiber *supervisor;
};

/* A user that a role runs as. */
struct keeper_user {
	uid_t uid; /* 0: the keeper's own */
	gid_t gid;
};

struct keeper {
	const struct keeper_config *config;
	struct house house;
	struct loop *loop;
	struct bus *bus;
	struct settings *settings;
	struct buf text; /* the configuration in force */
	char data_dir[HOUSE_PATH_BYTES];
	char hostname[256];
	int self_fd; /* the binary, opened at the start: one version for all */
	int null_fd;
	int lock_fd;
	int *listeners; /* one for each of settings->listeners; -1: none */
	struct keeper_user users[KEEPER_ROLES_COUNT];
	struct child *children;
	size_t children_n;
	int desks;
	bool started, stopping, failed;
	int signals; /* asked to end */
	struct buf *detail;
	struct fiber_lock reload_lock;
	struct waitq stop_asked;
	uv_signal_t on_term, on_int, on_hup, on_chld;
	int handles;
	uint32_t log_dropped;
	struct fiber *watchdog; /* of keeper_notify.c; NULL: no service manager asks for one */
};

/* keeper_files.c */
NODISCARD int keeper_open_data(struct keeper *k);
NODISCARD int keeper_open_listeners(struct keeper *k);
void keeper_close_files(struct keeper *k);
NODISCARD int keeper_find_users(struct keeper *k);
void keeper_find_hostname(struct keeper *k);
/* Keeps the configuration in force in DIR/run/posthouse.conf, for commands that find no house running. */
void keeper_note_config(struct keeper *k);

/* keeper_child.c */
NODISCARD int child_init(struct child *c, struct keeper *k, enum bus_role role, int index);
void child_free(struct child *c);
/* Starts the fiber that starts the process, and starts it again whenever it ends. */
NODISCARD int child_supervise(struct child *c);
/* The process has ended. */
void child_reap(struct child *c, int status);
struct child *keeper_child(struct keeper *k, enum bus_role role, int index);
/* 0-based place in keeper_order. */
size_t keeper_role_place(enum bus_role role);
int keeper_count(const struct keeper *k, enum bus_role role);
/* Whether two roles talk, by the table of messages. */
bool keeper_roles_talk(enum bus_role a, enum bus_role b);

/* keeper_spawn.c: forks and starts one process; its links go to everybody who talks to it. */
NODISCARD int child_spawn(struct child *c);

/* keeper_notify.c: tells the service manager that the house is ready, is about to reload, ends; nothing where there is none. */
void keeper_notify_ready(struct keeper *k);
void keeper_notify_reloading(struct keeper *k);
void keeper_notify_stopping(struct keeper *k);
/* No signs of life any more. */
void keeper_notify_end(struct keeper *k);

/* keeper_log.c: copies a role's standard error to ours, whole lines at a time; takes the descriptor. */
NODISCARD int keeper_log_copy(struct keeper *k, int fd);

#endif
