/* address_test.c: addresses of fields and of the envelope. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/address.h"

/* What a field reads as: name|route|local|domain of each, groups as {name and }. */
static void
show(const struct address_list *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct address *ad = &l->v[i];

		if (i > 0)
			buf_put_u8(out, '\n');
		if (ad->kind == ADDRESS_GROUP_START) {
			buf_put_u8(out, '{');
			buf_put(out, ad->name);
		} else if (ad->kind == ADDRESS_GROUP_END) {
			buf_put_u8(out, '}');
		} else {
			buf_put(out, ad->name);
			buf_put_u8(out, '|');
			buf_put(out, ad->route);
			buf_put_u8(out, '|');
			buf_put(out, ad->local);
			buf_put_u8(out, '|');
			buf_put(out, ad->domain);
		}
	}
	buf_put_u8(out, 0);
}

static const struct {
	const char *field, *shown;
	bool damaged;
} fields[] = {
    {"", "", false},
    {" \r\n ", "", false},
    {"alice@example.test", "||alice|example.test", false},
    {"<alice@example.test>", "||alice|example.test", false},
    {"Alice <alice@example.test>", "Alice||alice|example.test", false},
    {"\"Smith, Bob\" <bob@b.test>, c@d.test", "Smith, Bob||bob|b.test\n||c|d.test", false},
    {"\"a \\\"b\\\" c\" <x@y>", "a \"b\" c||x|y", false},
    {"John Q. Public <john@x.test>", "John Q. Public||john|x.test", false},
    {"a@b.test (Alice (the) one)", "Alice (the) one||a|b.test", false},
    {"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete||pete|silly.test", false},
    {"A Group(Some people)\r\n :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org;",
	"{A Group\nChris Jones||c|public.example\n||joe|example.org\n}", false},
    {"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "{Hidden recipients\n}", false},
    {"undisclosed-recipients:;", "{undisclosed-recipients\n}", false},
    {"Joe Q. Public <john.q.public@example.com>,, x@y", "Joe Q. Public||john.q.public|example.com\n||x|y", false},
    {"Mary Smith <@node.test,@x.test:mary@example.test>", "Mary Smith|@node.test,@x.test|mary|example.test", false},
    {"john . public @ example . com", "||john.public|example.com", false},
    {"\"a b\"@x.test", "||a b|x.test", false},
    {"\"a\".\"b\"@x.test", "||a.b|x.test", false},
    {"x@[192.0.2.1], y@[IPv6:2001:db8::1]", "||x|[192.0.2.1]\n||y|[IPv6:2001:db8::1]", false},
    {"j\xc3\xb6rg <j\xc3\xb6rg@b\xc3\xbc.test>", "j\xc3\xb6rg||j\xc3\xb6rg|b\xc3\xbc.test", false},
    {"=?utf-8?Q?Doe,_J=C3=B6rg?= <j@x>", "=?utf-8?Q?Doe,_J=C3=B6rg?=||j|x", false},
    {"=?utf-8?Q?a?=\r\n =?utf-8?Q?b?= <j@x>", "=?utf-8?Q?a?= =?utf-8?Q?b?=||j|x", false},
    {"<>", "|||", true},
    {"Name <>", "Name|||", false},
    /* garbage: give what can be given */
    {"root", "||root|", true},
    {"John Smith", "John Smith|||", true},
    {"\"John Smith\"", "John Smith|||", true},
    {"John Smith js@x.test", "John Smith||js|x.test", true},
    {"a@b.test <a@b.test>", "a@b.test||a|b.test", false},
    {"a@b@c.test", "||a@b|c.test", true},
    {"<a@b@c.test>", "||a@b|c.test", true},
    {"a@b.test; c@d.test", "||a|b.test\n||c|d.test", false},
    {"<a@b.test, <c@d.test>", "||a|b.test\n||c|d.test", true},
    {"a@b.test c@d.test", "||a|b.test\n||c|d.test", true},
    {"\"open <a@b.test>", "open <a@b.test>|||", true},
    {"a@b.test (open", "open||a|b.test", false},
    {"Group: a@b.test", "{Group\n||a|b.test\n}", true},
    {"<mailto:a@b.test>", "||mailto|", true},
    {"<@b.test>", "|||b.test", false},
    {"Bob <bob>", "Bob||bob|", false},
    {",,;;,", "", false},
    {">>>)]\\", "", true},
};

static void
test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		struct address_list l;
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf b;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1 << 20);
		assert_int_equal(address_parse(&a, slice_z(fields[i].field), 100, &l), 0);
		show(&l, &b);
		if (strcmp((char *)b.p, fields[i].shown) != 0)
			print_message("field: %s\n", fields[i].field);
		assert_string_equal((char *)b.p, fields[i].shown);
		if (l.damaged != fields[i].damaged)
			print_message("damaged: %s\n", fields[i].field);
		assert_int_equal(l.damaged, fields[i].damaged);
	}
}

