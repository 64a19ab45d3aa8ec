/* courier.c: the role that goes out. The clerk asks it to carry one message to one destination; it finds the hosts,
 * tries them in order, and answers with what each recipient met. It keeps nothing: when it dies, the clerk tries
 * again. */
#include "role/courier_private.h"

#include "base/log.h"
#include "role/keeper.h"

#define FILE_THREADS 2
#define FILE_QUEUE 1000
#define CA_FILE_MAX ((size_t)4 << 20)
#define REFRESH_MS (60 * 60 * 1000)

/* ---- the role --------------------------------------------------------------------------------------------- */

static void
stop_all(struct courier *k)
{
	if (k->refresher != NULL) {
		fiber_cancel(k->refresher);
		fiber_join(k->c->loop, &k->refresher);
	}
	courier_pool_stop(&k->pool);
	courier_tally_stop(&k->tally);
}

static void
courier_free(struct courier **k)
{
	if (*k == NULL)
		return;
	stop_all(*k);
	courier_sts_free(&(*k)->sts);
	resolver_retire(&(*k)->resolver);
	workers_free(&(*k)->workers);
	tls_client_free(&(*k)->tls_any);
	tls_client_free(&(*k)->tls_checked);
	buf_free(&(*k)->ca_pem);
	free(*k);
	*k = NULL;
}

/* Before the sandbox: roots of the settings may lie anywhere. */
static int
warm(struct role_context *c, struct buf *detail)
{
	struct courier *k = calloc(1, sizeof(*k));
	char path[HOUSE_PATH_BYTES];
	int e = 0;

	if (k == NULL)
		return ERR_NOMEM;
	k->c = c;
	c->state = k;
	buf_init(&k->ca_pem, CA_FILE_MAX);
	if (c->settings->send_ca_file.n > 0) {
		e = slice_to_z(c->settings->send_ca_file, path, sizeof(path));
		if (e == 0)
			e = house_read_file(path, CA_FILE_MAX, &k->ca_pem, detail);
	}
	return e;
}

static int
start_tls(struct courier *k, struct buf *detail)
{
	struct tls_client_config any = {.opportunistic = true},
				 checked = {.verify = true, .ca_pem = buf_slice(&k->ca_pem)};
	struct buf why BUF_CLEANUP;
	int e = tls_client_new(&k->tls_any, k->c->loop, &any, detail);

	buf_init(&why, 1000);
	if (e != 0)
		return e;
	e = tls_client_new(&k->tls_checked, k->c->loop, &checked, &why);
	if (e == 0 || e == ERR_NOMEM)
		return e;
	if (k->ca_pem.n > 0) {
		buf_printf(detail, "[send] ca_file: %.*s", SLICE_ARG(buf_slice(&why)));
		return e;
	}
	/* Mail goes out without them, except to domains that ask for more: those wait. */
	LOG(k->c->house, WARN, "no_root_certificates", LOG_S("why", buf_slice(&why)));
	checked.no_roots = true;
	return tls_client_new(&k->tls_checked, k->c->loop, &checked, detail);
}

static void
refresh(void *arg)
{
	struct courier *k = arg;

	while (fiber_sleep(k->c->loop, REFRESH_MS) == 0) {
		struct resolver *resolver = resolver_use(k->resolver);

		courier_sts_refresh(&k->sts, resolver->dns);
		resolver_release(&resolver);
	}
}

static int
start(struct role_context *c, struct buf *detail)
{
	struct courier *k = c->state;
	int e;

	waitq_init(&k->slots);
	e = resolver_new(&k->resolver, c, c->settings, detail);
	if (e == 0)
		e = workers_new(&k->workers, c->loop, "courier-file", FILE_THREADS, FILE_QUEUE);
	if (e == 0)
		e = workers_start(k->workers);
	if (e == 0)
		e = start_tls(k, detail);
	if (e == 0)
		e = courier_pool_start(&k->pool, c->loop);
	if (e == 0)
		e = courier_tally_start(&k->tally, c);
	if (e == 0)
		courier_sts_init(&k->sts, c, k->tls_checked);
	if (e == 0 && c->index == 0 && !c->quiet)
		e = fiber_start(c->loop, "courier-sts", refresh, k, &k->refresher);
	if (e != 0) {
		courier_free(&k);
		c->state = NULL;
		return e;
	}
	BUS_HANDLE(c->bus, courier_send, courier_on_send, k);
	BUS_HANDLE(c->bus, courier_report_places, courier_on_report_places, k);
	BUS_HANDLE(c->bus, courier_report_post, courier_on_report_post, k);
	BUS_HANDLE(c->bus, courier_report_addresses, courier_on_report_addresses, k);
	BUS_HANDLE(c->bus, courier_advice, courier_on_advice, k);
	return 0;
}

static void
status(struct role_context *c, json_t *into)
{
	const struct courier *k = c->state;

	json_object_set_new(into, "sending", json_integer((json_int_t)k->active));
	json_object_set_new(into, "attempts", json_integer((json_int_t)k->attempts));
	json_object_set_new(into, "connections", json_integer((json_int_t)k->connections));
	json_object_set_new(into, "connections_reused", json_integer((json_int_t)k->pool.reused));
	json_object_set_new(into, "connections_waiting", json_integer((json_int_t)k->pool.count));
	json_object_set_new(into, "sts_policies_fetched", json_integer((json_int_t)k->sts.fetched));
	json_object_set_new(into, "sts_policies_failed", json_integer((json_int_t)k->sts.failed));
	json_object_set_new(into, "attempts_over_tls", json_integer((json_int_t)k->over_tls));
	json_object_set_new(into, "recipients_sent", json_integer((json_int_t)k->recipients_sent));
	json_object_set_new(into, "recipients_deferred", json_integer((json_int_t)k->recipients_deferred));
	json_object_set_new(into, "recipients_failed", json_integer((json_int_t)k->recipients_failed));
	resolver_status(k->resolver, into);
}

static int
reload(struct role_context *c, const struct settings *fresh, struct buf *detail)
{
	struct courier *k = c->state;

	return resolver_reload(&k->resolver, c, fresh, detail);
}

static void
shut_down(struct role_context *c, int64_t grace_ms)
{
	struct courier *k = c->state;
	int64_t end_ms = loop_deadline(c->loop, grace_ms);

	/* What is under way may finish: a message that the remote has taken should be known as taken. */
	k->stopping = true;
	waitq_wake_all(&k->slots);
	while (k->active > 0 && loop_now_ms(c->loop) < end_ms)
		if (fiber_sleep(c->loop, 20) != 0)
			break;
	stop_all(k);
	/* Its memory goes with the process: requests may still come in. */
}

const struct role_ops role_courier_ops = {
    .role = ROLE_COURIER, .warm = warm, .start = start, .status = status, .reload = reload, .shutdown = shut_down};
