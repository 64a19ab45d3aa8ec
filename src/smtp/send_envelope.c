/* send_envelope.c: what this server is told of the message with MAIL and RCPT, and whether the message can go there at all. What
 * a server does not know is left out where that does no harm; else the message is refused with the code that says why. */
#include "smtp/send.h"

#include "message/address.h"
#include "message/header.h"
#include "message/mailbox.h"
#include "smtp/path.h"
#include "smtp/send_convert.h"

#include <inttypes.h>

#define PARAMETER_MAX 600 /* a value that is passed on: ENVID has 100 octets, ORCPT 500 (RFC 3461 §4) */
#define LINE_MAX_BYTES 4096

bool
smtp_envelope_get(struct slice envelope, struct slice name, struct slice *value)
{
	while (envelope.n > 0) {
		struct slice line = slice_cut(&envelope, '\n'), key = slice_cut(&line, '=');

		if (slice_ieq(key, name)) {
			*value = line;
			return true;
		}
	}
	return false;
}

/* A value that may stand on a line of SMTP: no white space, no control characters. */
static bool
get_plain(struct slice envelope, const char *name, struct slice *value)
{
	if (!smtp_envelope_get(envelope, slice_z(name), value) || value->n == 0 || value->n > PARAMETER_MAX)
		return false;
	for (size_t i = 0; i < value->n; i++)
		if (slice_at(*value, i) <= 32 || slice_at(*value, i) == 127)
			return false;
	return true;
}

static bool
has(struct slice envelope, const char *name)
{
	struct slice value;

	return smtp_envelope_get(envelope, slice_z(name), &value);
}

/* ---- paths ---------------------------------------------------------------------------------------------- */

/* The domain as it may be said, or empty. A domain outside ASCII is said as A-labels to a server without SMTPUTF8
 * (RFC 6531 §3.2). */
static struct slice
sayable_domain(struct slice domain, bool utf8, struct arena *a)
{
	struct slice ascii;

	if (slice_is_ascii(domain))
		ascii = domain;
	else if (domain_normalise(a, domain, &ascii) != 0)
		return SLICE_EMPTY;
	if (!smtp_domain_is_valid(ascii) && (!slice_starts(ascii, SLICE("[")) || !slice_ends(ascii, SLICE("]"))))
		return SLICE_EMPTY;
	return utf8 ? domain : ascii;
}

bool
smtp_path_put(struct buf *out, struct slice address, bool utf8)
{
	size_t at = slice_rfind_byte(address, '@');
	struct arena a ARENA_CLEANUP;
	struct slice local, domain;

	if (at == SLICE_NONE || address.n > SMTP_PATH_MAX || !slice_is_utf8(address, true))
		return false;
	arena_init(&a, 16384);
	local = slice_head(address, at);
	domain = sayable_domain(slice_from(address, at + 1), utf8, &a);
	if (domain.n == 0 || (!utf8 && !slice_is_ascii(local)))
		return false;
	for (size_t i = 0; i < address.n; i++)
		if (slice_at(address, i) < 32 || slice_at(address, i) == 127)
			return false;
	address_put_spec(out, local, domain);
	return out->err == 0;
}

/* ---- what can go, and in which form ------------------------------------------------------------------------ */

static int64_t
content_bytes(const struct smtp_content *c)
{
	return (int64_t)c->head.n + c->size_bytes;
}

/* Can the address be said without SMTPUTF8? */
static bool
needs_utf8(struct slice address)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, 4 * SMTP_PATH_MAX);
	return !smtp_path_put(&b, address, false);
}

static bool
is_sayable(struct slice address)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, 4 * SMTP_PATH_MAX);
	return smtp_path_put(&b, address, true);
}

/* Header fields outside ASCII. */
static int
header_is_utf8(struct smtp_sender *s, bool *utf8)
{
	size_t max = (size_t)s->house->limits.message_header_bytes;
	struct buf b BUF_CLEANUP;
	struct slice body = s->job->body;
	struct header_iter it;
	struct header_field f;
	int e = 0;

	*utf8 = false;
	buf_init(&b, max);
	if (s->job->fd >= 0) {
		e = smtp_sender_load(s, max, &b);
		body = buf_slice(&b);
	}
	it = header_iter_of(body, max);
	while (e == 0 && !*utf8 && header_next(&it, &f))
		*utf8 = !slice_is_ascii(f.raw);
	return e;
}

