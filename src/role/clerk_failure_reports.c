/* clerk_failure_reports.c: the reports of single messages that said to be from a domain and were not, for domains that ask for them (RFC 9991; the
 * form is that of RFC 6591). Gates tell of them; they wait in memory, few of them, until a courier has found out which of the addresses may
 * be written to. A domain gets a few a day; what is over that, or is lost when the role ends, is missed by nobody. */
#include "message/build.h"
#include "role/clerk_private.h"

#define DAY_S 86400
#define WAITING_MAX 100
#define DOMAINS_MAX 5000
#define ADDRESSES_MAX 10u
#define TEXT_MAX 65536u
#define COURIER_MS 60000
#define REPORT_ARENA_BYTES ((size_t)1 << 20)
#define MESSAGE_BYTES_MAX ((size_t)512 << 10)

struct failure_reports {
	struct clerk *k;
	struct list waiting; /* of struct failure */
	size_t n;
	struct waitq filled;
	struct fiber *reporter;
	struct map counts; /* domain → how many today */
	int64_t day;
};

struct failure {
	struct list_node node;
	struct arena arena;
	struct slice domain, fields, header;
	struct slice_list addresses;
};

static void
failure_free(struct failure *f)
{
	arena_free(&f->arena);
	free(f);
}

/* ---- what gates tell ------------------------------------------------------------------------------------------------ */

/* One more for the domain today? */
static bool
take_one(struct failure_reports *r, struct slice domain)
{
	int64_t day = house_now_s(r->k->c->house) / DAY_S;
	uintptr_t n;

	if (day != r->day) {
		map_free(&r->counts);
		map_init(&r->counts, DOMAINS_MAX, house_random_u64(r->k->c->house));
		r->day = day;
	}
	n = (uintptr_t)map_get(&r->counts, domain);
	return n < (uintptr_t)r->k->c->house->limits.failure_reports_per_day &&
	    map_put(&r->counts, domain, (void *)(n + 1)) == 0;
}

static bool
is_sound(const struct bus_clerk_dmarc_failure_request *q)
{
	bool good = q->domain.n > 0 && q->domain.n <= 253 && q->addresses.n > 0 && q->addresses.n <= ADDRESSES_MAX &&
	    q->fields.n <= TEXT_MAX && q->header.n <= TEXT_MAX;

	for (size_t i = 0; good && i < q->addresses.n; i++)
		good = q->addresses.v[i].n <= 320 && slice_is_utf8(q->addresses.v[i], true);
	return good;
}

static int
on_failure(struct clerk *k, struct bus_peer *from, struct bus_clerk_dmarc_failure_request *q, struct arena *a,
    struct bus_clerk_dmarc_failure_reply *rep)
{
	CLERK_ENTER(k);
	struct failure_reports *r = k->failure_reports;
	struct slice *v;
	struct failure *f;

	(void)from;
	(void)a;
	(void)rep;
	if (!is_sound(q))
		return ERR_INVALID;
	if (!k->c->settings->failure_reports || k->c->settings->report_sender.n == 0 || r->n >= WAITING_MAX ||
	    !take_one(r, q->domain))
		return 0;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return ERR_NOMEM;
	arena_init(&f->arena, REPORT_ARENA_BYTES);
	f->domain = arena_copy(&f->arena, q->domain);
	f->fields = arena_copy(&f->arena, q->fields);
	f->header = arena_copy(&f->arena, q->header);
	v = ARENA_ARRAY(&f->arena, struct slice, q->addresses.n);
	for (size_t i = 0; v != NULL && i < q->addresses.n; i++)
		v[i] = arena_copy(&f->arena, q->addresses.v[i]);
	f->addresses = (struct slice_list){v, q->addresses.n};
	if (arena_failed(&f->arena)) {
		failure_free(f);
		return ERR_NOMEM;
	}
	list_push(&r->waiting, &f->node);
	r->n++;
	waitq_wake_one(&r->filled);
	return 0;
}

/* ---- one report ------------------------------------------------------------------------------------------------------- */

