/* arena.c: a bump allocator over malloc'd chunks. Under sanitizers each allocation is its own chunk tail
 * poisoned by construction of malloc's redzones only per chunk; limits are checked in all builds. */
#include "base/arena.h"

#include <stdarg.h>

#define ARENA_ALIGN 16u
#define ARENA_CHUNK_MIN 1024u
#define ARENA_CHUNK_STEP_MAX (64u * 1024u)

struct arena_chunk {
	struct arena_chunk *next;
	size_t cap;
	size_t used;
	size_t pad;
	uint8_t data[];
};

void
arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){.max = max};
}

void
arena_free(struct arena *a)
{
	while (a->chunk != NULL) {
		struct arena_chunk *next = a->chunk->next;

		free(a->chunk);
		a->chunk = next;
	}
	a->used = 0;
	a->failed = false;
}

void
arena_wipe(struct arena *a)
{
	for (struct arena_chunk *c = a->chunk; c != NULL; c = c->next)
		explicit_bzero(c->data, c->cap);
	arena_free(a);
}

void
arena_reset(struct arena *a)
{
	struct arena_chunk *keep = a->chunk;

	if (keep == NULL)
		return;
	a->chunk = keep->next;
	arena_free(a);
	if (keep->cap > ARENA_CHUNK_STEP_MAX) {
		free(keep);
		return;
	}
	keep->next = NULL;
	keep->used = 0;
	a->chunk = keep;
}

struct arena_mark
arena_mark(const struct arena *a)
{
	return (struct arena_mark){a->chunk, a->chunk == NULL ? 0 : a->chunk->used, a->used};
}

void
arena_release(struct arena *a, struct arena_mark mark)
{
	while (a->chunk != mark.chunk) {
		struct arena_chunk *next = a->chunk->next;

		free(a->chunk);
		a->chunk = next;
	}
	if (a->chunk != NULL)
		a->chunk->used = mark.chunk_used;
	a->used = mark.used;
	a->failed = false;
}

static int
chunk_add(struct arena *a, size_t n)
{
	size_t cap = a->chunk == NULL ? ARENA_CHUNK_MIN : a->chunk->cap * 2;
	struct arena_chunk *c;

	if (cap > ARENA_CHUNK_STEP_MAX)
		cap = ARENA_CHUNK_STEP_MAX;
	if (cap < n)
		cap = n;
	c = malloc(sizeof(*c) + cap);
	if (c == NULL)
		return ERR_NOMEM;
	*c = (struct arena_chunk){.next = a->chunk, .cap = cap};
	a->chunk = c;
	return 0;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	void *p;

	if (n == 0)
		n = 1;
	if (n > a->max || a->used > a->max - n) {
		a->failed = true;
		return NULL;
	}
	n = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (a->chunk == NULL || a->chunk->cap - a->chunk->used < n) {
		if (chunk_add(a, n) != 0) {
			a->failed = true;
			return NULL;
		}
	}
	p = a->chunk->data + a->chunk->used;
	a->chunk->used += n;
	a->used += n;
	memset(p, 0, n);
	return p;
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n)) {
		a->failed = true;
		return NULL;
	}
	return arena_alloc(a, n);
}

struct slice
arena_copy(struct arena *a, struct slice s)
{
	uint8_t *p = s.n == SIZE_MAX ? NULL : arena_alloc(a, s.n + 1);

	if (p == NULL)
		return SLICE_EMPTY;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return slice_of(p, s.n);
}

char *
arena_z(struct arena *a, struct slice s)
{
	/* arena_copy always appends a NUL. */
	return (char *)(uintptr_t)arena_copy(a, s).p;
}

struct slice
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return SLICE_EMPTY;
	p = arena_alloc(a, (size_t)n + 1);
	if (p == NULL)
		return SLICE_EMPTY;
	va_start(ap, fmt);
	(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return slice_of(p, (size_t)n);
}

void *
arena_grow(struct arena *a, void *v, size_t n, size_t *cap, size_t size, size_t cap_max)
{
	size_t want;
	void *bigger;

	if (n < *cap)
		return v;
	if (*cap >= cap_max) {
		a->failed = true;
		return NULL;
	}
	want = *cap == 0 ? 8 : *cap * 2;
	if (want > cap_max)
		want = cap_max;
	bigger = arena_array(a, want, size);
	if (bigger == NULL)
		return NULL;
	if (n > 0)
		memcpy(bigger, v, n * size);
	*cap = want;
	return bigger;
}
