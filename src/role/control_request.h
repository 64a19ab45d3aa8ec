/* control_request.h: requests of the control socket: one line of JSON, checked against control.def. */
#ifndef ROLE_CONTROL_REQUEST_H
#define ROLE_CONTROL_REQUEST_H

#include "base/arena.h"
#include "base/buf.h"

#include <jansson.h>

enum control_command {
#define CONTROL_COMMAND(name, words, help) CONTROL_##name,
#define CONTROL_ARG(command, key, type, need, help)
#include "role/control.def"
#undef CONTROL_COMMAND
#undef CONTROL_ARG
	CONTROL_COUNT
};

enum control_type { CONTROL_TYPE_TEXT, CONTROL_TYPE_BOOL, CONTROL_TYPE_INT, CONTROL_TYPE_LIST };
enum control_need { CONTROL_OPTIONAL, CONTROL_REQUIRED };

struct control_arg {
	enum control_command command;
	const char *key;
	enum control_type type;
	enum control_need need;
	const char *help;
};
struct control_words {
	const char *words;
	const char *help;
};
extern const struct control_words control_commands[CONTROL_COUNT];
extern const struct control_arg control_args[];
extern const size_t control_args_count;

struct control_request {
	enum control_command command;
	json_t *args; /* an object; owned */
};

/* 0, or ERR_SYNTAX (not such JSON), ERR_NOTFOUND (no such command), ERR_INVALID (arguments) with one sentence in `what`. The
 * request is to be freed in any case. */
NODISCARD int control_request_parse(struct slice line, struct control_request *out, struct buf *what);
void control_request_free(struct control_request *r);
#define CONTROL_REQUEST_CLEANUP __attribute__((cleanup(control_request_free)))

/* Arguments of a parsed request; empty, false, `otherwise` when not given. */
struct slice control_text(const struct control_request *r, const char *key);
bool control_bool(const struct control_request *r, const char *key);
/* A list of texts, in the arena. ERR_NOMEM. */
NODISCARD int control_list(const struct control_request *r, const char *key, struct arena *a, struct slice_list *out);
int64_t control_int(const struct control_request *r, const char *key, int64_t otherwise);

#endif
