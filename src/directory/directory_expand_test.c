/* Where mail ends up: names that stand for domains, groups, forwarding, return addresses, who may write. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "directory/directory_testing.h"
#include "directory/srs.h"

#define FAR "someone@far.test"
#define HOUR_US INT64_C(3600000000)

/* Targets with what they are sent from: "alice@example.test x@far.test<sender ". */
static const char *
senders(struct sqltx *tx, struct place *p, const char *address, const char *from)
{
	struct directory_ask ask = ask_from(p, from);
	struct directory_targets t;
	struct buf b BUF_CLEANUP;

	buf_init(&b, 1 << 20);
	assert_int_equal(directory_expand(tx, &ask, &p->arena, slice_z(address), &t), 0);
	for (size_t i = 0; i < t.n; i++) {
		buf_printf(&b, "%s%.*s", i == 0 ? "" : " ", SLICE_ARG(t.v[i].address));
		if (t.v[i].reverse_path_set)
			buf_printf(&b, "<%.*s", SLICE_ARG(slice_head(t.v[i].reverse_path, 5)));
		if (t.v[i].expanded)
			buf_put_z(&b, "*");
	}
	for (size_t i = 0; i < t.problems_n; i++)
		buf_printf(&b, " !%.*s", SLICE_ARG(t.problems[i].address));
	return arena_z(&p->arena, buf_slice(&b));
}

static int
set_group(struct sqltx *tx, struct place *p, const char *address, const char *owner, const char *a, const char *b)
{
	struct slice v[2] = {slice_z(a), slice_z(b)};
	struct directory_alias in = {.kind = DIRECTORY_IS_GROUP,
	    .address = slice_z(address),
	    .owner = slice_z(owner),
	    .targets = {v, b == NULL ? 1 : 2}};

	return directory_alias_set(tx, &p->house, &in, &p->detail);
}

static int
set_forward(struct sqltx *tx, struct place *p, const char *address, bool keep, const char *a, const char *b)
{
	struct slice v[2] = {slice_z(a), slice_z(b)};
	struct directory_forward in = {.targets = {v, a == NULL ? 0 : b == NULL ? 1 : 2}, .keep = keep};
	struct directory_account account;

	assert_int_equal(directory_account_find(tx, &p->arena, slice_z(address), &account), 0);
	return directory_forward_set(tx, &p->house, &account, &in, &p->detail);
}

static int
set_who(struct sqltx *tx, struct place *p, const char *address, enum directory_writers who, const char *a)
{
	struct slice one = slice_z(a);

	return directory_alias_writers_set(
	    tx, &p->house.limits, slice_z(address), who, (struct slice_list){&one, a != NULL}, &p->detail);
}

static void
said(struct place *p, const char *words)
{
	if (slice_find(buf_slice(&p->detail), slice_z(words)) == SLICE_NONE)
		fail_msg("\"%s\" is not in \"%.*s\"", words, SLICE_ARG(buf_slice(&p->detail)));
}

/* ---- names that stand for domains ------------------------------------------------------------------------------- */

static int
stand(struct sqltx *tx, struct place *p, const char *name, const char *domain)
{
	return directory_domain_alias_add(tx, &p->house, slice_z(name), slice_z(domain), &p->detail);
}

