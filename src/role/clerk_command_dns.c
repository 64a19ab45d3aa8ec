/* clerk_command_dns.c: `dns` on the control socket: the records that a domain of ours should have in DNS, its policy for encryption (MTA-STS),
 * and, where it is asked for, what DNS says now. The keys are the vault's, the questions a courier's. */
#include "message/mailbox.h"
#include "role/clerk_private.h"
#include "trust/dns_advice.h"

#define DNS_MS 60000
#define POLICY_MAX_AGE_S 604800

struct dns_command {
	struct control_session *s;
	struct slice domain, host;
	bool check;
};

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static const char *
state_name(int64_t state)
{
	return state == ADVICE_RIGHT  ? "right"
	    : state == ADVICE_WRONG   ? "wrong"
	    : state == ADVICE_MISSING ? "missing"
				      : "unknown";
}

static int
add_check(struct dns_command *d, json_t *row, const char *kind, struct slice name, struct slice value)
{
	struct bus_courier_advice_request q = {slice_z(kind), name, value};
	struct bus_courier_advice_reply rep = {0};
	int e = BUS_CALL(d->s->k->c->bus, ROLE_COURIER, 0, courier_advice, &q, &d->s->arena, &rep, DNS_MS);

	if (e == ERR_CANCELLED || e == ERR_NOMEM)
		return e;
	control_set_text(row, "state", slice_z(e == 0 ? state_name(rep.state) : "unknown"));
	control_set_text(row, "found", rep.found);
	control_set_text(row, "told", e == 0 ? rep.told : SLICE("the courier, which asks DNS, did not answer"));
	if (rep.todo.n > 0)
		control_set_text(row, "todo", rep.todo);
	return 0;
}

/* need: "required", "recommended" or "optional". `record`: the line of a zone file; empty: NAME. TYPE VALUE. */
struct dns_row {
	const char *kind, *type, *need, *why;
	struct slice name, value, record;
};

static int
send_record(struct dns_command *d, const struct dns_row *r)
{
	bool text = strcmp(r->type, "TXT") == 0, host = slice_eq(slice_z(r->kind), SLICE("address"));
	struct slice record = r->record.n > 0 ? r->record
					      : arena_printf(&d->s->arena, text ? "%.*s. %s \"%.*s\"" : "%.*s. %s %.*s",
						    SLICE_ARG(r->name), r->type, SLICE_ARG(r->value));
	json_t *row = json_object();
	int e = 0;

	control_set_text(row, "name", r->name);
	control_set_text(row, "type", slice_z(r->type));
	control_set_text(row, "value", r->value);
	if (!host)
		control_set_text(row, "record", record);
	control_set_text(row, "need", slice_z(r->need));
	control_set_text(row, "why", slice_z(r->why));
	if (d->check)
		e = add_check(d, row, r->kind, r->name, r->value);
	if (e == 0)
		e = control_row(d->s, row);
	json_decref(row);
	return e;
}

/* ---- records ------------------------------------------------------------------------------------------------------- */

static int
send_way_in(struct dns_command *d)
{
	struct arena *a = &d->s->arena;
	const struct dns_row rows[] = {
	    {"mx", "MX", "required", "where mail for the domain goes", d->domain,
		arena_printf(a, "10 %.*s.", SLICE_ARG(d->host)), SLICE_EMPTY},
	    {"address", "A/AAAA", "required",
		"where this house is; and its addresses should lead back to its name (PTR)", d->host,
		SLICE("the addresses of this machine"), SLICE_EMPTY},
	    {"spf", "TXT", "required", "which servers may send for the domain (SPF)", d->domain,
		SLICE("v=spf1 mx -all"), SLICE_EMPTY},
	    {"spf", "TXT", "recommended", "the same for the house's own name, in which it reports failures", d->host,
		SLICE("v=spf1 a -all"), SLICE_EMPTY},
	};
	int e = 0;

	/* A house whose name is the domain has one SPF record. */
	for (size_t i = 0; e == 0 && i < COUNT_OF(rows) - (slice_ieq(d->host, d->domain) ? 1 : 0); i++)
		e = send_record(d, &rows[i]);
	return e;
}

