/* fiber_switch.h: stacks and the jump between them; private to rt/. fiber.c decides who runs, this decides how.
 *
 * A stack is guarded by an inaccessible page, carries its context and is recycled: the function at its foot is
 * called again for each fiber that gets the stack, so that makecontext() is paid for once. The sanitizers
 * and valgrind are told of every stack and of every switch. */
#ifndef RT_FIBER_SWITCH_H
#define RT_FIBER_SWITCH_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* Where a loop's own stack waits while a fiber runs. */
struct fiber_base {
	jmp_buf env;
	const void *low; /* the loop's stack, as the address sanitizer knows it */
	size_t size;
	void *fake;
	void *tsan;
};

struct fiber_stack {
	struct fiber_stack *next; /* in the pool */
	struct fiber_base *base;  /* of the loop that entered last */
	void (*run)(void *arg);
	void *arg;
	uint8_t *map; /* guard page first */
	size_t map_size;
	uint8_t *low; /* lowest usable byte */
	size_t size;
	bool trimmed;      /* in the pool without its memory */
	uint8_t *sp;       /* about where the fiber left; below it nothing is alive */
	ucontext_t *first; /* until it is first entered */
	jmp_buf env;
	void *fake;
	void *tsan;
	unsigned valgrind_id;
};

/* A fresh stack, or NULL. */
struct fiber_stack *fiber_stack_new(void);
/* The fiber on it has ended, or none ever ran. */
void fiber_stack_free(struct fiber_stack *s);
/* From the loop: runs s->run(s->arg), or goes on where the fiber left, until it leaves. */
void fiber_stack_enter(struct fiber_base *base, struct fiber_stack *s);
/* From the fiber: back to the loop; returns when it is entered again. */
void fiber_stack_leave(struct fiber_stack *s);
/* Gives the memory of a stack that is not running back to the system, apart from what is alive on it. */
void fiber_stack_trim(struct fiber_stack *s);

#endif
