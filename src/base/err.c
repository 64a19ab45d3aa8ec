/* err.c: names of errors, and the trap for what only a bug can break. */
#include "base/err.h"

#include <errno.h>
#include <execinfo.h>

static const struct {
	const char *name;
	const char *text;
} err_table[ERRN_COUNT] = {
    {"ok", "no error"},
#define ERR(name, lower, text) {lower, text},
#include "base/err.def"
#undef ERR
};

const char *
err_text(int err)
{
	if (err > 0 || err <= -ERRN_COUNT)
		return "an unknown error";
	return err_table[-err].text;
}

const char *
err_name(int err)
{
	if (err > 0 || err <= -ERRN_COUNT)
		return "unknown";
	return err_table[-err].name;
}

int
err_from_errno(int e)
{
	switch (e) {
	case 0: return 0;
	case ENOMEM: return ERR_NOMEM;
	case ENOENT:
	case ENOTDIR: return ERR_NOTFOUND;
	case EEXIST: return ERR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS: return ERR_DENIED;
	case ENOSPC:
	case EDQUOT: return ERR_FULL;
	case ETIMEDOUT: return ERR_TIMEOUT;
	case ECANCELED: return ERR_CANCELLED;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN: return ERR_CLOSED;
	case EAGAIN:
	case EBUSY: return ERR_BUSY;
	case EINVAL: return ERR_INVALID;
	case EMFILE:
	case ENFILE: return ERR_LIMIT;
	case ECONNREFUSED:
	case ENETUNREACH:
	case EHOSTUNREACH: return ERR_UNAVAILABLE;
	default: return ERR_IO;
	}
}

void
base_trap(const char *file, int line, const char *what)
{
	void *frames[32];
	int n;

	(void)fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
	n = backtrace(frames, 32);
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
	abort();
}
