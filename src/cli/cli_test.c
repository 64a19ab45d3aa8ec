/* The command line: parsing by the table, agreement with the control socket's table, printing, and a fake house. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "role/control_request.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

struct run {
	struct cli c;
	char *out, *err, *in;
	size_t out_n, err_n;
};

static void
run_open(struct run *r, const char *input)
{
	*r = (struct run){.in = strdup(input)};
	r->c.out = open_memstream(&r->out, &r->out_n);
	r->c.err = open_memstream(&r->err, &r->err_n);
	r->c.in = fmemopen(r->in, strlen(input), "r");
}

static void
run_close(struct run *r)
{
	fclose(r->c.out);
	fclose(r->c.err);
	fclose(r->c.in);
	json_decref(r->c.args);
	free(r->out);
	free(r->err);
	free(r->in);
}

static int
parse(struct run *r, const char *line)
{
	static char copy[4096];
	char *argv[64], *save = NULL;
	int argc = 0;

	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return cli_parse(&r->c, argc, argv);
}

static void
assert_args(const char *line, const char *input, const char *words, const char *json)
{
	struct run r;
	json_t *want = json_loads(json, 0, NULL);

	run_open(&r, input);
	assert_non_null(want);
	assert_int_equal(parse(&r, line), 0);
	assert_string_equal(r.c.command->words, words);
	if (!json_equal(r.c.args, want))
		fail_msg("%s: %s", line, json_dumps(r.c.args, 0));
	json_decref(want);
	run_close(&r);
}

static void
assert_refused(const char *line, const char *says)
{
	struct run r;

	run_open(&r, "");
	assert_int_not_equal(parse(&r, line), 0);
	fflush(r.c.err);
	if (strstr(r.err, says) == NULL)
		fail_msg("%s: %s", line, r.err);
	run_close(&r);
}

static void
test_parse(void **state)
{
	(void)state;
	assert_args("queue list", "", "queue list", "{}");
	assert_args("queue list --held --json --dir /x", "", "queue list", "{\"held\":true}");
	assert_args("queue retry 01ARZ3NDEKTSV4RRFFQ69G5FAV --dir /x", "", "queue retry",
	    "{\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"}");
	assert_args("queue hold @example.test", "", "queue hold", "{\"address\":\"@example.test\"}");
	assert_args("trace <a@b>", "", "trace", "{\"key\":\"<a@b>\"}");
	assert_args("account add a@b --password-stdin --name Ann --quota=5G --admin", "secret word\r\n", "account add",
	    "{\"address\":\"a@b\",\"password\":\"secret "
	    "word\",\"display_name\":\"Ann\",\"quota_bytes\":5368709120,\"admin\":true}");
	assert_args("account app-password add a@b phone", "", "account app-password add",
	    "{\"address\":\"a@b\",\"name\":\"phone\"}");
	assert_args("account password a@b --hash {SHA512-CRYPT}$6$x", "", "account password",
	    "{\"address\":\"a@b\",\"hash\":\"{SHA512-CRYPT}$6$x\"}");
	assert_args(
	    "alias add x@a y@b z@c --json", "", "alias add", "{\"address\":\"x@a\",\"targets\":[\"y@b\",\"z@c\"]}");
	assert_args("clock advance 5d", "", "clock advance", "{\"seconds\":432000}");
	assert_args("demo --base 100 --route a.test=127.0.0.1:9 --route b.test=[::1]:8 --plain", "", "demo",
	    "{\"base\":\"100\",\"routes\":[\"a.test=127.0.0.1:9\",\"b.test=[::1]:8\"],\"plain\":true}");
	assert_args("account show -- --odd@example.test", "", "account show", "{\"address\":\"--odd@example.test\"}");
	assert_args("message -", "", "message", "{\"file\":\"-\"}");
	assert_args("help queue list", "", "help", "{\"command\":[\"queue\",\"list\"]}");
}

static void
test_refusals(void **state)
{
	(void)state;
	assert_refused("fly", "no command fly");
	assert_refused("queue", "queue list");
	assert_refused("queue fly", "no command queue fly");
	assert_refused("queue --dir /x", "no command queue;");
	assert_refused("--dir /x queue list", "no command --dir;");
	assert_refused("acount list --json", "did you mean `posthouse account list`?");
	assert_refused("queue lsit", "did you mean `posthouse queue list`?");
	assert_refused("trcae a@b", "did you mean `posthouse trace`?");
	assert_refused("account app-pasword add a@b phone", "did you mean `posthouse account app-password add`?");
	assert_refused("step", "did you mean `posthouse stop`?");
	assert_refused("sap", "`posthouse help` lists all");
	assert_refused("account add", "needs ADDRESS");
	assert_refused("account add a@b c@d", "does not take \"c@d\"");
	assert_refused("account add a@b --fly", "no option --fly");
	assert_refused("account add a@b --name", "needs a value");
	assert_refused("account add a@b --admin=yes", "takes no value");
	assert_refused("account add a@b --admin --admin", "given twice");
	assert_refused("account add a@b --password-stdin", "nothing came");
	assert_refused("account quota a@b 5X", "not a number of bytes");
	assert_refused("account quota a@b 9999999999999G", "not a number of bytes");
	assert_refused("clock advance soon", "not a duration");
	assert_refused("account show \xff", "not valid UTF-8");
	assert_refused("queue list --dir", "needs a value");
}

/* What commands ask the house for besides, on their way. */
static const char *const asked_on_the_way[] = {"account mail", "backup key", "backup begin", "backup file",
    "backup mark", "backup account", "backup blob", "backup end", "fsck", "report"};

