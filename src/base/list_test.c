/* list_test.c: the intrusive list. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"

struct item {
	int value;
	struct list_node node;
};

static int
digits(struct list *l)
{
	int v = 0;

	LIST_FOREACH (l, n)
		v = v * 10 + CONTAINER_OF(n, struct item, node)->value;
	return v;
}

static void
test_list(void **state)
{
	struct item v[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
	struct list l;

	(void)state;
	list_init(&l);
	assert_true(list_empty(&l) && list_first(&l) == NULL && list_pop(&l) == NULL);
	list_push(&l, &v[1].node);
	list_push(&l, &v[2].node);
	list_push_front(&l, &v[0].node);
	list_insert_before(&v[2].node, &v[3].node);
	assert_int_equal(digits(&l), 1243);
	assert_true(list_linked(&v[0].node));
	list_remove(&v[3].node);
	list_remove(&v[3].node); /* in none: nothing happens */
	assert_false(list_linked(&v[3].node));
	assert_int_equal(digits(&l), 123);
	/* The body may remove its own node. */
	LIST_FOREACH (&l, n)
		if (CONTAINER_OF(n, struct item, node)->value != 2)
			list_remove(n);
	assert_int_equal(digits(&l), 2);
	assert_ptr_equal(list_pop(&l), &v[1].node);
	assert_true(list_empty(&l));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_list)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
