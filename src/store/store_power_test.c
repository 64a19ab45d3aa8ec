/* Power cuts. This program has its own fsync() and fdatasync(), which every write of the store and of SQLite goes through:
 * they remember what each file and folder held when it was last synced. At the chosen sync point the power goes: what
 * had been synced by then is laid out in a new folder ("drop"), or a random mixture of old and new blocks and names
 * ("tear"). The store is opened there, and what a client or the clerk had been told before the cut is held against
 * what is there now. The scripted day is repeated for each sync point until it ends without reaching one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

/* ---- the disk ------------------------------------------------------------------------------------------------- */

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

/* The two functions below have no other way to find it. */
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

/* ---- what the world has been told ----------------------------------------------------------------------------------- */

enum fact_kind {
	FACT_DURABLE,  /* delivery `number` was reported durable */
	FACT_SHOWN,    /* in `mailbox` (of that uidvalidity) `uid` was message `number` */
	FACT_MODSEQ,   /* a modseq was shown */
	FACT_APPENDED, /* APPEND was answered OK */
	FACT_MOVED,
	FACT_COPIED,
	FACT_EXPUNGED, /* so was … of message `number` */
	FACT_EXPUNGING,
	FACT_MOVING /* begun: may or may not have happened */
};

struct fact {
	enum fact_kind kind;
	int account;
	uint64_t number;
	char mailbox[16];
	uint32_t uidvalidity, uid;
	uint64_t modseq;
};

#define FACTS_MAX 20000
#define ACCOUNTS 2
#define MESSAGES 24

struct day {
	struct place p;
	struct disk disk;
	struct fact facts[FACTS_MAX];
	_Atomic size_t n;
	struct store_account *a[ACCOUNTS];
};

static const char *const ids[ACCOUNTS] = {"01A", "01B"};

static void
tell(struct day *d, struct fact f)
{
	assert_true(d->n < FACTS_MAX);
	d->facts[d->n] = f;
	d->n++;
}

static void
on_durable(void *arg, struct slice account_id, struct slice_list list)
{
	struct day *d = CONTAINER_OF(arg, struct day, p);

	for (size_t i = 0; i < list.n; i++) {
		uint64_t number;

		memcpy(&number, list.v[i].p, sizeof(number));
		tell(d,
		    (struct fact){
			.kind = FACT_DURABLE, .account = slice_eq(account_id, slice_z(ids[1])), .number = number});
	}
}

/* Large messages begin with the same header and go on for long. */
static struct slice
text_of(uint64_t number, bool large, uint8_t **owned)
{
	size_t n = large ? 200000 : 120;
	int used;

	*owned = malloc(n);
	assert_non_null(*owned);
	used = snprintf((char *)*owned, n, "Subject: %llu\r\nMessage-ID: <%llu@x>\r\n\r\n", (unsigned long long)number,
	    (unsigned long long)number);
	for (size_t i = (size_t)used; i < n; i++)
		(*owned)[i] = (uint8_t)(number + i);
	return slice_of(*owned, n);
}

static int
deliver_number(struct store_account *a, uint64_t number, enum store_delivered *how)
{
	uint8_t *owned;
	struct slice body = text_of(number, number % 8 == 5, &owned);
	struct store_delivery s = {.body = body, .file = -1, .size = body.n, .received_s = 1};
	int err;

	memcpy(s.delivery_id, &number, sizeof(number));
	err = store_deliver(a, &s, how);
	free(owned);
	return err;
}

/* The number that a message carries, after comparing all of it. */
static uint64_t
number_of(struct store_account *a, uint64_t email)
{
	struct store_body *b;
	struct slice raw, expected;
	uint8_t *owned;
	unsigned long long number = 0;

	assert_int_equal(store_body_open(a, email, &b), 0);
	assert_int_equal(store_body_raw(b, &raw), 0);
	for (size_t i = 9; i < raw.n && ascii_is_digit(slice_at(raw, i)); i++)
		number = number * 10 + slice_at(raw, i) - '0';
	expected = text_of(number, raw.n > 1000, &owned);
	assert_true(slice_eq(raw, expected));
	free(owned);
	store_body_close(&b);
	return number;
}