/* A row of the vault's. */
static int
send_key(struct dns_command *d, struct slice json)
{
	json_t *o = json_loadb((const char *)json.p, json.n, 0, NULL);
	struct slice state = slice_z(json_string_value(json_object_get(o, "state")));
	struct dns_row r = {
	    .kind = "dkim", .type = "TXT", .need = "required", .why = "the key with which mail is signed (DKIM)"};
	int e = 0;

	if (o == NULL)
		return ERR_INVALID;
	r.name = slice_z(json_string_value(json_object_get(o, "name")));
	r.value = slice_z(json_string_value(json_object_get(o, "value")));
	r.record = slice_z(json_string_value(json_object_get(o, "record")));
	if (slice_eq(state, SLICE("next")))
		r.why = "the key with which mail will be signed (DKIM)";
	if (slice_eq(state, SLICE("next")) || slice_eq(state, SLICE("active")))
		e = send_record(d, &r);
	json_decref(o);
	return e;
}

static int
send_keys(struct dns_command *d)
{
	struct bus_vault_dkim_keys_request first = {.domain = d->domain, .make = 1};
	struct bus_vault_dkim_keys_reply made = {0};
	struct bus_vault_dkim_list_request q = {.domain = d->domain};
	struct bus_vault_dkim_list_reply rep = {0};
	struct bus *b = d->s->k->c->bus;
	int e = BUS_CALL(b, ROLE_VAULT, 0, vault_dkim_keys, &first, &d->s->arena, &made, CLERK_ASK_MS);

	if (e == 0)
		e = BUS_CALL(b, ROLE_VAULT, 0, vault_dkim_list, &q, &d->s->arena, &rep, CLERK_ASK_MS);
	if (e != 0)
		return control_fail_role(d->s, "vault", e, SLICE_EMPTY);
	for (size_t i = 0; e == 0 && i < rep.json.n; i++)
		e = send_key(d, rep.json.v[i]);
	return e;
}

/* Who reads reports about the domain: where reports are sent from, as far as that is of the domain. */
static struct slice
reader_of_reports(struct dns_command *d)
{
	struct slice sender = d->s->k->c->settings->report_sender;
	size_t at = slice_rfind_byte(sender, '@');

	if (at != SLICE_NONE && slice_ieq(slice_from(sender, at + 1), d->domain))
		return sender;
	return arena_printf(&d->s->arena, "postmaster@%.*s", SLICE_ARG(d->domain));
}

/* RFC 8461 §3.2. Testing comes first: then a mistake costs no mail. */
static int
send_policy(struct dns_command *d, struct slice policy)
{
	struct slice name = arena_printf(
	    &d->s->arena, "https://mta-sts.%.*s/.well-known/mta-sts.txt", SLICE_ARG(d->domain));
	json_t *row = json_object(), *lines = json_array();
	struct slice rest = policy;
	int e = 0;

	control_set_text(row, "name", name);
	control_set_text(row, "type", SLICE("file"));
	control_set_text(row, "value", policy);
	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');

		(void)json_array_append_new(lines, json_stringn((const char *)line.p, line.n));
	}
	(void)json_object_set_new(row, "lines", lines);
	control_set_text(row, "need", SLICE("recommended"));
	control_set_text(row, "why",
	    SLICE("the policy for encryption of mail to the domain, for a web server with a certificate of that name; "
		  "once "
		  "reports show no failures, write enforce instead of testing and change the id in _mta-sts"));
	if (d->check)
		e = add_check(d, row, "policy", d->domain, SLICE_EMPTY);
	if (e == 0)
		e = control_row(d->s, row);
	json_decref(row);
	return e;
}

