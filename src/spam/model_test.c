/* The model: what it learns, what it gives back to the last bit, what it makes of damaged files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "spam/model.h"

#include <sys/stat.h>
#include <unistd.h>

/* A message of five words of its class, three of its own and two of all. */
static void
make(struct spam_features *f, unsigned number, bool spam)
{
	char word[32];

	spam_features_reset(f);
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(word, sizeof(word), "%s%u", spam ? "pill" : "patch", (number * 7 + i) % 40);
		spam_feature(f, SPAM_WORDS, "word", slice_z(word));
	}
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(word, sizeof(word), "own%u-%u-%d", number, i, spam);
		spam_feature(f, SPAM_WORDS, "word", slice_z(word));
		spam_feature_grams(f, SPAM_BYTES, slice_z(word));
	}
	spam_feature(f, SPAM_HEADERS, "field", SLICE("Subject"));
}

static void
learn(struct spam_model *m, const struct spam_model *shared, struct spam_features *f, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		make(f, i, (i & 1) != 0);
		assert_int_equal(spam_model_train(m, shared, i + 1, (i & 1) != 0, f), 0);
	}
}

static struct spam_score
score(const struct spam_model *m, const struct spam_model *account, struct spam_features *f, unsigned number, bool spam)
{
	struct spam_score s;

	make(f, number, spam);
	spam_model_score(m, account, f, &s);
	return s;
}

static void
assert_same(struct spam_model *m, const struct buf *want)
{
	BUF_CLEANUP struct buf have;

	buf_init(&have, SPAM_MODEL_FILE_MAX);
	assert_int_equal(spam_model_save(m, &have), 0);
	assert_true(slice_eq(buf_slice(&have), buf_slice(want)));
}

static void
test_learns(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL;
	struct spam_score s;
	uint32_t ham, spam;

	(void)state;
	assert_int_equal(spam_features_init(&f), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &m), 0);
	assert_true(spam_model_bytes(m) <= 16u << 20);
	/* Untrained: unsure. */
	s = score(m, NULL, &f, 1, true);
	assert_int_equal(s.opinion, SPAM_UNSURE);
	assert_true(s.probability > 0.49 && s.probability < 0.51);
	learn(m, NULL, &f, 0, 10);
	assert_int_equal(score(m, NULL, &f, 1001, true).opinion, SPAM_UNSURE);
	learn(m, NULL, &f, 10, 400);
	spam_model_examples(m, &ham, &spam);
	assert_int_equal(ham, 200);
	assert_int_equal(spam, 200);
	assert_int_equal(score(m, NULL, &f, 1001, true).opinion, SPAM_UNWANTED);
	assert_int_equal(score(m, NULL, &f, 1000, false).opinion, SPAM_WANTED);
	assert_true(score(m, NULL, &f, 1001, true).bayes > 0 && score(m, NULL, &f, 1000, false).bayes < 0);
	/* The same again is nothing new. */
	learn(m, NULL, &f, 390, 400);
	spam_model_examples(m, &ham, &spam);
	assert_int_equal(ham + spam, 400);
}

/* All of one class first, then all of the other: replay keeps the first. */
static void
test_order(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL;

	(void)state;
	assert_int_equal(spam_features_init(&f), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &m), 0);
	for (unsigned i = 0; i < 300; i++) {
		bool spam = i >= 150;

		make(&f, i, spam);
		assert_int_equal(spam_model_train(m, NULL, i + 1, spam, &f), 0);
	}
	for (unsigned i = 1000; i < 1040; i++) {
		assert_true(score(m, NULL, &f, i, false).margin < 0);
		assert_true(score(m, NULL, &f, i, true).margin > 0);
	}
}

/* Taking all out in another order leaves a model that knows nothing, whatever was replayed meanwhile; and taking out what was learnt as
 * the first message of a model, before anything could be replayed, leaves what was before. */
static void
test_undo(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL, *empty = NULL;
	uint32_t ham, spam;

	(void)state;
	assert_int_equal(spam_features_init(&f), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &m), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &empty), 0);
	learn(m, NULL, &f, 0, 500);
	for (unsigned i = 0; i < 500; i++) {
		unsigned which = i * 137 % 500;

		/* Without the message: the model may have kept it, else the caller brings it. */
		make(&f, 9999, false);
		if (spam_model_untrain(m, which + 1, &f) == 0)
			continue;
		make(&f, which, (which & 1) != 0);
		assert_int_equal(spam_model_untrain(m, which + 1, &f), 0);
		assert_int_equal(spam_model_untrain(m, which + 1, &f), ERR_NOTFOUND);
	}
	spam_model_examples(m, &ham, &spam);
	assert_int_equal(ham + spam, 0);
	for (unsigned i = 0; i < 600; i++) {
		make(&f, i, (i & 1) != 0);
		for (size_t j = 0; j < f.n; j++)
			assert_true(spam_model_push(m, NULL, &f, f.v[j]) == 0);
		assert_true(score(m, NULL, &f, i, true).bayes == 0);
	}
}

/* Moved to Junk by mistake, and back. */
static void
test_change_of_mind(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL;
	uint32_t ham, spam;

	(void)state;
	assert_int_equal(spam_features_init(&f), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &m), 0);
	learn(m, NULL, &f, 0, 100);
	make(&f, 200, false);
	assert_int_equal(spam_model_train(m, NULL, 777, true, &f), 0);
	assert_int_equal(spam_model_train(m, NULL, 777, false, &f), 0);
	spam_model_examples(m, &ham, &spam);
	assert_int_equal(ham, 51);
	assert_int_equal(spam, 50);
	/* The id of another message. */
	make(&f, 201, false);
	assert_int_equal(spam_model_train(m, NULL, 777, true, &f), ERR_CONFLICT);
}