/* RFC 6591 §3.1, in the three parts of RFC 5965 §2. */
static int
write_message(struct clerk_report *p, const struct failure *f, struct buf *out)
{
	const struct settings *s = p->k->c->settings;
	char boundary[BUILD_BOUNDARY_MAX];

	build_boundary(p->k->c->house, boundary);
	build_field_raw(out, SLICE("From"), arena_printf(p->a, "<%.*s>", SLICE_ARG(s->report_sender)));
	build_field_raw(out, SLICE("To"), arena_printf(p->a, "<%.*s>", SLICE_ARG(p->destination)));
	build_field_raw(out, SLICE("Subject"),
	    arena_printf(p->a, "DMARC failure report about mail that said to be from %.*s", SLICE_ARG(f->domain)));
	build_field_date(out, SLICE("Date"), house_now_s(p->k->c->house));
	buf_printf(out, "Message-ID: <%s@%.*s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", p->id,
	    SLICE_ARG(s->hostname));
	buf_printf(out,
	    "Content-Type: multipart/report; report-type=feedback-report;\r\n\tboundary=\"%s\"\r\n\r\n--%s\r\n",
	    boundary, boundary);
	build_text_body(out,
	    arena_printf(p->a,
		"This is a report of %.*s about a message that said to be from %.*s.\r\n"
		"What DMARC found out about it is below; its body and its recipients are left out.\r\n",
		SLICE_ARG(s->hostname), SLICE_ARG(f->domain)));
	buf_printf(out, "\r\n--%s\r\nContent-Type: message/feedback-report\r\n\r\n", boundary);
	buf_put(out, f->fields);
	buf_printf(out, "\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n\r\n", boundary);
	buf_put(out, f->header);
	buf_printf(out, "\r\n--%s--\r\n", boundary);
	return out->err;
}

static int
send_one(struct clerk *k, struct failure *f)
{
	CLERK_ENTER(k);
	struct clerk_report p = {.k = k, .a = &f->arena};
	struct bus_courier_report_addresses_request q = {f->domain, f->addresses};
	struct bus_courier_report_addresses_reply rep = {0};
	int e = BUS_CALL(k->c->bus, ROLE_COURIER, 0, courier_report_addresses, &q, p.a, &rep, COURIER_MS);

	for (size_t i = 0; e == 0 && i < rep.addresses.n; i++) {
		struct buf message BUF_CLEANUP;

		buf_init(&message, MESSAGE_BYTES_MAX);
		p.destination = rep.addresses.v[i];
		house_ulid(k->c->house, p.id);
		e = write_message(&p, f, &message);
		if (e == 0)
			e = clerk_report_submit(
			    &p, f->domain, SLICE_EMPTY, SLICE("NOTIFY=NEVER\n"), buf_slice(&message));
	}
	return e;
}

static void
send_always(void *arg)
{
	struct failure_reports *r = arg;
	int e = 0;

	while (e != ERR_CANCELLED) {
		struct failure *f;

		if (r->n == 0) {
			e = waitq_wait(r->k->c->loop, &r->filled, DEADLINE_NEVER);
			continue;
		}
		f = CONTAINER_OF(list_first(&r->waiting), struct failure, node);
		list_remove(&f->node);
		r->n--;
		e = send_one(r->k, f);
		if (e != 0 && e != ERR_CANCELLED)
			LOG(r->k->c->house, WARN, "report_not_sent", LOG_S("domain", f->domain), LOG_E(e));
		failure_free(f);
	}
}

int
clerk_failure_reports_start(struct clerk *k)
{
	struct failure_reports *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return ERR_NOMEM;
	r->k = k;
	list_init(&r->waiting);
	waitq_init(&r->filled);
	map_init(&r->counts, DOMAINS_MAX, house_random_u64(k->c->house));
	k->failure_reports = r;
	BUS_HANDLE(k->c->bus, clerk_dmarc_failure, on_failure, k);
	return k->c->quiet ? 0 : fiber_start(k->c->loop, "failure-reports", send_always, r, &r->reporter);
}

/* What waits goes with the process. */
void
clerk_failure_reports_stop(struct clerk *k)
{
	struct failure_reports *r = k->failure_reports;

	if (r == NULL || r->reporter == NULL)
		return;
	fiber_cancel(r->reporter);
	fiber_join(k->c->loop, &r->reporter);
}
