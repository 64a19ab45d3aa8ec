/* cli_config.c: commands that need no house: the configuration on paper, and how a message is understood. */
#include "cli/cli.h"

#include "base/ini.h"
#include "message/json.h"
#include "role/keeper.h"

#define MESSAGE_BYTES (256u << 20)
#define PRINT_BYTES (1u << 30)

static void
put(FILE *out, struct slice s)
{
	if (s.n > 0)
		(void)fwrite(s.p, 1, s.n, out);
}

int
cli_config_default(struct cli *c)
{
	struct buf out BUF_CLEANUP;

	buf_init(&out, 1 << 20);
	settings_print_default(&out);
	put(c->out, buf_slice(&out));
	return EX_OK;
}

static int
read_named(struct cli *c, size_t max, struct buf *text)
{
	const char *path = cli_text(c, "file");
	struct buf detail BUF_CLEANUP;
	int err;

	buf_init(&detail, 4096);
	err = house_read_file(strcmp(path, "-") == 0 ? "/dev/stdin" : path, max, text, &detail);
	return err == 0 ? 0
			: cli_fail(c, err == ERR_LIMIT ? EX_DATAERR : EX_NOINPUT, "%.*s",
			      SLICE_ARG(slice_trim(buf_slice(&detail))));
}

/* What is wrong with a configuration, "FILE: line N: sentence" each. */
static int
tell_wrong(struct cli *c, const struct buf *detail)
{
	struct slice rest = slice_trim(buf_slice(detail));

	while (rest.p != NULL) {
		struct slice line = slice_cut(&rest, '\n');

		(void)fprintf(c->err, "%s: %.*s\n", cli_text(c, "file"), SLICE_ARG(line));
	}
	return EX_CONFIG;
}

int
cli_config_check(struct cli *c)
{
	struct buf text BUF_CLEANUP, detail BUF_CLEANUP;
	struct settings *s;
	int code;

	buf_init(&text, INI_FILE_BYTES + 4096);
	buf_init(&detail, 1 << 20);
	code = read_named(c, INI_FILE_BYTES, &text);
	if (code != 0)
		return code;
	if (settings_parse(&s, buf_slice(&text), &detail) != 0)
		return tell_wrong(c, &detail);
	settings_free(&s);
	(void)fprintf(c->out, "%s is right\n", cli_text(c, "file"));
	return EX_OK;
}

int
cli_config_diff(struct cli *c)
{
	struct buf text BUF_CLEANUP, detail BUF_CLEANUP, out BUF_CLEANUP;
	int code;

	buf_init(&text, INI_FILE_BYTES + 4096);
	buf_init(&detail, 1 << 20);
	buf_init(&out, 1 << 21);
	code = read_named(c, INI_FILE_BYTES, &text);
	if (code != 0)
		return code;
	if (settings_print_diff(buf_slice(&text), &out, &detail) != 0)
		return tell_wrong(c, &detail);
	put(c->out, buf_slice(&out));
	return EX_OK;
}

int
cli_message(struct cli *c)
{
	struct buf text BUF_CLEANUP, out BUF_CLEANUP;
	struct house house;
	int code, err;

	house_init(&house, "cli");
	buf_init(&text, MESSAGE_BYTES + 4096);
	buf_init(&out, PRINT_BYTES);
	code = read_named(c, MESSAGE_BYTES, &text);
	if (code != 0)
		return code;
	err = c->json ? message_print_json(&house, buf_slice(&text), &out)
		      : message_print_text(&house, buf_slice(&text), &out);
	if (err != 0)
		return cli_fail(c, EX_DATAERR, "%s cannot be shown: %s", cli_text(c, "file"), err_text(err));
	put(c->out, buf_slice(&out));
	return EX_OK;
}
