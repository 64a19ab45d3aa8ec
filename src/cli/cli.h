/* cli.h: the command line: one table (commands.def), parsed into JSON arguments, and the functions that carry commands
 * out. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/buf.h"
#include "role/role.h"

#include <jansson.h>
#include <sysexits.h>

enum cli_style { CLI_TABLE, CLI_RECORD, CLI_STORY, CLI_QUEUE };
enum cli_type {
	CLI_TEXT,
	CLI_REST,
	CLI_RAW,
	CLI_MANY,
	CLI_FLAG,
	CLI_STDIN,
	CLI_BYTES,
	CLI_NUMBER,
	CLI_SECONDS,
	CLI_SELECT,
	CLI_FILE
};
enum cli_need { CLI_OPTIONAL, CLI_REQUIRED };

struct cli;
/* Returns a code of sysexits.h. */
typedef int cli_fn(struct cli *c);

struct cli_command {
	const char *words;
	cli_fn *fn;
	enum cli_style style;
	const char *help;
};

struct cli_arg {
	size_t command; /* place in cli_commands */
	const char *form;
	enum cli_type type;
	const char *key;
	enum cli_need need;
	const char *help;
};

extern const struct cli_command cli_commands[];
extern const size_t cli_commands_count;
extern const struct cli_arg cli_args[];
extern const size_t cli_args_count;

/* A parsed command line. */
struct cli {
	const struct cli_command *command;
	json_t *args;       /* object */
	const char *config; /* --config FILE, or NULL */
	const char *dir;    /* --dir DIR, or NULL */
	bool json;          /* --json */
	bool help;          /* --help */
	const char *called; /* the command's own name, where it has several */
	char **raw;         /* of a command with a RAW argument: what follows its words */
	int raw_count;
	FILE *in, *out, *err;
};

/* The whole program but the roles: parses, runs, returns the exit code. */
int cli_main(int argc, char **argv);
/* 0, or EX_USAGE with sentences on c->err. `c->args` is to be freed by the caller in any case. */
NODISCARD int cli_parse(struct cli *c, int argc, char **argv);
/* The help of one command, of those that begin with the words, or of all when `words` is "". */
void cli_print_help(FILE *out, const char *words);
/* "posthouse: what" and what to do about it, on c->err; returns the code. */
int cli_fail(struct cli *c, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
const char *cli_text(const struct cli *c, const char *key); /* NULL when not given */
bool cli_flag(const struct cli *c, const char *key);
/* 5d, 30m, 90 as seconds; 5G, 20M as bytes: 0 or ERR_SYNTAX. */
NODISCARD int cli_seconds(struct slice s, int64_t *out);
NODISCARD int cli_bytes(struct slice s, int64_t *out);

cli_fn cli_help, cli_version, cli_demo, cli_setup, cli_serve, cli_house, cli_status, cli_stop, cli_config_default,
    cli_config_check, cli_config_diff, cli_message, cli_sendmail, cli_trust, cli_report;
cli_fn cli_spam_train, cli_spam_score, cli_spam_test;
cli_fn cli_import_imap, cli_import_maildir, cli_import_mbox, cli_import_eml;
cli_fn cli_import_domains, cli_import_accounts, cli_import_aliases;
cli_fn cli_export_imap, cli_export_maildir, cli_export_mbox, cli_export_eml;
cli_fn cli_house_long, cli_backup, cli_backup_list, cli_backup_key, cli_backup_prune, cli_restore;

/* cli_where.c: where the house is and what its configuration says. */
struct cli_where {
	char dir[HOUSE_PATH_BYTES];
	char config_path[HOUSE_PATH_BYTES + 64]; /* "" when there is no file */
	struct buf config;                       /* text; empty when there is no file */
};
/* From --config, --dir, or the standard places: 0 or an exit code (told). For `running` only the folder has to be found. */
NODISCARD int cli_find_house(struct cli *c, struct cli_where *w);
/* As that, but the folder alone, and without a configuration that this user may not read: for whoever only connects. */
NODISCARD int cli_find_folder(struct cli *c, char dir[HOUSE_PATH_BYTES]);
void cli_where_free(struct cli_where *w);
#define CLI_WHERE_CLEANUP __attribute__((cleanup(cli_where_free)))

/* cli_control.c: one question to a house. */
struct cli_reply {
	json_t *rows;  /* array */
	json_t *final; /* {"ok":true,...} or {"error":{...}} */
};
#define CLI_LONG_SILENCE_S 7200 /* one that looks through a large account has much to do */
#define CLI_SILENCE_S 60        /* a house that says nothing for so long hangs */
/* Connects to DIR/run/control: the descriptor, or -1 with errno when no house answers there. */
int cli_connect(const char *dir);
/* The same for the socket DIR/run/NAME (a short name); a wait in either direction ends after silence_s seconds. */
int cli_connect_to(const char *dir, const char *name, int silence_s);
/* Sends the request, reads the whole answer: 0 or an error. The reply is to be freed in any case. */
NODISCARD int cli_ask(int fd, const char *command, json_t *args, struct cli_reply *reply);
/* As that, with the descriptors that came along, in their order; the caller closes them (cli_fds_close()). */
#define CLI_FDS_MAX 4
struct cli_fds {
	int v[CLI_FDS_MAX];
	size_t n;
};
NODISCARD int cli_ask_fds(int fd, const char *command, json_t *args, struct cli_reply *reply, struct cli_fds *fds);
void cli_fds_close(struct cli_fds *fds);
#define CLI_FDS_CLEANUP __attribute__((cleanup(cli_fds_close)))
/* Its two halves. */
NODISCARD int cli_ask_send(int fd, const char *command, json_t *args);
NODISCARD int cli_ask_read(int fd, struct cli_reply *reply, struct cli_fds *fds);
void cli_reply_free(struct cli_reply *r);
#define CLI_REPLY_CLEANUP __attribute__((cleanup(cli_reply_free)))
/* The error of a reply, told on c->err, as an exit code; 0 when it is none. */
int cli_reply_code(struct cli *c, const struct cli_reply *r);

/* cli_quiet.c: a house without network for the time of a few commands. */
struct cli_quiet {
	pid_t pid;
};
/* 0 or an exit code (told, but for EX_TEMPFAIL: another process has the house's lock). */
NODISCARD int cli_quiet_start(struct cli *c, const struct cli_where *w, struct cli_quiet *q);
/* cli_house.c: a house that runs, or a quiet one; another command's quiet one is waited for. A wait for its answers ends after
 * silence_s seconds. 0 and *fd, or an exit code (told). */
NODISCARD int cli_reach_house(
    struct cli *c, const struct cli_where *w, struct cli_quiet *quiet, int silence_s, int *fd);
/* Ends it: its exit code. */
int cli_quiet_stop(struct cli_quiet *q);
/* As far as text can be shown: what steers a terminal or turns the direction of writing is ?. */
void cli_print_clean(FILE *out, struct slice text);
/* cli_print.c. Help and counters are broken at this width; what a story tells at the terminal's, and not at all in a pipe. */
#define CLI_LINE_WIDTH 80
/* Text broken between words before `width`; the cursor is in column `at`, further lines are indented. */
void cli_print_wrapped(FILE *out, const char *text, size_t at, size_t indent, size_t width);
void cli_print_reply(struct cli *c, const struct cli_reply *r);

#endif
