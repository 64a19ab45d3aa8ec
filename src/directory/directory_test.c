/* Addresses, domains, accounts, aliases: where mail goes, who signs in, who may send as whom. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/directory.h"
#include "directory/directory_address.h"

#include "directory/directory_testing.h"

/* ---- addresses ------------------------------------------------------------------------------------------- */

static void
test_address_keys(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *in, *key;
	} good[] = {
	    {"alice@example.test", "alice@example.test"},
	    {"ALICE@EXAMPLE.TEST.", "alice@example.test"},
	    {"\"Alice\"@example.test", "alice@example.test"},
	    {"\"a b\"@example.test", "a b@example.test"},
	    {"\"a\\\"@b\"@example.test", "a\"@b@example.test"},
	    {"GR\xc3\x9cN@b\xc3\xbc"
	     "cher.test",
		"gr\xc3\xbcn@xn--bcher-kva.test"},
	    {"gru\xcc\x88n@XN--BCHER-KVA.test", "gr\xc3\xbcn@xn--bcher-kva.test"},
	    {"PostMaster", "postmaster@"},
	    {"a@[192.0.2.1]", "a@[192.0.2.1]"},
	    {"a..b@example.test", "a..b@example.test"},
	};
	static const char *const bad[] = {"", "@", "a", "@example.test", "a@", "a@.", "a@b..c", "a@-b.test",
	    "a b@example.test", "\"a@example.test", "\"\"@example.test", "\"a\"b@example.test", "a@exa mple",
	    "<a@b.test>", "a\r\nb@c.test", "a@b\n.test", "a@b.test\r", "a@[", "a,b@c.test", "\xff@c.test",
	    "a@\xff.test", "a;b@c.test", "a\x01@c.test", "\"a\x01\"@c.test"};

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct directory_address at;

		assert_int_equal(directory_address_parse(slice_z(good[i].in), false, &p->arena, &at), 0);
		assert_string_equal(arena_z(&p->arena, at.key), good[i].key);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct directory_address at;

		assert_int_equal(directory_address_parse(slice_z(bad[i]), false, &p->arena, &at), ERR_SYNTAX);
	}
}

static void
test_address_lengths(void **state)
{
	struct place *p = *state;
	struct directory_address at;
	char text[700];

	memset(text, 'a', sizeof(text));
	memcpy(text + 255, "@example.test", 13);
	assert_int_equal(directory_address_parse(slice_of(text, 268), false, &p->arena, &at), 0);
	text[255] = 'a';
	text[256] = '@';
	assert_int_equal(directory_address_parse(slice_of(text, 270), false, &p->arena, &at), ERR_SYNTAX);
	memset(text, 'b', sizeof(text));
	text[1] = '@';
	assert_int_equal(directory_address_parse(slice_of(text, 66), false, &p->arena, &at), ERR_SYNTAX);
	assert_int_equal(directory_address_parse(slice_of(text, 65), false, &p->arena, &at), 0);
}

/* ---- mail ------------------------------------------------------------------------------------------------------ */

static int
set_many(struct sqltx *tx, struct place *p, const struct slice *v, size_t n)
{
	struct directory_alias in = {
	    .kind = DIRECTORY_IS_ALIAS, .address = SLICE("many@example.test"), .targets = {v, n}};

	return directory_alias_set(tx, &p->house, &in, &p->detail);
}

static void
resolve_body(struct sqltx *tx, struct place *p)
{
	assert_int_equal(rcpt(tx, p, "alice@example.test"), RCPT_OK);
	assert_int_equal(rcpt(tx, p, "aLICE@Example.Test"), RCPT_OK);
	assert_int_equal(rcpt(tx, p, "alice+tag@example.test"), RCPT_OK);
	assert_int_equal(rcpt(tx, p, "+alice@example.test"), RCPT_UNKNOWN);
	assert_int_equal(rcpt(tx, p, "carol@example.test"), RCPT_UNKNOWN);
	assert_int_equal(rcpt(tx, p, "alice@elsewhere.test"), RCPT_REMOTE);
	assert_int_equal(rcpt(tx, p, "alice@sub.example.test"), RCPT_REMOTE);
	assert_int_equal(rcpt(tx, p, "alice%elsewhere.test@example.test"), RCPT_UNKNOWN);
	assert_int_equal(rcpt(tx, p, "\"alice@elsewhere.test\"@example.test"), RCPT_UNKNOWN);
	assert_int_equal(rcpt(tx, p, "elsewhere.test!alice@example.test"), RCPT_UNKNOWN);
	assert_int_equal(rcpt(tx, p, "alice@[127.0.0.1]"), RCPT_REMOTE);
	assert_int_equal(rcpt(tx, p, "alice"), RCPT_SYNTAX);
	assert_int_equal(rcpt(tx, p, "x@@"), RCPT_SYNTAX);
	assert_int_equal(rcpt(tx, p, "postmaster"), RCPT_OK);
	assert_int_equal(rcpt(tx, p,
			     "POSTMASTER@b\xc3\xbc"
			     "cher.test"),
	    RCPT_OK);
	assert_int_equal(rcpt(tx, p, "postmaster@elsewhere.test"), RCPT_REMOTE);
	assert_string_equal(targets(tx, p, "alice+a+b@example.test"), "Alice@example.test+a+b");
	assert_string_equal(targets(tx, p, "postmaster@xn--bcher-kva.test"), "admin@example.test");
	assert_string_equal(targets(tx, p, "far@elsewhere.test"), "far@elsewhere.test");
}

