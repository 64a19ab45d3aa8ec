/* control_request.c: JSON in, checked against the table. Nesting is counted before the JSON library sees the line: it
 * recurses, and fibers have small stacks. */
#include "role/control_request.h"

#define NESTING_MAX 4
#define LIST_MAX 1000

const struct control_words control_commands[CONTROL_COUNT] = {
#define CONTROL_COMMAND(name, words, help) [CONTROL_##name] = {words, help},
#define CONTROL_ARG(command, key, type, need, help)
#include "role/control.def"
#undef CONTROL_COMMAND
#undef CONTROL_ARG
};

const struct control_arg control_args[] = {
#define CONTROL_COMMAND(name, words, help)
#define CONTROL_ARG(command, key, type, need, help) \
	{CONTROL_##command, #key, CONTROL_TYPE_##type, CONTROL_##need, help},
#include "role/control.def"
#undef CONTROL_COMMAND
#undef CONTROL_ARG
};
const size_t control_args_count = COUNT_OF(control_args);

static bool
too_deep(struct slice s)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = slice_at(s, i);

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '[') && ++depth > NESTING_MAX)
			return true;
		else if (!quoted && (c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return false;
}

static const struct control_arg *
find_arg(enum control_command command, const char *key)
{
	for (size_t i = 0; i < control_args_count; i++)
		if (control_args[i].command == command && strcmp(control_args[i].key, key) == 0)
			return &control_args[i];
	return NULL;
}

static bool
is_list(const json_t *v)
{
	if (!json_is_array(v) || json_array_size(v) > LIST_MAX)
		return false;
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return false;
	return true;
}

static const char *
wrong_type(const struct control_arg *a, const json_t *v)
{
	switch (a->type) {
	case CONTROL_TYPE_TEXT: return json_is_string(v) ? NULL : "a text";
	case CONTROL_TYPE_BOOL: return json_is_boolean(v) ? NULL : "true or false";
	case CONTROL_TYPE_INT: return json_is_integer(v) ? NULL : "a whole number";
	case CONTROL_TYPE_LIST:
	default: return is_list(v) ? NULL : "a list of texts";
	}
}

static int
check_args(struct control_request *r, struct buf *what)
{
	const char *key;
	json_t *v;

	json_object_foreach(r->args, key, v)
	{
		const struct control_arg *a = find_arg(r->command, key);
		const char *wanted = a == NULL ? NULL : wrong_type(a, v);

		if (a == NULL)
			buf_printf(what, "%s has no argument \"%.100s\"", control_commands[r->command].words, key);
		else if (wanted != NULL)
			buf_printf(what, "the argument \"%s\" of %s must be %s", key,
			    control_commands[r->command].words, wanted);
		if (a == NULL || wanted != NULL)
			return ERR_INVALID;
	}
	for (size_t i = 0; i < control_args_count; i++) {
		const struct control_arg *a = &control_args[i];

		if (a->command != r->command || a->need != CONTROL_REQUIRED || json_object_get(r->args, a->key) != NULL)
			continue;
		buf_printf(what, "%s needs the argument \"%s\"", control_commands[r->command].words, a->key);
		return ERR_INVALID;
	}
	return 0;
}

static int
find_command(const char *words, struct control_request *r, struct buf *what)
{
	for (size_t i = 0; i < CONTROL_COUNT; i++) {
		if (strcmp(control_commands[i].words, words) == 0) {
			r->command = (enum control_command)i;
			return 0;
		}
	}
	buf_printf(what, "there is no command \"%.100s\"", words);
	return ERR_NOTFOUND;
}

int
control_request_parse(struct slice line, struct control_request *out, struct buf *what)
{
	json_error_t error;
	json_t *root, *command, *args;
	int err = ERR_SYNTAX;

	*out = (struct control_request){.command = CONTROL_COUNT};
	root = too_deep(line) ? NULL : json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, &error);
	command = json_object_get(root, "command");
	args = json_object_get(root, "args");
	if (json_is_string(command) && (args == NULL || json_is_object(args)) &&
	    json_object_size(root) == (args == NULL ? 1u : 2u)) {
		out->args = args == NULL ? json_object() : json_incref(args);
		err = out->args == NULL ? ERR_NOMEM : find_command(json_string_value(command), out, what);
		if (err == 0)
			err = check_args(out, what);
	} else {
		buf_put_z(what, "a request is one line of JSON: {\"command\":\"...\",\"args\":{...}}");
	}
	json_decref(root);
	return err;
}

void
control_request_free(struct control_request *r)
{
	json_decref(r->args);
	r->args = NULL;
}

struct slice
control_text(const struct control_request *r, const char *key)
{
	const json_t *v = json_object_get(r->args, key);

	return slice_of(json_string_value(v), json_string_length(v));
}

bool
control_bool(const struct control_request *r, const char *key)
{
	return json_is_true(json_object_get(r->args, key));
}

int64_t
control_int(const struct control_request *r, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(r->args, key);

	return v == NULL ? otherwise : json_integer_value(v);
}

int
control_list(const struct control_request *r, const char *key, struct arena *a, struct slice_list *out)
{
	const json_t *list = json_object_get(r->args, key);
	size_t n = json_array_size(list);
	struct slice *v = ARENA_ARRAY(a, struct slice, n + 1);

	*out = (struct slice_list){v, n};
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		v[i] = slice_of(
		    json_string_value(json_array_get(list, i)), json_string_length(json_array_get(list, i)));
	return 0;
}
