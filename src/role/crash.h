/* crash.h: what a process says when it dies of a bug: a backtrace to its log, then the signal's own end. */
#ifndef ROLE_CRASH_H
#define ROLE_CRASH_H

#include "base/house.h"

/* Handles SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT on a stack of its own (a fiber's may be what overflowed). */
void crash_handle(struct house *h);
/* Loads what a backtrace needs; before the sandbox. */
void crash_warm_up(void);

#endif
