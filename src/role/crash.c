/* crash.c: backtraces from signal handlers: only functions that are safe there. Sanitized builds leave these signals to
 * the sanitizers, which tell more. */
#include "role/crash.h"

#include "base/log.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/mman.h>

#define CRASH_FRAMES 64
#define CRASH_STACK_BYTES (64u * 1024u)

#ifndef POSTHOUSE_SANITIZED
/* The signal handler has no argument of ours; written once, at the start. */
static volatile sig_atomic_t crash_log_fd = STDERR_FILENO;

static void
say(const char *z)
{
	ssize_t ignored = write(crash_log_fd, z, strlen(z));

	(void)ignored;
}

static void
on_crash(int number, siginfo_t *info, void *context)
{
	char line[] = "panic: signal 00\n";
	void *frames[CRASH_FRAMES];
	int n;

	(void)info;
	(void)context;
	log_batch_flush();
	line[14] = (char)('0' + number / 10 % 10);
	line[15] = (char)('0' + number % 10);
	say(line);
	n = backtrace(frames, CRASH_FRAMES);
	backtrace_symbols_fd(frames, n, crash_log_fd);
	say("panic: end of backtrace\n");
	/* SA_RESETHAND: now the default action. */
	(void)raise(number);
}
#endif

void
crash_handle(struct house *h)
{
#ifdef POSTHOUSE_SANITIZED
	(void)h;
#else
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	stack_t stack = {.ss_size = CRASH_STACK_BYTES};
	struct sigaction act = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER};

	crash_log_fd = h->log_fd;
	stack.ss_sp = mmap(NULL, CRASH_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp != MAP_FAILED)
		(void)sigaltstack(&stack, NULL);
	act.sa_sigaction = on_crash;
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		(void)sigaction(signals[i], &act, NULL);
#endif
}

void
crash_warm_up(void)
{
	void *frames[4];

	/* Loads libgcc_s the first time. */
	(void)backtrace(frames, 4);
}
