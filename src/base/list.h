/* list.h: intrusive doubly linked list. A node is in at most one list; a zeroed or removed node is in
 * none. O(1) everything. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *prev, *next;
};

/* The head is a node that points at itself when the list is empty. */
struct list {
	struct list_node head;
};

static inline void
list_init(struct list *l)
{
	l->head.prev = l->head.next = &l->head;
}
static inline bool
list_empty(const struct list *l)
{
	return l->head.next == &l->head;
}
static inline bool
list_linked(const struct list_node *n)
{
	return n->next != NULL;
}
static inline void
list_insert_before(struct list_node *at, struct list_node *n)
{
	ASSERT(!list_linked(n));
	n->prev = at->prev;
	n->next = at;
	at->prev->next = n;
	at->prev = n;
}
static inline void
list_push(struct list *l, struct list_node *n)
{
	list_insert_before(&l->head, n);
}
static inline void
list_push_front(struct list *l, struct list_node *n)
{
	list_insert_before(l->head.next, n);
}
static inline void
list_remove(struct list_node *n)
{
	if (!list_linked(n))
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->prev = n->next = NULL;
}
static inline struct list_node *
list_first(const struct list *l)
{
	return list_empty(l) ? NULL : l->head.next;
}
static inline struct list_node *
list_pop(struct list *l)
{
	struct list_node *n = list_first(l);

	if (n != NULL)
		list_remove(n);
	return n;
}
/* The body may remove `n` itself, nothing else. */
#define LIST_FOREACH(l, n) \
	for (struct list_node *n = (l)->head.next, *n##_next = n->next; n != &(l)->head; \
	     n = n##_next, n##_next = n->next)

#endif
