/* cli_spam.c: the filter of unwanted mail on anyone's own mail, without a house: `spam train`, `spam score`, `spam test`. */
#include "cli/cli.h"

#include "role/keeper.h"
#include "spam/extract.h"
#include "spam/model.h"

#define MESSAGE_BYTES (256u << 20)
#define LIST_BYTES (256u << 20)
#define ROUND_MESSAGES 20000 /* learnt together; more are learnt in several rounds */
#define PUSHES 12            /* features that are shown */
#define NAMED_MAX 16384

/* What all three need. */
struct spam_work {
	struct cli *c;
	struct house house;
	struct spam_extractor x;
	struct spam_features f;
	struct spam_model *model;
	struct buf raw, detail;
};

static void
work_free(struct spam_work *w)
{
	spam_extractor_free(&w->x);
	spam_features_free(&w->f);
	spam_model_free(&w->model);
	buf_free(&w->raw);
	buf_free(&w->detail);
}
#define WORK_CLEANUP __attribute__((cleanup(work_free)))

static int
work_init(struct spam_work *w, struct cli *c)
{
	w->c = c;
	house_init(&w->house, "cli");
	buf_init(&w->raw, MESSAGE_BYTES + 4096);
	buf_init(&w->detail, 8192);
	spam_extractor_init(&w->x, &w->house.limits);
	return spam_features_init(&w->f) == 0 ? EX_OK : cli_fail(c, EX_OSERR, "out of memory");
}

/* With `may_miss`, a new one where there is no such file. */
static int
open_model(struct spam_work *w, const char *path, bool may_miss)
{
	int err = path == NULL ? ERR_NOTFOUND : spam_model_read_file(path, &w->model, &w->detail);

	if (err == ERR_NOTFOUND && may_miss)
		err = spam_model_new(SPAM_MODEL_SHARED, &w->model);
	if (err == 0)
		return EX_OK;
	if (err == ERR_NOTFOUND)
		return cli_fail(w->c, EX_NOINPUT, "there is no model %s; `posthouse spam train` makes one", path);
	if (err == ERR_VERSION)
		return cli_fail(w->c, EX_DATAERR, "%s was made by another version of Posthouse; train it anew", path);
	if (err == ERR_DAMAGED)
		return cli_fail(w->c, EX_DATAERR, "%s is no model, or it is damaged; train it anew", path);
	return cli_fail(
	    w->c, EX_IOERR, "%.*s", SLICE_ARG(w->detail.n > 0 ? buf_slice(&w->detail) : slice_z(err_text(err))));
}

/* The features of the message in a file. */
static int
read_message(struct spam_work *w, const char *path)
{
	struct spam_message m = {.texts = spam_texts_here(), .place = CHARSET_THREAD};
	int err;

	buf_reset(&w->raw);
	buf_reset(&w->detail);
	if (house_read_file(strcmp(path, "-") == 0 ? "/dev/stdin" : path, MESSAGE_BYTES, &w->raw, &w->detail) != 0)
		return cli_fail(w->c, EX_NOINPUT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&w->detail))));
	m.raw = buf_slice(&w->raw);
	err = spam_extract(&w->x, &m, &w->f);
	return err == 0 ? EX_OK : cli_fail(w->c, EX_OSERR, "%s: %s", path, err_text(err));
}

/* ---- lists of files ------------------------------------------------------------------------------------------------- */

struct spam_list {
	struct buf text;
	struct slice rest;
};

static void
list_free(struct spam_list *l)
{
	buf_free(&l->text);
}
#define LIST_CLEANUP __attribute__((cleanup(list_free)))

static int
list_open(struct spam_work *w, const char *path, struct spam_list *l)
{
	buf_init(&l->text, LIST_BYTES + 4096);
	if (house_read_file(strcmp(path, "-") == 0 ? "/dev/stdin" : path, LIST_BYTES, &l->text, &w->detail) != 0)
		return cli_fail(w->c, EX_NOINPUT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&w->detail))));
	l->rest = buf_slice(&l->text);
	return EX_OK;
}

/* The next line that is not empty: 1, 0 at the end, or -1 (told). */
static int
list_next(struct spam_work *w, struct spam_list *l, char path[HOUSE_PATH_BYTES])
{
	while (l->rest.n > 0) {
		struct slice line = slice_cut(&l->rest, '\n');

		if (line.n > 0 && slice_at(line, line.n - 1) == '\r')
			line = slice_head(line, line.n - 1);
		if (line.n == 0)
			continue;
		if (slice_to_z(line, path, HOUSE_PATH_BYTES) == 0)
			return 1;
		(void)cli_fail(w->c, EX_DATAERR, "a line of the list is no path: %.*s", SLICE_ARG(line));
		return -1;
	}
	return 0;
}