static void
test_resolve(void **state)
{
	in_transaction(state, resolve_body);
}

static void
alias_body(struct sqltx *tx, struct place *p)
{
	assert_int_equal(set_alias(tx, p, "team@example.test", "alice@example.test", "bob+team@example.test"), 0);
	assert_int_equal(set_alias(tx, p, "all@example.test", "TEAM@example.test", "Far@elsewhere.test"), 0);
	assert_int_equal(set_alias(tx, p, "twice@example.test", "all@example.test", "alice+x@example.test"), 0);
	assert_string_equal(targets(tx, p, "team@example.test"), "Alice@example.test bob@example.test+team");
	assert_string_equal(
	    targets(tx, p, "twice@example.test"), "Alice@example.test bob@example.test+team Far@elsewhere.test");
	/* loops, dead ends */
	assert_int_equal(set_alias(tx, p, "ring1@example.test", "ring2@example.test", NULL), 0);
	assert_int_equal(set_alias(tx, p, "ring2@example.test", "ring1@example.test", NULL), ERR_CONFLICT);
	assert_string_equal(targets(tx, p, "ring1@example.test"), "");
	assert_int_equal(rcpt(tx, p, "ring1@example.test"), RCPT_LOOP);
	assert_int_equal(
	    set_alias(tx, p, "ring2@example.test", "ring1@example.test", "bob@example.test"), ERR_CONFLICT);
	assert_string_equal(targets(tx, p, "ring1@example.test"), "bob@example.test");
	assert_int_equal(set_alias(tx, p, "dead@example.test", "nobody@example.test", NULL), 0);
	assert_string_equal(targets(tx, p, "dead@example.test"), " !nobody@example.test");
	assert_int_equal(rcpt(tx, p, "dead@example.test"), RCPT_UNKNOWN);
	assert_int_equal(set_alias(tx, p, "self@example.test", "self@example.test", NULL), ERR_CONFLICT);
	assert_int_equal(rcpt(tx, p, "self@example.test"), RCPT_LOOP);
	/* a tag of an alias */
	assert_string_equal(targets(tx, p, "team+x@example.test"), "Alice@example.test bob@example.test+team");
	/* the catch-all is the last resort */
	assert_int_equal(set_alias(tx, p, "@example.test", "bob@example.test", NULL), 0);
	assert_string_equal(targets(tx, p, "anything@example.test"), "bob@example.test");
	assert_string_equal(targets(tx, p, "alice@example.test"), "Alice@example.test");
	assert_string_equal(targets(tx, p, "postmaster@example.test"), "admin@example.test");
	assert_int_equal(rcpt(tx, p,
			     "anything@b\xc3\xbc"
			     "cher.test"),
	    RCPT_UNKNOWN);
	/* postmaster can be set, and works when that leads nowhere */
	assert_int_equal(set_alias(tx, p, "postmaster@example.test", "alice@example.test", NULL), 0);
	assert_string_equal(targets(tx, p, "Postmaster"), "Alice@example.test");
	assert_int_equal(set_alias(tx, p, "postmaster@example.test", "postmaster@example.test", NULL), ERR_CONFLICT);
	assert_string_equal(targets(tx, p, "Postmaster"), "admin@example.test");
}

static void
test_aliases(void **state)
{
	in_transaction(state, alias_body);
}

