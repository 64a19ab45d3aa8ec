/* cli_report.c: what others report about our domains: of the house, for a person by domain; or of a file. */
#include "cli/cli.h"

#include "role/keeper.h"
#include "role/report_apart.h"
#include "role/report_json.h"

#define FILE_BYTES ((size_t)60 << 20)
#define ARENA_BYTES ((size_t)128 << 20)

/* ---- a file ------------------------------------------------------------------------------------------------------ */

static void
set(json_t *o, const char *key, struct slice s)
{
	(void)json_object_set_new(o, key, json_stringn(s.p == NULL ? "" : (const char *)s.p, s.n));
}

static void
set_time(json_t *o, const char *key, int64_t s)
{
	char text[RFC3339_MAX];

	time_rfc3339(s * 1000000, text);
	if (s > 0)
		(void)json_object_set_new(o, key, json_string(text));
}

/* As `report show` tells one. */
static json_t *
rows_of(const struct bus_reader_report_reply *r)
{
	json_t *rows = json_array(), *o = json_object();

	set(o, "kind", slice_z(report_json_kind((enum bus_report)r->kind)));
	set(o, "domain", r->domain);
	set(o, "organisation", r->organisation);
	set(o, "contact", r->contact);
	set(o, "report_id", r->report_id);
	set_time(o, "begins_at", r->begin_s);
	set_time(o, "ends_at", r->end_s);
	(void)json_object_set_new(o, "rows", json_integer((json_int_t)r->domains.n));
	(void)json_object_set_new(o, "policy", report_json_lines(r->policy));
	(void)json_array_append_new(rows, o);
	for (size_t i = 0; i < r->domains.n; i++) {
		struct report_json_row row = {(enum bus_report)r->kind, r->domains.v[i], r->sources.v[i], 0,
		    r->outcomes.v[i], r->means.v[i], r->who.v[i], r->details.v[i]};
		uint64_t n;

		row.total = slice_to_u64(r->counts.v[i], INT64_MAX, &n) == 0 ? (int64_t)n : 0;
		(void)json_array_append_new(rows, report_json_row(&row));
	}
	return rows;
}

static bool
lists_fit(const struct bus_reader_report_reply *r)
{
	size_t n = r->domains.n;

	return r->sources.n == n && r->counts.n == n && r->outcomes.n == n && r->means.n == n && r->who.n == n &&
	    r->details.n == n;
}

static int
show_file(struct cli *c, const char *path, struct slice file, struct house *h, struct arena *a)
{
	struct bus_reader_report_reply r = {.kind = REPORT_NONE};
	struct buf detail BUF_CLEANUP;
	int e;

	buf_init(&detail, 4096);
	e = report_apart_read(h, file, a, &r, &detail);
	if (e == ERR_DAMAGED || (e == 0 && !lists_fit(&r)))
		return cli_fail(
		    c, EX_DATAERR, "%s: reading it took too much time or memory, or broke the reader", path);
	if (e != 0)
		return cli_fail(c, EX_OSERR, "%s cannot be read: %s", path,
		    detail.n > 0 ? arena_z(a, buf_slice(&detail)) : err_text(e));
	if (r.kind == REPORT_NONE && r.problem.n > 0)
		return cli_fail(c, EX_DATAERR, "%s: %.*s", path, SLICE_ARG(r.problem));
	if (r.kind == REPORT_NONE)
		return cli_fail(c, EX_DATAERR, "%s holds no report", path);
	CLI_REPLY_CLEANUP struct cli_reply reply = {.rows = rows_of(&r), .final = json_object()};
	struct cli_command shown = *c->command;
	struct cli as = *c;

	shown.style = CLI_RECORD;
	as.command = &shown;
	cli_print_reply(&as, &reply);
	return EX_OK;
}

