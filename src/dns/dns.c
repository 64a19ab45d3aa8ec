/* dns.c: questions to libunbound. It resolves in a thread of its own; answers come over its descriptor to the
 * loop, and wake the fiber that asked. Its functions need deep stacks (66 KB to take over options), so that they are called
 * on the loop's stack or on a thread's, never on a fiber's. */
#include "dns/dns.h"

#include "base/log.h"

#include <idn2.h>
#include <pthread.h>
#include <unbound.h>
#include <uv.h>

#define NAME_MAX_BYTES 253 /* of a domain name in text (RFC 1035 §2.3.4) */

struct dns {
	struct loop *loop;
	struct house *house;
	struct ub_ctx *ctx;
	uv_poll_t *poll; /* NULL before dns_start() */
	size_t pending;  /* questions that unbound works on */
	struct dns_counters counters;
	int64_t failing_since_ms; /* with counters.failing > 0 */
};

/* One question. Belongs to its fiber, until the fiber gives up while the question waits to be started. */
struct query {
	struct dns *d;
	struct fiber *fiber;
	struct loop_job job;
	struct ub_result *result; /* owned */
	int type;
	int error; /* of unbound */
	int async_id;
	bool started, done, abandoned;
	char name[NAME_MAX_BYTES + 2];
};

/* ---- setting up ----------------------------------------------------------------------------------------- */

/* Says in `detail` what unbound did not like. */
static int
check(int ub_error, struct buf *detail, const char *what, struct slice value)
{
	if (ub_error == 0)
		return 0;
	buf_printf(detail, "DNS: %s %.*s: %s", what, SLICE_ARG(value), ub_strerror(ub_error));
	return ERR_INVALID;
}

static int
set_option(struct ub_ctx *ctx, const char *option, const char *value, struct buf *detail)
{
	return check(ub_ctx_set_option(ctx, option, value), detail, option, slice_z(value));
}

/* A NUL-terminated copy for unbound, at most 1,000 bytes. */
static int
to_z(struct slice s, char out[1001], struct buf *detail, const char *what)
{
	int e = slice_to_z(s, out, 1001);

	if (e != 0)
		buf_printf(detail, "DNS: %s: %s", what, err_text(e));
	return e;
}

/* "zone=address@port" */
static int
add_stub(struct ub_ctx *ctx, struct slice stub, struct buf *detail)
{
	char zone[1001], address[1001];
	struct slice rest = stub, name = slice_cut(&rest, '=');
	int e = to_z(slice_trim(name), zone, detail, "stub");

	if (e == 0)
		e = to_z(slice_trim(rest), address, detail, "stub");
	return e != 0 ? e : check(ub_ctx_set_stub(ctx, zone, address, 0), detail, "stub", stub);
}

/* Unbound answers for some zones itself (RFC 6761: test., 127.in-addr.arpa. and others). What somebody names as a
 * stub is asked there. Called last: it makes unbound take over its options. */
static int
open_local_zones(struct ub_ctx *ctx, struct slice stub, struct buf *detail)
{
	struct slice rest = stub, zone = slice_trim(slice_cut(&rest, '='));
	char z[1001];

	while (zone.n > 0) {
		int e = to_z(zone, z, detail, "stub");

		if (e == 0)
			e = check(ub_ctx_zone_remove(ctx, z), detail, "zone", zone);
		if (e != 0)
			return e;
		(void)slice_cut(&zone, '.');
	}
	return 0;
}

static int
set_servers(struct ub_ctx *ctx, const struct dns_config *c, struct buf *detail)
{
	char z[1001];
	int e = 0;

	for (size_t i = 0; e == 0 && i < c->forwarders.n; i++) {
		e = to_z(c->forwarders.v[i], z, detail, "forwarder");
		if (e == 0)
			e = check(ub_ctx_set_fwd(ctx, z), detail, "forwarder", c->forwarders.v[i]);
	}
	if (e == 0 && c->forwarders.n == 0 && c->resolv_conf != NULL)
		e = check(ub_ctx_resolvconf(ctx, c->resolv_conf), detail, "could not read", slice_z(c->resolv_conf));
	for (size_t i = 0; e == 0 && i < c->stubs.n; i++)
		e = add_stub(ctx, c->stubs.v[i], detail);
	for (size_t i = 0; e == 0 && i < c->trust_anchors.n; i++) {
		e = to_z(c->trust_anchors.v[i], z, detail, "trust anchor");
		if (e == 0)
			e = check(ub_ctx_add_ta(ctx, z), detail, "trust anchor", c->trust_anchors.v[i]);
	}
	for (size_t i = 0; e == 0 && i < c->insecure.n; i++) {
		e = to_z(c->insecure.v[i], z, detail, "insecure zone");
		if (e == 0)
			e = set_option(ctx, "domain-insecure:", z, detail);
	}
	return e;
}