/* An account that sees a newsletter otherwise than the rest of the house. */
static void
test_account(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL, *mine = NULL;
	double before;

	(void)state;
	assert_int_equal(spam_features_init(&f), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &m), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_ACCOUNT, &mine), 0);
	assert_true(spam_model_bytes(mine) <= 1u << 20);
	learn(m, NULL, &f, 0, 200);
	before = score(m, mine, &f, 33, true).odds;
	assert_true(before > 0);
	for (unsigned i = 0; i < 5; i++) {
		make(&f, 33, true);
		assert_int_equal(spam_model_train(mine, m, 5000 + i, false, &f), 0);
	}
	assert_true(score(m, mine, &f, 33, true).odds < 0);
	assert_true(score(m, NULL, &f, 33, true).odds == before);
	for (unsigned i = 0; i < 5; i++) {
		make(&f, 33, true);
		assert_int_equal(spam_model_untrain(mine, 5000 + i, &f), 0);
	}
	assert_true(score(m, mine, &f, 33, true).odds == before);
}

/* Many at once: the order of the list does not matter, twice is once. */
static void
test_train_all(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL, *other = NULL;
	struct spam_example v[201], turned[201];
	BUF_CLEANUP struct buf bytes;
	uint32_t ham, spam;

	(void)state;
	buf_init(&bytes, SPAM_MODEL_FILE_MAX);
	assert_int_equal(spam_features_init(&f), 0);
	for (unsigned i = 0; i < 200; i++) {
		make(&f, i, (i & 1) != 0);
		v[i] = (struct spam_example){
		    .id = slice_hash(slice_of(&i, sizeof(i)), 1), .spam = (i & 1) != 0, .n = (uint32_t)f.n};
		v[i].keys = malloc(f.n * sizeof(*f.v));
		memcpy(v[i].keys, f.v, f.n * sizeof(*f.v));
		memcpy(v[i].counts, f.counts, sizeof(f.counts));
	}
	v[200] = v[17];
	for (unsigned i = 0; i < 201; i++)
		turned[i] = v[200 - i];
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &m), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &other), 0);
	assert_int_equal(spam_model_train_all(m, v, 201), 0);
	assert_int_equal(spam_model_train_all(other, turned, 201), 0);
	spam_model_examples(m, &ham, &spam);
	assert_int_equal(ham, 100);
	assert_int_equal(spam, 100);
	assert_int_equal(spam_model_save(m, &bytes), 0);
	assert_same(other, &bytes);
	/* Known already. */
	assert_int_equal(spam_model_train_all(m, v, 100), 0);
	assert_same(m, &bytes);
	assert_int_equal(score(m, NULL, &f, 1001, true).opinion, SPAM_UNWANTED);
	for (unsigned i = 0; i < 200; i++)
		free(v[i].keys);
}

static void
test_file(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL, *back = NULL, *none = NULL;
	BUF_CLEANUP struct buf bytes, detail;
	char folder[] = "/tmp/posthouse-spam-XXXXXX", path[64];

	(void)state;
	buf_init(&bytes, SPAM_MODEL_FILE_MAX);
	buf_init(&detail, 4096);
	assert_int_equal(spam_features_init(&f), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_SHARED, &m), 0);
	learn(m, NULL, &f, 0, 150);
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/model", folder);
	assert_int_equal(spam_model_read_file(path, &none, &detail), ERR_NOTFOUND);
	assert_int_equal(spam_model_write_file(m, path, &detail), 0);
	assert_int_equal(spam_model_write_file(m, path, &detail), 0);
	assert_int_equal(spam_model_read_file(path, &back, &detail), 0);
	assert_int_equal(spam_model_save(m, &bytes), 0);
	assert_same(back, &bytes);
	/* What comes after goes on as if it had never been put away. */
	learn(m, NULL, &f, 150, 260);
	learn(back, NULL, &f, 150, 260);
	buf_reset(&bytes);
	assert_int_equal(spam_model_save(m, &bytes), 0);
	assert_same(back, &bytes);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	/* A folder that is not there is said. */
	assert_int_equal(spam_model_write_file(m, path, &detail), ERR_IO);
	assert_true(slice_find(buf_slice(&detail), SLICE("No such file")) != SLICE_NONE);
}

/* Cut anywhere, any byte another: refused, never believed. */
static void
test_damage(void **state)
{
	SPAM_FEATURES_CLEANUP struct spam_features f;
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL, *back = NULL;
	BUF_CLEANUP struct buf bytes;

	(void)state;
	buf_init(&bytes, SPAM_MODEL_FILE_MAX);
	assert_int_equal(spam_features_init(&f), 0);
	assert_int_equal(spam_model_new(SPAM_MODEL_ACCOUNT, &m), 0);
	learn(m, NULL, &f, 0, 30);
	assert_int_equal(spam_model_save(m, &bytes), 0);
	for (size_t n = 0; n < bytes.n; n += 1 + bytes.n / 500)
		assert_int_not_equal(spam_model_load(slice_head(buf_slice(&bytes), n), &back), 0);
	for (size_t at = 0; at < bytes.n; at += 1 + bytes.n / 500) {
		uint8_t was = slice_at(buf_slice(&bytes), at);

		buf_patch_u8(&bytes, at, (uint8_t)(was ^ 0x10));
		assert_int_not_equal(spam_model_load(buf_slice(&bytes), &back), 0);
		assert_null(back);
		buf_patch_u8(&bytes, at, was);
	}
	assert_int_equal(spam_model_load(buf_slice(&bytes), &back), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_learns),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_undo),
	    cmocka_unit_test(test_change_of_mind),
	    cmocka_unit_test(test_account),
	    cmocka_unit_test(test_train_all),
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
