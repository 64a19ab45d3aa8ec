/* Every migration and every statement of every room, in the common dialect, prepared on a real PostgreSQL: started
 * here in a temporary folder on a unix socket, as another user when we are root. Skipped where there is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sql/sql.h"
#include "sql/sql_dialect.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SQL_STATEMENT(name, text) {#name, text},
#define SQL_MIGRATION(number, name, sql) {number, name, sql},

static const struct sql_text directory_statements[] = {
#if __has_include("directory/directory_sql.def")
#include "directory/directory_sql.def"
#endif
    {NULL, NULL}};
static const struct sql_migration directory_schema[] = {
#if __has_include("directory/directory_migrations.def")
#include "directory/directory_migrations.def"
#endif
    {0, NULL, NULL}};
static const struct sql_text secret_statements[] = {
#if __has_include("directory/secret_sql.def")
#include "directory/secret_sql.def"
#include "directory/secret_certificate_sql.def"
#include "directory/secret_guess_sql.def"
#endif
#if __has_include("directory/secret_dkim_sql.def")
#include "directory/secret_dkim_sql.def"
#endif
    {NULL, NULL}};
static const struct sql_migration secret_schema[] = {
#if __has_include("directory/secret_migrations.def")
#include "directory/secret_migrations.def"
#endif
    {0, NULL, NULL}};
static const struct sql_text guard_statements[] = {
#if __has_include("guard/guard_sql.def")
#include "guard/guard_sql.def"
#endif
#if __has_include("guard/guard_dmarc_sql.def")
#include "guard/guard_dmarc_sql.def"
#endif
#if __has_include("guard/guard_received_sql.def")
#include "guard/guard_received_sql.def"
#endif
#if __has_include("guard/guard_tls_sql.def")
#include "guard/guard_tls_sql.def"
#endif
    {NULL, NULL}};
static const struct sql_migration guard_schema[] = {
#if __has_include("guard/guard_migrations.def")
#include "guard/guard_migrations.def"
#endif
    {0, NULL, NULL}};
static const struct sql_text queue_statements[] = {
#if __has_include("queue/queue_sql.def")
#include "queue/queue_sql.def"
#endif
    {NULL, NULL}};
static const struct sql_migration queue_schema[] = {
#if __has_include("queue/queue_migrations.def")
#include "queue/queue_migrations.def"
#endif
    {0, NULL, NULL}};
static const struct sql_text store_statements[] = {
#if __has_include("store/store_sql.def")
#include "store/store_sql.def"
#endif
    {NULL, NULL}};
static const struct sql_migration store_schema[] = {
#if __has_include("store/store_migrations.def")
#include "store/store_migrations.def"
#endif
    {0, NULL, NULL}};

static const struct {
	const char *name; /* the schema it lives in */
	const struct sql_text *statements;
	const struct sql_migration *migrations;
} rooms[] = {
    {"directory", directory_statements, directory_schema},
    {"secret", secret_statements, secret_schema},
    {"guard", guard_statements, guard_schema},
    {"queue", queue_statements, queue_schema},
    {"store", store_statements, store_schema},
};

struct server {
	char dir[64], bin[256];
	pid_t pid;
	uid_t uid;
	gid_t gid;
	PGconn *conn;
};

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* Starts a program as the server's user, quietly. */
static pid_t
start(const struct server *s, const char *program, const char *const argv[])
{
	char path[512];
	pid_t pid;
	int null;

	(void)snprintf(path, sizeof(path), "%s/%s", s->bin, program);
	pid = fork();
	if (pid != 0)
		return pid;
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || chdir(s->dir) != 0)
		_exit(120);
	if (geteuid() == 0 && (setgid(s->gid) != 0 || setuid(s->uid) != 0))
		_exit(121);
	execv(path, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static bool
find_server(struct server *s)
{
	glob_t g = {0};
	struct passwd *pw;
	bool found = glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &g) == 0 && g.gl_pathc > 0;

	if (found) {
		(void)snprintf(s->bin, sizeof(s->bin), "%s", g.gl_pathv[g.gl_pathc - 1]);
		*strrchr(s->bin, '/') = '\0';
	}
	globfree(&g);
	pw = getpwnam("postgres");
	if (pw == NULL)
		pw = getpwnam("nobody");
	if (!found || (geteuid() == 0 && pw == NULL))
		return false;
	s->uid = pw == NULL ? geteuid() : pw->pw_uid;
	s->gid = pw == NULL ? getegid() : pw->pw_gid;
	return true;
}

