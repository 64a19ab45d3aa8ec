/* DMARC: records, the walk up the tree, alignment and policies; first the examples of RFC 9989. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "trust/dmarc.h"

#include "base/buf.h"

/* ---- a small DNS --------------------------------------------------------------------------------------------- */

#define ZONE_MAX 24

/* A name and its TXT record; NULL: the name only exists; "TEMP": no answer. */
struct entry {
	const char *name, *txt;
};

struct zone {
	struct entry v[ZONE_MAX];
	struct buf asked; /* TXT questions, in order, each with a space behind it */
	size_t questions;
};

static int
zone_query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	struct zone *z = of;
	struct trust_record *v = ARENA_ARRAY(a, struct trust_record, ZONE_MAX);

	assert_non_null(v);
	*out = (struct trust_answer){.status = TRUST_DNS_NO_NAME, .v = v};
	z->questions++;
	if (type == TRUST_DNS_TXT) {
		buf_put(&z->asked, name);
		buf_put_z(&z->asked, " ");
	}
	for (size_t i = 0; i < ZONE_MAX && z->v[i].name != NULL; i++) {
		if (!slice_eq(name, slice_z(z->v[i].name)))
			continue;
		if (z->v[i].txt != NULL && strcmp(z->v[i].txt, "TEMP") == 0)
			out->status = TRUST_DNS_TEMPORARY;
		else if (z->v[i].txt == NULL || type != TRUST_DNS_TXT)
			out->status = out->n > 0 ? out->status : TRUST_DNS_NO_DATA;
		else {
			out->status = TRUST_DNS_FOUND;
			v[out->n++].data = slice_z(z->v[i].txt);
		}
	}
	return 0;
}

/* ---- one message ---------------------------------------------------------------------------------------------- */

struct message {
	const char *author;
	const char *spf; /* domain that passed, or NULL; "!domain": failed; "?domain": temporary error */
	const char *dkim[3];
};

struct outcome {
	enum trust_result result;
	enum dmarc_policy policy;
	const char *policy_domain, *org_domain;
	bool spf_aligned, dkim_aligned;
};

static enum trust_result
read_identity(const char *text, struct slice *domain)
{
	enum trust_result r = text == NULL || text[0] == '!' ? TRUST_FAIL
	    : text[0] == '?'                                 ? TRUST_TEMPERROR
							     : TRUST_PASS;

	*domain = slice_z(text == NULL ? "" : r == TRUST_PASS ? text : text + 1);
	return r;
}

static void
judge(struct zone *z, const struct message *m, const struct outcome *want)
{
	struct arena a ARENA_CLEANUP;
	struct trust_dns dns = {zone_query, z};
	struct dmarc_signature signatures[3] = {0};
	struct dmarc_input in = {.author = slice_z(m->author), .signatures = signatures};
	struct dmarc_result r;

	arena_init(&a, 1 << 20);
	buf_init(&z->asked, 4096);
	in.spf = read_identity(m->spf, &in.spf_domain);
	for (; in.signatures_n < 3 && m->dkim[in.signatures_n] != NULL; in.signatures_n++)
		signatures[in.signatures_n].result = read_identity(
		    m->dkim[in.signatures_n], &signatures[in.signatures_n].domain);
	assert_int_equal(dmarc_evaluate(&dns, &a, &in, &r), 0);
	assert_int_equal(r.result, want->result);
	assert_int_equal(r.policy, want->policy);
	assert_true(r.reason.n > 0);
	if (want->policy_domain != NULL)
		assert_true(slice_eq(r.policy_domain, slice_z(want->policy_domain)));
	if (want->org_domain != NULL)
		assert_true(slice_eq(r.org_domain, slice_z(want->org_domain)));
	assert_int_equal(r.spf_aligned, want->spf_aligned);
	assert_int_equal(signatures[0].aligned, want->dkim_aligned);
}