static void
show(struct day *d, int account, struct store_view *v, const char *mailbox)
{
	struct fact f = {.kind = FACT_SHOWN, .account = account, .uidvalidity = store_view_uidvalidity(v)};

	(void)snprintf(f.mailbox, sizeof(f.mailbox), "%s", mailbox);
	while (store_view_next(v, true).kind != STORE_EVENT_NONE)
		;
	for (size_t i = 1; i <= store_view_count(v); i++) {
		struct store_entry e = store_view_at(v, i);

		f.uid = e.uid;
		f.number = number_of(d->a[account], e.email);
		f.modseq = e.modseq;
		tell(d, f);
	}
	f.kind = FACT_MODSEQ;
	f.modseq = store_view_highestmodseq(v);
	tell(d, f);
}

/* A search for every message by the id that it alone has finds each and no other, whatever has become of the index. */
static void
search(struct day *d, int account, struct store_view *v)
{
	struct store_text_key *keys = calloc(store_view_count(v) + 1, sizeof(*keys));
	struct arena ARENA_CLEANUP mem;
	struct store_found *f = NULL;
	size_t n = store_view_count(v);

	arena_init(&mem, 1u << 20);
	assert_non_null(keys);
	for (size_t i = 0; i < n; i++)
		keys[i] = (struct store_text_key){.scope = STORE_SCOPE_FIELD,
		    .field = SLICE("message-id"),
		    .text = arena_printf(
			&mem, "<%llu@X>", (unsigned long long)number_of(d->a[account], store_view_at(v, i + 1).email))};
	assert_int_equal(store_find_text(v, NULL, 0, keys, n, &f), 0);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			assert_int_equal(
			    store_found_has(f, k, store_view_at(v, i + 1).uid), slice_eq(keys[i].text, keys[k].text));
	store_found_free(&f);
	free(keys);
}

static uint32_t
uid_of(struct day *d, int account, struct store_view *v, uint64_t number)
{
	for (size_t i = 1; i <= store_view_count(v); i++)
		if (number_of(d->a[account], store_view_at(v, i).email) == number)
			return store_view_at(v, i).uid;
	return 0;
}

/* ---- the day ------------------------------------------------------------------------------------------------------------ */

static void
append_number(struct day *d, int account, uint64_t number)
{
	struct store_upload *u;
	struct store_copied c;
	struct store_append one = {.internal_s = 5};
	struct arena ARENA_CLEANUP mem;
	uint8_t *owned;
	struct slice body = text_of(number, number % 2 == 0, &owned);

	arena_init(&mem, 1u << 20);
	assert_int_equal(store_upload_new(d->a[account], 1u << 30, &u), 0);
	assert_int_equal(store_upload_write(u, body), 0);
	one.upload = u;
	assert_int_equal(store_append(d->a[account], NULL, SLICE("Sent"), &one, 1, &mem, &c), 0);
	tell(d,
	    (struct fact){.kind = FACT_APPENDED,
		.account = account,
		.number = number,
		.uidvalidity = c.uidvalidity,
		.uid = c.target[0]});
	store_upload_free(&u);
	free(owned);
}

/* What a user does with a message of the Inbox: number % 4 says. */
static void
work_on(struct day *d, int account, struct store_view *v, uint64_t number)
{
	struct arena ARENA_CLEANUP mem;
	struct store_copied c;
	struct store_flag_change seen = {.op = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX};
	uint32_t uid = uid_of(d, account, v, number);
	struct fact f = {.account = account, .number = number};

	arena_init(&mem, 1u << 20);
	if (uid == 0)
		return;
	switch (number % 4) {
	case 0:
		f.kind = FACT_EXPUNGING;
		tell(d, f);
		assert_int_equal(store_expunge(v, &uid, 1, false), 0);
		f.kind = FACT_EXPUNGED;
		break;
	case 1:
		assert_int_equal(store_copy(v, &uid, 1, SLICE("Archive"), false, &mem, &c), 0);
		f.kind = FACT_COPIED;
		break;
	case 2:
		f.kind = FACT_MOVING;
		tell(d, f);
		assert_int_equal(store_copy(v, &uid, 1, SLICE("Archive"), true, &mem, &c), 0);
		f.kind = FACT_MOVED;
		break;
	default:
		assert_int_equal(store_flags(v, &uid, 1, &seen, NULL), 0);
		f.kind = FACT_MODSEQ;
		(void)snprintf(f.mailbox, sizeof(f.mailbox), "INBOX");
		f.modseq = store_view_highestmodseq(v);
	}
	tell(d, f);
}