static void
domains_body(struct sqltx *tx, struct place *p)
{
	struct directory_account account;
	struct directory_domain_alias *v;
	struct directory_account in = {.address = SLICE("carol@other.test"), .enabled = true};
	size_t n;
	bool allowed;

	assert_int_equal(stand(tx, p, "Other.Test", "EXAMPLE.test"), 0);
	assert_int_equal(stand(tx, p,
			     "b\xc3\xbc"
			     "cher.example",
			     "b\xc3\xbc"
			     "cher.test"),
	    0);
	assert_int_equal(stand(tx, p, "third.test", "other.test"), 0); /* the domain itself is taken */
	assert_int_equal(directory_domain_alias_list(tx, &p->arena, &v, &n), 0);
	assert_int_equal(n, 3);
	assert_true(slice_eq(v[0].name, SLICE("other.test")) && slice_eq(v[0].target, SLICE("example.test")));
	assert_true(slice_eq(v[1].name, SLICE("third.test")) && slice_eq(v[1].target, SLICE("example.test")));
	assert_true(slice_eq(v[2].name, SLICE("xn--bcher-kva.example")));

	assert_int_equal(stand(tx, p, "other.test", "example.test"), ERR_EXISTS);
	said(p, "other.test stands for example.test already");
	assert_int_equal(stand(tx, p, "example.test", "example.test"), ERR_EXISTS);
	assert_int_equal(stand(tx, p, "fourth.test", "nowhere.test"), ERR_NOTFOUND);
	assert_int_equal(stand(tx, p, "four th", "example.test"), ERR_SYNTAX);
	assert_int_equal(directory_domain_add(tx, &p->house, SLICE("other.test"), &p->detail), ERR_EXISTS);
	assert_int_equal(directory_account_add(tx, &p->house, &p->arena, &in, &account, &p->detail), ERR_CONFLICT);
	said(p, "other.test only stands for example.test");

	assert_string_equal(targets(tx, p, "aLice+x@OTHER.test"), "Alice@example.test+x");
	assert_string_equal(targets(tx, p, "postmaster@other.test"), "admin@example.test");
	assert_string_equal(targets(tx, p, "abuse@third.test"), "admin@example.test");
	assert_int_equal(rcpt_from(tx, p, "nobody@other.test", FAR), RCPT_UNKNOWN);
	assert_int_equal(directory_login(tx, &p->arena, SLICE("alice@third.test"), false, &account), 0);
	assert_int_equal(directory_may_send_as(tx, account.id, SLICE("alice@other.test"), &allowed), 0);
	assert_true(allowed);
	assert_int_equal(directory_is_own(tx, &p->arena, account.id, SLICE("ALICE+z@third.test"), &allowed), 0);
	assert_true(allowed);

	assert_int_equal(directory_domain_alias_remove(tx, SLICE("other.test"), &p->detail), 0);
	assert_int_equal(directory_domain_alias_remove(tx, SLICE("other.test"), &p->detail), ERR_NOTFOUND);
	assert_int_equal(rcpt_from(tx, p, "alice@other.test", FAR), RCPT_REMOTE);
}

