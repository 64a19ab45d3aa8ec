/* Coding of every message there and back, and what must be refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bus/bus_table.h"

#include <fcntl.h>

static void
fill(enum bus_type type, bool reply, void *msg, struct slice_list list, int fd)
{
	const struct bus_form *form = &bus_message(type)->form[reply];
	char *at = msg;
	int64_t number = -5;

	for (const uint8_t *f = form->fields; *f != FIELD_END; f++) {
		switch ((enum bus_field) * f) {
		case FIELD_INT:
			*(int64_t *)(void *)at = number++;
			at += 8;
			break;
		case FIELD_FD:
			*(int64_t *)(void *)at = fd;
			at += 8;
			break;
		case FIELD_TEXT:
			*(struct slice *)(void *)at = SLICE("gr\xc3\xbc\xc3\x9f");
			at += 16;
			break;
		case FIELD_BYTES:
			*(struct slice *)(void *)at = SLICE("a\0\xff");
			at += 16;
			break;
		case FIELD_LIST:
			*(struct slice_list *)(void *)at = list;
			at += 16;
			break;
		case FIELD_END: break;
		}
	}
}

static void
assert_same(enum bus_type type, bool reply, const void *a, const void *b)
{
	const struct bus_form *form = &bus_message(type)->form[reply];
	const char *x = a, *y = b;

	for (const uint8_t *f = form->fields; *f != FIELD_END; f++) {
		if (*f == FIELD_INT || *f == FIELD_FD) {
			assert_int_equal(*(const int64_t *)(const void *)x, *(const int64_t *)(const void *)y);
			x += 8, y += 8;
			continue;
		}
		if (*f == FIELD_LIST) {
			const struct slice_list *p = (const void *)x, *q = (const void *)y;

			assert_int_equal(p->n, q->n);
			for (size_t i = 0; i < p->n; i++)
				assert_true(slice_eq(p->v[i], q->v[i]));
		} else {
			assert_true(
			    slice_eq(*(const struct slice *)(const void *)x, *(const struct slice *)(const void *)y));
		}
		x += 16, y += 16;
	}
}

static void
test_every_message(void **state)
{
	(void)state;
	for (enum bus_type t = BUS_NONE + 1; t < BUS_TYPE_COUNT; t++)
		for (int reply = 0; reply <= 1; reply++) {
			struct slice_list list = SLICE_LIST(SLICE("one"), SLICE_EMPTY, SLICE("\0three"));
			uint64_t in[64] = {0}, out[64] = {0};
			int fds[BUS_FDS_MAX];
			struct arena a ARENA_CLEANUP;
			struct buf b BUF_CLEANUP;
			size_t nfds;

			assert_true(bus_message(t)->form[reply].size <= sizeof(in));
			arena_init(&a, 1 << 20);
			buf_init(&b, 1 << 20);
			fill(t, reply, in, list, 7);
			assert_int_equal(bus_encode(t, reply, in, &b, fds, &nfds, BUS_FDS_MAX), 0);
			assert_int_equal(bus_decode(t, reply, buf_slice(&b), fds, nfds, &a, out), 0);
			assert_same(t, reply, in, out);
			/* Every shorter form, and one byte more, is refused; and so is a descriptor too many. */
			for (size_t n = 0; n < b.n; n++)
				assert_int_equal(
				    bus_decode(t, reply, slice_head(buf_slice(&b), n), fds, nfds, &a, out), ERR_SYNTAX);
			if (nfds < BUS_FDS_MAX) {
				fds[nfds] = 9;
				assert_int_equal(
				    bus_decode(t, reply, buf_slice(&b), fds, nfds + 1, &a, out), ERR_SYNTAX);
			}
			if (nfds > 0)
				assert_int_equal(
				    bus_decode(t, reply, buf_slice(&b), fds, nfds - 1, &a, out), ERR_SYNTAX);
			buf_put_u8(&b, 0);
			assert_int_equal(bus_decode(t, reply, buf_slice(&b), fds, nfds, &a, out), ERR_SYNTAX);
		}
}

static void
test_refusals(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct buf b BUF_CLEANUP;
	struct bus_clerk_rcpt_request rcpt;
	struct bus_clerk_login_request login = {.name = SLICE("a\xff")};
	struct bus_clerk_delivered_request many = {.account_id = SLICE("x")};
	struct slice *v = calloc(BUS_LIST_MAX + 1, sizeof(*v));
	size_t nfds;

	(void)state;
	arena_init(&a, 64);
	buf_init(&b, 1 << 20);
	/* TEXT that is none is refused on both sides. */
	assert_int_equal(bus_encode(BUS_clerk_login, false, &login, &b, NULL, &nfds, 0), ERR_INVALID);
	login.name = SLICE("a\0b");
	assert_int_equal(bus_encode(BUS_clerk_login, false, &login, &b, NULL, &nfds, 0), ERR_INVALID);
	assert_int_equal(b.n, 0);
	assert_int_equal(bus_decode(BUS_clerk_login, false, SLICE("\0\0\0\1\xff"), NULL, 0, &a, &login), ERR_SYNTAX);
	/* Lists that are too long, or claim more than there is. */
	many.delivery_ids = (struct slice_list){v, BUS_LIST_MAX + 1};
	assert_int_equal(bus_encode(BUS_clerk_delivered, false, &many, &b, NULL, &nfds, 0), ERR_LIMIT);
	assert_int_equal(b.n, 0);
	assert_int_equal(
	    bus_decode(BUS_clerk_delivered, false, SLICE("\0\0\0\0\x7f\xff\xff\xff"), NULL, 0, &a, &many), ERR_SYNTAX);
	assert_int_equal(
	    bus_decode(BUS_clerk_delivered, false, SLICE("\0\0\0\0\0\0\0\1\xff\xff\xff\xff"), NULL, 0, &a, &many),
	    ERR_SYNTAX);
	assert_int_equal(bus_decode(BUS_clerk_rcpt, false, SLICE("\xff\xff\xff\xff"), NULL, 0, &a, &rcpt), ERR_SYNTAX);
	/* More than the buffer may hold leaves it as it was. */
	buf_free(&b);
	buf_init(&b, 8);
	rcpt.address = SLICE("123456789");
	assert_int_equal(bus_encode(BUS_clerk_rcpt, false, &rcpt, &b, NULL, &nfds, 0), ERR_LIMIT);
	free(v);
}

static void
test_closing_descriptors(void **state)
{
	struct bus_role_peer_request r = {.role = 1, .index = 2, .socket = open("/dev/null", O_RDONLY | O_CLOEXEC)};
	int fd = (int)r.socket;

	(void)state;
	assert_true(fd > 2);
	bus_close_fds(BUS_role_peer, false, &r);
	assert_int_equal(r.socket, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	/* A zeroed field is no descriptor. */
	r.socket = 0;
	bus_close_fds(BUS_role_peer, false, &r);
	assert_int_not_equal(fcntl(0, F_GETFD), -1);
	assert_string_equal(bus_role_name(ROLE_COURIER), "courier");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_message),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_closing_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
