/* porch_metrics.c: who watches the house: GET /metrics and GET /health over HTTP/1.1, on a listener of their own. The porch knows little
 * of either; the clerk, which asks all roles, says both. One request a connection: scrapers come rarely, and few. */
#include "http/http_request.h"
#include "role/listener.h"
#include "role/porch_private.h"

#define REQUEST_MS 15000
#define ASK_MS 9000
#define ANSWER_BYTES ((size_t)8 << 20)
#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"

static int
answer(struct stream *st, int status, const char *type, struct slice body)
{
	int e = stream_printf(st,
	    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sCache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
	    status, http_reason(status), type, body.n, status == 405 ? "Allow: GET\r\n" : "");

	if (e == 0)
		e = stream_write(st, body);
	return e == 0 ? stream_shutdown(st) : e;
}

static int
answer_metrics(struct porch *p, struct stream *st)
{
	struct bus_clerk_metrics_request q;
	struct bus_clerk_metrics_reply rep = {.text = SLICE_EMPTY};
	struct arena a ARENA_CLEANUP;

	arena_init(&a, ANSWER_BYTES);
	memset(&q, 0, sizeof(q));
	if (BUS_CALL(p->c->bus, ROLE_CLERK, 0, clerk_metrics, &q, &a, &rep, ASK_MS) != 0)
		return answer(st, 503, TEXT_PLAIN, SLICE("the clerk does not answer; the log tells why\n"));
	return answer(st, 200, TEXT_METRICS, rep.text);
}

static int
answer_health(struct porch *p, struct stream *st)
{
	struct bus_clerk_health_request q;
	struct bus_clerk_health_reply rep = {.line = SLICE_EMPTY};
	struct arena a ARENA_CLEANUP;

	arena_init(&a, ANSWER_BYTES);
	memset(&q, 0, sizeof(q));
	if (BUS_CALL(p->c->bus, ROLE_CLERK, 0, clerk_health, &q, &a, &rep, ASK_MS) != 0)
		return answer(st, 503, TEXT_PLAIN, SLICE("the clerk does not answer; the log tells why\n"));
	return answer(
	    st, rep.level == HEALTH_CRITICAL ? 503 : 200, TEXT_PLAIN, arena_printf(&a, "%.*s\n", SLICE_ARG(rep.line)));
}

/* An address, localhost or our own name. A browser that a stranger's page has led here by DNS asks for the stranger's name. */
static bool
is_our_name(const struct porch *p, struct slice host)
{
	struct net_address a;

	if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")) && host.n > 2)
		host = slice_range(host, 1, host.n - 1);
	return host.n == 0 || slice_ieq(host, SLICE("localhost")) || slice_ieq(host, p->c->settings->hostname) ||
	    net_address_parse(host, 1, &a) == 0;
}

static int
answer_request(struct porch *p, struct stream *st, struct slice head)
{
	struct http_request r;
	int status = http_request_parse(head, &r);
	bool metrics = slice_eq(r.path, SLICE("/metrics")), health = slice_eq(r.path, SLICE("/health"));

	if (status == 0 && !is_our_name(p, r.host))
		status = 421;
	else if (status == 0 && !metrics && !health)
		status = 404;
	else if (status == 0 && !slice_eq(r.method, SLICE("GET")))
		status = 405;
	p->scrapes++;
	if (status == 421)
		return answer(st, status, TEXT_PLAIN,
		    SLICE("that is not a name of this house: ask by its address, or by its hostname\n"));
	if (status != 0)
		return answer(st, status, TEXT_PLAIN, SLICE("there are GET /metrics and GET /health\n"));
	return metrics ? answer_metrics(p, st) : answer_health(p, st);
}

void
porch_metrics_serve(struct net_session *n)
{
	const struct door *d = n->arg;
	struct porch *p = d->porch;
	struct stream *st STREAM_CLEANUP = n->stream;
	size_t length = 0;
	int e = listener_admit(p->c, d->listener->settings, n);

	n->stream = NULL;
	if (e != 0)
		return;
	stream_set_deadline(st, loop_deadline(p->c->loop, REQUEST_MS));
	while (e == 0 && (length = http_head_length(stream_pending(st))) == 0)
		e = stream_fill(st, HTTP_HEAD_BYTES_MAX);
	if (e == 0)
		e = answer_request(p, st, slice_head(stream_pending(st), length));
	else if (e == ERR_LIMIT)
		e = answer(st, 431, TEXT_PLAIN, SLICE("the head of the request is too long\n"));
	if (e != 0)
		LOG(p->c->house, DEBUG, "metrics_not_told", LOG_E(e));
}
