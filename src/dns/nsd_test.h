/* nsd_test.h: an NSD on a loopback port with one zone, for tests; they are skipped where NSD is not installed. */
#ifndef DNS_NSD_TEST_H
#define DNS_NSD_TEST_H

#include "base/slice.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct nsd {
	char folder[64];
	pid_t pid;
	uint16_t port;
};

static const char *
nsd_path(void)
{
	static const char *const paths[] = {"/usr/sbin/nsd", "/usr/local/sbin/nsd"};

	for (size_t i = 0; i < COUNT_OF(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

static void
write_file(const struct nsd *s, const char *name, const char *text)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", s->folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* A port that is free for UDP at this moment. */
static uint16_t
free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	close(fd);
	return ntohs(sa.sin_port);
}

static void
nsd_start(struct nsd *s, const char *zone)
{
	char conf[2000], path[128];
	int null;

	memcpy(s->folder, "/tmp/dns_test.XXXXXX", sizeof("/tmp/dns_test.XXXXXX"));
	assert_non_null(mkdtemp(s->folder));
	s->port = free_port();
	(void)snprintf(conf, sizeof(conf),
	    "server:\n ip-address: 127.0.0.1\n port: %u\n server-count: 1\n username: \"\"\n chroot: \"\"\n pidfile: "
	    "\"%s/pid\"\n database: \"\"\n"
	    " zonesdir: \"%s\"\n xfrdfile: \"%s/xfrd\"\n zonelistfile: \"%s/list\"\n logfile: "
	    "\"%s/log\"\nremote-control:\n control-enable: no\n"
	    "zone:\n name: a.test\n zonefile: a.test.zone\n",
	    s->port, s->folder, s->folder, s->folder, s->folder, s->folder);
	write_file(s, "nsd.conf", conf);
	write_file(s, "a.test.zone", zone);
	(void)snprintf(path, sizeof(path), "%s/nsd.conf", s->folder);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		null = open("/dev/null", O_RDWR);
		(void)dup2(null, 1);
		(void)dup2(null, 2);
		(void)execl(nsd_path(), "nsd", "-d", "-c", path, (char *)NULL);
		_exit(127);
	}
}

static void
nsd_stop(struct nsd *s)
{
	static const char *const files[] = {"nsd.conf", "a.test.zone", "pid", "xfrd", "list", "log"};
	int status;

	(void)kill(s->pid, SIGTERM);
	(void)waitpid(s->pid, &status, 0);
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%s", s->folder, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(s->folder);
}

#endif
