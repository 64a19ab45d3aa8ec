/* dkim_fetch.c: gets public keys from DNS (RFC 6376 §3.6.2, §6.1.2), each once for a message. */
#include "trust/dkim.h"

#define RECORDS_MAX 8 /* TXT records of one name that are looked at */

struct entry {
	struct entry *next;
	struct slice name;
	enum dkim_algorithm algorithm;
	struct dkim_fetched fetched;
};

struct dkim_key_cache {
	struct arena *arena;
	struct entry *first;
};

struct dkim_key_cache *
dkim_key_cache_new(struct arena *a)
{
	struct dkim_key_cache *c = ARENA_NEW(a, struct dkim_key_cache);

	if (c != NULL)
		c->arena = a;
	return c;
}

void
dkim_key_cache_free(struct dkim_key_cache **c)
{
	for (struct entry *e = *c == NULL ? NULL : (*c)->first; e != NULL; e = e->next)
		dkim_key_free(&e->fetched.key);
	*c = NULL;
}

static int
say(struct dkim_fetched *f, enum trust_result result, struct slice reason)
{
	f->result = result;
	f->reason = reason;
	return reason.p == NULL ? ERR_NOMEM : 0;
}

/* What is wrong with a record for this signature, as a sentence; or the key. */
static int
use_record(struct dkim_fetched *f, const struct entry *e, struct arena *a)
{
	const struct dkim_record *r = &f->record;
	const char *why = NULL;

	if (r->revoked)
		return say(f, TRUST_PERMERROR, arena_printf(a, "the key %.*s has been revoked", SLICE_ARG(e->name)));
	if (r->algorithm != e->algorithm)
		return say(f, TRUST_PERMERROR,
		    arena_printf(
			a, "the key %.*s is not of the kind that the signature was made with", SLICE_ARG(e->name)));
	if (!r->sha256)
		return say(f, TRUST_PERMERROR,
		    arena_printf(a, "the key %.*s may not be used with SHA-256", SLICE_ARG(e->name)));
	if (!r->email)
		return say(f, TRUST_PERMERROR, arena_printf(a, "the key %.*s is not for mail", SLICE_ARG(e->name)));
	if (dkim_key_open(r, &f->key, &f->bits, &why) != 0)
		return say(f, f->bits > 0 ? TRUST_POLICY : TRUST_PERMERROR,
		    arena_printf(a, "the key %.*s cannot be used: %s", SLICE_ARG(e->name), why));
	f->result = TRUST_PASS;
	return 0;
}

/* Of several records the first that is one and is of the signature's kind: RFC 6376 §3.6.2.2 leaves it open. */
static int
choose_record(struct dkim_fetched *f, const struct entry *e, const struct trust_answer *answer, struct arena *a)
{
	const char *why = "", *first_why = NULL;
	bool found = false;

	for (size_t i = 0; i < answer->n && i < RECORDS_MAX; i++) {
		struct dkim_record r;
		int err = dkim_record_parse(a, answer->v[i].data, &r, &why);

		if (err == ERR_NOMEM)
			return err;
		if (err != 0 && first_why == NULL)
			first_why = why;
		if (err == 0 && (!found || (f->record.algorithm != e->algorithm && r.algorithm == e->algorithm))) {
			f->record = r;
			found = true;
		}
	}
	if (!found)
		return say(f, TRUST_PERMERROR,
		    arena_printf(a, "the key record %.*s cannot be read: %s", SLICE_ARG(e->name),
			first_why == NULL ? "it is empty" : first_why));
	return use_record(f, e, a);
}

static int
fetch(struct entry *e, const struct trust_dns *dns, struct arena *a)
{
	struct dkim_fetched *f = &e->fetched;
	struct trust_answer answer;
	int err = trust_dns_ask(dns, e->name, TRUST_DNS_TXT, a, &answer);

	if (err != 0)
		return err;
	switch (answer.status) {
	case TRUST_DNS_FOUND: return choose_record(f, e, &answer, a);
	case TRUST_DNS_TEMPORARY:
		return say(
		    f, TRUST_TEMPERROR, arena_printf(a, "DNS gave no answer about the key %.*s", SLICE_ARG(e->name)));
	case TRUST_DNS_NO_NAME:
	case TRUST_DNS_NO_DATA: break;
	}
	return say(f, TRUST_PERMERROR, arena_printf(a, "there is no key %.*s", SLICE_ARG(e->name)));
}

int
dkim_key_fetch(struct dkim_key_cache *c, const struct dkim_signature *s, const struct trust_dns *dns, struct arena *a,
    const struct dkim_fetched **out)
{
	struct slice name = arena_printf(a, "%.*s._domainkey.%.*s", SLICE_ARG(s->selector), SLICE_ARG(s->domain));
	struct entry *e;

	for (e = c->first; e != NULL; e = e->next)
		if (e->algorithm == s->algorithm && slice_eq(e->name, name))
			break;
	if (e == NULL) {
		int err;

		e = ARENA_NEW(a, struct entry);
		if (e == NULL)
			return ERR_NOMEM;
		*e = (struct entry){.next = c->first, .name = name, .algorithm = s->algorithm};
		c->first = e;
		err = fetch(e, dns, a);
		if (err != 0)
			return err;
	}
	*out = &e->fetched;
	return arena_failed(a) ? ERR_NOMEM : 0;
}
