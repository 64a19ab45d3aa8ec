/* mailbox_test.c: envelope addresses and domains. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "message/mailbox.h"

#include "base/buf.h"

static void
test_normalise(void **state)
{
	static const struct {
		const char *path, *normal, *key; /* NULL: refused */
	} rows[] = {
	    {"Alice@Example.TEST", "Alice@example.test", "alice@example.test"},
	    {"a.b+c@x.test.", "a.b+c@x.test", "a.b+c@x.test"},
	    {"\"a b\"@x.test", "a b@x.test", "a b@x.test"},
	    {"\"a\\\"b@c\"@x.test", "a\"b@c@x.test", "a\"b@c@x.test"},
	    {"a@[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]"},
	    {"a@[IPv6:2001:DB8::1]", "a@[ipv6:2001:db8::1]", "a@[ipv6:2001:db8::1]"},
	    {"J\xc3\x96rg@B\xc3\xbc"
	     "cher.test",
		"J\xc3\x96rg@xn--bcher-kva.test", "j\xc3\xb6rg@xn--bcher-kva.test"},
	    {"j@XN--BCHER-KVA.test", "j@xn--bcher-kva.test", "j@xn--bcher-kva.test"},
	    /* a decomposed and a composed letter are one */
	    {"o\xcc\x88@x.test", "o\xcc\x88@x.test", "\xc3\xb6@x.test"},
	    {"gro\xc3\x9f@x.test", "gro\xc3\x9f@x.test", "gro\xc3\x9f@x.test"},
	    {"a_b@under_score.test", "a_b@under_score.test", "a_b@under_score.test"},
	    {"a@b", "a@b", "a@b"},
	    {"", NULL, NULL},
	    {"@", NULL, NULL},
	    {"a", NULL, NULL},
	    {"a@", NULL, NULL},
	    {"@b", NULL, NULL},
	    {"a..b@c", NULL, NULL},
	    {".a@c", NULL, NULL},
	    {"a.@c", NULL, NULL},
	    {"a b@c", NULL, NULL},
	    {"a@b@c", NULL, NULL},
	    {"a@b c", NULL, NULL},
	    {"a@-b.test", NULL, NULL},
	    {"a@b-.test", NULL, NULL},
	    {"a@b..c", NULL, NULL},
	    {"a@.b", NULL, NULL},
	    {"a@[]", NULL, NULL},
	    {"a@[1", NULL, NULL},
	    {"a@[a b]", NULL, NULL},
	    {"a@[x@y]", NULL, NULL},
	    {"\"a@b", NULL, NULL},
	    {"\"a\"b@c", NULL, NULL},
	    {"a@b.test>", NULL, NULL},
	    {"a@b;c", NULL, NULL},
	    {"a@\xff.test", NULL, NULL},
	    {"\xff@b.test", NULL, NULL},
	    {"\"a\r\n\"@b.test", NULL, NULL},
	    {"a@b\t", NULL, NULL},
	    {"\"a\\", NULL, NULL},
	    {"a@b.test..", NULL, NULL},
	    {"a(x)@b.test", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ARENA_CLEANUP struct arena a;
		struct slice out;
		int err;

		arena_init(&a, 1 << 20);
		err = mailbox_normalise(&a, slice_z(rows[i].path), &out);
		if ((err == 0) != (rows[i].normal != NULL))
			print_message("path: %s\n", rows[i].path);
		if (rows[i].normal == NULL) {
			assert_int_equal(err, ERR_SYNTAX);
			continue;
		}
		assert_int_equal(err, 0);
		assert_true(slice_eq(out, slice_z(rows[i].normal)));
		assert_int_equal(mailbox_key(&a, slice_z(rows[i].path), &out), 0);
		if (!slice_eq(out, slice_z(rows[i].key)))
			print_message("key of %s: %.*s\n", rows[i].path, SLICE_ARG(out));
		assert_true(slice_eq(out, slice_z(rows[i].key)));
	}
}

static void
test_lengths(void **state)
{
	ARENA_CLEANUP struct arena a;
	BUF_CLEANUP struct buf b;
	struct slice out;

	(void)state;
	arena_init(&a, 1 << 20);
	buf_init(&b, 4096);
	for (int i = 0; i < 256; i++)
		buf_put_u8(&b, 'a');
	buf_put(&b, SLICE("@b.test"));
	assert_int_equal(mailbox_normalise(&a, buf_slice(&b), &out), 0);
	assert_int_equal(mailbox_normalise(&a, slice_from(buf_slice(&b), 256), &out), ERR_SYNTAX);
	buf_reset(&b);
	for (int i = 0; i < 257; i++)
		buf_put_u8(&b, 'a');
	buf_put(&b, SLICE("@b.test"));
	assert_int_equal(mailbox_normalise(&a, buf_slice(&b), &out), ERR_LIMIT);
	buf_reset(&b);
	buf_put(&b, SLICE("a@"));
	for (int i = 0; i < 64; i++)
		buf_put_u8(&b, 'a');
	assert_int_equal(mailbox_normalise(&a, buf_slice(&b), &out), ERR_SYNTAX);
	assert_int_equal(mailbox_normalise(&a, slice_head(buf_slice(&b), b.n - 1), &out), 0);
	for (int i = 0; i < 100; i++)
		buf_put(&b, SLICE(".aaa"));
	assert_int_equal(mailbox_normalise(&a, buf_slice(&b), &out), ERR_LIMIT);
}

static void
test_domains(void **state)
{
	ARENA_CLEANUP struct arena a;
	struct slice out, local, domain;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_true(slice_eq(domain_display(&a, SLICE("xn--bcher-kva.test")),
	    SLICE("b\xc3\xbc"
		  "cher.test")));
	assert_true(slice_eq(domain_display(&a, SLICE("plain.test")), SLICE("plain.test")));
	assert_true(slice_eq(domain_display(&a, SLICE("xn--\xff")), SLICE("xn--\xff")));
	assert_int_equal(domain_normalise(&a,
			     SLICE("B\xc3\x9c"
				   "CHER.Test."),
			     &out),
	    0);
	assert_true(slice_eq(out, SLICE("xn--bcher-kva.test")));
	assert_int_equal(domain_normalise(&a, SLICE("a\0b"), &out), ERR_SYNTAX);
	assert_int_equal(domain_normalise(&a, SLICE("."), &out), ERR_SYNTAX);
	/* an ideographic full stop is one more dot after mapping */
	assert_int_equal(domain_normalise(&a, SLICE("a\xe3\x80\x82"), &out), ERR_SYNTAX);
	assert_true(mailbox_cut(SLICE("a@b@c"), &local, &domain));
	assert_true(slice_eq(local, SLICE("a@b")) && slice_eq(domain, SLICE("c")));
	assert_false(mailbox_cut(SLICE("postmaster"), &local, &domain));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_normalise),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_domains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