static void
test_domains(void **state)
{
	in_transaction(state, domains_body);
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

static void
groups_body(struct sqltx *tx, struct place *p)
{
	struct slice bob = SLICE("BOB@example.test");

	assert_int_equal(set_group(tx, p, "team@example.test", "alice@example.test", "bob@example.test", FAR), 0);
	assert_int_equal(set_group(tx, p, "all@example.test", NULL, "team@example.test", "admin@example.test"), 0);
	assert_string_equal(
	    senders(tx, p, "team@example.test", "x@remote.test"), "bob@example.test<team-* someone@far.test<team-*");
	/* Without an owner the sender stays, and is rewritten where the mail leaves. */
	assert_string_equal(senders(tx, p, "all@example.test", "x@remote.test"),
	    "bob@example.test<team-* someone@far.test<team-* admin@example.test*");
	/* The null sender is never another one. */
	assert_string_equal(senders(tx, p, "team@example.test", ""), "bob@example.test* someone@far.test*");
	assert_string_equal(senders(tx, p, "team-bounces@example.test", ""), "Alice@example.test");
	assert_string_equal(senders(tx, p, "team-owner@example.test", FAR), "Alice@example.test");
	assert_string_equal(senders(tx, p, "owner-team@example.test", FAR), "Alice@example.test");
	assert_int_equal(rcpt_from(tx, p, "all-bounces@example.test", ""), RCPT_UNKNOWN);
	assert_int_equal(rcpt_from(tx, p, "alice-bounces@example.test", ""), RCPT_UNKNOWN);

	assert_int_equal(set_alias(tx, p, "team@example.test", "bob@example.test", NULL), ERR_EXISTS);
	said(p, "is a group already");
	assert_int_equal(set_group(tx, p, "@example.test", NULL, FAR, NULL), ERR_INVALID);
	assert_int_equal(
	    directory_group_join(tx, &p->house, SLICE("team@example.test"), (struct slice_list){&bob, 1}, &p->detail),
	    ERR_EXISTS);
	assert_int_equal(
	    directory_group_leave(tx, &p->house, SLICE("team@example.test"), (struct slice_list){&bob, 1}, &p->detail),
	    0);
	assert_string_equal(senders(tx, p, "team@example.test", ""), "someone@far.test*");
	assert_int_equal(
	    directory_group_leave(tx, &p->house, SLICE("team@example.test"), (struct slice_list){&bob, 1}, &p->detail),
	    ERR_NOTFOUND);
	assert_int_equal(
	    directory_group_join(tx, &p->house, SLICE("bob@example.test"), (struct slice_list){&bob, 1}, &p->detail),
	    ERR_NOTFOUND);
}

/* A member that leads nowhere is told of, to the owner where there is one; what a person forwards to is not. */
static void
lost_members_body(struct sqltx *tx, struct place *p)
{
	struct directory_ask ask = ask_from(p, FAR);
	struct directory_targets t;

	assert_int_equal(
	    set_group(tx, p, "crew@example.test", "alice@example.test", "bob@example.test", "gone@example.test"), 0);
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("crew@example.test"), &t), 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.problems_n, 1);
	assert_true(t.problems->told && t.problems->result == RCPT_UNKNOWN && t.problems->reverse_path_set);
	assert_true(slice_eq(t.problems->via, SLICE("crew@example.test")));
	assert_true(slice_eq(t.problems->reverse_path, SLICE("crew-bounces@example.test")));
	assert_int_equal(set_forward(tx, p, "bob@example.test", true, "gone2@example.test", NULL), 0);
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("bob@example.test"), &t), 0);
	assert_int_equal(t.n, 1);
	assert_true(t.problems_n == 1 && !t.problems->told);
	/* A forwarding that leads too far leaves the mail where it is; a group that is too large gets nothing for now. */
	for (int i = 0; i < 12; i++)
		assert_int_equal(set_alias(tx, p, arena_z(&p->arena, arena_printf(&p->arena, "far%d@example.test", i)),
				     arena_z(&p->arena, arena_printf(&p->arena, "far%d@example.test", i + 1)), NULL),
		    0);
	assert_int_equal(set_forward(tx, p, "bob@example.test", true, "far0@example.test", NULL), 0);
	assert_int_equal(rcpt_from(tx, p, "bob@example.test", FAR), RCPT_OK);
	assert_int_equal(set_group(tx, p, "wide@example.test", NULL, "admin@example.test", "far0@example.test"), 0);
	assert_int_equal(rcpt_from(tx, p, "wide@example.test", FAR), RCPT_TEMPFAIL);
}

static void
test_groups(void **state)
{
	in_transaction(state, groups_body);
	in_transaction(state, lost_members_body);
}

static void
loop_body(struct sqltx *tx, struct place *p)
{
	assert_int_equal(set_group(tx, p, "one@example.test", NULL, "two@example.test", FAR), 0);
	assert_int_equal(set_group(tx, p, "two@example.test", NULL, "three@example.test", NULL), 0);
	assert_int_equal(set_alias(tx, p, "three@example.test", "one@example.test", NULL), ERR_CONFLICT);
	said(p, "would go in a circle");
	/* The caller rolls back; if it is there all the same, it ends. */
	assert_string_equal(senders(tx, p, "one@example.test", ""), "someone@far.test*");
	assert_int_equal(set_alias(tx, p, "self@example.test", "SELF@example.test", NULL), ERR_CONFLICT);
	assert_int_equal(rcpt_from(tx, p, "self@example.test", FAR), RCPT_LOOP);
	assert_int_equal(set_alias(tx, p, "@example.test", "gone@example.test", NULL), ERR_CONFLICT);
}

static void
test_loops(void **state)
{
	in_transaction(state, loop_body);
}

/* ---- forwarding --------------------------------------------------------------------------------------------------- */

