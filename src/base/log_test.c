/* log_test.c: one event is one line, whatever a stranger's bytes are. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"

#include "base/buf.h"

struct fixture {
	struct house h;
	int read_fd;
	char line[4100];
	size_t n;
};

static void
fixture_init(struct fixture *f, enum log_format format)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	house_init(&f->h, "gate");
	f->h.log_fd = fds[1];
	f->h.log_format = format;
	f->read_fd = fds[0];
}

static void
fixture_free(struct fixture *f)
{
	(void)close(f->h.log_fd);
	(void)close(f->read_fd);
}

/* The line without its time and line end; it must be one. */
static struct slice
line(struct fixture *f)
{
	ssize_t n = read(f->read_fd, f->line, sizeof(f->line));

	assert_true(n > 30 && n <= 4096 && f->line[n - 1] == '\n');
	f->n = (size_t)n - 1;
	assert_null(memchr(f->line, '\n', f->n));
	for (size_t i = 0; i < f->n; i++)
		assert_true((unsigned char)f->line[i] >= ' ' && f->line[i] != 0x7f);
	return slice_of(f->line, f->n);
}

static void
test_text(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;

	(void)state;
	fixture_init(&f, LOG_FORMAT_TEXT);
	LOG(&f.h, INFO, "accepted", LOG_S("id", SLICE("01A")), LOG_I("size", -5), LOG_E(ERR_TIMEOUT),
	    LOG_Z("empty", ""));
	assert_true(
	    slice_ends(line(&f), SLICE(" info role=gate event=accepted id=01A size=-5 error=timeout empty=\"\"")));
	LOG(&f.h, WARN, "x", LOG_S("from", SLICE("a\r\n2026 error role=vault\t\"\\ \0\x1b[31m\x7f\xff")));
	assert_true(slice_ends(line(&f),
	    SLICE(" from=\"a\\u000d\\u000a2026 error role=vault\\u0009\\\"\\\\ \\u0000\\u001b[31m\\u007f\\u00ff\"")));
	LOG(&f.h, WARN, "x", LOG_S("from", SLICE("a=b")), LOG_S("to", SLICE("\xc3\xa4")));
	assert_true(slice_ends(line(&f), SLICE(" from=\"a=b\" to=\"\xc3\xa4\"")));
	f.h.log_level = LOG_WARN;
	LOG(&f.h, INFO, "quiet", LOG_I("n", 1));
	LOG(&f.h, ERROR, "loud", LOG_I("n", 1));
	assert_true(slice_ends(line(&f), SLICE(" error role=gate event=loud n=1")));
}

static void
test_json(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	struct slice s;

	(void)state;
	fixture_init(&f, LOG_FORMAT_JSON);
	LOG(&f.h, INFO, "accepted", LOG_S("from", SLICE("\",\"x\":\"\n")), LOG_I("size", 7));
	s = line(&f);
	assert_true(slice_starts(s, SLICE("{\"time\":\"")));
	assert_true(slice_ends(s,
	    SLICE("\"level\":\"info\",\"role\":\"gate\",\"event\":\"accepted\",\"from\":\"\\\",\\\"x\\\":\\\"\\u000a\","
		  "\"size\":7}")));
}

/* Values are cut, at a character; fields that do not fit are left out whole. */
static void
test_long(void **state)
{
	__attribute__((cleanup(fixture_free))) struct fixture f;
	BUF_CLEANUP struct buf b;
	struct slice s;

	(void)state;
	fixture_init(&f, LOG_FORMAT_JSON);
	buf_init(&b, 10000);
	for (int i = 0; i < 1000; i++)
		buf_put_z(&b, i == 0 ? "x" : "\xc3\xa4");
	LOG(&f.h, INFO, "long", LOG_S("a", buf_slice(&b)));
	s = line(&f);
	assert_true(slice_ends(s, SLICE("\xa4...\"}")) && slice_is_utf8(s, true));
	buf_reset(&b);
	for (int i = 0; i < 1000; i++)
		buf_put_u8(&b, 1);
	LOG(&f.h, INFO, "long", LOG_S("a", buf_slice(&b)), LOG_S("b", buf_slice(&b)), LOG_I("c", 1));
	s = line(&f);
	assert_true(slice_ends(s, SLICE("...\",\"c\":1}")));
	assert_true(slice_find(s, SLICE("\"b\"")) == SLICE_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text), cmocka_unit_test(test_json), cmocka_unit_test(test_long)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
