/* keeper_files.c: what the keeper does in the file system and with ports before any role runs: the data folder and its
 * lock, the users, the listening sockets. */
#include "role/keeper_private.h"

#include "rt/net.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LISTEN_BACKLOG 1024
#define TREE_DEPTH_MAX 16

int
house_make_folder(const char *path, mode_t mode, struct buf *detail)
{
	char part[HOUSE_PATH_BYTES + 64];
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(part)) {
		buf_printf(detail, "%s: the path is too long\n", path);
		return ERR_INVALID;
	}
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		/* A parent that is made on the way is for everybody; the folder itself is not. */
		if (mkdir(part, i == n ? mode : 0755) != 0 && errno != EEXIST) {
			buf_printf(detail, "the folder %s cannot be made: %s\n", part, strerror(errno));
			return err_from_errno(errno);
		}
	}
	return 0;
}

int
house_read_file(const char *path, size_t max, struct buf *out, struct buf *detail)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;
	int err = 0;

	if (fd < 0) {
		err = err_from_errno(errno);
		buf_printf(detail, "%s cannot be read: %s\n", path, strerror(errno));
		return err;
	}
	do {
		uint8_t *at = buf_reserve(out, 4096);

		got = at == NULL ? -1 : read(fd, at, 4096);
		if (got > 0)
			buf_added(out, (size_t)got);
	} while (got > 0 && out->n <= max);
	if (out->err != 0 || out->n > max) {
		buf_printf(detail, "%s is larger than %zu bytes\n", path, max);
		err = ERR_LIMIT;
	} else if (got < 0) {
		buf_printf(detail, "%s cannot be read: %s\n", path, strerror(errno));
		err = ERR_IO;
	}
	(void)close(fd);
	return err;
}

int
house_write_new_file(const char *path, struct slice text, struct buf *detail)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = 0;

	if (fd < 0) {
		err = err_from_errno(errno);
		buf_printf(detail, "%s cannot be made: %s\n", path, strerror(errno));
		return err;
	}
	while (text.n > 0 && err == 0) {
		ssize_t put = write(fd, text.p, text.n);

		if (put < 0 && errno != EINTR)
			err = err_from_errno(errno);
		else if (put > 0)
			text = slice_from(text, (size_t)put);
	}
	if (err == 0 && fsync(fd) != 0)
		err = ERR_IO;
	(void)close(fd);
	if (err != 0) {
		buf_printf(detail, "%s cannot be written: %s\n", path, err_text(err));
		(void)unlink(path);
	}
	return err;
}

int
house_write_file(const char *path, struct slice text, struct buf *detail)
{
	char fresh[HOUSE_PATH_BYTES + 128];
	int err;

	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	(void)unlink(fresh);
	err = house_write_new_file(fresh, text, detail);
	if (err == 0 && rename(fresh, path) != 0) {
		err = err_from_errno(errno);
		buf_printf(detail, "%s cannot be written: %s\n", path, err_text(err));
		(void)unlink(fresh);
	}
	return err;
}

int
house_lock(const char *data_dir, int *out, struct buf *detail)
{
	char path[HOUSE_PATH_BYTES + 64], holder[32] = "";
	int fd;
	ssize_t n;

	*out = -1;
	(void)snprintf(path, sizeof(path), "%s/lock", data_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		buf_printf(detail, "%s cannot be opened: %s\n", path, strerror(errno));
		return err_from_errno(errno);
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		n = read(fd, holder, sizeof(holder) - 1);
		if (n > 0 && holder[n - 1] == '\n')
			holder[n - 1] = '\0';
		buf_printf(detail, "another house is running on %s (process %s): stop it first\n", data_dir,
		    n > 0 ? holder : "unknown");
		(void)close(fd);
		return ERR_BUSY;
	}
	n = snprintf(holder, sizeof(holder), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, holder, (size_t)n, 0) != n) {
		buf_printf(detail, "%s cannot be written: %s\n", path, strerror(errno));
		(void)close(fd);
		return ERR_IO;
	}
	*out = fd;
	return 0;
}

/* ---- users ------------------------------------------------------------------------------------------- */

