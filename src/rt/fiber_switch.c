/* fiber_switch.c: stacks and the jump between them. A context is made by makecontext() and from then on entered
 * and left by _setjmp/_longjmp, which cost no system call. This file is built without _FORTIFY_SOURCE, whose
 * longjmp aborts when it sees a jump to another stack. */
#include "rt/fiber_switch.h"

#include "base/err.h"

#include <sys/mman.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define HAVE_VALGRIND 1
#endif
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define WITH_TSAN 1
#endif

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef POSTHOUSE_SANITIZED
#define STACK_BYTES ((size_t)512 * 1024)
#else
#define STACK_BYTES ((size_t)64 * 1024)
#endif
#define GUARD_BYTES ((size_t)4096)
/* The signal frame of the ABI, and the frames of the switch itself. */
#define SWITCH_BYTES 1024

static void
entered(struct fiber_stack *s)
{
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(s->fake, &s->base->low, &s->base->size);
	s->fake = NULL;
#else
	(void)s;
#endif
}

/* `ended`: nothing on this stack is needed any more. */
static void
leave(struct fiber_stack *s, bool ended)
{
	s->sp = __builtin_frame_address(0);
	if (_setjmp(s->env) == 0) {
#ifdef WITH_ASAN
		__sanitizer_start_switch_fiber(ended ? NULL : &s->fake, s->base->low, s->base->size);
#else
		(void)ended;
#endif
#ifdef WITH_TSAN
		__tsan_switch_to_fiber(s->base->tsan, 0);
#endif
		_longjmp(s->base->env, 1);
	}
	entered(s);
}

/* The foot of every stack. makecontext() passes ints only, so the pointer comes in halves. */
static void
foot(unsigned hi, unsigned lo)
{
	struct fiber_stack *s = (struct fiber_stack *)((uintptr_t)hi << 32 | lo);

	entered(s);
	free(s->first);
	s->first = NULL;
	for (;;) {
		s->run(s->arg);
		leave(s, true);
	}
}

static void
stack_register(struct fiber_stack *s)
{
	(void)s; /* without any of these */
#ifdef WITH_ASAN
	__lsan_register_root_region(s->low, s->size);
#endif
#ifdef WITH_TSAN
	s->tsan = __tsan_create_fiber(0);
#endif
#ifdef HAVE_VALGRIND
	s->valgrind_id = (unsigned)VALGRIND_STACK_REGISTER(s->low, s->low + s->size - 1);
#endif
}

static void
make_first_context(struct fiber_stack *s)
{
	uintptr_t v = (uintptr_t)s;

	ASSERT(getcontext(s->first) == 0);
	s->first->uc_stack.ss_sp = s->low;
	s->first->uc_stack.ss_size = s->size;
	s->first->uc_link = NULL;
	makecontext(s->first, (void (*)(void))(uintptr_t)foot, 2, (unsigned)(v >> 32), (unsigned)(v & 0xffffffffu));
}

struct fiber_stack *
fiber_stack_new(void)
{
	struct fiber_stack *s = calloc(1, sizeof(*s));
	ucontext_t *uc = calloc(1, sizeof(*uc));
	void *map = MAP_FAILED;

	if (s != NULL && uc != NULL)
		map = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (map == MAP_FAILED || mprotect(map, GUARD_BYTES, PROT_NONE) != 0) {
		if (map != MAP_FAILED)
			(void)munmap(map, GUARD_BYTES + STACK_BYTES);
		free(s);
		free(uc);
		return NULL;
	}
	s->map = map;
	s->map_size = GUARD_BYTES + STACK_BYTES;
	s->low = s->map + GUARD_BYTES;
	s->size = STACK_BYTES;
	s->sp = s->low + s->size;
	s->first = uc;
	make_first_context(s);
	stack_register(s);
	return s;
}

void
fiber_stack_free(struct fiber_stack *s)
{
#ifdef HAVE_VALGRIND
	VALGRIND_STACK_DEREGISTER(s->valgrind_id);
#endif
#ifdef WITH_TSAN
	__tsan_destroy_fiber(s->tsan);
#endif
#ifdef WITH_ASAN
	__lsan_unregister_root_region(s->low, s->size);
#endif
	(void)munmap(s->map, s->map_size);
	free(s->first);
	free(s);
}

void
fiber_stack_enter(struct fiber_base *base, struct fiber_stack *s)
{
	s->base = base;
	if (_setjmp(base->env) == 0) {
#ifdef WITH_ASAN
		__sanitizer_start_switch_fiber(&base->fake, s->low, s->size);
#endif
#ifdef WITH_TSAN
		base->tsan = __tsan_get_current_fiber();
		__tsan_switch_to_fiber(s->tsan, 0);
#endif
		if (s->first != NULL)
			(void)setcontext(s->first);
		_longjmp(s->env, 1);
	}
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(base->fake, NULL, NULL);
	base->fake = NULL;
#endif
}

void
fiber_stack_leave(struct fiber_stack *s)
{
	leave(s, false);
}

void
fiber_stack_trim(struct fiber_stack *s)
{
#ifndef POSTHOUSE_SANITIZED
	uint8_t *alive = s->sp - SWITCH_BYTES;
	size_t n = alive > s->low ? (size_t)(alive - s->low) / GUARD_BYTES * GUARD_BYTES : 0;

	if (n > 0)
		(void)madvise(s->low, n, MADV_DONTNEED);
#else
	(void)s;
#endif
}