/* ---- spam train ---------------------------------------------------------------------------------------------------- */

struct batch {
	struct spam_example *v;
	size_t n;
};

static void
batch_empty(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->v[i].keys);
	b->n = 0;
}

static void
batch_free(struct batch *b)
{
	batch_empty(b);
	free(b->v);
}
#define BATCH_CLEANUP __attribute__((cleanup(batch_free)))

static int
batch_add(struct spam_work *w, struct batch *b, bool spam)
{
	struct spam_example e = {.id = slice_hash(buf_slice(&w->raw), 0), .spam = spam, .n = (uint32_t)w->f.n};

	e.keys = malloc(w->f.n * sizeof(*e.keys) + 1);
	if (e.keys == NULL)
		return cli_fail(w->c, EX_OSERR, "out of memory");
	memcpy(e.keys, w->f.v, w->f.n * sizeof(*e.keys));
	memcpy(e.counts, w->f.counts, sizeof(e.counts));
	b->v[b->n++] = e;
	return EX_OK;
}

static int
batch_learn(struct spam_work *w, struct batch *b)
{
	int err = spam_model_train_all(w->model, b->v, b->n);

	batch_empty(b);
	return err == 0 ? EX_OK : cli_fail(w->c, EX_OSERR, "%s", err_text(err));
}

/* Takes one message of the list; *more is false at its end. */
static int
take_one(struct spam_work *w, struct spam_list *l, struct batch *b, bool spam, bool *more)
{
	char path[HOUSE_PATH_BYTES];
	int found = list_next(w, l, path), code;

	*more = found == 1;
	if (found != 1)
		return found == 0 ? EX_OK : EX_DATAERR;
	code = read_message(w, path);
	return code == EX_OK ? batch_add(w, b, spam) : code;
}

/* Both lists side by side, so that each round has of both. */
static int
learn_lists(struct spam_work *w, struct spam_list *ham, struct spam_list *spam)
{
	BATCH_CLEANUP struct batch b = {.v = calloc(ROUND_MESSAGES + 2, sizeof(*b.v))};
	bool more[2] = {true, true};
	int code = b.v == NULL ? cli_fail(w->c, EX_OSERR, "out of memory") : EX_OK;

	while (code == EX_OK && (more[0] || more[1])) {
		if (more[0])
			code = take_one(w, ham, &b, false, &more[0]);
		if (code == EX_OK && more[1])
			code = take_one(w, spam, &b, true, &more[1]);
		if (code == EX_OK && b.n >= ROUND_MESSAGES)
			code = batch_learn(w, &b);
	}
	return code == EX_OK && b.n > 0 ? batch_learn(w, &b) : code;
}

int
cli_spam_train(struct cli *c)
{
	WORK_CLEANUP struct spam_work w = {.c = c};
	LIST_CLEANUP struct spam_list ham = {.rest = SLICE_EMPTY};
	LIST_CLEANUP struct spam_list spam = {.rest = SLICE_EMPTY};
	const char *path = cli_text(c, "model");
	uint32_t known[2], now[2];
	int code = work_init(&w, c);

	if (code == EX_OK)
		code = open_model(&w, path, true);
	if (code == EX_OK)
		code = list_open(&w, cli_text(c, "ham"), &ham);
	if (code == EX_OK)
		code = list_open(&w, cli_text(c, "spam"), &spam);
	if (code != EX_OK)
		return code;
	spam_model_examples(w.model, &known[0], &known[1]);
	code = learn_lists(&w, &ham, &spam);
	if (code != EX_OK)
		return code;
	buf_reset(&w.detail);
	if (spam_model_write_file(w.model, path, &w.detail) != 0)
		return cli_fail(
		    c, EX_CANTCREAT, "the model could not be written: %.*s", SLICE_ARG(buf_slice(&w.detail)));
	spam_model_examples(w.model, &now[0], &now[1]);
	CLI_REPLY_CLEANUP struct cli_reply reply = {
	    json_pack("[{s:s, s:i, s:i, s:i, s:i}]", "model", path, "wanted_new", (int)(now[0] - known[0]),
		"unwanted_new", (int)(now[1] - known[1]), "wanted", (int)now[0], "unwanted", (int)now[1]),
	    json_object()};
	cli_print_reply(c, &reply);
	return EX_OK;
}

/* ---- spam score --------------------------------------------------------------------------------------------------- */