static void
spend_day(struct place *p)
{
	struct day *d = CONTAINER_OF(p, struct day, p);
	uint64_t next[ACCOUNTS] = {1, 1}, worked[ACCOUNTS] = {1, 1}, appended = 1001;

	for (int i = 0; i < ACCOUNTS; i++)
		d->a[i] = make_account(p, ids[i]);
	for (int round = 0; round < 6 && !d->disk.cut; round++) {
		for (int i = 0; i < ACCOUNTS; i++) {
			struct store_view *v = open_view(d->a[i], "INBOX"), *archive;
			enum store_delivered how;

			for (int j = 0; j < MESSAGES / 6; j++)
				assert_int_equal(deliver_number(d->a[i], next[i]++, &how), 0);
			show(d, i, v, "INBOX");
			while (worked[i] + 2 < next[i])
				work_on(d, i, v, worked[i]++);
			append_number(d, i, appended++);
			archive = open_view(d->a[i], "Archive");
			show(d, i, archive, "Archive");
			show(d, i, v, "INBOX");
			if ((round == 1 || round == 4) && !d->disk.cut)
				search(d, i, v);
			store_view_close(&v);
			store_view_close(&archive);
		}
		if (round == 2) { /* a night between: a clean end */
			for (int i = 0; i < ACCOUNTS; i++)
				store_account_put(&d->a[i]);
			assert_int_equal(store_close(&p->store), 0);
			place_open(p);
			p->store->hooks.durable = on_durable;
			for (int i = 0; i < ACCOUNTS; i++)
				d->a[i] = get_account(p, ids[i]);
		} else if (round % 2 == 0) {
			assert_int_equal(store_sync(p->store), 0);
		}
	}
	for (int i = 0; i < ACCOUNTS; i++)
		store_account_put(&d->a[i]);
}

static void
body_day(struct place *p)
{
	p->store->hooks.durable = on_durable;
	spend_day(p);
}

/* ---- the morning after ---------------------------------------------------------------------------------------------------- */

struct found {
	uint32_t uidvalidity, uidnext;
	uint64_t highestmodseq;
	size_t n;
	uint32_t uid[256];
	uint64_t number[256];
};

static void
look(struct day *d, int account, const char *mailbox, struct found *f)
{
	struct store_view *v = open_view(d->a[account], mailbox);

	*f = (struct found){.uidvalidity = store_view_uidvalidity(v),
	    .uidnext = store_view_uidnext(v),
	    .highestmodseq = store_view_highestmodseq(v),
	    .n = store_view_count(v)};
	assert_true(f->n <= 256);
	for (size_t i = 0; i < f->n; i++) {
		f->uid[i] = store_view_at(v, i + 1).uid;
		f->number[i] = number_of(d->a[account], store_view_at(v, i + 1).email);
	}
	if (strcmp(mailbox, "INBOX") == 0)
		search(d, account, v);
	store_view_close(&v);
}

static size_t
times(const struct found *f, uint64_t number)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->number[i] == number;
	return n;
}

static bool
told(const struct day *d, enum fact_kind kind, int account, uint64_t number)
{
	for (size_t i = 0; i < d->disk.facts_at_cut; i++)
		if (d->facts[i].kind == kind && d->facts[i].account == account && d->facts[i].number == number)
			return true;
	return false;
}

