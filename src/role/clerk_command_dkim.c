/* clerk_command_dkim.c: `dkim` on the control socket: the keys with which mail is signed. They are the vault's; here is who asks for
 * which domain. */
#include "message/mailbox.h"
#include "role/clerk_private.h"

#define LIST_ARENA_BYTES ((size_t)16 << 20)

struct domain_check {
	struct arena *arena;
	struct slice name, canonical;
	bool local;
};

static int
check_domain(struct sqltx *tx, void *arg)
{
	struct domain_check *c = arg;

	return directory_domain_find(tx, c->arena, c->name, &c->local, &c->canonical);
}

int
clerk_named_domain(struct control_session *s, struct slice *out)
{
	struct domain_check c = {.arena = &s->arena};
	struct slice given = control_text(&s->request, "domain");
	int err = domain_normalise(&s->arena, given, &c.name);

	if (err != 0)
		return control_fail(
		    s, ERR_SYNTAX, "A domain is given as example.org.", "`%.*s` is no domain", SLICE_ARG(given));
	err = sql_read(s->k->directory_db, check_domain, &c);
	if (err == 0 && !c.local)
		return control_fail(s, ERR_NOTFOUND, "`posthouse domain list` shows ours.",
		    "%.*s is not one of our domains", SLICE_ARG(c.name));
	*out = c.name;
	return err;
}

/* Sends a row of the vault's; `brief` without the record itself. *domain and *selector are where to go on. */
static int
send_row(struct control_session *s, struct slice json, bool brief, struct arena *a, struct slice *domain,
    struct slice *selector)
{
	static const char *const long_ones[] = {"created_at", "name", "type", "value", "record"};
	json_t *o = json_loadb((const char *)json.p, json.n, 0, NULL);
	int err;

	if (o == NULL)
		return ERR_INVALID;
	*domain = arena_copy(a, slice_z(json_string_value(json_object_get(o, "domain"))));
	*selector = arena_copy(a, slice_z(json_string_value(json_object_get(o, "selector"))));
	for (size_t i = 0; brief && i < COUNT_OF(long_ones); i++)
		(void)json_object_del(o, long_ones[i]);
	err = control_row(s, o);
	json_decref(o);
	return err;
}

/* A page of keys; *n: how many it had. */
static int
send_page(struct control_session *s, struct bus_vault_dkim_list_request *q, bool brief, struct arena *own, size_t *n)
{
	struct bus_vault_dkim_list_reply rep = {0};
	struct arena a ARENA_CLEANUP;
	int err;

	arena_init(&a, LIST_ARENA_BYTES);
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_dkim_list, q, &a, &rep, CLERK_ASK_MS);
	*n = err == 0 ? rep.json.n : 0;
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	arena_reset(own);
	for (size_t i = 0; err == 0 && i < rep.json.n; i++)
		err = send_row(s, rep.json.v[i], brief, own, &q->after_domain, &q->after_selector);
	return err;
}

/* All keys of a domain with their records. */
static int
send_domain(struct control_session *s, struct slice domain)
{
	struct bus_vault_dkim_list_request q = {.domain = domain};
	struct arena own ARENA_CLEANUP;
	size_t n;

	arena_init(&own, LIST_ARENA_BYTES);
	return send_page(s, &q, false, &own, &n);
}

/* Keys for a domain that never had any. */
static int
make_first(struct control_session *s, struct slice domain)
{
	struct bus_vault_dkim_keys_request q = {.domain = domain, .make = 1};
	struct bus_vault_dkim_keys_reply rep = {0};
	int err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_dkim_keys, &q, &s->arena, &rep, CLERK_ASK_MS);

	return err != 0 ? control_fail_role(s, "vault", err, SLICE_EMPTY) : 0;
}

int
clerk_dkim_show(struct control_session *s, struct slice domain)
{
	int err = make_first(s, domain);

	return err != 0 ? err : send_domain(s, domain);
}

