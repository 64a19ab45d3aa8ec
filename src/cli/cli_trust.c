/* cli_trust.c: what is found out about who sent a message, for a message in a file: the same code as in the gate, with answers of
 * DNS from a zone file or from the resolver of the configuration. No house is needed. */
#include "cli/cli.h"

#include "message/mailbox.h"
#include "role/keeper.h"
#include "role/trust_resolver.h"
#include "rt/fiber.h"
#include "trust/assess.h"
#include "trust/zone_file.h"

#define MESSAGE_BYTES (256u << 20)
#define ARENA_BYTES (64u << 20)

/* A message and how it came. */
struct trust_case {
	struct house house;
	struct arena arena;
	struct buf message;
	bool has_client, has_sender;
	struct net_address client;
	struct slice helo, sender;
	struct slice receiver;
	struct trust_dns dns;
	struct assess_rules rules; /* the house's */
	struct assessment found;   /* what the checks before DMARC have come to */
	json_t *rows;
	int err;
};

/* ---- the results -------------------------------------------------------------------------------------------- */

static json_t *
json_of(struct slice s)
{
	json_t *v = json_stringn(s.p == NULL ? "" : (const char *)s.p, s.n);

	return v == NULL ? json_string("?") : v;
}

/* A row; `details` is taken over. */
static void
add_row(struct trust_case *t, const char *method, const char *of, enum trust_result result, struct slice domain,
    struct slice reason, json_t *details)
{
	json_t *row = json_pack("{s:s, s:s, s:s}", "method", method, "of", of, "result", trust_result_name(result));

	(void)json_object_set_new(row, "domain", json_of(domain));
	(void)json_object_set_new(row, "reason", json_of(reason));
	if (json_object_size(details) > 0)
		(void)json_object_set(row, "details", details);
	json_decref(details);
	(void)json_array_append_new(t->rows, row);
}

static int
judge_iprev(struct trust_case *t)
{
	struct iprev_result r;
	int e = iprev_check(&t->dns, &t->client, &t->arena, &r);

	if (e == 0)
		add_row(t, "iprev", "client", r.result, r.name, r.reason, json_object());
	return e;
}

static int
judge_spf(struct trust_case *t, enum spf_identity identity)
{
	struct spf_question q = {.dns = t->dns,
	    .house = &t->house,
	    .client = t->client,
	    .helo = t->helo,
	    .sender = t->sender,
	    .receiver = t->receiver};
	struct spf_result r;
	json_t *details;
	int e = spf_check(&q, identity, &t->arena, &r);

	if (e != 0)
		return e;
	details = json_pack("{s:I, s:I}", "lookups", (json_int_t)r.lookups, "void_lookups", (json_int_t)r.void_lookups);
	if (r.term.n > 0)
		(void)json_object_set_new(details, "term", json_of(r.term));
	if (r.explanation.n > 0)
		(void)json_object_set_new(details, "explanation", json_of(r.explanation));
	add_row(t, "spf", spf_identity_name(identity), r.result, r.domain, r.reason, details);
	if (identity == SPF_MAIL_FROM)
		t->found.spf = r;
	return 0;
}

/* Feeds the message; one that was saved with LF at the ends of its lines gets the CR LF with which it was signed. */
static void
feed_message(struct dkim_reader *r, struct slice text)
{
	size_t lf = slice_find_byte(text, '\n');

	if (lf == SLICE_NONE || (lf > 0 && slice_at(text, lf - 1) == '\r')) {
		dkim_reader_feed(r, text);
		return;
	}
	while (text.p != NULL) {
		struct slice line = slice_cut(&text, '\n');

		dkim_reader_feed(r, line);
		if (text.p != NULL)
			dkim_reader_feed(r, SLICE("\r\n"));
	}
}