/* The TXT questions of judge(). */
static void
asked(struct zone *z, const char *want)
{
	assert_true(slice_eq(buf_slice(&z->asked), slice_z(want)));
	buf_free(&z->asked);
}

#define DONE(z) buf_free(&(z)->asked)

static void
organisation(struct zone *z, const char *domain, const char *want, const char *questions)
{
	struct arena a ARENA_CLEANUP;
	struct trust_dns dns = {zone_query, z};
	struct slice got;
	bool found;

	arena_init(&a, 1 << 20);
	buf_init(&z->asked, 4096);
	assert_int_equal(dmarc_organisation(&dns, &a, slice_z(domain), &got, &found), 0);
	assert_true(slice_eq(got, slice_z(want)));
	asked(z, questions);
}

/* ---- RFC 9989 -------------------------------------------------------------------------------------------------- */

/* Appendix B.1.1 and B.1.2 */
static void
examples_of_alignment(void **state)
{
	static const char *const strict = "v=DMARC1; p=reject; aspf=s; adkim=s", *const relaxed = "v=DMARC1; p=reject";
	struct zone one = {.v = {{"_dmarc.example.com", relaxed}}}, two = {.v = {{"_dmarc.example.com", strict}}};

	(void)state;
	/* Example 1: the same; 2: the parent; 3: another. */
	judge(&one, &(struct message){.author = "example.com", .spf = "example.com"},
	    &(struct outcome){TRUST_PASS, DMARC_POLICY_REJECT, "example.com", "example.com", true, false});
	DONE(&one);
	judge(&two, &(struct message){.author = "example.com", .spf = "example.com"},
	    &(struct outcome){TRUST_PASS, DMARC_POLICY_REJECT, "example.com", NULL, true, false});
	DONE(&two);
	judge(&one, &(struct message){.author = "child.example.com", .spf = "example.com"},
	    &(struct outcome){TRUST_PASS, DMARC_POLICY_REJECT, "example.com", "example.com", true, false});
	DONE(&one);
	judge(&two, &(struct message){.author = "child.example.com", .spf = "example.com"},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_REJECT, "example.com", "example.com", false, false});
	DONE(&two);
	judge(&one, &(struct message){.author = "example.com", .spf = "example.net"},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_REJECT, "example.com", "example.com", false, false});
	DONE(&one);
	/* The same with signatures. */
	judge(&two, &(struct message){.author = "example.com", .dkim = {"example.com"}},
	    &(struct outcome){TRUST_PASS, DMARC_POLICY_REJECT, "example.com", NULL, false, true});
	DONE(&two);
	judge(&one, &(struct message){.author = "child.example.com", .dkim = {"example.com"}},
	    &(struct outcome){TRUST_PASS, DMARC_POLICY_REJECT, "example.com", "example.com", false, true});
	DONE(&one);
	judge(&two, &(struct message){.author = "child.example.com", .dkim = {"example.com"}},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_REJECT, "example.com", "example.com", false, false});
	DONE(&two);
	judge(&one, &(struct message){.author = "example.com", .dkim = {"sample.net"}},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_REJECT, "example.com", "example.com", false, false});
	DONE(&one);
}

/* Appendix B.4.1 */
static void
example_simple(void **state)
{
	struct zone z = {.v = {{"_dmarc.example.com", "v=DMARC1; p=quarantine"},
			     {"_dmarc.signing.example.com", "v=DMARC1; p=none"}}};

	(void)state;
	organisation(&z, "example.com", "example.com", "_dmarc.example.com _dmarc.com ");
	organisation(
	    &z, "signing.example.com", "example.com", "_dmarc.signing.example.com _dmarc.example.com _dmarc.com ");
	judge(&z, &(struct message){.author = "example.com", .spf = "example.com", .dkim = {"signing.example.com"}},
	    &(struct outcome){TRUST_PASS, DMARC_POLICY_QUARANTINE, "example.com", "example.com", true, true});
	DONE(&z);
	judge(&z, &(struct message){.author = "example.com", .spf = "!example.com", .dkim = {"!signing.example.com"}},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_QUARANTINE, "example.com", "example.com", true, true});
	DONE(&z);
}

