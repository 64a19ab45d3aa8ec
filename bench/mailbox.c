/* mailbox.c: one large mailbox, made through the store itself: what selecting, reading and searching it costs.
 *
 *   build/bench/mailbox_bench [-n MESSAGES] [-d FOLDER-OF-MESSAGES] [-k DIR]
 *
 * -d: files with a message each, taken in turn; without it short ones are made up. Each gets a field of its own. -k: make the
 * accounts folder there and keep it; if it is there already with a mailbox in it, that is used as it is. Prints a line a measure: name, wall ms, CPU ms. */
#include "message/fold.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define BATCH 500
#define FILES_MAX 20000
#define FETCHED 50

struct bench {
	struct house house;
	struct loop *loop;
	struct store *store;
	struct store_account *account;
	const char *dir;
	size_t messages;
	struct slice *files;
	size_t files_n;
	int64_t wall_us, cpu_us;
};

static int64_t
cpu_us(void)
{
	struct rusage r;

	(void)getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static void
begin(struct bench *b)
{
	b->cpu_us = cpu_us();
	b->wall_us = house_mono_us(&b->house);
}

static void
end(struct bench *b, const char *what, double times)
{
	double wall = (double)(house_mono_us(&b->house) - b->wall_us) / 1000,
	       cpu = (double)(cpu_us() - b->cpu_us) / 1000;

	(void)printf("%-34s %12.3f ms %12.3f ms CPU\n", what, wall / times, cpu / times);
	(void)fflush(stdout);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static void
load_files(struct bench *b, const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	b->files = calloc(FILES_MAX, sizeof(*b->files));
	ASSERT(d != NULL && b->files != NULL);
	while ((e = readdir(d)) != NULL && b->files_n < FILES_MAX) {
		char path[4096];
		struct stat st;
		uint8_t *p;
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
			continue;
		p = malloc((size_t)st.st_size + 1);
		ASSERT(p != NULL && read(fd, p, (size_t)st.st_size) == st.st_size);
		(void)close(fd);
		b->files[b->files_n++] = slice_of(p, (size_t)st.st_size);
	}
	(void)closedir(d);
	ASSERT(b->files_n > 0);
}

static void
put_message(struct bench *b, size_t i, struct buf *out)
{
	buf_reset(out);
	buf_printf(out, "X-Number: number%zux\r\n", i);
	if (b->files_n > 0) {
		buf_put(out, b->files[i % b->files_n]);
		return;
	}
	buf_printf(out,
	    "From: Sender %zu <sender%zu@example.test>\r\nTo: alice@example.test\r\nSubject: Message number %zu about "
	    "%s\r\n"
	    "Message-ID: <%zu.%zu@example.test>\r\nDate: Sun, 22 Nov 2026 02:42:26 +0000\r\n\r\n"
	    "This is text number %zu, which says something of %s and then ends.\r\n",
	    i % 500, i % 500, i, i % 7 == 0 ? "lighthouses" : "gardens", i, i * 7919 % 104729, i,
	    i % 1000 == 0 ? "petunias" : "nothing much");
}

static void
append(struct bench *b)
{
	struct store_append *v = calloc(BATCH, sizeof(*v));
	struct buf BUF_CLEANUP m;

	buf_init(&m, 64u << 20);
	ASSERT(v != NULL);
	for (size_t at = 0; at < b->messages; at += BATCH) {
		size_t n = b->messages - at < BATCH ? b->messages - at : BATCH;
		struct arena ARENA_CLEANUP a;
		struct store_copied c;

		arena_init(&a, 1u << 20);
		for (size_t i = 0; i < n; i++) {
			put_message(b, at + i, &m);
			v[i] = (struct store_append){.internal_s = INT64_MIN};
			ASSERT(store_upload_new(b->account, SIZE_MAX, &v[i].upload) == 0);
			ASSERT(store_upload_write(v[i].upload, buf_slice(&m)) == 0);
		}
		ASSERT(store_append(b->account, NULL, SLICE("INBOX"), v, n, &a, &c) == 0 && c.n == n);
		for (size_t i = 0; i < n; i++)
			store_upload_free(&v[i].upload);
	}
	free(v);
}

/* ---- measures ----------------------------------------------------------------------------------------------------- */

static void
wait_for_index(struct bench *b)
{
	struct store_counters c;

	begin(b);
	do {
		ASSERT(fiber_sleep(b->loop, 100) == 0);
		store_counters(b->store, &c);
	} while (c.indexes_behind > 0);
	if (c.indexed > 0)
		end(b, "index, each", (double)c.indexed);
}

static void
search(struct bench *b, struct store_view *v, enum store_text_scope scope, const char *field, const char *text)
{
	struct store_text_key k = {.scope = scope, .field = slice_z(field)};
	struct store_found *f = NULL;
	struct buf BUF_CLEANUP folded;
	char what[128];
	size_t hits = 0;

	buf_init(&folded, 4096);
	text_fold(slice_z(text), &folded);
	k.text = buf_slice(&folded);
	begin(b);
	ASSERT(store_find_text(v, NULL, 0, &k, 1, &f) == 0);
	for (uint32_t uid = 0; (uid = store_found_next(f, 0, uid + 1)) != 0;)
		hits++;
	(void)snprintf(what, sizeof(what), "search %s \"%s\": %zu",
	    scope == STORE_SCOPE_FIELD      ? field
		: scope == STORE_SCOPE_BODY ? "BODY"
					    : "TEXT",
	    text, hits);
	end(b, what, 1);
	store_found_free(&f);
}

static void
fetch_newest(struct bench *b, struct store_view *v)
{
	struct store_fetched f[FETCHED];
	size_t count = store_view_count(v), n = count < FETCHED ? count : FETCHED, at = 0;
	struct arena ARENA_CLEANUP a;

	arena_init(&a, 64u << 20);
	begin(b);
	for (size_t i = 0; i < n; i++)
		f[i] = (struct store_fetched){.uid = store_view_at(v, count - n + 1 + i).uid};
	while (at < n) {
		size_t done;

		ASSERT(store_fetch(v, f + at, n - at, STORE_WANT_HEADER | STORE_WANT_CACHE, &a, &done) == 0);
		at += done;
	}
	end(b, "fetch headers of the newest 50", 1);
}

static void
measure(struct bench *b)
{
	static const char *const words[] = {
	    "posthouse-nothing", "petunias", "lighthouses", "linux", "number12345x", "the", "or"};
	struct store_view *v = NULL, *other = NULL;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;

	begin(b);
	ASSERT(store_view_open(b->account, SLICE("INBOX"), false, &v) == 0);
	end(b, "select, first", 1);
	(void)printf("%-34s %12zu, %.1f bytes of memory each\n", "messages", store_view_count(v),
	    (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) / (double)(store_view_count(v) + 1));
	begin(b);
	for (int i = 0; i < 10; i++) {
		ASSERT(store_view_open(b->account, SLICE("INBOX"), false, &other) == 0);
		(void)store_view_first_unseen(other);
		store_view_close(&other);
	}
	end(b, "select, beside another session", 10);
	store_view_close(&v);
	begin(b);
	ASSERT(store_view_open(b->account, SLICE("INBOX"), false, &v) == 0);
	end(b, "select again after the last", 1);
	fetch_newest(b, v);
	search(b, v, STORE_SCOPE_TEXT, "", "open the index");
	ASSERT(fiber_sleep(b->loop, b->house.limits.search_delay_ms) == 0);
	wait_for_index(b);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < COUNT_OF(words); i++)
			search(b, v, STORE_SCOPE_TEXT, "", words[i]);
	search(b, v, STORE_SCOPE_BODY, "", "petunias");
	search(b, v, STORE_SCOPE_FIELD, "Subject", "number 777 ");
	search(b, v, STORE_SCOPE_FIELD, "X-Number", "number77x");
	store_view_close(&v);
}

static void
body(void *arg)
{
	struct bench *b = arg;
	struct store_config c = {.loop = b->loop, .dir = b->dir, .threads = 3};
	struct buf BUF_CLEANUP detail;
	struct store_usage u;

	buf_init(&detail, 4096);
	ASSERT(store_open(&b->store, &c, &detail) == 0 && store_start(b->store) == 0);
	ASSERT(store_account_create(b->store, SLICE("bench")) == 0);
	ASSERT(store_account_get(b->store, SLICE("bench"), &b->account) == 0);
	ASSERT(store_account_usage(b->account, &u) == 0);
	if (u.messages == 0) {
		begin(b);
		append(b);
		end(b, "append, each", (double)b->messages);
	}
	measure(b);
	store_account_put(&b->account);
	ASSERT(store_close(&b->store) == 0);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int
main(int argc, char **argv)
{
	struct bench b = {.messages = 100000};
	char made[] = "/tmp/posthouse-mailbox-XXXXXX";
	uint64_t n = 0;
	int option;

	house_init(&b.house, "bench");
	b.house.log_level = LOG_WARN;
	b.house.limits.search_delay_ms = 500;
	while ((option = getopt(argc, argv, "n:d:k:")) != -1)
		switch (option) {
		case 'n':
			ASSERT(slice_to_u64(slice_z(optarg), 100000000, &n) == 0);
			b.messages = (size_t)n;
			break;
		case 'd': load_files(&b, optarg); break;
		case 'k': b.dir = optarg; break;
		default: return 64;
		}
	if (b.dir == NULL)
		b.dir = mkdtemp(made);
	else
		(void)mkdir(b.dir, 0700);
	ASSERT(b.dir != NULL && loop_new(&b.loop, &b.house) == 0 && fiber_start(b.loop, "bench", body, &b, NULL) == 0);
	loop_run(b.loop);
	loop_free(&b.loop);
	if (b.dir == made)
		(void)nftw(b.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
