/* The folder of backups: what was put comes back; killed at each change of the folder in turn, what was complete stays so;
 * wrong keys, foreign folders, damaged files; what is kept when old backups go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "backup/backup_file.h"
#include "backup/backup_keep.h"
#include "base/house.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct place {
	struct house house;
	char dir[64];
	struct backup_config config;
	int steps_left; /* -1: any number */
};

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* As a power switch would. */
static int
count_down(void *arg)
{
	struct place *p = arg;

	if (p->steps_left == 0)
		_exit(9);
	if (p->steps_left > 0)
		p->steps_left--;
	return 0;
}

static int
set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	house_init(&p->house, "test");
	p->house.log_level = LOG_ERROR + 1;
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/ph-backup-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	p->steps_left = -1;
	p->config = (struct backup_config){
	    .house = &p->house, .dir = p->dir, .write = true, .step = count_down, .step_arg = p};
	memset(p->config.key, 7, sizeof(p->config.key));
	*state = p;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *p = *state;

	(void)nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static int
try_open(struct place *p, struct backup_repo **r)
{
	struct buf BUF_CLEANUP detail;
	int err;

	buf_init(&detail, 8192);
	err = backup_open(r, &p->config, &detail);
	assert_true(err == 0 || detail.n > 0);
	return err;
}

static struct backup_repo *
open_ok(struct place *p)
{
	struct backup_repo *r;

	assert_int_equal(try_open(p, &r), 0);
	return r;
}

/* A backup with `n` pieces, whose snapshot is the text of its ids. */
static int
make(struct backup_repo *r, int from, int n)
{
	struct buf BUF_CLEANUP list;
	uint8_t id[BACKUP_ID_BYTES], piece[3000];
	char name[BACKUP_NAME_MAX];
	int err = 0;

	buf_init(&list, 1u << 20);
	for (int i = from; i < from + n && err == 0; i++) {
		memset(piece, i, sizeof(piece));
		err = backup_put(r, slice_of(piece, 1000u + (unsigned)i), id);
		buf_put(&list, slice_of(id, sizeof(id)));
	}
	return err != 0 ? err : backup_save(r, buf_slice(&list), name);
}

/* Every backup can be read; how many there are. */
static size_t
check(struct place *p)
{
	struct backup_repo *r = open_ok(p);
	struct arena ARENA_CLEANUP a;
	struct buf BUF_CLEANUP list, piece;
	struct slice_list names;

	arena_init(&a, 1u << 20);
	buf_init(&list, 1u << 20);
	buf_init(&piece, 1u << 21);
	assert_int_equal(backup_names(r, &a, &names), 0);
	for (size_t i = 0; i < names.n; i++) {
		buf_reset(&list);
		assert_int_equal(backup_load(r, names.v[i], &list), 0);
		for (size_t at = 0; at < list.n; at += BACKUP_ID_BYTES) {
			buf_reset(&piece);
			assert_int_equal(backup_get(r, slice_from(buf_slice(&list), at).p, &piece), 0);
			assert_int_equal(piece.n, 1000u + slice_at(buf_slice(&piece), 0));
		}
	}
	backup_close(&r);
	return names.n;
}

static void
test_round_trip(void **state)
{
	struct place *p = *state;
	struct backup_repo *r = open_ok(p);
	struct backup_counters n;

	assert_int_equal(make(r, 1, 5), 0);
	assert_int_equal(make(r, 3, 5), 0);
	backup_count(r, &n);
	assert_int_equal(n.pieces, 10);
	assert_int_equal(n.pieces_new, 7);
	backup_close(&r);
	assert_int_equal(check(p), 2);
}

