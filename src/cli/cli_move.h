/* cli_move.h: what the import and export commands share: the house, the account, what is told of the move, and the process that does it. */
#ifndef CLI_CLI_MOVE_H
#define CLI_CLI_MOVE_H

#include "cli/cli.h"
#include "move/move.h"

struct cli_server;
struct cli_move {
	struct cli *c;
	struct house house;
	struct cli_where w;
	struct cli_quiet quiet;
	int fd; /* holds the house, so that a quiet one can be stopped in the end */
	const char *address;
	const char *verb; /* "brought here", "written" */
	uint64_t damaged;
	struct cli_server *server; /* another one; NULL: none */
	const char *path;          /* of the files; NULL: none */
	bool writes;               /* they are written */
	/* of the mover */
	struct loop *loop;
	struct move_report report;
	struct move_account account;
	struct move_scratch scratch;
	int link; /* to its parent */
};
/* Finds the house: 0 or an exit code (told). cli_move_end() in any case; it returns the exit code of all. */
NODISCARD int cli_move_begin(struct cli *c, struct cli_move *m, const char *address, const char *verb);
int cli_move_end(struct cli_move *m, int code);
/* The names given with --folder; *v is the caller's to free. */
NODISCARD int cli_move_folders(struct cli_move *m, struct slice **v, struct slice_list *out);
/* The last line, and the exit code. */
int cli_move_conclude(struct cli_move *m, const struct move_counts *n, size_t folders, size_t failed, int err);
/* A new connection to the account's mail. Blocks. */
NODISCARD int cli_move_account(struct cli_move *m, int *fd);

/* cli_mover.c: all of the move, in a process with walls around it; tells what came of it. The exit code. */
NODISCARD int cli_move_run(struct cli_move *m, struct move_run *run);
/* The same in this process, for a source that strangers cannot have written. */
NODISCARD int cli_move_run_here(struct cli_move *m, struct move_run *run);

/* cli_move_server.c: "imaps://HOST:PORT" and who signs in, from the command's arguments. */
#define CLI_SERVER_ADDRESSES 8
struct cli_server {
	struct move_server s;
	struct net_address addresses[CLI_SERVER_ADDRESSES];
	size_t addresses_n;
	uint8_t fingerprint[TLS_PEER_FINGERPRINT_BYTES];
	struct tls_client *tls;
};
NODISCARD int cli_server_open(struct cli_move *m, const char *url, const char *user, struct cli_server *out);
/* To the first of its addresses that answers; waits 20 s for each. */
NODISCARD int cli_server_connect(const struct cli_server *s, int *fd);
/* Reads what is trusted; needs m->loop. 0 or an exit code (told). */
NODISCARD int cli_server_start_tls(struct cli_move *m, struct cli_server *s);
void cli_server_close(struct cli_server *s);

#endif