static void
forward_body(struct sqltx *tx, struct place *p)
{
	assert_int_equal(set_forward(tx, p, "bob@example.test", false, FAR, NULL), 0);
	assert_string_equal(senders(tx, p, "bob@example.test", "x@remote.test"), "someone@far.test<SRS0=");
	assert_string_equal(senders(tx, p, "bob@example.test", "alice@example.test"), "someone@far.test");
	assert_string_equal(senders(tx, p, "bob@example.test", ""), "someone@far.test");
	assert_string_equal(senders(tx, p, "bob@example.test", "SRS0=x=y=z=w@remote.test"), "someone@far.test<SRS1=");
	assert_int_equal(set_forward(tx, p, "bob@example.test", true, FAR, "alice@example.test"), 0);
	assert_string_equal(
	    senders(tx, p, "bob@example.test", ""), "someone@far.test* Alice@example.test* bob@example.test");
	/* To share mail both ways is no loop, to give it away in a circle is. */
	assert_int_equal(set_forward(tx, p, "alice@example.test", true, "bob@example.test", NULL), 0);
	assert_string_equal(
	    senders(tx, p, "alice@example.test", ""), "someone@far.test* bob@example.test* Alice@example.test");
	assert_int_equal(set_forward(tx, p, "alice@example.test", false, "alice@example.test", NULL), ERR_CONFLICT);
	assert_string_equal(targets(tx, p, "alice@example.test"), "Alice@example.test");
	/* What leads nowhere stays. */
	assert_int_equal(set_forward(tx, p, "alice@example.test", false, "gone@example.test", NULL), 0);
	assert_string_equal(targets(tx, p, "alice@example.test"), "Alice@example.test !gone@example.test");
	assert_int_equal(set_forward(tx, p, "alice@example.test", false, NULL, NULL), 0);
	assert_string_equal(targets(tx, p, "alice@example.test"), "Alice@example.test");
	assert_int_equal(set_forward(tx, p, "alice@example.test", false, "no address", NULL), ERR_SYNTAX);
}

static void
marks_body(struct sqltx *tx, struct place *p)
{
	struct directory_ask ask = ask_from(p, "x@remote.test");
	struct directory_targets t;
	struct slice mark;

	assert_int_equal(set_forward(tx, p, "bob@example.test", false, FAR, NULL), 0);
	assert_int_equal(set_alias(tx, p, "out@example.test", FAR, NULL), 0);
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("bob@example.test"), &t), 0);
	mark = t.v->mark;
	assert_int_equal(mark.n, DIRECTORY_MARK_CHARS);
	ask.passed = (struct slice_list){&mark, 1};
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("out@example.test"), &t), 0);
	assert_false(t.v->local); /* another address may still forward it */
	assert_false(slice_eq(t.v->mark, mark));
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("BOB@example.test"), &t), 0);
	assert_true(t.v->local); /* it was here: it stays */
	ask.passed = (struct slice_list){NULL, 0};
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("out@example.test"), &t), 0);
	mark = t.v->mark;
	ask.passed = (struct slice_list){&mark, 1};
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("out@example.test"), &t), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(t.problems->result, RCPT_LOOP);
}

static void
test_forwarding(void **state)
{
	in_transaction(state, forward_body);
	in_transaction(state, marks_body);
}

static void
return_body(struct sqltx *tx, struct place *p)
{
	struct directory_ask ask = ask_from(p, "Some.One@Remote.test");
	struct directory_targets t;
	const char *back;

	assert_int_equal(set_forward(tx, p, "bob@example.test", false, FAR, NULL), 0);
	assert_int_equal(directory_expand(tx, &ask, &p->arena, SLICE("bob@example.test"), &t), 0);
	back = arena_z(&p->arena, t.v->reverse_path);
	assert_int_equal(rcpt_from(tx, p, back, ""), RCPT_OK);
	assert_int_equal(rcpt_from(tx, p, back, FAR), RCPT_BAD_RETURN);
	assert_string_equal(senders(tx, p, back, ""), "Some.One@remote.test");
	assert_int_equal(rcpt_from(tx, p, "SRS0=abcdefgh=aa=remote.test=x@example.test", ""), RCPT_BAD_RETURN);
	house_clock_advance(&p->house, 20 * 24 * HOUR_US);
	assert_int_equal(rcpt_from(tx, p, back, ""), RCPT_OK);
	house_clock_advance(&p->house, 3 * 24 * HOUR_US);
	assert_int_equal(rcpt_from(tx, p, back, ""), RCPT_BAD_RETURN);
	/* A catch-all does not swallow them. */
	assert_int_equal(set_alias(tx, p, "@example.test", "alice@example.test", NULL), 0);
	assert_int_equal(rcpt_from(tx, p, back, ""), RCPT_BAD_RETURN);
}