static bool
connect_server(struct server *s)
{
	char info[256];

	(void)snprintf(info, sizeof(info), "host=%s port=54329 user=test dbname=postgres connect_timeout=5", s->dir);
	for (int i = 0; i < 150; i++) {
		s->conn = PQconnectdb(info);
		if (PQstatus(s->conn) == CONNECTION_OK)
			return true;
		PQfinish(s->conn);
		s->conn = NULL;
		(void)usleep(100000);
	}
	return false;
}

static int
setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	char data[128];
	int status = -1;
	pid_t pid;

	*state = s;
	if (!find_server(s))
		return 0;
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/ph-pg-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	if (geteuid() == 0)
		assert_int_equal(chown(s->dir, s->uid, s->gid), 0);
	(void)snprintf(data, sizeof(data), "%s/data", s->dir);
	pid = start(s, "initdb",
	    (const char *[]){
		"initdb", "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", NULL});
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		return 0;
	s->pid = start(
	    s, "postgres", (const char *[]){"postgres", "-D", data, "-k", s->dir, "-p", "54329", "-h", "", "-F", NULL});
	(void)connect_server(s);
	return 0;
}

static int
teardown(void **state)
{
	struct server *s = *state;

	if (s->conn != NULL)
		PQfinish(s->conn);
	if (s->pid > 0) {
		(void)kill(s->pid, SIGQUIT);
		(void)waitpid(s->pid, NULL, 0);
	}
	if (s->dir[0] != '\0')
		nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(s);
	return 0;
}

/* Runs (or prepares) a text of the common dialect; false and a message on failure. */
static bool
try_text(PGconn *conn, const char *room, const char *name, const char *text, bool prepare)
{
	struct buf sql BUF_CLEANUP;
	PGresult *r;
	bool good;

	buf_init(&sql, SQL_TEXT_MAX);
	sql_dialect_postgres(&sql, slice_z(text));
	buf_put_u8(&sql, 0);
	assert_int_equal(sql.err, 0);
	r = prepare ? PQprepare(conn, name, (const char *)buf_slice(&sql).p, 0, NULL)
		    : PQexec(conn, (const char *)buf_slice(&sql).p);
	good = PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK;
	if (!good)
		print_error("%s %s: %s%s\n", room, name, PQerrorMessage(conn), (const char *)buf_slice(&sql).p);
	PQclear(r);
	return good;
}

static void
test_every_statement(void **state)
{
	struct server *s = *state;
	int bad = 0, n = 0;
	char sql[256];

	if (s->conn == NULL) {
		print_message("PostgreSQL is not installed or does not start\n");
		skip();
	}
	for (size_t i = 0; i < COUNT_OF(rooms); i++) {
		(void)snprintf(sql, sizeof(sql), "DEALLOCATE ALL; CREATE SCHEMA %s; SET search_path TO %s",
		    rooms[i].name, rooms[i].name);
		assert_true(try_text(s->conn, rooms[i].name, "schema", sql, false));
		for (const struct sql_migration *m = rooms[i].migrations; m->sql != NULL; m++, n++)
			bad += !try_text(s->conn, rooms[i].name, m->name, m->sql, false);
		for (const struct sql_text *t = rooms[i].statements; t->text != NULL; t++, n++)
			bad += !try_text(s->conn, rooms[i].name, t->name, t->text, true);
	}
	print_message("%d texts prepared, %d refused\n", n, bad);
	assert_int_equal(bad, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_every_statement, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