/* A UID that was shown means the same message, or none, and is not given again; modseqs go on above what was shown. */
static void
check_shown(const struct day *d, int account, const char *mailbox, const struct found *f)
{
	for (size_t i = 0; i < d->disk.facts_at_cut; i++) {
		const struct fact *fact = &d->facts[i];

		if (fact->account != account || strcmp(fact->mailbox, mailbox) != 0)
			continue;
		if (fact->kind == FACT_MODSEQ)
			assert_true(fact->modseq <= f->highestmodseq);
		if (fact->kind != FACT_SHOWN || fact->uidvalidity != f->uidvalidity)
			continue;
		assert_true(fact->uid < f->uidnext);
		for (size_t j = 0; j < f->n; j++)
			if (f->uid[j] == fact->uid)
				assert_int_equal(f->number[j], fact->number);
	}
}

static void
check_messages(
    struct day *d, int account, const struct found *inbox, const struct found *archive, const struct found *sent)
{
	for (uint64_t number = 1; number <= MESSAGES; number++) {
		size_t in = times(inbox, number), away = times(archive, number);
		bool begun = told(d, FACT_EXPUNGING, account, number), gone = told(d, FACT_EXPUNGED, account, number);
		bool moving = told(d, FACT_MOVING, account, number), copied = told(d, FACT_COPIED, account, number);

		if (gone)
			assert_int_equal(in + away, 0);
		else if (begun)
			assert_in_range(in + away, 0, 1);
		if (told(d, FACT_MOVED, account, number)) {
			assert_int_equal(in, 0);
			assert_int_equal(away, 1);
		} else if (moving) {
			assert_in_range(in + away, 0, 1);
		}
		if (copied) {
			assert_int_equal(in, 1);
			assert_int_equal(away, 1);
		}
		assert_true(in <= 1 && away <= 1);
		if (told(d, FACT_DURABLE, account, number) && !begun && !moving)
			assert_int_equal(number % 4 == 1 ? in : in + away, 1);
	}
	for (uint64_t number = 1001; number < 1001 + 100; number++)
		if (told(d, FACT_APPENDED, account, number))
			assert_int_equal(times(sent, number), 1);
}

static void
body_morning(struct place *p)
{
	struct day *d = CONTAINER_OF(p, struct day, p);
	static struct found inbox, archive, sent, after;
	enum store_delivered how;

	for (int i = 0; i < ACCOUNTS; i++) {
		/* The clerk makes the account if it was never told that it is there. */
		if (store_account_get(p->store, slice_z(ids[i]), &d->a[i]) != 0) {
			for (size_t j = 0; j < d->disk.facts_at_cut; j++)
				assert_true(d->facts[j].account != i);
		}
		if (d->a[i] == NULL)
			d->a[i] = make_account(p, ids[i]);
		else
			assert_int_equal(store_account_create(p->store, slice_z(ids[i])), 0);
		look(d, i, "INBOX", &inbox);
		look(d, i, "Archive", &archive);
		look(d, i, "Sent", &sent);
		check_shown(d, i, "INBOX", &inbox);
		check_shown(d, i, "Archive", &archive);
		check_messages(d, i, &inbox, &archive, &sent);
		/* The clerk delivers everything again: what was durable is a duplicate, and everything is there once. */
		for (uint64_t number = 1; number <= MESSAGES; number++) {
			assert_int_equal(deliver_number(d->a[i], number, &how), 0);
			if (told(d, FACT_DURABLE, i, number) || told(d, FACT_EXPUNGED, i, number) ||
			    told(d, FACT_MOVED, i, number))
				assert_int_equal(how, STORE_DUPLICATE);
		}
		look(d, i, "INBOX", &after);
		check_shown(d, i, "INBOX", &after);
		for (uint64_t number = 1; number <= MESSAGES; number++)
			if (!told(d, FACT_EXPUNGING, i, number))
				assert_true(times(&after, number) + times(&archive, number) >= 1);
		store_account_put(&d->a[i]);
	}
}

