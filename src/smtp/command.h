/* command.h: a line of a client, taken apart: verb and argument, and the paths and parameters of MAIL and RCPT
 * (RFC 5321 §4.1). Nothing here knows a session. */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "smtp/path.h"

/* Where a command is known. */
enum smtp_where { SMTP_NOWHERE = 0, SMTP_GATE = 1, SMTP_PORCH = 2, SMTP_DESK = 4, SMTP_LMTP = 8 };

enum smtp_verb {
	SMTP_VERB_UNKNOWN = 0,
	SMTP_VERB_FOREIGN, /* the first word of another protocol: HTTP in disguise */
#define COMMAND(name, argument, where, help) SMTP_##name,
#include "smtp/commands.def"
#undef COMMAND
	SMTP_VERB_COUNT
};

enum smtp_argument { SMTP_ARGUMENT_NONE, SMTP_ARGUMENT_SOME, SMTP_ARGUMENT_MAYBE };

struct smtp_command_row {
	struct slice name;
	enum smtp_verb verb;
	enum smtp_argument argument;
	unsigned where;
	struct slice help;
};
extern const struct smtp_command_row smtp_commands[];
extern const size_t smtp_commands_count;

struct smtp_command {
	enum smtp_verb verb;
	const struct smtp_command_row *row; /* NULL for unknown and foreign verbs */
	struct slice argument;              /* without white space around it */
};

/* Takes a line without its CRLF; never fails: what it does not know is SMTP_VERB_UNKNOWN. */
struct smtp_command smtp_command_parse(struct slice line);

/* A parameter of MAIL or RCPT (RFC 5321 §4.1.2 esmtp-param). */
struct smtp_parameter {
	struct slice name;
	struct slice value; /* empty without "="; visible ASCII or UTF-8 (RFC 6531 §3.3) */
};
#define SMTP_PARAMETERS_MAX 16
struct smtp_parameters {
	struct smtp_parameter v[SMTP_PARAMETERS_MAX];
	size_t n;
};

/* The argument of MAIL ("FROM:") or RCPT ("TO:"): keyword, path and parameters. Spaces after the colon are taken
 * (many clients send them). 0; ERR_SYNTAX (keyword); ERR_INVALID (the path: see path->error), ERR_LIMIT
 * (parameters that are malformed, doubled or too many). */
NODISCARD int smtp_path_argument_parse(struct slice argument, struct slice keyword, struct arena *a,
    struct smtp_path *path, struct smtp_parameters *parameters);

/* The argument of BDAT (RFC 3030 §2): a size in bytes of up to 18 digits, and LAST or nothing. 0 or ERR_SYNTAX. */
NODISCARD int smtp_bdat_argument_parse(struct slice argument, uint64_t *size, bool *last);

/* A name given in EHLO or HELO: a host name or address literal, read tolerantly (underscores, single labels, any
 * literal), but nothing that could break out of a Received field. */
bool smtp_helo_is_valid(struct slice name);

#endif