static int
configure(struct ub_ctx *ctx, const struct dns_config *c, struct buf *detail)
{
	/* Resolvers and stub zones may be on this machine; private address ranges are as good as others. */
	static const char *const options[][2] = {{"do-not-query-localhost:", "no"}, {"unblock-lan-zones:", "yes"},
	    {"insecure-lan-zones:", "yes"}, {"outgoing-range:", "512"}, {"num-queries-per-thread:", "512"},
	    {"serve-expired:", "no"}};
	/* Its own lines on stderr would mix with the log's. */
	int e = check(ub_ctx_debugout(ctx, NULL), detail, "debug output", SLICE_EMPTY);

	for (size_t i = 0; e == 0 && i < COUNT_OF(options); i++)
		e = set_option(ctx, options[i][0], options[i][1], detail);
	if (e == 0)
		e = set_servers(ctx, c, detail);
	if (e == 0)
		e = check(ub_ctx_async(ctx, 1), detail, "threads", SLICE_EMPTY);
	if (e == 0)
		e = open_local_zones(ctx, SLICE("test"), detail);
	for (size_t i = 0; e == 0 && i < c->stubs.n; i++)
		e = open_local_zones(ctx, c->stubs.v[i], detail);
	return e;
}

/* Making and unmaking a context on a thread's stack: rare, and over in milliseconds, so that the caller just waits. */
struct context_work {
	struct ub_ctx *ctx;
	const struct dns_config *config; /* NULL: delete the context */
	struct buf *detail;
	int err;
};

static void *
context_main(void *arg)
{
	struct context_work *w = arg;

	if (w->config == NULL) {
		ub_ctx_delete(w->ctx);
		return NULL;
	}
	w->ctx = ub_ctx_create();
	w->err = w->ctx == NULL ? ERR_NOMEM : configure(w->ctx, w->config, w->detail);
	return NULL;
}

static int
context_run(struct context_work *w)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, context_main, w) != 0)
		return ERR_NOMEM;
	ASSERT(pthread_join(thread, NULL) == 0);
	return w->err;
}

int
dns_new(struct dns **out, struct loop *l, const struct dns_config *c, struct buf *detail)
{
	struct context_work w = {.config = c, .detail = detail};
	struct dns *d = calloc(1, sizeof(*d));
	int e;

	*out = NULL;
	if (d == NULL)
		return ERR_NOMEM;
	d->loop = l;
	d->house = loop_house(l);
	e = context_run(&w);
	d->ctx = w.ctx;
	if (e != 0)
		dns_free(&d);
	*out = d;
	return e;
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	struct dns *d = poll->data;

	(void)status;
	(void)events;
	(void)ub_process(d->ctx);
}

int
dns_start(struct dns *d)
{
	if (d->poll != NULL)
		return 0;
	d->poll = calloc(1, sizeof(*d->poll));
	if (d->poll == NULL)
		return ERR_NOMEM;
	if (uv_poll_init(loop_uv(d->loop), d->poll, ub_fd(d->ctx)) != 0) {
		free(d->poll);
		d->poll = NULL;
		return ERR_IO;
	}
	d->poll->data = d;
	/* Does not keep the loop running while nothing is asked. */
	uv_unref((uv_handle_t *)d->poll);
	return uv_poll_start(d->poll, UV_READABLE, on_readable) != 0 ? ERR_IO : 0;
}

static void
on_closed(uv_handle_t *h)
{
	free(h);
}