static size_t
house_command(const char *words)
{
	size_t at = 0;

	while (at < CONTROL_COUNT && strcmp(control_commands[at].words, words) != 0)
		at++;
	if (at == CONTROL_COUNT)
		fail_msg("the house does not take \"%s\"", words);
	return at;
}

/* Every command of the house is one that the house takes, with the same arguments. */
static void
test_tables_agree(void **state)
{
	size_t found = 0;

	(void)state;
	for (size_t i = 0; i < cli_commands_count; i++) {
		size_t at;

		if (cli_commands[i].fn != cli_house && cli_commands[i].fn != cli_stop &&
		    cli_commands[i].fn != cli_status)
			continue;
		at = house_command(cli_commands[i].words);
		found++;
		for (size_t j = 0; j < cli_args_count; j++) {
			bool known = false;

			if (cli_args[j].command != i)
				continue;
			for (size_t k = 0; k < control_args_count; k++)
				known = known ||
				    (control_args[k].command == (enum control_command)at &&
					strcmp(control_args[k].key, cli_args[j].key) == 0);
			if (!known)
				fail_msg("%s: the house does not take %s", cli_commands[i].words, cli_args[j].key);
		}
	}
	for (size_t i = 0; i < COUNT_OF(asked_on_the_way); i++)
		(void)house_command(asked_on_the_way[i]);
	assert_int_equal(found + COUNT_OF(asked_on_the_way), CONTROL_COUNT);
}

static void
test_print(void **state)
{
	struct run r;
	struct cli_reply reply = {
	    json_loads(
		"[{\"id\":\"a\",\"n\":7,\"to\":[\"x\",\"y\"]},{\"id\":\"longer\\u001b[31m\",\"held\":true}]", 0, NULL),
	    json_loads("{\"ok\":true}", 0, NULL)};

	(void)state;
	run_open(&r, "");
	assert_int_equal(parse(&r, "domain list"), 0);
	cli_print_reply(&r.c, &reply);
	fflush(r.c.out);
	assert_string_equal(r.out,
	    "id           n  to    held\n"
	    "a            7  x, y  \n"
	    "longer?[31m           yes\n");
	cli_reply_free(&reply);
	run_close(&r);
	/* A story: the sentence stands on one line in a pipe, and nothing is said twice. */
	reply = (struct cli_reply){json_loads("[{\"id\":\"A\",\"at\":\"noon\",\"kind\":\"sent\",\"recipient\":\"x@y\","
					      "\"text\":\"x@y: taken by the next server\\u0007\"},"
					      "{\"id\":\"A\",\"at\":\"one\",\"kind\":\"note\",\"recipient\":\"x@y\"}]",
				       0, NULL),
	    json_loads("{\"ok\":true}", 0, NULL)};
	run_open(&r, "");
	assert_int_equal(parse(&r, "trace A"), 0);
	cli_print_reply(&r.c, &reply);
	fflush(r.c.out);
	assert_string_equal(r.out, "A\n  noon  sent\n      x@y: taken by the next server?\n  one  note  x@y\n");
	cli_reply_free(&reply);
	run_close(&r);
	reply = (struct cli_reply){
	    json_loads("[{\"id\":\"A\",\"from\":\"\",\"size_bytes\":7,\"received_at\":\"noon\","
		       "\"recipients\":[{\"address\":\"x@y\",\"state\":\"deferred\",\"attempts\":2,"
		       "\"next_attempt_at\":\"one\",\"text\":\"mx said 451\\u001b\"},"
		       "{\"address\":\"z@y\",\"state\":\"held\"}]}]",
		0, NULL),
	    json_loads("{\"ok\":true}", 0, NULL)};
	run_open(&r, "");
	assert_int_equal(parse(&r, "queue list"), 0);
	cli_print_reply(&r.c, &reply);
	fflush(r.c.out);
	assert_string_equal(r.out,
	    "A  noon  from <>  7 bytes\n  x@y  deferred, attempts: 2, next one\n      mx said 451?\n"
	    "  z@y  held, attempts: 0\n1 message\n");
	cli_reply_free(&reply);
	run_close(&r);
	/* Never silent. */
	reply = (struct cli_reply){json_array(), json_loads("{\"ok\":true}", 0, NULL)};
	run_open(&r, "");
	assert_int_equal(parse(&r, "queue list"), 0);
	cli_print_reply(&r.c, &reply);
	fflush(r.c.out);
	assert_string_equal(r.out, "none\n");
	cli_reply_free(&reply);
	run_close(&r);
	/* JSON: one object a line, and what the last line tells. */
	reply = (struct cli_reply){
	    json_loads("[{\"a\":1}]", 0, NULL), json_loads("{\"ok\":true,\"id\":\"x\"}", 0, NULL)};
	run_open(&r, "");
	assert_int_equal(parse(&r, "account show a@b --json"), 0);
	cli_print_reply(&r.c, &reply);
	fflush(r.c.out);
	assert_string_equal(r.out, "{\"a\":1}\n{\"id\":\"x\"}\n");
	cli_reply_free(&reply);
	run_close(&r);
	reply = (struct cli_reply){json_loads("[]", 0, NULL),
	    json_loads("{\"error\":{\"code\":\"notfound\",\"what\":\"no account x\",\"do\":\"list them\"}}", 0, NULL)};
	run_open(&r, "");
	assert_int_equal(parse(&r, "account show a@b"), 0);
	assert_int_equal(cli_reply_code(&r.c, &reply), EX_NOUSER);
	fflush(r.c.err);
	assert_string_equal(r.err, "posthouse: no account x\n  list them\n");
	cli_reply_free(&reply);
	run_close(&r);
}