/* Decides about SMTPUTF8 (RFC 6531 §3.2): the extension is asked for where an address or a header field needs it. */
static int
fit_utf8(struct smtp_sender *s)
{
	struct smtp_send_job *job = s->job;
	bool sender = job->reverse_path.n > 0 && needs_utf8(job->reverse_path), header = false;
	int e = 0;

	if (sender && !is_sayable(job->reverse_path)) {
		smtp_sender_result_all(
		    s, SEND_FAIL, "5.6.7", SLICE("The sender's address cannot be expressed in SMTP"), true);
		return 0;
	}
	if (has(job->envelope, "SMTPUTF8") && !s->c->can.utf8)
		e = header_is_utf8(s, &header);
	if (e != 0)
		return e;
	s->content.utf8 = s->c->can.utf8 && (sender || has(job->envelope, "SMTPUTF8"));
	if (sender && !s->c->can.utf8)
		smtp_sender_result_all(s, SEND_FAIL, "5.6.7",
		    arena_printf(job->arena,
			"The sender's address has characters outside ASCII, and %.*s does not take such addresses "
			"(SMTPUTF8)",
			SLICE_ARG(smtp_sender_host(s))),
		    true);
	for (size_t i = 0; i < job->recipients_count; i++) {
		struct smtp_send_recipient *r = &job->recipients[i];

		if (r->r.final || !needs_utf8(r->address))
			continue;
		if (!is_sayable(r->address))
			smtp_sender_result(s, r, SEND_FAIL, 0, "5.6.7",
			    SLICE("The recipient's address cannot be expressed in SMTP"), true);
		else if (!s->c->can.utf8)
			smtp_sender_result(s, r, SEND_FAIL, 0, "5.6.7",
			    arena_printf(job->arena,
				"The address has characters outside ASCII, and %.*s does not take such addresses "
				"(SMTPUTF8)",
				SLICE_ARG(smtp_sender_host(s))),
			    true);
		else
			s->content.utf8 = true;
	}
	if (header)
		smtp_sender_result_all(s, SEND_FAIL, "5.6.9",
		    arena_printf(job->arena,
			"The message's header has characters outside ASCII, and %.*s does not take such messages "
			"(SMTPUTF8)",
			SLICE_ARG(smtp_sender_host(s))),
		    true);
	return 0;
}

/* Decides about 8BITMIME and BINARYMIME (RFC 6152 §3, RFC 3030 §3): the message in a form that the server takes. */
static int
fit_body(struct smtp_sender *s)
{
	const struct smtp_capabilities *can = &s->c->can;
	struct smtp_content *c = &s->content;
	struct slice body = SLICE_EMPTY;
	int e;

	(void)smtp_envelope_get(s->job->envelope, SLICE("BODY"), &body);
	c->form = slice_ieq(body, SLICE("BINARYMIME")) ? SMTP_BODY_BINARY
	    : slice_ieq(body, SLICE("8BITMIME"))       ? SMTP_BODY_8BIT
						       : SMTP_BODY_7BIT;
	if (c->form == SMTP_BODY_BINARY && can->binary && can->chunking)
		return 0;
	if (c->form != SMTP_BODY_BINARY && can->eight_bit)
		return 0;
	/* Without BODY, too: eight bits that nobody announced are there all the same. */
	e = smtp_convert(s, can->eight_bit);
	if (e == ERR_UNSUPPORTED || e == ERR_LIMIT)
		smtp_sender_result_all(s, SEND_FAIL, "5.6.3",
		    arena_printf(s->job->arena, "%.*s takes only %s, and the message cannot be converted to that: %s",
			SLICE_ARG(smtp_sender_host(s)), can->eight_bit ? "text in lines" : "7-bit text",
			e == ERR_LIMIT ? "it is too large" : "that would break its signature"),
		    true);
	return e == ERR_UNSUPPORTED || e == ERR_LIMIT ? 0 : e;
}

/* Seconds until the time of BY. */
static bool
deliver_by(struct smtp_sender *s, int64_t *left_s, struct slice *mode)
{
	struct slice value, number;
	uint64_t at;

	if (!get_plain(s->job->envelope, "BY", &value))
		return false;
	number = slice_cut(&value, ';');
	*mode = value;
	if (slice_to_u64(number, INT64_MAX / 2, &at) != 0 || value.n == 0)
		return false;
	*left_s = (int64_t)at - house_now_s(s->house);
	return true;
}

/* RFC 2852 §4.1.4.1: who must know of the deadline does not get what knows none. */
static void
fit_deadline(struct smtp_sender *s)
{
	const struct smtp_capabilities *can = &s->c->can;
	struct slice mode;
	int64_t left_s;

	if (!deliver_by(s, &left_s, &mode) || !slice_istarts(mode, SLICE("R")))
		return;
	if (!can->deliver_by)
		smtp_sender_result_all(s, SEND_FAIL, "5.7.1",
		    arena_printf(s->job->arena,
			"The message is to be delivered by a certain time or returned, and %.*s cannot promise that "
			"(DELIVERBY)",
			SLICE_ARG(smtp_sender_host(s))),
		    true);
	else if (left_s <= 0 || (uint64_t)left_s < can->deliver_by_min_s)
		smtp_sender_result_all(s, SEND_FAIL, "5.4.7",
		    arena_printf(s->job->arena,
			"The time by which the message was to be delivered is too near for %.*s",
			SLICE_ARG(smtp_sender_host(s))),
		    true);
}

