/* err.h: one result convention. A function that can fail returns 0 or a negative enum err and is
 * `nodiscard`; text detail goes into the context that the function documents. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err_number {
	ERRN_NONE = 0,
#define ERR(name, lower, text) ERRN_##name,
#include "base/err.def"
#undef ERR
	ERRN_COUNT
};

enum err {
	ERR_OK = 0,
#define ERR(name, lower, text) ERR_##name = -(int)ERRN_##name,
#include "base/err.def"
#undef ERR
};

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* The sentence of an error code, e.g. "the deadline passed". Never NULL. */
const char *err_text(int err);
/* Its short name in lower case, e.g. "timeout". Never NULL. */
const char *err_name(int err);
/* The error that stands for a value of errno. */
int err_from_errno(int errno_value);

/* Traps with a message: only a bug in this program gets here. Stays on in release builds. */
_Noreturn void base_trap(const char *file, int line, const char *what);

#define ASSERT(cond) ((cond) ? (void)0 : base_trap(__FILE__, __LINE__, #cond))

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