static void
test_return(void **state)
{
	in_transaction(state, return_body);
}

/* ---- blocked addresses, postmaster ---------------------------------------------------------------------------------- */

static int
block(struct sqltx *tx, struct place *p, const char *address)
{
	struct directory_alias in = {.kind = DIRECTORY_IS_BLOCKED, .address = slice_z(address)};

	return directory_alias_set(tx, &p->house, &in, &p->detail);
}

static void
blocked_body(struct sqltx *tx, struct place *p)
{
	struct directory_account admin;

	assert_int_equal(set_alias(tx, p, "@example.test", "alice@example.test", NULL), 0);
	assert_int_equal(rcpt_from(tx, p, "shop@example.test", FAR), RCPT_OK);
	assert_int_equal(block(tx, p, "Shop@example.test"), 0);
	assert_int_equal(block(tx, p, "bob+news@example.test"), 0);
	assert_int_equal(rcpt_from(tx, p, "shop@example.test", FAR), RCPT_UNKNOWN);
	assert_int_equal(rcpt_from(tx, p, "shop+x@example.test", FAR), RCPT_UNKNOWN);
	assert_int_equal(rcpt_from(tx, p, "bob+news@example.test", FAR), RCPT_UNKNOWN);
	assert_int_equal(rcpt_from(tx, p, "bob+other@example.test", FAR), RCPT_OK);
	assert_int_equal(block(tx, p, "alice@example.test"), ERR_EXISTS);
	assert_int_equal(block(tx, p, "postmaster@example.test"), ERR_CONFLICT);
	assert_int_equal(block(tx, p, "ABUSE@example.test"), ERR_CONFLICT);
	assert_int_equal(block(tx, p, "@example.test"), ERR_CONFLICT);

	assert_string_equal(targets(tx, p, "abuse@example.test"), "admin@example.test");
	assert_int_equal(set_alias(tx, p, "postmaster@example.test", "bob@example.test", NULL), 0);
	assert_string_equal(targets(tx, p, "abuse+x@example.test"), "bob@example.test");
	assert_int_equal(set_who(tx, p, "postmaster@example.test", DIRECTORY_SIGNED_IN, NULL), ERR_CONFLICT);
	assert_int_equal(set_group(tx, p, "closed@example.test", NULL, "bob@example.test", NULL), 0);
	assert_int_equal(set_who(tx, p, "closed@example.test", DIRECTORY_SIGNED_IN, NULL), 0);
	assert_int_equal(set_alias(tx, p, "abuse@example.test", "closed@example.test", NULL), 0);
	assert_string_equal(targets(tx, p, "abuse@example.test"), "admin@example.test !closed@example.test");
	assert_int_equal(directory_account_find(tx, &p->arena, SLICE("admin@example.test"), &admin), 0);
	admin.enabled = false;
	assert_int_equal(directory_account_update(tx, &admin, &p->detail), 0);
	assert_int_equal(rcpt_from(tx, p, "abuse@example.test", FAR), RCPT_OK);
}

static void
test_blocked(void **state)
{
	in_transaction(state, blocked_body);
}

/* ---- who may write --------------------------------------------------------------------------------------------------- */

