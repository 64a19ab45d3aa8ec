/* cli_where.c: which house a command means: --config FILE names a configuration, and it the data folder; --dir DIR names the
 * data folder, and it the configuration that the house there last ran with; else the standard places. */
#include "cli/cli.h"

#include "base/ini.h"
#include "role/keeper.h"

#include <errno.h>
#include <sys/stat.h>

#define STANDARD_CONFIG "/etc/posthouse/posthouse.conf"
#define STANDARD_DIR "/var/lib/posthouse"

void
cli_where_free(struct cli_where *w)
{
	buf_free(&w->config);
}

static bool
exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* A path of the caller's as an absolute one, whether it is there or not. */
static int
absolute(const char *path, char out[HOUSE_PATH_BYTES])
{
	char cwd[HOUSE_PATH_BYTES];
	int n;

	if (path[0] == '/')
		n = snprintf(out, HOUSE_PATH_BYTES, "%s", path);
	else
		n = getcwd(cwd, sizeof(cwd)) == NULL ? -1 : snprintf(out, HOUSE_PATH_BYTES, "%s/%s", cwd, path);
	return n > 0 && n < (int)HOUSE_PATH_BYTES ? 0 : ERR_LIMIT;
}

static int
read_config(struct cli *c, struct cli_where *w)
{
	struct buf detail BUF_CLEANUP;
	int err;

	buf_init(&detail, 65536);
	err = house_read_file(w->config_path, INI_FILE_BYTES, &w->config, &detail);
	return err == 0 ? 0 : cli_fail(c, EX_NOINPUT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
}

/* The data folder that a configuration names. */
static int
dir_of_config(struct cli *c, struct cli_where *w)
{
	struct buf detail BUF_CLEANUP;
	struct settings *s;
	int err;

	buf_init(&detail, 65536);
	err = settings_parse(&s, buf_slice(&w->config), &detail);
	if (err != 0)
		return cli_fail(c, EX_CONFIG, "%s:\n%.*s", w->config_path, SLICE_ARG(slice_trim(buf_slice(&detail))));
	err = slice_to_z(s->data_dir, w->dir, sizeof(w->dir));
	settings_free(&s);
	return err == 0 ? 0 : cli_fail(c, EX_CONFIG, "data_dir is too long");
}

/* The configuration of a data folder: its own file, or what the house there last ran with. */
static int
config_of_dir(struct cli *c, struct cli_where *w)
{
	static const char *const names[] = {"posthouse.conf", "run/posthouse.conf"};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (snprintf(w->config_path, sizeof(w->config_path), "%s/%s", w->dir, names[i]) >=
		    (int)sizeof(w->config_path))
			return cli_fail(c, EX_USAGE, "the path of the folder is too long");
		if (exists(w->config_path))
			return read_config(c, w);
	}
	w->config_path[0] = '\0';
	return 0;
}

int
cli_find_house(struct cli *c, struct cli_where *w)
{
	const char *config = c->config;
	int code;

	*w = (struct cli_where){.dir = ""};
	buf_init(&w->config, INI_FILE_BYTES + 4096);
	if (c->dir != NULL && absolute(c->dir, w->dir) != 0)
		return cli_fail(c, EX_USAGE, "the path of the folder is too long");
	if (config == NULL && c->dir == NULL && exists(STANDARD_CONFIG))
		config = STANDARD_CONFIG;
	if (config == NULL) {
		if (c->dir == NULL)
			(void)snprintf(w->dir, sizeof(w->dir), "%s", STANDARD_DIR);
		return config_of_dir(c, w);
	}
	if (absolute(config, w->config_path) != 0)
		return cli_fail(c, EX_USAGE, "the path of the configuration is too long");
	code = read_config(c, w);
	return code != 0 || c->dir != NULL ? code : dir_of_config(c, w);
}

int
cli_find_folder(struct cli *c, char dir[HOUSE_PATH_BYTES])
{
	struct cli_where w CLI_WHERE_CLEANUP = {.dir = ""};
	int code = EX_OK;

	if (c->dir != NULL) {
		code = absolute(c->dir, dir) == 0 ? EX_OK : cli_fail(c, EX_USAGE, "the path of the folder is too long");
	} else if (c->config == NULL && access(STANDARD_CONFIG, R_OK) != 0) {
		(void)snprintf(dir, HOUSE_PATH_BYTES, "%s", STANDARD_DIR);
	} else {
		code = cli_find_house(c, &w);
		(void)snprintf(dir, HOUSE_PATH_BYTES, "%s", w.dir);
	}
	return code;
}