/* Appendix B.4.2, and the list of §4.10 */
static void
example_deep(void **state)
{
	struct zone z = {.v = {{"_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine"},
			     {"_dmarc.signing.example.com", "v=DMARC1; p=none"}}};
	const char *deep = "a.b.c.d.e.f.g.h.i.j.k.example.com";

	(void)state;
	organisation(&z, deep, "example.com",
	    "_dmarc.a.b.c.d.e.f.g.h.i.j.k.example.com _dmarc.g.h.i.j.k.example.com _dmarc.h.i.j.k.example.com "
	    "_dmarc.i.j.k.example.com _dmarc.j.k.example.com _dmarc.k.example.com _dmarc.example.com _dmarc.com ");
	organisation(&z, "a.b.c.d.e.f.g.h.i.j.mail.example.com", "example.com",
	    "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com _dmarc.g.h.i.j.mail.example.com "
	    "_dmarc.h.i.j.mail.example.com _dmarc.i.j.mail.example.com _dmarc.j.mail.example.com "
	    "_dmarc.mail.example.com _dmarc.example.com _dmarc.com ");
	judge(&z, &(struct message){.author = deep, .spf = "example.com", .dkim = {"signing.example.com"}},
	    &(struct outcome){TRUST_PASS, DMARC_POLICY_QUARANTINE, "example.com", "example.com", true, true});
	DONE(&z);
	judge(&z, &(struct message){.author = deep, .spf = "!example.com", .dkim = {"!signing.example.com"}},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_QUARANTINE, "example.com", "example.com", true, true});
	DONE(&z);
}

/* Appendix B.4.3 */
static void
example_public_suffix(void **state)
{
	struct zone z = {.v = {{"_dmarc.bank.example", "v=DMARC1; p=reject; psd=y"},
			     {"_dmarc.giant.bank.example", "v=DMARC1; p=quarantine"}}};

	(void)state;
	organisation(&z, "giant.bank.example", "giant.bank.example", "_dmarc.giant.bank.example _dmarc.bank.example ");
	organisation(&z, "mail.giant.bank.example", "giant.bank.example",
	    "_dmarc.mail.giant.bank.example _dmarc.giant.bank.example _dmarc.bank.example ");
	organisation(&z, "mail.mega.bank.example", "mega.bank.example",
	    "_dmarc.mail.mega.bank.example _dmarc.mega.bank.example _dmarc.bank.example ");
	judge(&z,
	    &(struct message){
		.author = "giant.bank.example", .spf = "mail.giant.bank.example", .dkim = {"mail.mega.bank.example"}},
	    &(struct outcome){
		TRUST_PASS, DMARC_POLICY_QUARANTINE, "giant.bank.example", "giant.bank.example", true, false});
	DONE(&z);
	judge(&z,
	    &(struct message){
		.author = "giant.bank.example", .spf = "!mail.giant.bank.example", .dkim = {"mail.mega.bank.example"}},
	    &(struct outcome){
		TRUST_FAIL, DMARC_POLICY_QUARANTINE, "giant.bank.example", "giant.bank.example", true, false});
	DONE(&z);
	/* An organisation without a record: that of the suffix applies (§4.10.1). */
	judge(&z, &(struct message){.author = "mega.bank.example"},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_REJECT, "bank.example", "mega.bank.example", false, false});
	DONE(&z);
	/* The suffix as the author: its own record, and what is below it is not of it. */
	judge(&z, &(struct message){.author = "bank.example", .spf = "giant.bank.example"},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_REJECT, "bank.example", "bank.example", false, false});
	DONE(&z);
}

