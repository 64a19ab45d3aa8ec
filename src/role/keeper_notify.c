/* keeper_notify.c: what a service manager is told (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names. READY comes once
 * every role is ready and the ports are open, and again after a reload; with WATCHDOG_USEC a sign of life comes twice as often as it is asked
 * for, from a fiber, so that a keeper whose loop stands still is started again. Without a service manager nothing is sent. */
#include "role/keeper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WATCHDOG_MS_MIN 10

static int
manager_address(struct sockaddr_un *sa, socklen_t *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path == NULL ? 0 : strlen(path);

	/* A file or, with "@", an abstract name. */
	if (length < 2 || length >= sizeof(sa->sun_path) || (path[0] != '/' && path[0] != '@'))
		return ERR_NOTFOUND;
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(sa->sun_path, path, length);
	if (path[0] == '@')
		sa->sun_path[0] = '\0';
	*n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

static void
tell(struct keeper *k, const char *text)
{
	struct sockaddr_un sa;
	socklen_t n;
	int fd, err = manager_address(&sa, &n);

	/* A house that runs for one command only is no service. */
	if (err != 0 || (k->config->flags & START_QUIET) != 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sa, n) < 0)
		LOG(&k->house, WARN, "manager_not_told", LOG_Z("why", strerror(errno)));
	if (fd >= 0)
		(void)close(fd);
}

/* How often the service manager wants a sign of life of this process; 0: not at all. */
static int64_t
watchdog_ms(void)
{
	const char *every = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t us, whose;

	if (slice_to_u64(slice_z(every), INT64_MAX, &us) != 0 || us == 0)
		return 0;
	if (pid != NULL && (slice_to_u64(slice_z(pid), INT32_MAX, &whose) != 0 || whose != (uint64_t)getpid()))
		return 0;
	return us / 2000 < WATCHDOG_MS_MIN ? WATCHDOG_MS_MIN : (int64_t)(us / 2000);
}

static void
watchdog_fiber(void *arg)
{
	struct keeper *k = arg;

	do
		tell(k, "WATCHDOG=1");
	while (fiber_sleep(k->loop, watchdog_ms()) == 0);
}

void
keeper_notify_ready(struct keeper *k)
{
	char text[512];

	(void)snprintf(
	    text, sizeof(text), "READY=1\nSTATUS=Serving as %.255s with %zu processes\n", k->hostname, k->children_n);
	tell(k, text);
	if (k->watchdog == NULL && watchdog_ms() > 0 &&
	    fiber_start(k->loop, "watchdog", watchdog_fiber, k, &k->watchdog) != 0)
		LOG(&k->house, ERROR, "watchdog_not_started", LOG_E(ERR_NOMEM));
}

void
keeper_notify_reloading(struct keeper *k)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld\n", (long long)house_mono_us(&k->house));
	tell(k, text);
}

void
keeper_notify_stopping(struct keeper *k)
{
	tell(k, "STOPPING=1\nSTATUS=Ending\n");
}

void
keeper_notify_end(struct keeper *k)
{
	if (k->watchdog == NULL)
		return;
	fiber_cancel(k->watchdog);
	fiber_join(k->loop, &k->watchdog);
}