/* A house that answers with these bytes. */
static pid_t
fake_house(const char *dir, const char *answer)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/run/control", dir);
	(void)unlink(un.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	if (pid == 0) {
		int s = accept(fd, NULL, NULL);
		char byte = 0;

		/* The whole request: what is left unread would reset the connection. */
		while (byte != '\n' && read(s, &byte, 1) == 1)
			continue;
		(void)!write(s, answer, strlen(answer));
		_exit(0);
	}
	close(fd);
	return pid;
}

static int
against(const char *dir, const char *answer, char **out)
{
	pid_t pid = fake_house(dir, answer);
	char line[256];
	struct run r;
	int code, status;

	(void)snprintf(line, sizeof(line), "domain list --json --dir %s", dir);
	run_open(&r, "");
	assert_int_equal(parse(&r, line), 0);
	code = cli_house(&r.c);
	fflush(r.c.out);
	*out = strdup(r.out == NULL ? "" : r.out);
	run_close(&r);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return code;
}

static void
test_control(void **state)
{
	char dir[] = "/tmp/posthouse-cli-XXXXXX", path[128];
	char *out;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(against(dir, "{\"row\":{\"name\":\"a.test\"}}\n{\"ok\":true}\n", &out), 0);
	assert_string_equal(out, "{\"name\":\"a.test\"}\n");
	free(out);
	assert_int_equal(against(dir, "{\"error\":{\"code\":\"denied\",\"what\":\"no\"}}\n", &out), EX_NOPERM);
	free(out);
	/* Not an answer; half of one. */
	assert_int_equal(against(dir, "hello\n", &out), EX_TEMPFAIL);
	free(out);
	assert_int_equal(against(dir, "{\"row\":{\"name\":\"a.test\"}}\n", &out), EX_TEMPFAIL);
	free(out);
	assert_int_equal(against(dir, "{\"row\":{\"na", &out), EX_TEMPFAIL);
	free(out);
	(void)snprintf(path, sizeof(path), "%s/run/control", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	(void)rmdir(path);
	(void)rmdir(dir);
}

static void
test_help(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	cli_print_help(out, "");
	for (size_t i = 0; i < cli_commands_count; i++)
		cli_print_help(out, cli_commands[i].words);
	fclose(out);
	assert_non_null(strstr(text, "account app-password add ADDRESS NAME"));
	assert_non_null(strstr(text, "posthouse queue list [ID|ADDRESS|@DOMAIN] [--held]"));
	for (struct slice rest = slice_z(text); rest.p != NULL;)
		assert_true(slice_cut(&rest, '\n').n <= CLI_LINE_WIDTH);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_tables_agree),
	    cmocka_unit_test(test_print),
	    cmocka_unit_test(test_control),
	    cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