static void
writers_body(struct sqltx *tx, struct place *p)
{
	static const struct {
		enum directory_writers who;
		const char *listed, *sender;
		enum bus_rcpt result;
	} v[] = {
	    {DIRECTORY_ANYONE, NULL, FAR, RCPT_OK},
	    {DIRECTORY_ANYONE, NULL, "", RCPT_OK},
	    {DIRECTORY_MEMBERS, NULL, FAR, RCPT_OK},
	    {DIRECTORY_MEMBERS, NULL, "SOMEONE@FAR.test", RCPT_OK},
	    {DIRECTORY_MEMBERS, NULL, "other@far.test", RCPT_NOT_ALLOWED},
	    {DIRECTORY_MEMBERS, NULL, "bob@example.test", RCPT_OK},
	    {DIRECTORY_MEMBERS, NULL, "bob+x@other.test", RCPT_OK},
	    {DIRECTORY_MEMBERS, NULL, "robert@example.test", RCPT_OK}, /* bob's alias */
	    {DIRECTORY_MEMBERS, NULL, "alice@example.test", RCPT_OK},  /* of the group in it */
	    {DIRECTORY_MEMBERS, NULL, "admin@example.test", RCPT_NOT_ALLOWED},
	    {DIRECTORY_MEMBERS, NULL, "", RCPT_NOT_ALLOWED},
	    {DIRECTORY_DOMAIN, NULL, "anybody@example.test", RCPT_OK},
	    {DIRECTORY_DOMAIN, NULL, "anybody@other.test", RCPT_OK},
	    {DIRECTORY_DOMAIN, NULL, "x@sub.example.test", RCPT_NOT_ALLOWED},
	    {DIRECTORY_DOMAIN, NULL, "x@ample.test", RCPT_NOT_ALLOWED},
	    {DIRECTORY_DOMAIN, NULL, FAR, RCPT_NOT_ALLOWED},
	    {DIRECTORY_LISTED, "boss@far.test", "Boss@far.test", RCPT_OK},
	    {DIRECTORY_LISTED, "boss@far.test", "boss+x@far.test", RCPT_OK},
	    {DIRECTORY_LISTED, "boss@far.test", FAR, RCPT_NOT_ALLOWED},
	    {DIRECTORY_LISTED, "@far.test", FAR, RCPT_OK},
	    {DIRECTORY_LISTED, "@far.test", "x@notfar.test", RCPT_NOT_ALLOWED},
	    {DIRECTORY_LISTED, "@other.test", "x@example.test", RCPT_OK},
	    {DIRECTORY_LISTED, "@far.test", "", RCPT_NOT_ALLOWED},
	    {DIRECTORY_SIGNED_IN, NULL, "bob@example.test", RCPT_NOT_ALLOWED},
	    {DIRECTORY_SIGNED_IN, NULL, "not an address", RCPT_NOT_ALLOWED},
	};
	struct directory_ask ask;
	struct directory_rcpt r;
	bool matters;

	assert_int_equal(stand(tx, p, "other.test", "example.test"), 0);
	assert_int_equal(set_alias(tx, p, "robert@example.test", "bob@example.test", NULL), 0);
	assert_int_equal(set_group(tx, p, "inner@example.test", NULL, "alice@example.test", NULL), 0);
	assert_int_equal(set_group(tx, p, "team@example.test", NULL, "bob@example.test", "inner@example.test"), 0);
	{
		struct slice far = SLICE(FAR);

		assert_int_equal(directory_group_join(tx, &p->house, SLICE("team@example.test"),
				     (struct slice_list){&far, 1}, &p->detail),
		    0);
	}
	/* A member who forwards its mail is a member still. */
	assert_int_equal(set_forward(tx, p, "bob@example.test", false, "x@away.test", NULL), 0);
	assert_int_equal(set_alias(tx, p, "door@example.test", "team@example.test", NULL), 0);
	for (size_t i = 0; i < COUNT_OF(v); i++) {
		assert_int_equal(set_who(tx, p, "team@example.test", v[i].who, v[i].listed), 0);
		if (rcpt_from(tx, p, "team@example.test", v[i].sender) != v[i].result)
			fail_msg("row %zu: %s", i, v[i].sender);
		/* No way around by another address. */
		assert_int_equal(rcpt_from(tx, p, "door@example.test", v[i].sender), v[i].result);
	}
	ask = ask_from(p, "bob@example.test");
	ask.from.signed_in = true;
	assert_int_equal(directory_resolve(tx, &ask, SLICE("team@example.test"), &r, &matters), 0);
	assert_int_equal(r.result, RCPT_OK);
	assert_true(matters);
	assert_int_equal(set_who(tx, p, "team@example.test", DIRECTORY_LISTED, NULL), ERR_INVALID);
	assert_int_equal(set_who(tx, p, "team@example.test", DIRECTORY_ANYONE, FAR), ERR_INVALID);
	assert_int_equal(set_who(tx, p, "team@example.test", DIRECTORY_LISTED, "no address"), ERR_SYNTAX);
	assert_int_equal(set_who(tx, p, "bob@example.test", DIRECTORY_MEMBERS, NULL), ERR_NOTFOUND);
}

static void
test_writers(void **state)
{
	in_transaction(state, writers_body);
}

/* ---- out of office, archives ------------------------------------------------------------------------------------------- */

