#include "role/resolver.h"

#include "role/trust_resolver.h"

struct resolver *
resolver_use(struct resolver *r)
{
	r->users++;
	return r;
}

void
resolver_release(struct resolver **r)
{
	if (--(*r)->users == 0 && (*r)->retired) {
		dns_free(&(*r)->dns);
		free(*r);
	}
	*r = NULL;
}

void
resolver_retire(struct resolver **r)
{
	if (*r == NULL)
		return;
	(*r)->retired = true;
	(*r)->users++;
	resolver_release(r);
}

int
resolver_new(struct resolver **out, struct role_context *c, const struct settings *s, struct buf *detail)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int e;

	*out = NULL;
	if (r == NULL)
		return ERR_NOMEM;
	e = trust_resolver_new(&r->dns, c->loop, s, detail);
	if (e != 0) {
		free(r);
		return e;
	}
	*out = r;
	return 0;
}

void
resolver_status(const struct resolver *r, json_t *into)
{
	struct dns_counters n;

	if (r == NULL)
		return;
	n = dns_counters(r->dns);
	json_object_set_new(into, "dns_questions", json_integer(n.questions));
	json_object_set_new(into, "dns_failed", json_integer(n.failed));
	json_object_set_new(into, "dns_bogus", json_integer(n.bogus));
	json_object_set_new(into, "dns_failing", json_integer(n.failing));
	json_object_set_new(into, "dns_failing_seconds", json_integer(n.failing_s));
}

static bool
same_list(struct slice_list a, struct slice_list b)
{
	bool same = a.n == b.n;

	for (size_t i = 0; same && i < a.n; i++)
		same = slice_eq(a.v[i], b.v[i]);
	return same;
}

static bool
same_dns(const struct settings *a, const struct settings *b)
{
	return same_list(a->dns_forwarders, b->dns_forwarders) && same_list(a->dns_stubs, b->dns_stubs) &&
	    same_list(a->dns_trust_anchors, b->dns_trust_anchors) && same_list(a->dns_insecure, b->dns_insecure) &&
	    slice_eq(a->dns_resolv_conf, b->dns_resolv_conf);
}

int
resolver_reload(struct resolver **r, struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	struct resolver *new;
	int e;

	if (same_dns(c->settings, fresh))
		return 0;
	e = resolver_new(&new, c, fresh, detail);
	if (e != 0)
		return e;
	resolver_retire(r);
	*r = new;
	return 0;
}