int
keeper_find_users(struct keeper *k)
{
	struct slice prefix = k->settings->user_prefix;

	if (geteuid() != 0 || prefix.n == 0)
		return 0;
	for (size_t i = 0; i < KEEPER_ROLES_COUNT; i++) {
		char name[128];
		struct passwd *pw;

		(void)snprintf(name, sizeof(name), "%.*s%s", SLICE_ARG(prefix), bus_role_name(keeper_order[i]));
		pw = getpwnam(name);
		if (pw == NULL || pw->pw_uid == 0) {
			buf_printf(k->detail,
			    "there is no user %s for the process of that name. Make the users with\n"
			    "  systemd-sysusers posthouse.conf        (the file is in dist/systemd/sysusers.d)\n"
			    "or, to run all processes as root behind their sandboxes only, set `user_prefix =` in "
			    "[house]\n",
			    name);
			return ERR_NOTFOUND;
		}
		k->users[i] = (struct keeper_user){pw->pw_uid, pw->pw_gid};
	}
	return 0;
}

/* Gives a folder and all in it to a user: data that was made by another one, as by a house that was not started as
 * root. Never follows a link. */
static int
give_tree(int at, const char *name, const struct keeper_user *u, int depth)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int err = 0;

	if (dir == NULL || fchown(fd, u->uid, u->gid) != 0)
		err = err_from_errno(errno);
	while (err == 0 && (e = readdir(dir)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type == DT_DIR && depth < TREE_DEPTH_MAX)
			err = give_tree(fd, e->d_name, u, depth + 1);
		else if (fchownat(fd, e->d_name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW) != 0)
			err = err_from_errno(errno);
	}
	if (dir != NULL)
		(void)closedir(dir);
	else if (fd >= 0)
		(void)close(fd);
	return err;
}

/* A folder that belongs to one role alone. */
static int
make_own_folder(struct keeper *k, const char *name, enum bus_role role)
{
	const struct keeper_user *u = &k->users[keeper_role_place(role)];
	char path[HOUSE_PATH_BYTES + 64];
	struct stat st;
	int err;

	(void)snprintf(path, sizeof(path), "%s/%s", k->data_dir, name);
	err = house_make_folder(path, 0700, k->detail);
	if (err != 0 || u->uid == 0)
		return err;
	if (stat(path, &st) == 0 && st.st_uid == u->uid)
		return 0;
	err = give_tree(AT_FDCWD, path, u, 0);
	if (err != 0)
		buf_printf(k->detail, "%s cannot be given to user %u: %s\n", path, (unsigned)u->uid, err_text(err));
	return err;
}

int
keeper_open_data(struct keeper *k)
{
	char path[HOUSE_PATH_BYTES + 64];
	/* With users of their own the roles pass through the folder; nobody lists it. */
	bool own_users = k->users[0].uid != 0;
	int err = house_make_folder(k->data_dir, own_users ? 0711 : 0700, k->detail);

	if (err == 0 && chmod(k->data_dir, own_users ? 0711 : 0700) != 0) {
		buf_printf(k->detail, "%s is not ours: %s\n", k->data_dir, strerror(errno));
		err = ERR_DENIED;
	}
	if (err == 0)
		err = house_lock(k->data_dir, &k->lock_fd, k->detail);
	if (err == 0) {
		(void)snprintf(path, sizeof(path), "%s/restoring", k->data_dir);
		if (access(path, F_OK) == 0) {
			buf_printf(k->detail,
			    "a restore into %s was cut off: run it again; what is there is not a whole house\n",
			    k->data_dir);
			err = ERR_DAMAGED;
		}
	}
	if (err == 0) {
		(void)snprintf(path, sizeof(path), "%s/run", k->data_dir);
		err = house_make_folder(path, 0711, k->detail);
		/* Local programs pass through it to their socket; the others in it are closed by themselves. */
		if (err == 0 && chmod(path, 0711) != 0)
			err = err_from_errno(errno);
	}
	if (err == 0)
		err = make_own_folder(k, "secrets", ROLE_VAULT);
	if (err == 0)
		err = make_own_folder(k, "books", ROLE_CLERK);
	return err == 0 ? make_own_folder(k, "accounts", ROLE_DESK) : err;
}

void
keeper_note_config(struct keeper *k)
{
	struct buf detail BUF_CLEANUP;
	char path[HOUSE_PATH_BYTES + 64];

	if ((k->config->flags & START_QUIET) != 0)
		return;
	buf_init(&detail, 8192);
	(void)snprintf(path, sizeof(path), "%s/run/posthouse.conf", k->data_dir);
	if (house_write_file(path, buf_slice(&k->text), &detail) != 0)
		LOG(&k->house, WARN, "config_not_noted", LOG_S("detail", slice_trim(buf_slice(&detail))));
}