static void
test_killed_at_each_step(void **state)
{
	struct place *p = *state;
	struct backup_repo *r = open_ok(p);
	size_t complete = 1;

	assert_int_equal(make(r, 1, 3), 0);
	backup_close(&r);
	for (int steps = 0;; steps++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			p->steps_left = steps;
			r = NULL;
			if (try_open(p, &r) != 0)
				_exit(1);
			/* Each round has pieces that are new. */
			_exit(make(r, 1 + steps * 4, 6) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
		complete += WEXITSTATUS(status) == 0;
		assert_int_equal(check(p), complete);
		if (WEXITSTATUS(status) == 0)
			break;
		assert_true(steps < 100);
	}
	assert_int_equal(complete, 2);
}

static void
test_folder_is_made_at_each_step(void **state)
{
	struct place *p = *state;

	for (int steps = 0;; steps++) {
		struct backup_repo *r;
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			p->steps_left = steps;
			_exit(try_open(p, &r) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
		if (WEXITSTATUS(status) == 0)
			break;
	}
	assert_int_equal(check(p), 0);
}

static void
test_refusals(void **state)
{
	struct place *p = *state;
	struct backup_repo *r = open_ok(p), *other;
	char path[160], sub[128];
	int fd;

	assert_int_equal(make(r, 1, 1), 0);
	assert_int_equal(try_open(p, &other), ERR_BUSY);
	p->config.write = false;
	assert_int_equal(try_open(p, &other), 0);
	backup_close(&other);
	backup_close(&r);
	p->config.key[0] ^= 1;
	assert_int_equal(try_open(p, &other), ERR_DENIED);
	p->config.key[0] ^= 1;
	(void)snprintf(sub, sizeof(sub), "%s/none", p->dir);
	p->config.dir = sub;
	assert_int_equal(try_open(p, &other), ERR_NOTFOUND);
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_int_equal(try_open(p, &other), ERR_NOTFOUND);
	(void)snprintf(path, sizeof(path), "%s/holiday.jpg", sub);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	close(fd);
	p->config.write = true;
	assert_int_equal(try_open(p, &other), ERR_CONFLICT);
	p->config.dir = p->dir;
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/lock", sub);
	(void)unlink(path);
	(void)rmdir(sub);
}

/* file scope: nftw() hands nothing on to its function. */
static int flips, noticed;
static struct place *flipping;

static int
flip_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	struct buf BUF_CLEANUP list, piece;
	struct arena ARENA_CLEANUP a;
	struct slice_list names;
	struct backup_repo *r = NULL;
	int fd, err;
	uint8_t byte;
	off_t at;

	(void)ftw;
	if (flag != FTW_F || st->st_size == 0)
		return 0;
	arena_init(&a, 1u << 20);
	buf_init(&list, 1u << 20);
	buf_init(&piece, 1u << 21);
	at = (off_t)house_random_below(&flipping->house, (uint64_t)st->st_size);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	err = try_open(flipping, &r);
	if (err == 0)
		err = backup_names(r, &a, &names);
	if (err == 0)
		err = backup_load(r, names.v[0], &list);
	for (size_t i = 0; err == 0 && i < list.n; i += BACKUP_ID_BYTES)
		err = backup_get(r, slice_from(buf_slice(&list), i).p, &piece);
	backup_close(&r);
	flips++;
	noticed += err == ERR_DAMAGED || err == ERR_DENIED || err == ERR_VERSION;
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
	return 0;
}

static void
test_flipped_bits(void **state)
{
	struct place *p = *state;
	struct backup_repo *r = open_ok(p);

	assert_int_equal(make(r, 1, 4), 0);
	backup_close(&r);
	flipping = p;
	flips = noticed = 0;
	for (int i = 0; i < 10; i++)
		assert_int_equal(nftw(p->dir, flip_one, 8, FTW_PHYS), 0);
	assert_int_equal(flips, 60); /* the mark, the list, four pieces */
	assert_int_equal(noticed, flips);
	assert_int_equal(check(p), 1);
}

/* A damaged piece is written again when everything is looked at. */
static void
test_mending(void **state)
{
	struct place *p = *state;
	struct backup_repo *r = open_ok(p);
	uint8_t id[BACKUP_ID_BYTES], again[BACKUP_ID_BYTES];
	char name[BACKUP_NAME_MAX], path[256];
	struct buf BUF_CLEANUP piece;
	int fd;

	buf_init(&piece, 1u << 21);
	assert_int_equal(backup_put(r, SLICE("some bytes"), id), 0);
	assert_int_equal(backup_save(r, slice_of(id, sizeof(id)), name), 0);
	backup_close(&r);
	(void)snprintf(path, sizeof(path), "%s/objects/%02x/", p->dir, id[0]);
	for (size_t i = 1; i < sizeof(id); i++)
		(void)snprintf(path + strlen(path), 3, "%02x", id[i]);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "zzzz", 4, 40), 4);
	close(fd);
	r = open_ok(p);
	assert_int_equal(backup_get(r, id, &piece), ERR_DAMAGED);
	assert_int_equal(backup_put(r, SLICE("some bytes"), again), 0);
	backup_close(&r);
	p->config.check = true;
	r = open_ok(p);
	assert_int_equal(backup_put(r, SLICE("some bytes"), again), 0);
	assert_memory_equal(id, again, sizeof(id));
	assert_int_equal(backup_save(r, slice_of(id, sizeof(id)), name), 0);
	buf_reset(&piece);
	assert_int_equal(backup_get(r, id, &piece), 0);
	assert_int_equal(piece.n, 10);
	backup_close(&r);
}

