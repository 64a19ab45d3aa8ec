/* The clerk over real bus links to a gate and a desk that were taken over: what each may not do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "role/clerk_private.h"

#include <ftw.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { GATE, DESK, PEERS };
static const enum bus_role roles[PEERS] = {ROLE_GATE, ROLE_DESK};

#define ID SLICE("01J00000000000000000000009")
#define BODY SLICE("Subject: x\r\n\r\nx\r\n")

struct world {
	struct house house;
	struct loop *loop;
	struct settings settings;
	struct role_context context;
	struct bus *clerk, *peers[PEERS];
	struct arena arena;
	struct buf detail;
	struct slice alice, other; /* accounts of this desk, and of another one */
	char dir[64];
};

static int
remove_path(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static struct directory_account added;

static int
add_domain(struct sqltx *tx, void *arg)
{
	struct world *w = arg;

	return directory_domain_add(tx, &w->house, SLICE("example.test"), &w->detail);
}

static int
add_account(struct sqltx *tx, void *arg)
{
	struct world *w = arg;
	static int n;
	struct directory_account in = {.address = arena_printf(&w->arena, "user%d@example.test", n++), .enabled = true};

	return directory_account_add(tx, &w->house, &w->arena, &in, &added, &w->detail);
}

static void
start_clerk(struct world *w)
{
	int sv[2];

	assert_int_equal(bus_new(&w->clerk, w->loop, ROLE_CLERK, 0), 0);
	w->context = (struct role_context){.house = &w->house,
	    .loop = w->loop,
	    .bus = w->clerk,
	    .settings = &w->settings,
	    .role = ROLE_CLERK,
	    .desks = 2,
	    .quiet = true,
	    .data_dir = w->dir};
	assert_int_equal(role_clerk_ops.warm(&w->context, &w->detail), 0);
	assert_int_equal(role_clerk_ops.start(&w->context, &w->detail), 0);
	for (int i = 0; i < PEERS; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		assert_int_equal(bus_add_peer(w->clerk, roles[i], 0, sv[0]), 0);
		assert_int_equal(bus_new(&w->peers[i], w->loop, roles[i], 0), 0);
		assert_int_equal(bus_add_peer(w->peers[i], ROLE_CLERK, 0, sv[1]), 0);
	}
}

#define ASK(w, peer, name, reply, ...) \
	BUS_CALL((w)->peers[peer], ROLE_CLERK, 0, name, (&(struct bus_##name##_request){__VA_ARGS__}), &(w)->arena, \
	    (reply), 20000)

static int64_t
submit(struct world *w, int peer, const struct bus_clerk_submit_request *q)
{
	struct bus_clerk_submit_reply rep;

	assert_int_equal(BUS_CALL(w->peers[peer], ROLE_CLERK, 0, clerk_submit, q, &w->arena, &rep, 20000), 0);
	return rep.result;
}

static void
hostile(struct world *w)
{
	struct clerk *k = w->context.state;
	struct slice user0 = SLICE("user0@example.test"), remote = SLICE("x@other.test"), two[2] = {user0, remote};
	struct bus_clerk_submit_request good = {.id = ID,
					    .origin = ORIGIN_STRANGER,
					    .reverse_path = SLICE("a@b.test"),
					    .recipients = {&user0, 1},
					    .recipient_envelopes = {&remote, 1},
					    .body = BODY,
					    .size_bytes = (int64_t)BODY.n},
					q;
	struct bus_clerk_account_reply account;
	struct bus_clerk_vacation_reply vacation = {0};
	struct bus_clerk_sender_reply may;
	struct bus_clerk_history_reply history;
	struct slice first = SLICE_EMPTY;

	assert_int_equal(clerk_directory_write(k, add_domain, w), 0);
	for (int i = 0; i < 200 && (w->alice.n == 0 || w->other.n == 0); i++) {
		assert_int_equal(clerk_directory_write(k, add_account, w), 0);
		if (i == 0)
			first = added.id;
		if (account_desk(added.id, 2) == 0 && w->alice.n == 0) {
			w->alice = added.id;
			two[1] = added.address;
		} else if (account_desk(added.id, 2) == 1) {
			w->other = added.id;
		}
	}
	assert_true(w->alice.n > 0 && w->other.n > 0 && first.n > 0);

#define REFUSED(peer, ...) \
	q = good; \
	__VA_ARGS__; \
	assert_int_equal(submit(w, (peer), &q), SUBMIT_REFUSED)

	/* A gate is no user, and no relay. */
	REFUSED(GATE, q.origin = ORIGIN_ACCOUNT);
	REFUSED(GATE, q.origin = ORIGIN_SYSTEM);
	REFUSED(GATE, q.origin = 77);
	REFUSED(GATE, q.account_id = w->alice);
	REFUSED(GATE, q.recipients.v = &remote);
	/* Numbers and lists that do not fit, and lines where an address should be. */
	REFUSED(GATE, q.size_bytes = -1);
	REFUSED(GATE, q.size_bytes = INT64_MAX);
	REFUSED(GATE, q.size_bytes = 1);
	REFUSED(GATE, (q.recipients = (struct slice_list){two, 2}));
	REFUSED(GATE, q.id = SLICE("../../../../etc/passwd.0000"));
	REFUSED(GATE, q.reverse_path = SLICE("a@b.test>\r\nBcc: c@d.test"));
	REFUSED(GATE, q.recipients.v = &(struct slice)SLICE_INIT("user0@example.test\r\nRCPT TO:<x@y.test>"));
	q = good;
	q.blob = SLICE("../directory.db");
	q.body = SLICE_EMPTY;
	assert_int_not_equal(submit(w, GATE, &q), SUBMIT_OK);
	/* A desk speaks for its own accounts, with their addresses. */
	REFUSED(DESK, q.origin = ORIGIN_STRANGER);
	REFUSED(DESK, q.origin = ORIGIN_ACCOUNT);
	REFUSED(DESK, q.origin = ORIGIN_ACCOUNT, q.account_id = w->other);
	REFUSED(DESK, q.origin = ORIGIN_ACCOUNT, q.account_id = w->alice);
	REFUSED(
	    DESK, q.origin = ORIGIN_ACCOUNT, q.account_id = w->alice, q.reverse_path = SLICE("user199@example.test"));
	/* Its answers have no sender, and one recipient. */
	REFUSED(DESK, q.origin = ORIGIN_SYSTEM, q.account_id = w->alice);
	REFUSED(DESK, q.origin = ORIGIN_SYSTEM, q.account_id = w->alice, q.reverse_path = SLICE_EMPTY,
	    (q.recipients = (struct slice_list){two, 2}), q.recipient_envelopes.n = 0);
	q = good;
	q.origin = ORIGIN_ACCOUNT;
	q.account_id = w->alice;
	q.reverse_path = two[1];
	assert_int_equal(submit(w, DESK, &q), SUBMIT_OK);

	assert_int_equal(ASK(w, DESK, clerk_account, &account, .account_id = w->alice), 0);
	assert_int_equal(account.found, 1);
	assert_int_equal(ASK(w, DESK, clerk_account, &account, .account_id = w->other), ERR_DENIED);
	assert_int_equal(
	    ASK(w, DESK, clerk_sender, &may, .origin = ORIGIN_ACCOUNT, .account_id = w->other, .address = user0),
	    ERR_DENIED);
	assert_int_equal(ASK(w, DESK, clerk_vacation, &vacation, .account_id = w->alice, .addresses = {two, 2}), 0);
	assert_int_equal(vacation.answer, 0);
	assert_int_equal(
	    ASK(w, DESK, clerk_vacation, &vacation, .account_id = w->other, .addresses = {two, 2}), ERR_DENIED);
	/* Nobody but the queue says what has become of a message. */
	for (int kind = HISTORY_RECEIVED; kind < HISTORY_NOTE; kind++)
		assert_int_equal(
		    ASK(w, GATE, clerk_history, &history, .id = ID, .kind = kind, .detail = SLICE("x")), ERR_DENIED);
	assert_int_equal(
	    ASK(w, GATE, clerk_history, &history, .id = ID, .kind = HISTORY_NOTE, .detail = SLICE("x")), 0);
}

static void
run_fiber(void *arg)
{
	struct world *w = arg;

	start_clerk(w);
	hostile(w);
	for (int i = 0; i < PEERS; i++)
		bus_free(&w->peers[i]);
	role_clerk_ops.shutdown(&w->context, 2000);
	loop_stop(w->loop);
}

static void
test_hostile_peers(void **state)
{
	/* The clerk leaves its memory to the end of the process. */
	static struct world w;

	(void)state;
	house_init(&w.house, "clerk");
	w.house.log_level = LOG_ERROR + 1;
	w.settings.hostname = SLICE("mail.example.test");
	buf_init(&w.detail, 4096);
	arena_init(&w.arena, 64 << 20);
	(void)snprintf(w.dir, sizeof(w.dir), "/tmp/ph-clerk-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	assert_int_equal(loop_new(&w.loop, &w.house), 0);
	assert_int_equal(fiber_start(w.loop, "test", run_fiber, &w, NULL), 0);
	loop_run(w.loop);
	nftw(w.dir, remove_path, 8, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile_peers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