void
dns_free(struct dns **d)
{
	if (*d == NULL)
		return;
	ASSERT((*d)->pending == 0);
	if ((*d)->poll != NULL)
		uv_close((uv_handle_t *)(*d)->poll, on_closed);
	/* Without a thread it stays until the process ends. */
	if ((*d)->ctx != NULL && context_run(&(struct context_work){.ctx = (*d)->ctx}) != 0)
		LOG((*d)->house, WARN, "dns_context_left", LOG_I("pending", (*d)->pending));
	free(*d);
	*d = NULL;
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

/* The name as unbound wants it: ASCII, without escapes. */
static int
name_to_z(struct slice name, char out[NAME_MAX_BYTES + 2])
{
	char utf8[1001], *ascii = NULL;
	struct slice text;
	int e;

	if (!slice_is_ascii(name)) {
		if (!slice_is_utf8(name, true) || slice_to_z(name, utf8, sizeof(utf8)) != 0)
			return ERR_INVALID;
		e = idn2_to_ascii_8z(utf8, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
		if (e == IDN2_MALLOC)
			return ERR_NOMEM;
		if (e != IDN2_OK)
			return ERR_INVALID;
		name = slice_z(ascii);
	}
	if (slice_ends(name, SLICE(".")))
		name = slice_head(name, name.n - 1);
	e = name.n == 0 || slice_to_z(name, out, NAME_MAX_BYTES + 1) != 0 ? ERR_INVALID : 0;
	for (text = name; e == 0 && text.p != NULL;) {
		struct slice label = slice_cut(&text, '.');

		if (label.n == 0 || label.n > 63)
			e = ERR_INVALID;
		for (size_t i = 0; i < label.n; i++)
			if (slice_at(label, i) <= ' ' || slice_at(label, i) > 126 || slice_at(label, i) == '\\')
				e = ERR_INVALID;
	}
	idn2_free(ascii);
	return e;
}

static void
query_free(struct query *q)
{
	if (q->result != NULL)
		ub_resolve_free(q->result);
	free(q);
}

static void
query_ends(struct query *q)
{
	q->done = true;
	if (q->started && --q->d->pending == 0)
		uv_unref((uv_handle_t *)q->d->poll);
}

static void
on_answer(void *arg, int error, struct ub_result *result)
{
	struct query *q = arg;

	q->error = error;
	q->result = result;
	query_ends(q);
	fiber_wake(q->fiber);
}

/* On the loop's stack. */
static void
query_start(void *arg)
{
	struct query *q = arg;

	if (q->abandoned) {
		query_free(q);
		return;
	}
	q->error = ub_resolve_async(q->d->ctx, q->name, q->type, 1, q, on_answer, &q->async_id);
	if (q->error != 0) {
		q->done = true;
		fiber_wake(q->fiber);
		return;
	}
	q->started = true;
	if (q->d->pending++ == 0)
		uv_ref((uv_handle_t *)q->d->poll);
}

static int
answer_copy(const struct query *q, struct arena *a, struct dns_answer *out)
{
	const struct ub_result *r = q->result;
	size_t max = (size_t)q->d->house->limits.dns_records, n = 0;
	struct slice *v;

	if (q->error != 0 || r == NULL)
		return 0;
	if (r->bogus) {
		out->status = DNS_BOGUS;
		LOG(q->d->house, WARN, "dns_bogus", LOG_Z("name", q->name), LOG_I("type", q->type),
		    LOG_Z("why", r->why_bogus));
		return 0;
	}
	out->secure = r->secure != 0;
	out->ttl_s = r->ttl < 0 ? 0 : (uint32_t)r->ttl;
	if (!r->havedata) {
		out->status = r->nxdomain ? DNS_NXDOMAIN : r->rcode == 0 ? DNS_NODATA : DNS_TEMPFAIL;
		return 0;
	}
	while (n < max && r->data[n] != NULL)
		n++;
	v = ARENA_ARRAY(a, struct slice, n);
	if (v == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		v[i] = arena_copy(a, slice_of(r->data[i], (size_t)r->len[i]));
	out->rdata = (struct slice_list){v, n};
	if (r->canonname != NULL)
		out->canonical = arena_copy(a, slice_z(r->canonname));
	out->status = DNS_OK;
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static void
count_answer(struct dns *d, enum dns_status status)
{
	bool failed = status == DNS_TEMPFAIL || status == DNS_BOGUS;

	d->counters.questions++;
	d->counters.failed += status == DNS_TEMPFAIL;
	d->counters.bogus += status == DNS_BOGUS;
	if (failed && d->counters.failing++ == 0)
		d->failing_since_ms = loop_now_ms(d->loop);
	else if (!failed)
		d->counters.failing = 0;
}

struct dns_counters
dns_counters(const struct dns *d)
{
	struct dns_counters n = d->counters;

	n.failing_s = n.failing > 0 ? (loop_now_ms(d->loop) - d->failing_since_ms) / 1000 : 0;
	return n;
}

int
dns_ask(
    struct dns *d, struct slice name, enum dns_type type, struct arena *a, int64_t deadline_ms, struct dns_answer *out)
{
	struct query *q;
	int64_t limit = loop_deadline(d->loop, d->house->limits.dns_timeout_ms);
	int e = 0;

	*out = (struct dns_answer){.status = DNS_TEMPFAIL};
	ASSERT(d->poll != NULL);
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return ERR_NOMEM;
	e = name_to_z(name, q->name);
	if (e != 0) {
		free(q);
		return e;
	}
	q->d = d;
	q->type = (int)type;
	q->fiber = fiber_self(d->loop);
	q->job = (struct loop_job){.fn = query_start, .arg = q};
	loop_post(d->loop, &q->job);
	while (!q->done && e == 0)
		e = fiber_park(d->loop, deadline_ms < limit ? deadline_ms : limit);
	if (!q->done && !q->started) {
		q->abandoned = true;
		if (e == ERR_TIMEOUT)
			count_answer(d, DNS_TEMPFAIL);
		return e == ERR_TIMEOUT ? 0 : e;
	}
	if (!q->done) {
		(void)ub_cancel(d->ctx, q->async_id);
		query_ends(q);
	} else if (e == 0) {
		e = answer_copy(q, a, out);
	}
	query_free(q);
	/* Who stopped waiting by himself has not learned anything. */
	if (e == 0 || e == ERR_TIMEOUT)
		count_answer(d, out->status);
	return e == ERR_TIMEOUT ? 0 : e;
}
