/* spam.c: the classifier at work on a list of messages; bench/spam.py makes the list and counts.
 *
 *   build/bench/spam_bench splits LIST     trains and scores each split anew
 *   build/bench/spam_bench online LIST     scores each message and then learns it, in the order of the list
 *   build/bench/spam_bench speed LIST      CPU for one message: its features, its score, learning it
 *
 * A line of the list: path TAB h or s TAB a digit for each split (0: train, other: score only). Prints "split place score" a line. */
#include "base/house.h"
#include "spam/extract.h"
#include "spam/model.h"

#include <sys/resource.h>

#define LIST_BYTES (64u << 20)
#define MESSAGES_MAX 20000u

struct row {
	char *path, *splits;
	struct spam_example example;
};

struct bench {
	struct house house;
	struct row *v;
	size_t n;
	struct spam_features f;
	struct spam_extractor x;
	struct buf raw;
	int64_t extract_us;
	size_t bytes;
};

static int64_t
cpu_us(void)
{
	struct rusage r;

	(void)getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static void
need(bool is, const char *what)
{
	if (is)
		return;
	(void)fprintf(stderr, "spam_bench: %s\n", what);
	exit(1);
}

static void
read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	size_t n = 1;

	need(f != NULL, path);
	buf_reset(out);
	while (n > 0 && out->err == 0) {
		uint8_t *to = buf_reserve(out, 65536);

		n = to == NULL ? 0 : fread(to, 1, 65536, f);
		buf_added(out, n);
	}
	need(out->err == 0, "a file is too large");
	(void)fclose(f);
}

static void
read_list(struct bench *b, const char *path)
{
	BUF_CLEANUP struct buf text;
	struct slice rest;

	buf_init(&text, LIST_BYTES);
	read_file(path, &text);
	b->v = calloc(MESSAGES_MAX, sizeof(*b->v));
	need(b->v != NULL, "no memory");
	rest = buf_slice(&text);
	while (rest.n > 0 && b->n < MESSAGES_MAX) {
		struct slice line = slice_cut(&rest, '\n'), name = slice_cut(&line, '\t'), kind = slice_cut(&line, '\t');
		struct row *r = &b->v[b->n++];

		r->path = strndup((const char *)name.p, name.n);
		r->splits = strndup((const char *)line.p, line.n);
		r->example.spam = slice_eq(kind, SLICE("s"));
	}
}

static void
extract(struct bench *b, struct row *r)
{
	struct spam_message m = {.texts = spam_texts_here(), .place = CHARSET_THREAD};
	int64_t before;

	read_file(r->path, &b->raw);
	m.raw = buf_slice(&b->raw);
	before = cpu_us();
	need(spam_extract(&b->x, &m, &b->f) == 0, "no memory");
	b->extract_us += cpu_us() - before;
	b->bytes += m.raw.n;
	r->example.id = slice_hash(m.raw, 0);
	r->example.n = (uint32_t)b->f.n;
	r->example.keys = malloc(b->f.n * sizeof(*b->f.v) + 1);
	need(r->example.keys != NULL, "no memory");
	memcpy(r->example.keys, b->f.v, b->f.n * sizeof(*b->f.v));
	memcpy(r->example.counts, b->f.counts, sizeof(b->f.counts));
}

static struct spam_features
features_of(const struct row *r)
{
	struct spam_features f = {.v = r->example.keys, .n = r->example.n};

	memcpy(f.counts, r->example.counts, sizeof(f.counts));
	return f;
}

static void
print_score(size_t split, size_t place, const struct spam_score *s)
{
	printf("%zu %zu %.6f %.6f %.6f %d\n", split, place, s->odds, s->margin, s->bayes, (int)s->opinion);
}

static void
one_split(struct bench *b, size_t split)
{
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL;
	struct spam_example *v = calloc(b->n, sizeof(*v));
	size_t n = 0;

	need(v != NULL && spam_model_new(SPAM_MODEL_SHARED, &m) == 0, "no memory");
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].splits[split] == '0')
			v[n++] = b->v[i].example;
	need(spam_model_train_all(m, v, n) == 0, "no memory");
	free(v);
	for (size_t i = 0; i < b->n; i++) {
		struct spam_features f = features_of(&b->v[i]);
		struct spam_score s;

		if (b->v[i].splits[split] == '0')
			continue;
		spam_model_score(m, NULL, &f, &s);
		print_score(split, i, &s);
	}
}

static void
online(struct bench *b)
{
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL;

	need(spam_model_new(SPAM_MODEL_SHARED, &m) == 0, "no memory");
	for (size_t i = 0; i < b->n; i++) {
		struct spam_features f = features_of(&b->v[i]);
		struct spam_score s;

		spam_model_score(m, NULL, &f, &s);
		print_score(0, i, &s);
		need(spam_model_train(m, NULL, b->v[i].example.id, b->v[i].example.spam, &f) == 0, "no memory");
	}
}

static void
speed(struct bench *b)
{
	SPAM_MODEL_CLEANUP struct spam_model *m = NULL;
	int64_t begin = cpu_us(), trained;
	size_t features = 0;
	double sum = 0;

	need(spam_model_new(SPAM_MODEL_SHARED, &m) == 0, "no memory");
	for (size_t i = 0; i < b->n; i++) {
		struct spam_features f = features_of(&b->v[i]);

		features += f.n;
		need(spam_model_train(m, NULL, b->v[i].example.id, b->v[i].example.spam, &f) == 0, "no memory");
	}
	trained = cpu_us();
	for (size_t i = 0; i < b->n; i++) {
		struct spam_features f = features_of(&b->v[i]);
		struct spam_score s;

		spam_model_score(m, NULL, &f, &s);
		sum += s.odds;
	}
	printf("messages %zu\nbytes %zu\nfeatures %zu\nmodel_bytes %zu\nextract_us %.1f\ntrain_us %.1f\nscore_us %.1f\nsum %.3f\n", b->n, b->bytes / b->n,
	    features / b->n, spam_model_bytes(m), (double)b->extract_us / (double)b->n, (double)(trained - begin) / (double)b->n,
	    (double)(cpu_us() - trained) / (double)b->n, sum);
}

int
main(int argc, char **argv)
{
	struct bench b = {.n = 0};

	need(argc == 3, "splits|online|speed LIST");
	house_init(&b.house, "bench");
	buf_init(&b.raw, LIST_BYTES);
	read_list(&b, argv[2]);
	spam_extractor_init(&b.x, &b.house.limits);
	need(b.n > 0 && spam_features_init(&b.f) == 0, "no memory");
	for (size_t i = 0; i < b.n; i++)
		extract(&b, &b.v[i]);
	if (strcmp(argv[1], "online") == 0)
		online(&b);
	else if (strcmp(argv[1], "speed") == 0)
		speed(&b);
	else
		for (size_t i = 0; i < strlen(b.v[0].splits); i++)
			one_split(&b, i);
	for (size_t i = 0; i < b.n; i++) {
		free(b.v[i].path);
		free(b.v[i].splits);
		free(b.v[i].example.keys);
	}
	free(b.v);
	buf_free(&b.raw);
	spam_features_free(&b.f);
	spam_extractor_free(&b.x);
	return 0;
}