static int
add_signatures(struct trust_case *t, struct dkim_reader *r)
{
	struct dkim_results v;
	int e = dkim_verify(r, &t->dns, house_now_s(&t->house), &t->arena, &v);

	for (size_t i = 0; e == 0 && i < v.n; i++) {
		const struct dkim_result *d = &v.v[i];
		json_t *details = json_object();

		(void)json_object_set_new(details, "selector", json_of(d->selector));
		(void)json_object_set_new(details, "algorithm", json_of(d->algorithm));
		(void)json_object_set_new(details, "identity", json_of(d->identity));
		(void)json_object_set_new(details, "key_bits", json_integer(d->key_bits));
		(void)json_object_set_new(details, "testing", json_boolean(d->testing));
		if (d->has_length)
			(void)json_object_set_new(
			    details, "unsigned_bytes", json_integer((json_int_t)d->unsigned_bytes));
		add_row(t, "dkim", "signature", d->result, d->domain, d->reason, details);
	}
	if (e == 0 && v.skipped > 0)
		add_row(t, "dkim", "signature", TRUST_NONE, SLICE_EMPTY,
		    arena_printf(&t->arena, "%zu more signatures were not looked at", v.skipped), json_object());
	if (e == 0)
		t->found.dkim = v;
	return e;
}

static int
add_chain(struct trust_case *t, struct dkim_reader *r)
{
	struct arc_result a;
	json_t *sealers = json_array(), *details = json_object();
	int e = arc_verify(r, &t->dns, house_now_s(&t->house), &t->arena, &a);

	for (size_t i = 0; e == 0 && i < a.n; i++)
		(void)json_array_append_new(sealers, json_of(a.sealers[i].domain));
	(void)json_object_set_new(details, "sealers", sealers);
	if (e == 0 && a.result != TRUST_NONE)
		add_row(t, "arc", "chain", a.result, a.n > 0 ? a.sealers[a.n - 1].domain : SLICE_EMPTY, a.reason,
		    json_incref(details));
	json_decref(details);
	if (e == 0)
		t->found.arc = a;
	return e;
}

/* DMARC, and what the house would do with the message. */
static int
add_author(struct trust_case *t, struct dkim_reader *r)
{
	const struct assess_question q = {.dns = t->dns,
	    .house = &t->house,
	    .hostname = t->receiver,
	    .client = t->client,
	    .helo = t->helo,
	    .sender = t->sender,
	    .reader = r,
	    .rules = &t->rules};
	const struct dmarc_result *d = &t->found.dmarc;
	json_t *details;
	int e = assess_weigh(&q, &t->arena, &t->found);

	if (e != 0)
		return e;
	details = json_pack("{s:s, s:s, s:s, s:b}", "verdict", assess_verdict_name(t->found.verdict), "override",
	    assess_override_name(t->found.override), "policy", dmarc_policy_name(d->policy), "spf_aligned",
	    d->spf_aligned);
	(void)json_object_set_new(details, "policy_domain", json_of(d->policy_domain));
	(void)json_object_set_new(details, "organisation", json_of(d->org_domain));
	add_row(t, "dmarc", "author", d->result, d->author, d->reason, details);
	return 0;
}

static int
judge_signatures(struct trust_case *t)
{
	struct dkim_reader *r __attribute__((cleanup(dkim_reader_free))) = NULL;
	int e = dkim_reader_new(&r, &t->house.limits, DKIM_VERIFYING);

	if (e != 0)
		return e;
	feed_message(r, buf_slice(&t->message));
	e = dkim_reader_end(r);
	if (e == 0)
		e = add_signatures(t, r);
	if (e == 0)
		e = add_chain(t, r);
	return e == 0 ? add_author(t, r) : e;
}

/* Everything, in the order of the gate. */
static int
judge(struct trust_case *t)
{
	int e = t->has_client ? judge_iprev(t) : 0;

	if (e == 0 && t->has_client && t->helo.n > 0)
		e = judge_spf(t, SPF_HELO);
	if (e == 0 && t->has_client && t->has_sender)
		e = judge_spf(t, SPF_MAIL_FROM);
	return e == 0 ? judge_signatures(t) : e;
}

/* ---- answers of DNS ------------------------------------------------------------------------------------------- */