static void
test_nul_and_limit(void **state)
{
	struct address_list l;
	ARENA_CLEANUP struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(address_parse(&a, SLICE("a\0b@c\0.test"), 10, &l), 0);
	assert_true(l.n >= 1);
	assert_int_equal(address_parse(&a, SLICE("a@b,c@d,e@f"), 2, &l), 0);
	assert_int_equal(l.n, 2);
	assert_true(l.truncated);
	assert_null(address_first(&(struct address_list){0}));
	assert_true(slice_eq(address_first(&l)->local, SLICE("a")));
}

/* Time stays linear: a megabyte of each kind of byte that could be looked at again and again. */
static void
test_floods(void **state)
{
	static const char *const units[] = {"(", ")", "\"", "<", ">", "@", ":", ";", ",", "a ", "a.", "=?", "=?x?q?",
	    "(a)", "[", "\\", "a@", "<a@b>", "\"\"", "@a,", "x:"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		struct address_list l;
		ARENA_CLEANUP struct arena a;
		BUF_CLEANUP struct buf b;

		arena_init(&a, 64 << 20);
		buf_init(&b, 1 << 20);
		while (b.n + 8 < b.max)
			buf_put_z(&b, units[i]);
		assert_int_equal(address_parse(&a, buf_slice(&b), 10000, &l), 0);
	}
}

static void
test_writing(void **state)
{
	static const struct {
		struct address ad;
		const char *written;
	} rows[] = {
	    {{.local = SLICE_INIT("a"), .domain = SLICE_INIT("b.test")}, "a@b.test"},
	    {{.name = SLICE_INIT("Al Ice"), .local = SLICE_INIT("a.b"), .domain = SLICE_INIT("c")}, "Al Ice <a.b@c>"},
	    {{.name = SLICE_INIT("Smith, \"B\""), .local = SLICE_INIT("a b"), .domain = SLICE_INIT("c")},
		"\"Smith, \\\"B\\\"\" <\"a b\"@c>"},
	    {{.name = SLICE_INIT("J. R."), .local = SLICE_INIT(".x"), .domain = SLICE_INIT("c")},
		"\"J. R.\" <\".x\"@c>"},
	    {{.name = SLICE_INIT("a\r\nBcc: x"), .local = SLICE_INIT("a\r\nb"), .domain = SLICE_INIT("c\r\nd>")},
		"\"a  Bcc: x\" <\"a  b\"@cd>"},
	    {{.local = SLICE_INIT("root")}, "root"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF_CLEANUP struct buf b;

		buf_init(&b, 1000);
		address_put(&b, &rows[i].ad);
		buf_put_u8(&b, 0);
		assert_string_equal((char *)b.p, rows[i].written);
	}
}

static void
test_list_writing(void **state)
{
	struct address_list l;
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf b;

	(void)state;
	arena_init(&a, 1 << 20);
	buf_init(&b, 1000);
	assert_int_equal(address_parse(&a, SLICE("x@y, G: a@b, \"c d\" <e@f>;, z@q"), 100, &l), 0);
	address_put_list(&b, &l);
	buf_put_u8(&b, 0);
	assert_string_equal((char *)b.p, "x@y, G: a@b, c d <e@f>;, z@q");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_nul_and_limit),
	    cmocka_unit_test(test_floods),
	    cmocka_unit_test(test_writing),
	    cmocka_unit_test(test_list_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
