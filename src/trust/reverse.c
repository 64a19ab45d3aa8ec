#include "trust/reverse.h"

/* What a stranger writes into PTR records ends up in names, headers and the history: only what looks like a host does. */
static bool
is_host(struct slice name)
{
	if (!trust_dns_is_name(name))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = slice_at(name, i);

		if (!ascii_is_alnum(c) && c != '-' && c != '.' && c != '_')
			return false;
	}
	return true;
}

static int
leads_back(const struct trust_dns *dns, const struct client_ip *ip, struct slice name, struct arena *a, bool *yes,
    bool *temporary)
{
	struct trust_answer answer;
	int e = trust_dns_ask(dns, name, client_ip_type(ip), a, &answer);

	if (e != 0)
		return e;
	*yes = false;
	*temporary |= answer.status == TRUST_DNS_TEMPORARY;
	for (size_t i = 0; i < answer.n && !*yes; i++)
		*yes = client_ip_within(ip, answer.v[i].data, (unsigned)ip->n * 8);
	return 0;
}

int
reverse_look(const struct trust_dns *dns, const struct client_ip *ip, struct arena *a, struct reverse *out)
{
	struct slice name = client_ip_reverse_name(ip, a), *v = ARENA_ARRAY(a, struct slice, REVERSE_NAMES_MAX);
	struct trust_answer answer;
	size_t n = 0;
	int e;

	*out = (struct reverse){.status = TRUST_DNS_TEMPORARY};
	if (v == NULL || arena_failed(a))
		return ERR_NOMEM;
	e = trust_dns_ask(dns, name, TRUST_DNS_PTR, a, &answer);
	if (e != 0)
		return e;
	out->status = answer.status;
	for (size_t i = 0; i < answer.n && i < REVERSE_NAMES_MAX; i++) {
		bool yes;

		if (!is_host(answer.v[i].data))
			continue;
		if (out->first.n == 0)
			out->first = answer.v[i].data;
		e = leads_back(dns, ip, answer.v[i].data, a, &yes, &out->temporary);
		if (e != 0)
			return e;
		if (yes)
			v[n++] = answer.v[i].data;
	}
	out->names = (struct slice_list){v, n};
	return 0;
}

int
iprev_check(const struct trust_dns *dns, const struct net_address *client, struct arena *a, struct iprev_result *out)
{
	char text[CLIENT_IP_TEXT_MAX];
	struct client_ip ip;
	struct reverse r;
	int e = client_ip_of(client, &ip);

	*out = (struct iprev_result){.result = TRUST_TEMPERROR};
	if (e == 0)
		e = reverse_look(dns, &ip, a, &r);
	if (e != 0)
		return e;
	client_ip_text(&ip, text);
	out->name = r.first;
	if (r.names.n > 0) {
		out->result = TRUST_PASS;
		out->name = r.names.v[0];
		out->reason = arena_printf(a, "%s is %.*s, and that name leads back to it", text, SLICE_ARG(out->name));
	} else if (r.status == TRUST_DNS_TEMPORARY) {
		out->reason = arena_printf(a, "the name of %s could not be looked up", text);
	} else if (r.first.n == 0) {
		out->result = TRUST_PERMERROR;
		out->reason = arena_printf(a, "%s has no name in DNS", text);
	} else if (r.temporary) {
		out->reason = arena_printf(
		    a, "%s says it is %.*s, whose addresses could not be looked up", text, SLICE_ARG(r.first));
	} else {
		out->result = TRUST_FAIL;
		out->reason = arena_printf(
		    a, "%s says it is %.*s, but that name does not lead back to it", text, SLICE_ARG(r.first));
	}
	return arena_failed(a) ? ERR_NOMEM : 0;
}