/* ---- listening --------------------------------------------------------------------------------------- */

/* A socket in run/. Reached through the open folder: the path may be longer than an address of a socket can be. */
static int
open_local(struct keeper *k, const char *name, int mode, int *fd)
{
	char path[HOUSE_PATH_BYTES + 64];
	int dir, err;

	(void)snprintf(path, sizeof(path), "%s/run", k->data_dir);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		buf_printf(k->detail, "%s cannot be opened: %s\n", path, strerror(errno));
		return err_from_errno(errno);
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	err = net_listen_unix(path, mode, LISTEN_BACKLOG, fd);
	if (err != 0)
		buf_printf(k->detail, "the socket %s/run/%s cannot be opened: %s\n", k->data_dir, name, err_text(err));
	(void)close(dir);
	return err;
}

static int
open_listener(struct keeper *k, const struct listen_settings *l, int *fd)
{
	struct net_address a;
	int err;

	if (l->service == LISTEN_CONTROL)
		return open_local(k, "control", 0600, fd);
	if ((k->config->flags & START_QUIET) != 0)
		return 0;
	/* Everybody on this machine may connect: who it is decides what may be sent. */
	if (l->service == LISTEN_LOCAL)
		return open_local(k, "sendmail", 0666, fd);
	err = net_address_parse(l->address, l->port, &a);
	if (err != 0)
		return err;
	errno = 0;
	err = net_listen(&a, LISTEN_BACKLOG, fd);
	if (err == 0)
		return 0;
	/* A machine without IPv6 still serves IPv4. */
	if (slice_eq(l->address, SLICE("::")) && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		LOG(&k->house, WARN, "no_ipv6", LOG_S("listener", l->name));
		return 0;
	}
	buf_printf(k->detail, "[listen %.*s]: port %u of %.*s cannot be opened: %s\n", SLICE_ARG(l->name), l->port,
	    SLICE_ARG(l->address), strerror(errno));
	if (errno == EADDRINUSE)
		buf_put_z(k->detail, "Another program has it: `ss -tlnp` shows which.\n");
	else if (errno == EACCES)
		buf_put_z(k->detail, "Ports below 1024 need root or CAP_NET_BIND_SERVICE.\n");
	return err;
}

int
keeper_open_listeners(struct keeper *k)
{
	size_t n = k->settings->listeners_count;
	int err = 0;

	k->listeners = malloc(n * sizeof(*k->listeners));
	if (k->listeners == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		k->listeners[i] = -1;
	for (size_t i = 0; i < n && err == 0; i++)
		err = open_listener(k, &k->settings->listeners[i], &k->listeners[i]);
	return err;
}

void
keeper_close_files(struct keeper *k)
{
	char path[HOUSE_PATH_BYTES + 64];

	for (size_t i = 0; k->listeners != NULL && i < k->settings->listeners_count; i++)
		if (k->listeners[i] >= 0)
			(void)close(k->listeners[i]);
	free(k->listeners);
	k->listeners = NULL;
	if (k->lock_fd >= 0) {
		(void)snprintf(path, sizeof(path), "%s/run/control", k->data_dir);
		(void)unlink(path);
		(void)snprintf(path, sizeof(path), "%s/run/sendmail", k->data_dir);
		(void)unlink(path);
		(void)close(k->lock_fd);
		k->lock_fd = -1;
	}
}

/* ---- the name of the machine ------------------------------------------------------------------------- */

void
keeper_find_hostname(struct keeper *k)
{
	struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM}, *found = NULL;

	(void)snprintf(k->hostname, sizeof(k->hostname), "%.*s", SLICE_ARG(k->settings->hostname));
	if (k->settings->hostname_given || strchr(k->hostname, '.') != NULL || (k->config->flags & START_QUIET) != 0)
		return;
	if (getaddrinfo(k->hostname, NULL, &hints, &found) == 0 && found->ai_canonname != NULL &&
	    strchr(found->ai_canonname, '.') != NULL)
		(void)snprintf(k->hostname, sizeof(k->hostname), "%s", found->ai_canonname);
	else
		LOG(&k->house, WARN, "hostname_not_qualified", LOG_Z("hostname", k->hostname),
		    LOG_Z("do", "set hostname in [house]"));
	if (found != NULL)
		freeaddrinfo(found);
}