/* One day with the power going at that sync point. False when the day has fewer. */
static bool
live_day(size_t cut_at, bool tear)
{
	struct day *d = calloc(1, sizeof(*d));
	bool cut;

	assert_non_null(d);
	place_init(&d->p);
	d->p.house.random_seed = cut_at * 2 + tear + 1;
	d->p.house.limits.store_sync_ms = 3;
	d->p.house.limits.search_segment = 4;
	pthread_mutex_init(&d->disk.lock, NULL);
	(void)snprintf(d->disk.root, sizeof(d->disk.root), "%s", d->p.dir);
	(void)snprintf(d->disk.image, sizeof(d->disk.image), "%.50s.image", d->p.dir);
	d->disk.facts = &d->n;
	d->disk.cut_at = cut_at;
	d->disk.tear = tear;
	d->disk.seed = cut_at + 12345;
	disk = &d->disk;
	disk->on = true;
	place_run(&d->p, body_day);
	disk->on = false;
	cut = disk->cut;
	for (size_t i = 0; i < disk->files_n; i++) {
		close(disk->files[i].fd);
		free(disk->files[i].bytes);
	}
	disk = NULL;
	if (cut) {
		(void)nftw(d->p.dir, place_remove_one, 8, FTW_DEPTH | FTW_PHYS);
		(void)snprintf(d->p.dir, sizeof(d->p.dir), "%s", d->disk.image);
		buf_reset(&d->p.durable);
		place_run(&d->p, body_morning);
	}
	place_free(&d->p);
	pthread_mutex_destroy(&d->disk.lock);
	free(d);
	return cut;
}

static void
test_drop(void **state)
{
	size_t points = 0;

	(void)state;
	while (live_day(points, false))
		points++;
	assert_true(points > 30);
}

static void
test_tear(void **state)
{
	size_t points = 0;

	(void)state;
	while (live_day(points, true))
		points++;
	assert_true(points > 30);
}

/* A failed sync is final: nothing is reported, the role is told, everything is refused, and the next start is unclean. */
static void
body_broken(struct place *p)
{
	struct store_account *a = make_account(p, ids[0]);
	struct store_upload *u;
	struct store_append one = {.internal_s = 5};
	struct store_copied c;
	struct arena ARENA_CLEANUP mem;
	enum store_delivered how;

	arena_init(&mem, 65536);
	assert_int_equal(store_sync(p->store), 0);
	assert_int_equal(deliver_number(a, 1, &how), 0);
	disk->broken = true;
	assert_int_equal(store_upload_new(a, 100, &u), 0);
	assert_int_equal(store_upload_write(u, SLICE("x: y\r\n\r\n")), 0);
	one.upload = u;
	assert_int_equal(store_append(a, NULL, SLICE("Sent"), &one, 1, &mem, &c), ERR_IO);
	store_upload_free(&u);
	disk->broken = false; /* it does not matter any more */
	assert_true(p->failed);
	assert_true(store_has_failed(p->store));
	assert_int_equal(deliver_number(a, 2, &how), ERR_IO);
	assert_int_equal(store_sync(p->store), ERR_IO);
	assert_int_equal(p->durable.n, 0);
	store_account_put(&a);
	place_crash(p);
	a = get_account(p, ids[0]);
	assert_int_equal(deliver_number(a, 1, &how), 0);
	assert_int_equal(store_sync(p->store), 0);
	assert_int_equal(p->durable.n, STORE_ID_BYTES);
	store_account_put(&a);
}

static void
test_broken(void **state)
{
	struct day *d = calloc(1, sizeof(*d));

	(void)state;
	assert_non_null(d);
	place_init(&d->p);
	pthread_mutex_init(&d->disk.lock, NULL);
	d->disk.facts = &d->n;
	d->disk.cut_at = SIZE_MAX;
	disk = &d->disk;
	disk->on = true;
	place_run(&d->p, body_broken);
	disk->on = false;
	for (size_t i = 0; i < disk->files_n; i++) {
		close(disk->files[i].fd);
		free(disk->files[i].bytes);
	}
	disk = NULL;
	place_free(&d->p);
	pthread_mutex_destroy(&d->disk.lock);
	free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_broken),
	    cmocka_unit_test(test_drop),
	    cmocka_unit_test(test_tear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
