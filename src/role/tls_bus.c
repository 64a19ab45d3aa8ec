#include "role/tls_bus.h"

#include "base/log.h"

#define CALL_MS 10000
#define RENEW_MS (60 * 60 * 1000) /* the vault rotates ticket keys more slowly than this */
#define RETRY_MS 10000
#define REPLY_BYTES_MAX (8 << 20)

struct tls_bus {
	struct loop *loop;
	struct bus *bus;
	struct tls_server *server;
	struct fiber *renewer;
};

/* Signing is harmless to repeat: a vault that was restarted meanwhile signs as well. */
static int
sign(void *arg, struct slice key_id, enum tls_sign_kind kind, struct slice input, struct buf *signature)
{
	struct tls_bus *t = arg;
	ARENA_CLEANUP struct arena a;
	struct bus_vault_sign_request q = {.key_id = key_id, .kind = kind, .input = input};
	struct bus_vault_sign_reply rep = {0};
	int e;

	arena_init(&a, 65536);
	e = bus_call_again(t->bus, ROLE_VAULT, 0, BUS_vault_sign, &q, &a, &rep, CALL_MS);
	if (e != 0)
		return e;
	buf_put(signature, rep.signature);
	return signature->err;
}

/* "a.test b.test" */
static int
split_names(struct slice text, struct arena *a, struct slice_list *out)
{
	size_t max = 1;
	struct slice *v;

	*out = (struct slice_list){NULL, 0};
	for (size_t i = 0; i < text.n; i++)
		max += slice_at(text, i) == ' ';
	v = ARENA_ARRAY(a, struct slice, max);
	if (v == NULL)
		return ERR_NOMEM;
	out->v = v;
	while (text.n > 0) {
		struct slice name = slice_cut(&text, ' ');

		if (name.n > 0)
			v[out->n++] = name;
	}
	return 0;
}

static int
take(struct tls_bus *t, const struct bus_vault_certificates_reply *rep, struct arena *a, struct buf *detail)
{
	struct tls_certificate *v = ARENA_ARRAY(a, struct tls_certificate, rep->chains_pem.n);
	int e = v == NULL ? ERR_NOMEM : 0;

	if (rep->chains_pem.n == 0 || rep->names.n != rep->chains_pem.n || rep->key_ids.n != rep->chains_pem.n) {
		buf_put_z(detail, "the vault has no certificate");
		return ERR_NOTFOUND;
	}
	for (size_t i = 0; e == 0 && i < rep->chains_pem.n; i++) {
		v[i] = (struct tls_certificate){.chain_pem = rep->chains_pem.v[i], .key_id = rep->key_ids.v[i]};
		e = split_names(rep->names.v[i], a, &v[i].names);
	}
	if (e == 0)
		e = tls_server_set_certificates(t->server, v, rep->chains_pem.n, detail);
	if (e == 0)
		e = tls_server_ask_certificates(t->server, rep->ask_clients == 1, rep->client_ca_pem, detail);
	if (e == 0 && rep->ticket_keys.n > 0)
		e = tls_server_set_ticket_keys(t->server, rep->ticket_keys);
	return e;
}

int
tls_bus_refresh(struct tls_bus *t, struct buf *detail)
{
	ARENA_CLEANUP struct arena a;
	struct bus_vault_certificates_request q;
	struct bus_vault_certificates_reply rep = {0};
	int e;

	memset(&q, 0, sizeof(q));
	arena_init(&a, REPLY_BYTES_MAX);
	e = bus_call_again(t->bus, ROLE_VAULT, 0, BUS_vault_certificates, &q, &a, &rep, CALL_MS);
	if (e != 0) {
		buf_printf(detail, "the vault did not hand out certificates: %s", err_text(e));
		return e;
	}
	return take(t, &rep, &a, detail);
}

static void
renew(void *arg)
{
	struct tls_bus *t = arg;
	int64_t wait_ms = RENEW_MS;

	while (fiber_sleep(t->loop, wait_ms) == 0) {
		BUF_CLEANUP struct buf detail;
		int e;

		buf_init(&detail, 1000);
		e = tls_bus_refresh(t, &detail);
		wait_ms = e == 0 ? RENEW_MS : RETRY_MS;
		if (e != 0 && e != ERR_CANCELLED)
			LOG(loop_house(t->loop), WARN, "tls_refresh_failed", LOG_E(e),
			    LOG_S("detail", buf_slice(&detail)));
	}
}

int
tls_bus_new(struct tls_bus **out, struct loop *l, struct bus *b, struct buf *detail)
{
	struct tls_bus *t = calloc(1, sizeof(*t));
	int e;

	*out = NULL;
	if (t == NULL)
		return ERR_NOMEM;
	t->loop = l;
	t->bus = b;
	e = tls_server_new(&t->server, l, (struct tls_signer){sign, t});
	if (e == 0)
		e = tls_bus_refresh(t, detail);
	if (e == 0)
		e = fiber_start(l, "tls-renew", renew, t, &t->renewer);
	if (e != 0)
		tls_bus_free(&t);
	*out = t;
	return e;
}

struct tls_server *
tls_bus_server(struct tls_bus *t)
{
	return t->server;
}

void
tls_bus_free(struct tls_bus **t)
{
	if (*t == NULL)
		return;
	if ((*t)->renewer != NULL) {
		fiber_cancel((*t)->renewer);
		fiber_join((*t)->loop, &(*t)->renewer);
	}
	tls_server_free(&(*t)->server);
	free(*t);
	*t = NULL;
}
