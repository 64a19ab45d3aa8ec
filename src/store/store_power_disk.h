/* store_power_disk.h: what the tests of power cuts share: a disk that remembers. A program that includes this has its own fsync() and
 * fdatasync(), which every write of the store and of SQLite goes through: they remember what each file and folder held when it was last
 * synced. At the chosen sync point the power goes: what had been synced by then is laid out in a new folder ("drop"), or a random mixture
 * of old and new blocks and names ("tear"). Only tests include it. */
#ifndef STORE_STORE_POWER_DISK_H
#define STORE_STORE_POWER_DISK_H

#include "store/store_testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#define FILES_MAX 512
#define NAMES_MAX 64
#define BLOCK 512u

struct disk_name {
	char name[64];
	ino_t ino;
};

struct disk_file {
	ino_t ino;
	int fd; /* keeps the inode from being used again */
	bool dir;
	uint8_t *bytes; /* as last synced */
	size_t n;
	struct disk_name names[NAMES_MAX];
	size_t names_n;
};

struct disk {
	pthread_mutex_t lock;
	bool on, cut, tear, broken; /* broken: every sync fails */
	char root[64], image[64];
	size_t points, cut_at; /* sync points so far, and where the power goes */
	uint64_t seed;
	struct disk_file files[FILES_MAX];
	size_t files_n;
	const _Atomic size_t *facts; /* how much the world has been told … */
	size_t facts_at_cut;         /* … when the power went */
};

/* file scope: fsync() and fdatasync() below have no other way to find it. */
static struct disk *disk;

static uint64_t
disk_random(void)
{
	disk->seed = disk->seed * 6364136223846793005u + 1442695040888963407u;
	return disk->seed >> 33;
}

static struct disk_file *
disk_find(ino_t ino)
{
	for (size_t i = 0; i < disk->files_n; i++)
		if (disk->files[i].ino == ino)
			return &disk->files[i];
	return NULL;
}

static void
read_bytes(const char *path, uint8_t **out, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*out = NULL;
	*n = 0;
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && (*out = malloc((size_t)st.st_size + 1)) != NULL) {
		ssize_t got = pread(fd, *out, (size_t)st.st_size, 0);

		*n = got < 0 ? 0 : (size_t)got;
	}
	close(fd);
}

static size_t
read_names(const char *path, struct disk_name *out)
{
	DIR *d = opendir(path);
	struct dirent *e;
	size_t n = 0;

	while (d != NULL && (e = readdir(d)) != NULL && n < NAMES_MAX)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			(void)snprintf(out[n].name, sizeof(out[n].name), "%.63s", e->d_name);
			out[n++].ino = e->d_ino;
		}
	if (d != NULL)
		closedir(d);
	return n;
}

/* Remembers the file as it is now. Reads SQLite's files through a descriptor of their own inode only by pread() on a
 * duplicate: closing another descriptor of the file would drop SQLite's locks. */
static void
remember(int fd, const struct stat *st)
{
	struct disk_file *f = disk_find(st->st_ino);
	char path[64];

	if (f == NULL) {
		if (disk->files_n == FILES_MAX)
			abort();
		f = &disk->files[disk->files_n++];
		*f = (struct disk_file){.ino = st->st_ino, .fd = dup(fd), .dir = S_ISDIR(st->st_mode)};
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (f->dir) {
		f->names_n = read_names(path, f->names);
		return;
	}
	free(f->bytes);
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
		read_bytes(path, &f->bytes, &f->n);
		return;
	}
	f->bytes = malloc((size_t)st->st_size + 1);
	f->n = f->bytes == NULL ? 0 : (size_t)pread(fd, f->bytes, (size_t)st->st_size, 0);
}

/* Writes a file of the image: as synced, or with some blocks as they are now. */
static void
lay_file(const char *now_path, const struct disk_file *f, const char *to)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t *now = NULL;
	size_t n = f == NULL ? 0 : f->n, now_n = 0;
	const uint8_t *old = f == NULL ? NULL : f->bytes;

	if (fd < 0)
		abort();
	if (n > 0 && write(fd, old, n) != (ssize_t)n)
		abort();
	if (disk->tear) {
		read_bytes(now_path, &now, &now_n);
		for (size_t at = 0; at < now_n; at += BLOCK)
			if (disk_random() % 2 == 0 &&
			    pwrite(fd, now + at, now_n - at < BLOCK ? now_n - at : BLOCK, (off_t)at) < 0)
				abort();
	}
	free(now);
	close(fd);
}

/* `path` is the folder in the world that goes on, `to` in the image. */
static void
lay_dir(const char *path, const char *to)
{
	struct disk_name now[NAMES_MAX], *names = now;
	struct stat st;
	struct disk_file *f;
	size_t n;

	if (mkdir(to, 0700) != 0 && errno != EEXIST)
		abort();
	n = read_names(path, now);
	if (stat(path, &st) == 0 && (f = disk_find(st.st_ino)) != NULL && !(disk->tear && disk_random() % 2 == 0)) {
		names = f->names;
		n = f->names_n;
	} else if (!disk->tear && strcmp(path, disk->root) != 0) {
		n = 0; /* never synced: nothing in it is there */
	}
	for (size_t i = 0; i < n; i++) {
		char from[1024], target[1024];

		(void)snprintf(from, sizeof(from), "%.900s/%.63s", path, names[i].name);
		(void)snprintf(target, sizeof(target), "%.900s/%.63s", to, names[i].name);
		if (stat(from, &st) == 0 && S_ISDIR(st.st_mode))
			lay_dir(from, target);
		else
			lay_file(from, disk_find(names[i].ino), target);
	}
}

static int
sync_point(int fd)
{
	struct stat st;

	if (disk == NULL || !disk->on)
		return 0;
	if (disk->broken) {
		errno = EIO;
		return -1;
	}
	pthread_mutex_lock(&disk->lock);
	if (fstat(fd, &st) == 0 && !disk->cut) {
		if (disk->points++ == disk->cut_at) {
			disk->cut = true;
			disk->facts_at_cut = *disk->facts;
			lay_dir(disk->root, disk->image);
		} else {
			remember(fd, &st);
		}
	}
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

int
fsync(int fd)
{
	return sync_point(fd);
}

int
fdatasync(int fd)
{
	return sync_point(fd);
}

/* From here on the place is on such a disk, whose power goes at that sync point; `facts` counts what the world is told. */
HELPER void
power_on(struct disk *w, const struct place *p, const _Atomic size_t *facts, size_t cut_at, bool tear)
{
	pthread_mutex_init(&w->lock, NULL);
	(void)snprintf(w->root, sizeof(w->root), "%s", p->dir);
	(void)snprintf(w->image, sizeof(w->image), "%.50s.image", p->dir);
	w->facts = facts;
	w->cut_at = cut_at;
	w->tear = tear;
	w->seed = cut_at + 12345;
	w->on = true;
	disk = w;
}

/* The end of that. True if the power went: then the place is what was left. */
HELPER bool
power_off(struct disk *w, struct place *p)
{
	w->on = false;
	disk = NULL;
	for (size_t i = 0; i < w->files_n; i++) {
		close(w->files[i].fd);
		free(w->files[i].bytes);
	}
	pthread_mutex_destroy(&w->lock);
	if (!w->cut)
		return false;
	(void)nftw(p->dir, place_remove_one, 8, FTW_DEPTH | FTW_PHYS);
	(void)snprintf(p->dir, sizeof(p->dir), "%s", w->image);
	buf_reset(&p->durable);
	return true;
}

#endif