static void
vacation_body(struct sqltx *tx, struct place *p)
{
	struct directory_vacation in = {
	    .subject = SLICE(""), .text = SLICE("away"), .from_us = INT64_MIN, .until_us = INT64_MAX, .days = 7};
	struct directory_vacation out, bad;
	struct directory_account alice, bob;
	bool own;

	assert_int_equal(directory_account_find(tx, &p->arena, SLICE("alice@example.test"), &alice), 0);
	assert_int_equal(directory_account_find(tx, &p->arena, SLICE("bob@example.test"), &bob), 0);
	assert_int_equal(directory_vacation_get(tx, &p->arena, alice.id, &out), ERR_NOTFOUND);
	assert_int_equal(directory_vacation_set(tx, &p->house, alice.id, &in, &p->detail), 0);
	assert_int_equal(directory_vacation_get(tx, &p->arena, alice.id, &out), 0);
	assert_true(slice_eq(out.text, SLICE("away")) && out.until_us == INT64_MAX && out.set_us > 0);
	for (int i = 0; i < 5; i++) {
		bad = in;
		if (i == 0)
			bad.text = SLICE(" \n");
		if (i == 1)
			bad.text = SLICE("\xff");
		if (i == 2)
			bad.subject = SLICE("a\r\nBcc: x@far.test");
		if (i == 3)
			bad.until_us = bad.from_us;
		if (i == 4)
			bad.days = 0;
		assert_int_equal(directory_vacation_set(tx, &p->house, alice.id, &bad, &p->detail), ERR_INVALID);
	}
	assert_int_equal(directory_vacation_remove(tx, alice.id), 0);
	assert_int_equal(directory_vacation_remove(tx, alice.id), ERR_NOTFOUND);

	assert_int_equal(set_alias(tx, p, "info@example.test", "alice@example.test", NULL), 0);
	assert_int_equal(set_alias(tx, p, "both@example.test", "alice@example.test", "bob@example.test"), 0);
	assert_int_equal(set_group(tx, p, "team@example.test", NULL, "alice@example.test", NULL), 0);
	{
		static const struct {
			const char *address;
			bool own;
		} v[] = {{"Alice+tag@example.test", true}, {"info@example.test", true}, {"both@example.test", false},
		    {"team@example.test", false}, {"bob@example.test", false}, {"x@example.test", false},
		    {"alice@far.test", false}, {"no address", false}, {"postmaster@example.test", false}};

		for (size_t i = 0; i < COUNT_OF(v); i++) {
			assert_int_equal(directory_is_own(tx, &p->arena, alice.id, slice_z(v[i].address), &own), 0);
			assert_int_equal(own, v[i].own);
		}
	}
}

static void
archive_body(struct sqltx *tx, struct place *p)
{
	struct slice bcc;
	int64_t n;

	assert_int_equal(directory_domain_bcc_count(tx, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(
	    directory_domain_bcc_set(tx, SLICE("Example.test"), SLICE("vault@archive.test"), true, false, &p->detail),
	    0);
	assert_int_equal(directory_domain_bcc(tx, &p->arena, SLICE("example.test"), false, &bcc), 0);
	assert_true(slice_eq(bcc, SLICE("vault@archive.test")));
	assert_int_equal(directory_domain_bcc(tx, &p->arena, SLICE("example.test"), true, &bcc), 0);
	assert_int_equal(bcc.n, 0);
	assert_int_equal(directory_domain_bcc_count(tx, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(
	    directory_domain_bcc_set(tx, SLICE("far.test"), SLICE("x@y.test"), true, true, &p->detail), ERR_NOTFOUND);
	assert_int_equal(
	    directory_domain_bcc_set(tx, SLICE("example.test"), SLICE("nobody"), true, true, &p->detail), ERR_SYNTAX);
	assert_int_equal(directory_domain_bcc_set(tx, SLICE("example.test"), SLICE_EMPTY, false, false, &p->detail), 0);
	assert_int_equal(directory_domain_bcc_count(tx, &n), 0);
	assert_int_equal(n, 0);
}

static void
test_vacation(void **state)
{
	in_transaction(state, vacation_body);
	in_transaction(state, archive_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_domains, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_loops, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_forwarding, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_return, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_blocked, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_writers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_vacation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