int
clerk_dkim_forget(struct control_session *s, struct slice domain)
{
	struct bus_vault_dkim_change_request q = {.domain = domain, .change = DKIM_FORGET};
	struct bus_vault_dkim_change_reply rep = {0};
	int err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_dkim_change, &q, &s->arena, &rep, CLERK_ASK_MS);

	return err != 0 ? control_fail_role(s, "vault", err, rep.detail) : 0;
}

int
control_run_dkim_list(struct control_session *s)
{
	struct bus_vault_dkim_list_request q = {0};
	struct arena own ARENA_CLEANUP;
	bool all = control_text(&s->request, "domain").n == 0;
	int err = all ? 0 : clerk_named_domain(s, &q.domain);
	size_t n = 1;

	arena_init(&own, LIST_ARENA_BYTES);
	while (err == 0 && n > 0) {
		err = send_page(s, &q, true, &own, &n);
		n = all ? n : 0;
	}
	return err;
}

int
control_run_dkim_show(struct control_session *s)
{
	struct slice domain;
	int err = clerk_named_domain(s, &domain);

	return err != 0 ? err : clerk_dkim_show(s, domain);
}

/* New keys, and then what the domain has. */
static int
add(struct control_session *s, struct bus_vault_dkim_add_request *q)
{
	struct bus_vault_dkim_add_reply rep = {0};
	int err = clerk_named_domain(s, &q->domain);

	if (err != 0)
		return err;
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_dkim_add, q, &s->arena, &rep, CLERK_ASK_MS);
	if (err == 0 && rep.detail.n > 0)
		return control_fail(
		    s, ERR_INVALID, "`posthouse dkim list` shows the keys.", "%.*s", SLICE_ARG(rep.detail));
	return err != 0 ? control_fail_role(s, "vault", err, SLICE_EMPTY) : send_domain(s, q->domain);
}

int
control_run_dkim_add(struct control_session *s)
{
	struct slice algorithm = control_text(&s->request, "algorithm");
	struct bus_vault_dkim_add_request q = {
	    .selector = control_text(&s->request, "selector"), .state = SLICE("active")};

	if (slice_eq(algorithm, SLICE("rsa")))
		q.algorithm = SLICE("rsa-sha256");
	else if (slice_eq(algorithm, SLICE("ed25519")))
		q.algorithm = SLICE("ed25519-sha256");
	else if (algorithm.n > 0)
		return control_fail(
		    s, ERR_INVALID, "Without one, a key of each is made.", "the algorithm is rsa or ed25519");
	return add(s, &q);
}

int
control_run_dkim_import(struct control_session *s)
{
	struct bus_vault_dkim_add_request q = {.selector = control_text(&s->request, "selector"),
	    .pem = control_text(&s->request, "key"),
	    .state = SLICE("active")};

	if (q.selector.n == 0 || q.pem.n == 0)
		return control_fail(s, ERR_INVALID, "The selector is the name under which the key is in the DNS.",
		    "a key has to have a selector and a file");
	return add(s, &q);
}

int
control_run_dkim_rotate(struct control_session *s)
{
	struct bus_vault_dkim_add_request q = {.state = SLICE("next")};

	return add(s, &q);
}

static int
change(struct control_session *s, enum vault_dkim_change what)
{
	struct bus_vault_dkim_change_request q = {.selector = control_text(&s->request, "selector"), .change = what};
	struct bus_vault_dkim_change_reply rep = {0};
	int err = clerk_named_domain(s, &q.domain);

	if (err != 0)
		return err;
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_dkim_change, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err == 0 && rep.detail.n > 0)
		return control_fail(s, ERR_NOTFOUND, "", "%.*s", SLICE_ARG(rep.detail));
	return err != 0 ? control_fail_role(s, "vault", err, SLICE_EMPTY) : send_domain(s, q.domain);
}

int
control_run_dkim_activate(struct control_session *s)
{
	return change(s, DKIM_ACTIVATE);
}

int
control_run_dkim_retire(struct control_session *s)
{
	return change(s, DKIM_RETIRE);
}

int
control_run_dkim_remove(struct control_session *s)
{
	return change(s, DKIM_REMOVE);
}