static void
limits_body(struct sqltx *tx, struct place *p)
{
	char name[64], next[64];
	struct directory_targets t;
	struct slice many[101];
	struct directory_ask ask;

	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "deep%d@example.test", i);
		(void)snprintf(next, sizeof(next), "deep%d@example.test", i + 1);
		assert_int_equal(set_alias(tx, p, name, i == 11 ? "bob@example.test" : next, NULL), 0);
	}
	assert_int_equal(rcpt(tx, p, "deep2@example.test"), RCPT_OK);
	assert_int_equal(rcpt(tx, p, "deep0@example.test"), RCPT_TEMPFAIL);
	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i] = arena_printf(&p->arena, "far%zu@elsewhere.test", i);
	assert_int_equal(set_many(tx, p, many, 101), ERR_LIMIT);
	assert_int_equal(set_many(tx, p, many, 0), ERR_LIMIT);
	assert_int_equal(set_many(tx, p, many, 100), 0);
	p->house.limits.directory_expansion = 50;
	ask = ask_from(p, NULL);
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("many@example.test"), &t), 0);
	assert_int_equal(t.n, 0); /* all or nobody */
	assert_int_equal(t.problems_n, 1);
	assert_int_equal(t.problems[0].result, RCPT_TEMPFAIL);
}

static void
test_limits(void **state)
{
	in_transaction(state, limits_body);
}

/* ---- people -------------------------------------------------------------------------------------------------------- */

static bool
may(struct sqltx *tx, struct slice id, const char *address)
{
	bool allowed = true;

	assert_int_equal(directory_may_send_as(tx, id, slice_z(address), &allowed), 0);
	return allowed;
}

static void
people_body(struct sqltx *tx, struct place *p)
{
	struct directory_account alice, bob;

	assert_int_equal(directory_login(tx, &p->arena, SLICE("ALICE@example.TEST"), false, &alice), 0);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("bob"), true, &bob), 0);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("bob"), false, &bob), ERR_NOTFOUND);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("carol"), true, &bob), ERR_NOTFOUND);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("bob@"), true, &bob), ERR_NOTFOUND);
	assert_int_equal(directory_login(tx, &p->arena, SLICE(""), true, &bob), ERR_NOTFOUND);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("alice+x@example.test"), true, &bob), ERR_NOTFOUND);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("bob"), true, &bob), 0);
	assert_int_equal(set_alias(tx, p,
			     "sales@b\xc3\xbc"
			     "cher.test",
			     "alice+sales@example.test", "bob@example.test"),
	    0);
	assert_int_equal(set_alias(tx, p, "outer@example.test",
			     "sales@b\xc3\xbc"
			     "cher.test",
			     NULL),
	    0);
	assert_int_equal(set_alias(tx, p, "@example.test", "alice@example.test", NULL), 0);
	assert_true(may(tx, alice.id, "alice@example.test"));
	assert_true(may(tx, alice.id, "Alice+anything@Example.test"));
	assert_true(may(tx, alice.id, "sales@xn--bcher-kva.test"));
	assert_false(may(tx, alice.id, "outer@example.test"));
	assert_false(may(tx, alice.id, "bob@example.test"));
	assert_false(may(tx, alice.id, "whoever@example.test"));
	assert_false(may(tx, alice.id, "alice@elsewhere.test"));
	assert_false(may(tx, alice.id, "postmaster"));
	assert_false(may(tx, alice.id, ""));
	assert_false(may(tx, SLICE("nobody"), "alice@example.test"));
	alice.enabled = false;
	assert_int_equal(directory_account_update(tx, &alice, &p->detail), 0);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("alice@example.test"), false, &bob), ERR_NOTFOUND);
	assert_false(may(tx, alice.id, "alice@example.test"));
	assert_int_equal(rcpt(tx, p, "alice@example.test"), RCPT_DISABLED);
}

static void
test_people(void **state)
{
	in_transaction(state, people_body);
}