static int
with_zone_file(struct cli *c, struct trust_case *t, const char *path)
{
	ZONE_FILE_CLEANUP struct zone_file *z = NULL;
	struct buf text BUF_CLEANUP, detail BUF_CLEANUP;
	int e;

	buf_init(&text, ZONE_FILE_BYTES_MAX);
	buf_init(&detail, 4096);
	if (house_read_file(path, ZONE_FILE_BYTES_MAX, &text, &detail) != 0)
		return cli_fail(c, EX_NOINPUT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	e = zone_file_new(&z, buf_slice(&text), &detail);
	if (e == ERR_SYNTAX)
		return cli_fail(c, EX_DATAERR, "%s: %.*s", path, SLICE_ARG(buf_slice(&detail)));
	if (e == 0) {
		t->dns = zone_file_dns(z);
		e = judge(t);
	}
	return e == 0 ? EX_OK : cli_fail(c, EX_SOFTWARE, "the message cannot be judged: %s", err_text(e));
}

static void
judge_fiber(void *arg)
{
	struct trust_case *t = arg;

	t->err = judge(t);
}

/* The fiber ends, and with it the loop: nothing else is on it. */
static int
run_loop(struct cli *c, struct trust_case *t, const struct settings *s)
{
	struct buf detail BUF_CLEANUP;
	struct loop *l = NULL;
	struct dns *d = NULL;
	int e = loop_new(&l, &t->house);

	buf_init(&detail, 4096);
	if (e == 0)
		e = trust_resolver_new(&d, l, s, &detail);
	if (e == 0) {
		t->dns = trust_resolver_dns(d);
		e = fiber_start(l, "trust", judge_fiber, t, NULL);
	}
	if (e == 0) {
		loop_run(l);
		e = t->err;
	}
	dns_free(&d);
	loop_free(&l);
	return e == 0 ? EX_OK
		      : cli_fail(c, EX_SOFTWARE, "the message cannot be judged: %s",
			    detail.n > 0 ? arena_z(&t->arena, buf_slice(&detail)) : err_text(e));
}

/* The resolver that the configuration names; without one, that of this machine. */
static int
with_resolver(struct cli *c, struct trust_case *t)
{
	struct cli_where w CLI_WHERE_CLEANUP = {.dir = ""};
	struct buf detail BUF_CLEANUP;
	struct settings *s = NULL;
	int code = cli_find_house(c, &w);

	if (code != EX_OK)
		return code;
	buf_init(&detail, 65536);
	if (settings_parse(&s, buf_slice(&w.config), &detail) != 0)
		return cli_fail(c, EX_CONFIG, "%s:\n%.*s", w.config_path, SLICE_ARG(slice_trim(buf_slice(&detail))));
	t->house.limits = s->limits;
	t->receiver = s->hostname;
	t->rules = s->trust;
	code = run_loop(c, t, s);
	settings_free(&s);
	return code;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static int
read_case(struct cli *c, struct trust_case *t)
{
	const char *path = cli_text(c, "file"), *ip = cli_text(c, "ip"), *helo = cli_text(c, "helo"),
		   *from = cli_text(c, "from");
	struct buf detail BUF_CLEANUP;

	buf_init(&detail, 4096);
	if (house_read_file(strcmp(path, "-") == 0 ? "/dev/stdin" : path, MESSAGE_BYTES, &t->message, &detail) != 0)
		return cli_fail(c, EX_NOINPUT, "%.*s", SLICE_ARG(slice_trim(buf_slice(&detail))));
	if (ip != NULL && net_address_parse(slice_z(ip), 0, &t->client) != 0)
		return cli_fail(c, EX_USAGE, "%s is not an IP address", ip);
	t->has_client = ip != NULL;
	t->has_sender = from != NULL;
	t->helo = slice_z(helo);
	t->sender = slice_z(from);
	if (from != NULL && from[0] != '\0' && mailbox_normalise(&t->arena, slice_z(from), &t->sender) != 0)
		t->sender = slice_z(from); /* as it is: what comes of nonsense is worth seeing too */
	return EX_OK;
}

int
cli_trust(struct cli *c)
{
	struct trust_case t = {.rows = json_array(), .rules = {.dmarc = ASSESS_OBEY}};
	const char *zone = cli_text(c, "dns");
	int code;

	house_init(&t.house, "cli");
	arena_init(&t.arena, ARENA_BYTES);
	buf_init(&t.message, MESSAGE_BYTES + 4096);
	code = read_case(c, &t);
	if (code == EX_OK)
		code = zone != NULL ? with_zone_file(c, &t, zone) : with_resolver(c, &t);
	if (code == EX_OK) {
		CLI_REPLY_CLEANUP struct cli_reply reply = {.rows = json_incref(t.rows), .final = json_object()};

		cli_print_reply(c, &reply);
	}
	json_decref(t.rows);
	buf_free(&t.message);
	arena_free(&t.arena);
	return code;
}
