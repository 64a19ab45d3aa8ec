/* cli_move.h: what the import and export commands share: the house, the account, the loop, and what is told of the move. */
#ifndef CLI_CLI_MOVE_H
#define CLI_CLI_MOVE_H

#include "cli/cli.h"
#include "move/move.h"

struct cli_move {
	struct cli *c;
	struct house house;
	struct loop *loop;
	struct cli_where w;
	struct cli_quiet quiet;
	int fd; /* holds the house, so that a quiet one can be stopped in the end */
	const char *address;
	const char *verb; /* "brought here", "written" */
	struct move_report report;
	struct move_account account;
	uint64_t damaged;
	int err;
};
/* Finds the house: 0 or an exit code (told). cli_move_end() in any case; it returns the exit code of all. */
NODISCARD int cli_move_begin(struct cli *c, struct cli_move *m, const char *address, const char *verb);
int cli_move_end(struct cli_move *m, int code);
/* Runs fn(arg) on a fiber, to its end. */
NODISCARD int cli_move_run(struct cli_move *m, void (*fn)(void *arg), void *arg);
/* The names given with --folder; *v is the caller's to free. */
NODISCARD int cli_move_folders(struct cli_move *m, struct slice **v, struct slice_list *out);
/* The last line, and the exit code. */
int cli_move_conclude(struct cli_move *m, const struct move_counts *n, size_t folders, size_t failed, int err);

/* cli_move_server.c: "imaps://HOST:PORT" and who signs in, from the command's arguments. */
struct cli_server {
	struct move_server s;
	struct tls_client *tls;
	struct arena mem;
};
NODISCARD int cli_server_open(struct cli_move *m, const char *url, const char *user, struct cli_server *out);
void cli_server_close(struct cli_server *s);

#endif