/* The three examples at the end of §4.10.2. */
static void
examples_of_organisations(void **state)
{
	struct zone top = {.v = {{"_dmarc.mail.example.com", "v=DMARC1; p=none"},
			       {"_dmarc.example.com", "v=DMARC1; p=none"}}},
		    cut = {.v = {{"_dmarc.mail.example.com", "v=DMARC1; psd=n; p=none"},
			       {"_dmarc.example.com", "v=DMARC1; p=none"}}},
		    suffix = {.v = {{"_dmarc.com", "v=DMARC1; psd=y; p=none"}}}, none = {.v = {{"com", NULL}}};

	(void)state;
	organisation(&top, "a.mail.example.com", "example.com",
	    "_dmarc.a.mail.example.com _dmarc.mail.example.com _dmarc.example.com _dmarc.com ");
	organisation(
	    &cut, "a.mail.example.com", "mail.example.com", "_dmarc.a.mail.example.com _dmarc.mail.example.com ");
	organisation(&suffix, "a.mail.example.com", "example.com",
	    "_dmarc.a.mail.example.com _dmarc.mail.example.com _dmarc.example.com _dmarc.com ");
	organisation(&none, "a.mail.example.com", "a.mail.example.com",
	    "_dmarc.a.mail.example.com _dmarc.mail.example.com _dmarc.example.com _dmarc.com ");
	organisation(&none, "com", "com", "_dmarc.com ");
	/* §5.1.8: what is too deep is not found. */
	organisation(&none, "mail.a.b.c.d.e.f.g.example.com", "mail.a.b.c.d.e.f.g.example.com",
	    "_dmarc.mail.a.b.c.d.e.f.g.example.com _dmarc.c.d.e.f.g.example.com _dmarc.d.e.f.g.example.com "
	    "_dmarc.e.f.g.example.com _dmarc.f.g.example.com _dmarc.g.example.com _dmarc.example.com _dmarc.com ");
}

/* ---- policies --------------------------------------------------------------------------------------------------- */

static void
policy(const char *record, const char *author, bool exists, enum trust_result result, enum dmarc_policy want)
{
	struct zone z = {.v = {{"_dmarc.example.org", record}, {"example.org", NULL}}};

	if (exists)
		z.v[2] = (struct entry){author, NULL};
	judge(&z, &(struct message){.author = author}, &(struct outcome){.result = result, .policy = want});
	DONE(&z);
}

