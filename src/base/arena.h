/* arena.h: memory of one lifetime (a session, a command, a message). Passed as a parameter, so that the
 * lifetime of a result shows in the signature; freed all at once. Created with its maximum: past it, or
 * when memory is out, allocations return NULL and `arena_failed` stays true. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* newest first */
	size_t used;               /* bytes handed out */
	size_t max;
	bool failed;
};

struct arena_mark {
	struct arena_chunk *chunk;
	size_t chunk_used;
	size_t used;
};

/* No memory is taken before the first allocation. */
void arena_init(struct arena *a, size_t max);
void arena_free(struct arena *a);
/* The same, and what was in it does not stay in memory: for passwords. */
void arena_wipe(struct arena *a);
/* Gives everything back but keeps one chunk for reuse. */
void arena_reset(struct arena *a);
struct arena_mark arena_mark(const struct arena *a);
void arena_release(struct arena *a, struct arena_mark mark);
static inline bool
arena_failed(const struct arena *a)
{
	return a->failed;
}

/* Zeroed, aligned for any type. NULL past the limit. */
void *arena_alloc(struct arena *a, size_t n);
/* Zeroed array; NULL also when count * size overflows. */
void *arena_array(struct arena *a, size_t count, size_t size);
#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_array((a), (count), sizeof(type)))
/* A copy of the bytes (followed by a NUL that is not counted). {NULL, 0} past the limit. */
struct slice arena_copy(struct arena *a, struct slice s);
char *arena_z(struct arena *a, struct slice s);
struct slice arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Doubles an arena array of `*cap` elements when `n` has reached it: returns the (moved) array or NULL. */
void *arena_grow(struct arena *a, void *v, size_t n, size_t *cap, size_t size, size_t cap_max);

#define ARENA_CLEANUP __attribute__((cleanup(arena_free)))

#endif