static int
report_of_file(struct cli *c, const char *path)
{
	struct buf file BUF_CLEANUP, detail BUF_CLEANUP;
	struct arena a ARENA_CLEANUP;
	struct house h;

	house_init(&h, "cli");
	arena_init(&a, ARENA_BYTES);
	buf_init(&file, FILE_BYTES + 4096);
	buf_init(&detail, 4096);
	if (house_read_file(strcmp(path, "-") == 0 ? "/dev/stdin" : path, FILE_BYTES, &file, &detail) != 0)
		return cli_fail(c, EX_NOINPUT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	return show_file(c, path, buf_slice(&file), &h, &a);
}

/* ---- for a person ------------------------------------------------------------------------------------------------- */

/* "reporter", "3 reporters"; and whether that is known. */
static json_t *
told_by(const json_t *row)
{
	long long n = json_integer_value(json_object_get(row, "reporters"));
	const char *unproven = json_is_true(json_object_get(row, "proven")) ? "" : " (unproven)";

	if (n == 1)
		return json_sprintf("%s%s", json_string_value(json_object_get(row, "reporter")), unproven);
	return json_sprintf("%lld servers%s", n, unproven);
}

static json_t *
columns_of(const json_t *row)
{
	static const char *const dmarc[] = {
	    "source", "who", "messages", "passed", "spf", "dkim", "quarantined", "rejected", NULL};
	static const char *const tls[] = {"policy", "result", "sessions", "host", NULL};
	const char *kind = json_string_value(json_object_get(row, "kind"));
	json_t *o = json_object();

	for (const char *const *key = kind != NULL && strcmp(kind, "tls") == 0 ? tls : dmarc; *key != NULL; key++)
		(void)json_object_set(o, *key, json_object_get(row, *key));
	(void)json_object_set_new(o, "told_by", told_by(row));
	return o;
}

static bool
same(const json_t *a, const json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

/* The sum of a column in rows from..to. */
static long long
sum(const json_t *rows, size_t from, size_t to, const char *key)
{
	long long n = 0;

	for (size_t i = from; i < to; i++)
		n += json_integer_value(json_object_get(json_array_get(rows, i), key));
	return n;
}

static void
print_heading(struct cli *c, const json_t *rows, size_t from, size_t to)
{
	const json_t *first = json_array_get(rows, from);
	const char *domain = json_string_value(json_object_get(first, "domain"));
	long long all = sum(rows, from, to, "messages"), good = sum(rows, from, to, "passed"),
		  sessions = sum(rows, from, to, "sessions"), fine = 0;

	if (strcmp(json_string_value(json_object_get(first, "kind")), "dmarc") == 0) {
		(void)fprintf(c->out, "%sMail in the name of %s: %lld messages, %lld of them passed DMARC (%lld %%)\n",
		    from > 0 ? "\n" : "", domain, all, good, all > 0 ? good * 100 / all : 0);
		return;
	}
	for (size_t i = from; i < to; i++) {
		const json_t *row = json_array_get(rows, i);

		if (strcmp(json_string_value(json_object_get(row, "result")), "successful") == 0)
			fine += json_integer_value(json_object_get(row, "sessions"));
	}
	(void)fprintf(c->out, "%sConnections to the servers of %s: %lld, %lld of them without fault\n",
	    from > 0 ? "\n" : "", domain, sessions, fine);
}

static void
print_for_person(struct cli *c, const json_t *rows)
{
	size_t n = json_array_size(rows), to;

	if (n == 0)
		(void)fprintf(c->out,
		    "No report of others has come in that time. They come to the addresses in rua= of a domain's "
		    "records\n"
		    "_dmarc and _smtp._tls, and are read there when [trust] report_address names them.\n");
	for (size_t from = 0; from < n; from = to) {
		const json_t *first = json_array_get(rows, from);
		CLI_REPLY_CLEANUP struct cli_reply part = {.rows = json_array(), .final = json_object()};

		for (to = from; to < n && same(first, json_array_get(rows, to), "domain") &&
		     same(first, json_array_get(rows, to), "kind");
		     to++)
			(void)json_array_append_new(part.rows, columns_of(json_array_get(rows, to)));
		print_heading(c, rows, from, to);
		cli_print_reply(c, &part);
	}
}

static int
ask(struct cli *c, int fd)
{
	struct cli_reply reply CLI_REPLY_CLEANUP;
	int e = cli_ask(fd, "report", c->args, &reply), code;

	if (e != 0)
		return cli_fail(c, EX_TEMPFAIL, "the house did not answer: %s; its log tells why", err_text(e));
	code = cli_reply_code(c, &reply);
	if (code == EX_OK && !c->json)
		print_for_person(c, reply.rows);
	else
		cli_print_reply(c, &reply);
	return code;
}

static int
report_of_house(struct cli *c)
{
	struct cli_where w CLI_WHERE_CLEANUP;
	struct cli_quiet quiet = {0};
	int code = cli_find_house(c, &w), fd = -1, ended;

	if (code != 0)
		return code;
	code = cli_reach_house(c, &w, &quiet, CLI_SILENCE_S, &fd);
	if (code == 0)
		code = ask(c, fd);
	if (fd >= 0)
		(void)close(fd);
	ended = cli_quiet_stop(&quiet);
	return code == 0 ? ended : code;
}

int
cli_report(struct cli *c)
{
	const char *path = cli_text(c, "file");

	return path != NULL ? report_of_file(c, path) : report_of_house(c);
}