static void
test_files(void **state)
{
	struct place *p = *state;
	struct backup_repo *r = open_ok(p);
	struct buf BUF_CLEANUP bytes, back, scratch;
	struct map used;
	json_t *file, *tree, *copy;
	char name[BACKUP_NAME_MAX];
	int64_t damaged = 0, removed, freed;

	buf_init(&bytes, 1u << 24);
	buf_init(&back, 1u << 24);
	buf_init(&scratch, BACKUP_PIECE_MAX + 1);
	for (uint32_t i = 0; i < 100000; i++)
		buf_put_be32(&bytes, i * i);
	assert_int_equal(backup_bytes_put(r, buf_slice(&bytes), "a/b", BACKUP_PIECE_DATABASE, &file), 0);
	assert_int_equal(json_integer_value(json_object_get(file, "size")), 400000);
	tree = json_pack("{s:[O]}", "files", file);
	assert_int_equal(backup_tree_put(r, tree, &copy), 0);
	json_decref(tree);
	assert_int_equal(backup_save(r, SLICE("{}"), name), 0);
	assert_int_equal(backup_tree_get(r, copy, &tree), 0);
	assert_int_equal(backup_bytes_get(r, json_array_get(json_object_get(tree, "files"), 0), &back), 0);
	assert_true(slice_eq(buf_slice(&bytes), buf_slice(&back)));
	assert_int_equal(backup_file_check(r, file, &scratch, &damaged), 0);
	assert_int_equal(damaged, 0);
	/* What nothing marks goes. */
	map_init(&used, SIZE_MAX, 1);
	assert_int_equal(backup_file_mark(copy, &used), 0);
	assert_int_equal(backup_sweep(r, &used, &removed, &freed), 0);
	assert_int_equal(removed, 7);
	assert_int_equal(backup_file_check(r, file, &scratch, &damaged), 0);
	assert_int_equal(damaged, 7);
	assert_int_equal(backup_file_check(r, copy, &scratch, &damaged), 0);
	assert_int_equal(damaged, 7);
	map_free(&used);
	json_decref(tree);
	json_decref(copy);
	json_decref(file);
	/* Not the description of a file. */
	file = json_pack("{s:s, s:i, s:s}", "path", "x", "size", 3, "ids", "abc");
	assert_int_equal(backup_bytes_get(r, file, &back), ERR_INVALID);
	json_decref(file);
	backup_close(&r);
}

static void
test_keep(void **state)
{
	static const struct slice names[] = {SLICE_INIT("20261122T100000Z-A"), SLICE_INIT("20261122T090000Z-B"),
	    SLICE_INIT("20261121T100000Z-C"), SLICE_INIT("20261116T100000Z-D"), SLICE_INIT("20261115T100000Z-E"),
	    SLICE_INIT("20261101T100000Z-F"), SLICE_INIT("20261031T100000Z-G"), SLICE_INIT("20250101T100000Z-H"),
	    SLICE_INIT("what-is-this")};
	bool keep[COUNT_OF(names)];

	(void)state;
	backup_keep(names, COUNT_OF(names), &(struct backup_rule){.days = 2}, keep);
	assert_memory_equal(keep, ((bool[]){1, 0, 1, 0, 0, 0, 0, 0, 1}), sizeof(keep));
	/* The week of 22 November 2026, a Sunday, began on the 16th. */
	backup_keep(names, COUNT_OF(names), &(struct backup_rule){.weeks = 2}, keep);
	assert_memory_equal(keep, ((bool[]){1, 0, 0, 0, 1, 0, 0, 0, 1}), sizeof(keep));
	backup_keep(names, COUNT_OF(names), &(struct backup_rule){.months = 3}, keep);
	assert_memory_equal(keep, ((bool[]){1, 0, 0, 0, 0, 0, 1, 1, 1}), sizeof(keep));
	backup_keep(names, COUNT_OF(names), &(struct backup_rule){.days = 0}, keep);
	assert_memory_equal(keep, ((bool[]){1, 0, 0, 0, 0, 0, 0, 0, 1}), sizeof(keep));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_killed_at_each_step, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_folder_is_made_at_each_step, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_flipped_bits, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_mending, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
	    cmocka_unit_test(test_keep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