static int
send_policies(struct dns_command *d)
{
	struct arena *a = &d->s->arena;
	struct slice reader = reader_of_reports(d), digest = SLICE_EMPTY;
	struct slice policy = arena_printf(
	    a, "version: STSv1\nmode: testing\nmx: %.*s\nmax_age: %d\n", SLICE_ARG(d->host), POLICY_MAX_AGE_S);
	struct bus_vault_tlsa_request q = {d->host};
	struct bus_vault_tlsa_reply rep = {0};
	int e = BUS_CALL(d->s->k->c->bus, ROLE_VAULT, 0, vault_tlsa, &q, a, &rep, CLERK_ASK_MS);
	const struct dns_row rows[] = {
	    {"dmarc", "TXT", "required", "what is to become of mail in the domain's name that is not from it (DMARC)",
		arena_printf(a, "_dmarc.%.*s", SLICE_ARG(d->domain)),
		arena_printf(a, "v=DMARC1; p=quarantine; rua=mailto:%.*s", SLICE_ARG(reader)), SLICE_EMPTY},
	    {"tls-report", "TXT", "recommended", "who is told when encryption of mail to the domain fails",
		arena_printf(a, "_smtp._tls.%.*s", SLICE_ARG(d->domain)),
		arena_printf(a, "v=TLSRPTv1; rua=mailto:%.*s", SLICE_ARG(reader)), SLICE_EMPTY},
	    {"mta-sts", "TXT", "recommended",
		"that there is a policy for encryption (MTA-STS); a new id for each change of it",
		arena_printf(a, "_mta-sts.%.*s", SLICE_ARG(d->domain)),
		arena_printf(a, "v=STSv1; id=%016llx", (unsigned long long)slice_hash(policy, 1)), SLICE_EMPTY},
	};

	if (e == 0)
		digest = rep.digest;
	else if (e != ERR_NOTFOUND)
		return control_fail_role(d->s, "vault", e, SLICE_EMPTY);
	e = 0;
	for (size_t i = 0; e == 0 && i < COUNT_OF(rows); i++)
		e = send_record(d, &rows[i]);
	if (e == 0)
		e = send_policy(d, policy);
	if (e == 0 && digest.n > 0)
		e = send_record(d,
		    &(struct dns_row){"tlsa", "TLSA", "optional",
			"the key of the house's certificate (DANE), where the zone is signed with DNSSEC",
			arena_printf(a, "_25._tcp.%.*s", SLICE_ARG(d->host)),
			arena_printf(a, "3 1 1 %.*s", SLICE_ARG(digest)), SLICE_EMPTY});
	return e;
}

/* RFC 6186, RFC 8314 §5.1: what is encrypted from the start comes first. */
static int
send_services(struct dns_command *d)
{
	static const struct {
		enum listen_service service;
		const char *name;
		int priority;
	} services[] = {
	    {LISTEN_SUBMISSIONS, "_submissions", 0},
	    {LISTEN_SUBMISSION, "_submission", 10},
	    {LISTEN_IMAPS, "_imaps", 0},
	    {LISTEN_IMAP, "_imap", 10},
	    {LISTEN_POP3S, "_pop3s", 20},
	    {LISTEN_POP3, "_pop3", 30},
	};
	const struct settings *s = d->s->k->c->settings;
	int e = 0;

	for (size_t i = 0; e == 0 && i < COUNT_OF(services); i++)
		for (size_t k = 0; k < s->listeners_count; k++) {
			const struct listen_settings *l = &s->listeners[k];

			if (l->service != services[i].service)
				continue;
			e = send_record(d,
			    &(struct dns_row){"srv", "SRV", "optional",
				"where mail programs find the service by themselves",
				arena_printf(&d->s->arena, "%s._tcp.%.*s", services[i].name, SLICE_ARG(d->domain)),
				arena_printf(&d->s->arena, "%d 1 %u %.*s.", services[i].priority, (unsigned)l->port,
				    SLICE_ARG(d->host)),
				SLICE_EMPTY});
			break;
		}
	return e;
}

int
control_run_dns(struct control_session *s)
{
	CLERK_ENTER(s->k);
	struct dns_command d = {
	    .s = s, .host = s->k->c->settings->hostname, .check = control_bool(&s->request, "check")};
	int e = clerk_named_domain(s, &d.domain);

	if (e == 0)
		e = send_way_in(&d);
	if (e == 0)
		e = send_keys(&d);
	if (e == 0)
		e = send_policies(&d);
	if (e == 0)
		e = send_services(&d);
	return e == 0 && arena_failed(&s->arena) ? ERR_NOMEM : e;
}