static void
subdomains(void **state)
{
	const char *sub = "a.example.org", *own = "example.org";
	const char *all = "v=DMARC1; p=reject; sp=quarantine; np=none";

	(void)state;
	policy(all, own, true, TRUST_FAIL, DMARC_POLICY_REJECT);
	policy(all, sub, true, TRUST_FAIL, DMARC_POLICY_QUARANTINE);
	policy(all, sub, false, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; p=none; np=reject", sub, false, TRUST_FAIL, DMARC_POLICY_REJECT);
	policy("v=DMARC1; p=none; np=reject", sub, true, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; p=none; np=reject", own, true, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; p=none; sp=reject", sub, false, TRUST_FAIL, DMARC_POLICY_REJECT);
	policy("v=DMARC1; p=quarantine", sub, false, TRUST_FAIL, DMARC_POLICY_QUARANTINE);
	/* t=y: one less. */
	policy("v=DMARC1; p=reject; t=y", own, true, TRUST_FAIL, DMARC_POLICY_QUARANTINE);
	policy("v=DMARC1; p=quarantine; t=y", own, true, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; p=none; t=y", own, true, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; p=none; np=reject; t=y", sub, false, TRUST_FAIL, DMARC_POLICY_QUARANTINE);
	/* What is not valid (§4.10.1). */
	policy("v=DMARC1; p=strict; rua=mailto:a@example.org", own, true, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; rua=mailto:a@example.org", own, true, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; p=reject; sp=x; rua=mailto:a@example.org", own, true, TRUST_FAIL, DMARC_POLICY_NONE);
	policy("v=DMARC1; p=reject; np=x", own, true, TRUST_NONE, DMARC_POLICY_NONE);
	policy("v=DMARC1", own, true, TRUST_NONE, DMARC_POLICY_NONE);
	policy("v=DMARC2; p=reject", own, true, TRUST_NONE, DMARC_POLICY_NONE);
	/* The record of a parent that is not the organisation's says nothing. */
	struct zone z = {.v = {{"_dmarc.b.example.org", "v=DMARC1; p=reject"},
			     {"_dmarc.example.org", "v=DMARC1; p=none"}, {"a.b.example.org", NULL}}};
	judge(&z, &(struct message){.author = "a.b.example.org"},
	    &(struct outcome){TRUST_FAIL, DMARC_POLICY_NONE, "example.org", "example.org", false, false});
	DONE(&z);
}

static void
several_records(void **state)
{
	struct zone two = {.v = {{"_dmarc.example.org", "v=DMARC1; p=reject"},
			       {"_dmarc.example.org", "v=DMARC1; p=none"}}},
		    one = {
			.v = {{"_dmarc.example.org", "something else"}, {"_dmarc.example.org", "v=DMARC1; p=reject"}}};

	(void)state;
	judge(&two, &(struct message){.author = "example.org"}, &(struct outcome){.result = TRUST_NONE});
	DONE(&two);
	judge(&one, &(struct message){.author = "example.org"},
	    &(struct outcome){.result = TRUST_FAIL, .policy = DMARC_POLICY_REJECT});
	DONE(&one);
}

static void
no_answers(void **state)
{
	struct zone record = {.v = {{"_dmarc.example.org", "TEMP"}}},
		    above = {.v = {{"_dmarc.example.org", "v=DMARC1; p=reject"}, {"_dmarc.org", "TEMP"}}},
		    signer = {.v = {{"_dmarc.example.org", "v=DMARC1; p=reject"}, {"_dmarc.a.example.org", "TEMP"}}};

	(void)state;
	judge(&record, &(struct message){.author = "example.org", .spf = "example.org"},
	    &(struct outcome){.result = TRUST_TEMPERROR});
	DONE(&record);
	judge(&above, &(struct message){.author = "example.org"}, &(struct outcome){.result = TRUST_TEMPERROR});
	DONE(&above);
	/* What is the author's own needs no more than his record. */
	judge(&above, &(struct message){.author = "example.org", .spf = "example.org"},
	    &(struct outcome){.result = TRUST_PASS, .policy = DMARC_POLICY_REJECT, .spf_aligned = true});
	assert_int_equal(above.questions, 3);
	DONE(&above);
	/* A signer of whom nothing can be learnt is nothing against another that passed. */
	judge(&signer, &(struct message){.author = "example.org", .spf = "example.org", .dkim = {"a.example.org"}},
	    &(struct outcome){.result = TRUST_PASS, .policy = DMARC_POLICY_REJECT, .spf_aligned = true});
	DONE(&signer);
	judge(&signer, &(struct message){.author = "example.org", .dkim = {"a.example.org"}},
	    &(struct outcome){.result = TRUST_TEMPERROR, .policy = DMARC_POLICY_REJECT});
	DONE(&signer);
	judge(&signer, &(struct message){.author = "example.org", .dkim = {"!a.example.org"}},
	    &(struct outcome){.result = TRUST_FAIL, .policy = DMARC_POLICY_REJECT});
	DONE(&signer);
	/* SPF or a key that could not be looked up. */
	judge(&signer, &(struct message){.author = "example.org", .spf = "?example.org"},
	    &(struct outcome){.result = TRUST_TEMPERROR, .policy = DMARC_POLICY_REJECT, .spf_aligned = true});
	DONE(&signer);
	judge(&signer, &(struct message){.author = "example.org", .spf = "?example.net", .dkim = {"?example.net"}},
	    &(struct outcome){.result = TRUST_FAIL, .policy = DMARC_POLICY_REJECT});
	DONE(&signer);
}

/* Strangers' domains, and what is no domain, cost no questions. */
static void
hostile_identities(void **state)
{
	struct zone z = {.v = {{"_dmarc.example.org", "v=DMARC1; p=reject"}}};

	(void)state;
	judge(&z,
	    &(struct message){
		.author = "example.org", .spf = "", .dkim = {"a.b.c.d.e.example.net", "xexample.org", "org"}},
	    &(struct outcome){.result = TRUST_FAIL, .policy = DMARC_POLICY_REJECT});
	asked(&z, "_dmarc.example.org _dmarc.org ");
	judge(&z,
	    &(struct message){.author = "example.org", .spf = "..", .dkim = {"a..example.org", " ", "example.org."}},
	    &(struct outcome){.result = TRUST_PASS, .policy = DMARC_POLICY_REJECT});
	DONE(&z);
	judge(&z, &(struct message){.author = "example.org", .dkim = {"EXAMPLE.org"}},
	    &(struct outcome){.result = TRUST_PASS, .policy = DMARC_POLICY_REJECT, .dkim_aligned = true});
	DONE(&z);
	judge(&z, &(struct message){.author = ""}, &(struct outcome){.result = TRUST_NONE});
	DONE(&z);
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static struct dmarc_record
parse(struct arena *a, const char *text)
{
	struct dmarc_record r;

	assert_int_equal(dmarc_record_parse(a, slice_z(text), &r), 0);
	return r;
}

static void
not_a_record(const char *text)
{
	struct arena a ARENA_CLEANUP;
	struct dmarc_record r;

	arena_init(&a, 65536);
	assert_int_equal(dmarc_record_parse(&a, slice_z(text), &r), ERR_NOTFOUND);
}

static void
versions(void **state)
{
	struct arena a ARENA_CLEANUP;

	(void)state;
	arena_init(&a, 65536);
	not_a_record("");
	not_a_record("v=spf1 -all");
	not_a_record("v=DMARC1x; p=none");
	not_a_record("v=dmarc1; p=none");
	not_a_record("p=none; v=DMARC1");
	not_a_record(" v=DMARC1; p=none");
	not_a_record("v DMARC1; p=none");
	assert_int_equal(parse(&a, "v=DMARC1;p=reject").p, DMARC_POLICY_REJECT);
	assert_int_equal(parse(&a, "V\t = DMARC1 \t;\tP =  Reject ; ").p, DMARC_POLICY_REJECT);
	assert_int_equal(parse(&a, "v=DMARC1;;p=reject;p=none").p, DMARC_POLICY_REJECT);
	assert_int_equal(parse(&a, "v=DMARC1; x=y; what; =; p=quarantine").p, DMARC_POLICY_QUARANTINE);
}

static void
tags(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct dmarc_record r;

	(void)state;
	arena_init(&a, 65536);
	r = parse(&a, "v=DMARC1; p=none");
	assert_true(r.sp == DMARC_POLICY_NONE && !r.has_sp && !r.testing && r.psd == DMARC_PSD_UNKNOWN);
	assert_true(!r.dkim_strict && !r.spf_strict && r.failures == DMARC_FAILURE_ALL && r.rua.n == 0);
	r = parse(&a, "v=DMARC1; p=none; adkim=s; aspf=S; t=y; psd=y; fo=1:d:s");
	assert_true(r.dkim_strict && r.spf_strict && r.testing && r.psd == DMARC_PSD_YES);
	assert_int_equal(r.failures, DMARC_FAILURE_ANY | DMARC_FAILURE_DKIM | DMARC_FAILURE_SPF);
	r = parse(&a, "v=DMARC1; p=none; adkim=x; aspf=; t=maybe; psd=u; fo=2");
	assert_true(!r.dkim_strict && !r.spf_strict && !r.testing && r.psd == DMARC_PSD_UNKNOWN);
	assert_int_equal(r.failures, DMARC_FAILURE_ALL);
	assert_int_equal(parse(&a, "v=DMARC1; fo=d").failures, DMARC_FAILURE_DKIM);
	assert_int_equal(parse(&a, "v=DMARC1; fo=0:1").failures, DMARC_FAILURE_ALL);
	r = parse(&a, "v=DMARC1; p=reject; sp=none");
	assert_true(r.sp == DMARC_POLICY_NONE && r.np == DMARC_POLICY_NONE && r.p == DMARC_POLICY_REJECT);
}

static void
addresses(void **state)
{
	struct arena a ARENA_CLEANUP;
	struct dmarc_record r;

	(void)state;
	arena_init(&a, 1 << 20);
	r = parse(&a,
	    "v=DMARC1; p=none; rua=mailto:a@example.org!10m , MAILTO:b%2bc@Example.NET?subject=x, https://e.org/x, "
	    "mailto:, mailto:nobody, mailto:x%0dy@e.org, mailto:x%zz@e.org, mailto:a@[192.0.2.1], x;"
	    "ruf=mailto:%22a%20b%22@example.org");
	assert_int_equal(r.rua.n, 2);
	assert_true(slice_eq(r.rua.v[0], SLICE("a@example.org")));
	assert_true(slice_eq(r.rua.v[1], SLICE("b+c@example.net")));
	assert_int_equal(r.ruf.n, 1);
	assert_true(r.rua_given);
	r = parse(&a, "v=DMARC1; rua=https://example.org/");
	assert_true(r.rua.n == 0 && r.rua_given && r.no_policy);
	r = parse(&a, "v=DMARC1; rua=nothing here");
	assert_true(r.rua.n == 0 && !r.rua_given);
}

/* ---- authors ------------------------------------------------------------------------------------------------------- */

static void
authors_are(struct slice_list fields, const char *want, bool want_complete)
{
	struct arena a ARENA_CLEANUP;
	struct slice_list got;
	struct buf text BUF_CLEANUP;
	bool complete;

	arena_init(&a, 1 << 20);
	buf_init(&text, 1000);
	assert_int_equal(dmarc_authors(&a, fields, 3, &got, &complete), 0);
	for (size_t i = 0; i < got.n; i++) {
		buf_put(&text, got.v[i]);
		buf_put_z(&text, " ");
	}
	assert_true(slice_eq(buf_slice(&text), slice_z(want)));
	assert_int_equal(complete, want_complete);
}

static void
authors(void **state)
{
	(void)state;
	authors_are(SLICE_LIST(SLICE(" Anna <anna@Example.ORG>")), "example.org ", true);
	authors_are(SLICE_LIST(SLICE("a@b\xc3\xbc"
				     "cher.test")),
	    "xn--bcher-kva.test ", true);
	authors_are(SLICE_LIST(SLICE("a@one.test, b@ONE.test")), "one.test ", true);
	authors_are(SLICE_LIST(SLICE("a@one.test"), SLICE("b@two.test")), "one.test two.test ", true);
	authors_are(SLICE_LIST(SLICE("\"c@bank.test\" <a@one.test>")), "one.test ", true);
	authors_are(SLICE_LIST(SLICE("a@1.test,b@2.test,c@3.test,d@4.test")), "1.test 2.test 3.test ", false);
	authors_are(SLICE_LIST(SLICE("anna")), "", false);
	authors_are(SLICE_LIST(SLICE("a@[192.0.2.1]")), "", false);
	authors_are(SLICE_LIST(SLICE("group: ;")), "", true);
	authors_are((struct slice_list){NULL, 0}, "", true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(examples_of_alignment),
	    cmocka_unit_test(example_simple),
	    cmocka_unit_test(example_deep),
	    cmocka_unit_test(example_public_suffix),
	    cmocka_unit_test(examples_of_organisations),
	    cmocka_unit_test(subdomains),
	    cmocka_unit_test(several_records),
	    cmocka_unit_test(no_answers),
	    cmocka_unit_test(hostile_identities),
	    cmocka_unit_test(versions),
	    cmocka_unit_test(tags),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(authors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