static void
fit_size(struct smtp_sender *s)
{
	if (s->c->can.size_max > 0 && (uint64_t)content_bytes(&s->content) > s->c->can.size_max)
		smtp_sender_result_all(s, SEND_FAIL, "5.3.4",
		    arena_printf(s->job->arena, "The message has %lld bytes; the remote server takes at most %llu",
			(long long)content_bytes(&s->content), (unsigned long long)s->c->can.size_max),
		    true);
}

static bool
anybody_left(const struct smtp_sender *s)
{
	for (size_t i = 0; i < s->job->recipients_count; i++)
		if (!s->job->recipients[i].r.final)
			return true;
	return false;
}

int
smtp_sender_fit(struct smtp_sender *s, bool *fits)
{
	const struct smtp_send_job *job = s->job;
	int e;

	*fits = false;
	s->content = (struct smtp_content){
	    .head = job->head, .body = job->body, .fd = job->fd, .size_bytes = job->size_bytes};
	if (job->require_tls && !s->c->can.require_tls) {
		/* Another host may know it. */
		smtp_sender_result_all(s, SEND_FAIL, "5.7.30",
		    arena_printf(job->arena,
			"REQUIRETLS support required: %.*s does not promise to keep the mail encrypted",
			SLICE_ARG(smtp_sender_host(s))),
		    false);
		return 0;
	}
	fit_deadline(s);
	e = fit_utf8(s);
	if (e == 0 && anybody_left(s))
		e = fit_body(s);
	if (e == 0)
		fit_size(s);
	*fits = e == 0 && anybody_left(s);
	return e;
}

/* ---- the lines -------------------------------------------------------------------------------------------- */

static void
put_mail_parameters(struct smtp_sender *s, struct buf *b)
{
	static const char *const forms[] = {
	    [SMTP_BODY_7BIT] = "", [SMTP_BODY_8BIT] = " BODY=8BITMIME", [SMTP_BODY_BINARY] = " BODY=BINARYMIME"};
	const struct smtp_capabilities *can = &s->c->can;
	struct slice envelope = s->job->envelope, value;
	int64_t left_s;

	if (can->size)
		buf_printf(b, " SIZE=%lld", (long long)content_bytes(&s->content));
	buf_put_z(b, forms[s->content.form]);
	if (s->content.utf8)
		buf_put_z(b, " SMTPUTF8");
	if (can->dsn && get_plain(envelope, "RET", &value))
		buf_printf(b, " RET=%.*s", SLICE_ARG(value));
	if (can->dsn && get_plain(envelope, "ENVID", &value))
		buf_printf(b, " ENVID=%.*s", SLICE_ARG(value));
	if (can->require_tls && s->job->require_tls)
		buf_put_z(b, " REQUIRETLS");
	if (can->mt_priority && get_plain(envelope, "MT-PRIORITY", &value))
		buf_printf(b, " MT-PRIORITY=%.*s", SLICE_ARG(value));
	/* RFC 2852 §4.1.4: the seconds that are left, or that it is late. */
	if (can->deliver_by && deliver_by(s, &left_s, &value))
		buf_printf(b, " BY=%" PRId64 ";%.*s", left_s < -999999999 ? -999999999 : left_s, SLICE_ARG(value));
}

void
smtp_sender_mail(struct smtp_sender *s)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, LINE_MAX_BYTES);
	buf_put_z(&b, "MAIL FROM:<");
	if (s->job->reverse_path.n > 0)
		ASSERT(smtp_path_put(&b, s->job->reverse_path, s->content.utf8)); /* by fit_utf8() */
	buf_put_z(&b, ">");
	put_mail_parameters(s, &b);
	ASSERT(b.err == 0);
	smtp_sender_command(s, buf_slice(&b));
}

void
smtp_sender_rcpt(struct smtp_sender *s, const struct smtp_send_recipient *r)
{
	struct buf b BUF_CLEANUP;
	struct slice value;

	buf_init(&b, LINE_MAX_BYTES);
	buf_put_z(&b, "RCPT TO:<");
	ASSERT(smtp_path_put(&b, r->address, s->content.utf8)); /* by fit_utf8() */
	buf_put_z(&b, ">");
	if (s->c->can.dsn && get_plain(r->envelope, "NOTIFY", &value))
		buf_printf(&b, " NOTIFY=%.*s", SLICE_ARG(value));
	/* utf-8 addresses in ORCPT only where the server knows of them (RFC 6533 §3). */
	if (s->c->can.dsn && get_plain(r->envelope, "ORCPT", &value) && (s->content.utf8 || slice_is_ascii(value)))
		buf_printf(&b, " ORCPT=%.*s", SLICE_ARG(value));
	ASSERT(b.err == 0);
	smtp_sender_command(s, buf_slice(&b));
}