int
cli_spam_score(struct cli *c)
{
	WORK_CLEANUP struct spam_work w = {.c = c};
	LIST_CLEANUP struct spam_list list = {.rest = SLICE_EMPTY};
	char path[HOUSE_PATH_BYTES];
	int code = work_init(&w, c), found = 1;

	if (code == EX_OK)
		code = open_model(&w, cli_text(c, "model"), false);
	if (code == EX_OK)
		code = list_open(&w, cli_text(c, "list"), &list);
	while (code == EX_OK && (found = list_next(&w, &list, path)) == 1) {
		struct spam_score s;

		if ((code = read_message(&w, path)) != EX_OK)
			break;
		spam_model_score(w.model, NULL, &w.f, &s);
		if (c->json) {
			json_t *row = json_pack(
			    "{s:s, s:f, s:f}", "path", path, "score", s.odds, "probability", s.probability);

			(void)json_dumpf(row, c->out, JSON_COMPACT);
			(void)fputc('\n', c->out);
			json_decref(row);
		} else {
			(void)fprintf(c->out, "%s\t%.6f\n", path, s.odds);
		}
	}
	return code == EX_OK && found < 0 ? EX_DATAERR : code;
}

/* ---- spam test ----------------------------------------------------------------------------------------------------- */

/* What a feature was. */
struct named {
	spam_key key;
	double push;
	struct slice text;
};

struct names {
	struct arena a;
	struct named *v;
	size_t n;
};

static void
take_name(void *of, spam_key key, const char *kind, struct slice text)
{
	struct names *names = of;
	BUF_CLEANUP struct buf clean;

	buf_init(&clean, 2000);
	if (names->n == NAMED_MAX)
		return;
	charset_clean_utf8(slice_head(text, 100), &clean);
	names->v[names->n++] = (struct named){.key = key,
	    .text = arena_printf(&names->a, text.n > 0 ? "%s \"%.*s\"" : "%s", kind, SLICE_ARG(buf_slice(&clean)))};
}

static int
by_push(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	double left = x->push < 0 ? -x->push : x->push, right = y->push < 0 ? -y->push : y->push;

	return left > right ? -1 : left < right;
}

static const char *
opinion_text(enum spam_opinion o)
{
	return o == SPAM_UNWANTED ? "unwanted" : o == SPAM_WANTED ? "wanted" : "unsure";
}

static json_t *
json_of_slice(struct slice s)
{
	json_t *v = json_stringn(s.p == NULL ? "" : (const char *)s.p, s.n);

	return v == NULL ? json_string("?") : v;
}

static void
tell_test(struct spam_work *w, struct names *names, const struct spam_score *s)
{
	json_t *parts = json_array();
	CLI_REPLY_CLEANUP struct cli_reply reply = {json_array(), json_object()};
	json_t *row;

	for (size_t i = 0; i < names->n; i++)
		names->v[i].push = spam_model_push(w->model, NULL, &w->f, names->v[i].key);
	qsort(names->v, names->n, sizeof(*names->v), by_push);
	for (size_t i = 0; i < names->n && i < PUSHES && names->v[i].push != 0; i++) {
		enum spam_group g = spam_key_group(names->v[i].key);

		row = json_pack("{s:s, s:s, s:f}", "speaks_for", names->v[i].push > 0 ? "unwanted" : "wanted", "part",
		    spam_groups[g].name, "weight", names->v[i].push);
		(void)json_object_set_new(row, "what", json_of_slice(names->v[i].text));
		(void)json_array_append_new(parts, row);
	}
	row = json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:O}", "opinion", opinion_text(s->opinion), "probability",
	    s->probability, "score", s->odds, "junk_from", s->junk, "words_and_letters", s->margin, "second_opinion",
	    s->bayes, "parts", parts);
	if (w->c->json) {
		(void)json_array_append_new(reply.rows, row);
		cli_print_reply(w->c, &reply);
	} else {
		(void)fprintf(w->c->out, "%s: %.1f %% likely to be unwanted (score %.2f; junk from %.2f)\n",
		    opinion_text(s->opinion), 100 * s->probability, s->odds, s->junk);
		cli_print_reply(w->c, &(struct cli_reply){parts, reply.final});
		json_decref(row);
	}
	json_decref(parts);
}

int
cli_spam_test(struct cli *c)
{
	WORK_CLEANUP struct spam_work w = {.c = c};
	struct names names = {.v = calloc(NAMED_MAX, sizeof(*names.v))};
	struct spam_score s;
	int code = work_init(&w, c);

	arena_init(&names.a, 32u << 20);
	if (code == EX_OK && names.v == NULL)
		code = cli_fail(c, EX_OSERR, "out of memory");
	if (code == EX_OK)
		code = open_model(&w, cli_text(c, "model"), cli_text(c, "model") == NULL);
	w.f.namer = take_name;
	w.f.namer_of = &names;
	if (code == EX_OK)
		code = read_message(&w, cli_text(c, "file"));
	if (code == EX_OK) {
		spam_model_score(w.model, NULL, &w.f, &s);
		tell_test(&w, &names, &s);
	}
	free(names.v);
	arena_free(&names.a);
	return code;
}