static void
books_body(struct sqltx *tx, struct place *p)
{
	struct directory_account in = {.address = SLICE("alice@example.test"), .enabled = true}, out, *v;
	struct directory_domain *domains;
	struct directory_alias alias, *aliases;
	size_t n;

	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), ERR_EXISTS);
	in.address = SLICE("x@elsewhere.test");
	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), ERR_NOTFOUND);
	assert_true(slice_find(buf_slice(&p->detail), SLICE("no domain elsewhere.test")) != SLICE_NONE);
	in.address = SLICE("nonsense");
	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), ERR_SYNTAX);
	in.address = SLICE("x@example.test");
	in.quota_bytes = -1;
	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), ERR_INVALID);
	in.quota_bytes = 5;
	in.display_name = SLICE("\xff");
	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), ERR_INVALID);
	in.display_name = SLICE("X \xc3\xa9");
	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), 0);
	assert_int_equal(directory_account_get(tx, &p->arena, out.id, &out), 0);
	assert_true(slice_eq(out.display_name, SLICE("X \xc3\xa9")));
	assert_int_equal(out.quota_bytes, 5);
	assert_int_equal(set_alias(tx, p, "x@example.test", "bob@example.test", NULL), ERR_EXISTS);
	assert_int_equal(set_alias(tx, p, "x@elsewhere.test", "bob@example.test", NULL), ERR_NOTFOUND);
	assert_int_equal(set_alias(tx, p, "y@example.test", "@example.test", NULL), ERR_SYNTAX);
	assert_int_equal(set_alias(tx, p, "y@example.test", "bob@example.test", "far@elsewhere.test"), 0);
	in.address = SLICE("Y@example.test");
	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &out, &p->detail), ERR_EXISTS);
	assert_int_equal(directory_alias_get(tx, &p->arena, SLICE("Y@EXAMPLE.test"), &alias), 0);
	assert_int_equal(alias.targets.n, 2);
	assert_int_equal(directory_domain_remove(tx, SLICE("elsewhere.test"), &p->detail), ERR_NOTFOUND);
	assert_int_equal(directory_domain_add(tx, &p->house, SLICE("EXAMPLE.test"), &p->detail), ERR_EXISTS);
	assert_int_equal(directory_domain_add(tx, &p->house, SLICE("no good"), &p->detail), ERR_SYNTAX);
	assert_int_equal(directory_domain_list(tx, &p->arena, &domains, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(domains[0].accounts, 4);
	assert_int_equal(domains[0].aliases, 1);
	assert_int_equal(directory_account_list(tx, &p->arena, SLICE(""), 2, &v, &n), 0);
	assert_int_equal(n, 2);
	assert_true(slice_eq(v[1].address, SLICE("Alice@example.test")));
	assert_int_equal(directory_account_list(tx, &p->arena, v[1].address, 10, &v, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(directory_alias_list(tx, &p->arena, SLICE(""), 10, &aliases, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(directory_alias_remove(tx, SLICE("y@example.test"), &p->detail), 0);
	assert_int_equal(directory_alias_remove(tx, SLICE("y@example.test"), &p->detail), ERR_NOTFOUND);
	assert_int_equal(directory_account_remove(tx, v[1].id, &p->detail), 0);
	assert_int_equal(directory_account_remove(tx, v[1].id, &p->detail), ERR_NOTFOUND);
	assert_int_equal(directory_domain_remove(tx,
			     SLICE("b\xc3\xbc"
				   "cher.test"),
			     &p->detail),
	    0);
}

static void
domain_in_use_body(struct sqltx *tx, struct place *p)
{
	assert_int_equal(directory_domain_remove(tx, SLICE("example.test"), &p->detail), ERR_CONFLICT);
}

static void
test_books(void **state)
{
	in_transaction(state, books_body);
	in_transaction(state, domain_in_use_body);
}

/* ---- the cache ------------------------------------------------------------------------------------------------------- */

struct cache_run {
	struct place *p;
	struct loop *loop;
	bool done;
};

static int
add_carol(struct sqltx *tx, void *arg)
{
	(void)add_account(tx, arg, "carol@example.test", false);
	return 0;
}

static void
cache_fiber(void *arg)
{
	struct cache_run *run = arg;
	struct place *p = run->p;
	const struct directory_writer anybody = {.anybody = true};
	struct directory *d;
	struct directory_rcpt r;
	char address[64];

	assert_int_equal(sqldb_start(p->db), 0);
	assert_int_equal(directory_new(&d, &p->house, p->db), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(directory_check_rcpt(d, SLICE("carol@example.test"), &anybody, &r), 0);
		assert_int_equal(r.result, RCPT_UNKNOWN);
	}
	assert_int_equal(directory_write(d, add_carol, p), 0);
	assert_int_equal(directory_check_rcpt(d, SLICE("carol@example.test"), &anybody, &r), 0);
	assert_int_equal(r.result, RCPT_OK);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(address, sizeof(address), "s%d@example.test", i);
		assert_int_equal(directory_check_rcpt(d, slice_z(address), &anybody, &r), 0);
		assert_int_equal(r.result, RCPT_UNKNOWN);
	}
	directory_free(&d);
	sqldb_close(&p->db);
	run->done = true;
	loop_stop(run->loop);
}

static void
test_cache(void **state)
{
	struct place *p = *state;
	struct cache_run run = {.p = p};
	struct sqldb_config c = {
	    .migrations = directory_migrations, .migrations_count = directory_migrations_count, .path = p->path};

	sqldb_close(&p->db);
	assert_int_equal(loop_new(&run.loop, &p->house), 0);
	c.loop = run.loop;
	assert_int_equal(sqldb_open(&p->db, &p->house, &c, &p->detail), 0);
	assert_int_equal(fiber_start(run.loop, "test", cache_fiber, &run, NULL), 0);
	loop_run(run.loop);
	assert_true(run.done);
	loop_free(&run.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_address_keys, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_address_lengths, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_resolve, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_aliases, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_people, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_books, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cache, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
