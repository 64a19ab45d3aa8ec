/* What the translators change and what they leave alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sql/sql_dialect.h"

static void
expect(void (*translate)(struct buf *out, struct slice sql), const char *in, const char *out)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, SQL_TEXT_MAX);
	translate(&b, slice_z(in));
	buf_put_u8(&b, 0);
	assert_int_equal(b.err, 0);
	assert_string_equal((const char *)buf_slice(&b).p, out);
}

static void
test_sqlite(void **state)
{
	(void)state;
	expect(sql_dialect_sqlite, "SELECT $1, $12 FROM t WHERE a = '$1' AND \"b$2\" = $2 -- $3\n",
	    "SELECT ?1, ?12 FROM t WHERE a = '$1' AND \"b$2\" = ?2 -- $3\n");
	expect(sql_dialect_sqlite, "", "");
	expect(sql_dialect_sqlite, "$", "$");
	expect(sql_dialect_sqlite, "'it''s $1' $1", "'it''s $1' ?1");
	expect(sql_dialect_sqlite, "'unfinished $1", "'unfinished $1");
}

static void
test_postgres(void **state)
{
	(void)state;
	expect(sql_dialect_postgres, "CREATE TABLE t (a INTEGER, b BLOB, c TEXT) STRICT",
	    "CREATE TABLE t (a BIGINT, b BYTEA, c TEXT) ");
	expect(
	    sql_dialect_postgres, "CREATE TABLE t (a integer) STRICT, WITHOUT ROWID;", "CREATE TABLE t (a BIGINT)  ;");
	expect(sql_dialect_postgres, "CREATE TABLE t (a INTEGER) WITHOUT ROWID, STRICT", "CREATE TABLE t (a BIGINT)  ");
	expect(sql_dialect_postgres, "SELECT x'00ff', 'BLOB', \"INTEGER\", $1, integers",
	    "SELECT '\\x00ff'::bytea, 'BLOB', \"INTEGER\", $1, integers");
	expect(sql_dialect_postgres, "WITHOUT TIME ZONE -- BLOB", "WITHOUT TIME ZONE -- BLOB");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sqlite),
	    cmocka_unit_test(test_postgres),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
