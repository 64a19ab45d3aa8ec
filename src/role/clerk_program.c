/* clerk_program.c: programs of this machine that hand mail in (the sendmail command): the clerk takes their connections, since
 * it is told by the kernel who they are, and gives each to a gate, which reads what they say. What the gate then asks for
 * them it asks with a ticket that is good for that connection alone, so that it cannot say that it was somebody else. */
#include "role/clerk_private.h"
#include "role/submitters.h"

#include <sys/socket.h>

#define SESSION_MS (24 * 3600 * 1000)
#define ASK_USER_MS 30000
#define TICKET_BYTES 16

/* The house itself asks, what there is. */
static const struct directory_writer anybody = {.anybody = true};

struct program {
	struct clerk *k;
	uid_t uid;
	struct buf ticket, user;
};

struct first_domain {
	struct arena *a;
	struct slice name;
};

/* ---- who it is ---------------------------------------------------------------------------------------------------- */

/* What may stand before the @ of an address as it is. */
static bool
is_plain_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(slice_at(s, i)) && strchr("-_", slice_at(s, i)) == NULL &&
		    (slice_at(s, i) != '.' || i == 0 || i + 1 == s.n || slice_at(s, i - 1) == '.'))
			return false;
	return s.n > 0 && s.n <= 64;
}

static int
find_user(struct program *p)
{
	struct bus_keeper_user_request q = {.uid = p->uid};
	struct bus_keeper_user_reply rep = {0};
	struct arena ARENA_CLEANUP a;
	int err;

	arena_init(&a, 65536);
	err = BUS_CALL(p->k->c->bus, ROLE_KEEPER, 0, keeper_user, &q, &a, &rep, ASK_USER_MS);
	if (err != 0)
		return err;
	if (is_plain_name(rep.name))
		buf_put(&p->user, rep.name);
	else
		buf_printf(&p->user, "uid-%u", (unsigned)p->uid);
	return p->user.err;
}

static size_t
programs_of(const struct clerk *k, uid_t uid)
{
	struct slice key;
	size_t at = 0, n = 0;
	void *v;

	while (map_next(&k->programs, &at, &key, &v))
		n += ((struct program *)v)->uid == uid;
	return n;
}

/* ---- the connection -------------------------------------------------------------------------------------------------- */

/* To the first gate that takes it; returns when the session is over. */
static int
run_at_gate(struct program *p, int fd)
{
	struct clerk *k = p->k;
	struct slice domain = settings_local_domain(k->c->settings);
	int gates = bus_peer_count(k->c->bus, ROLE_GATE), err = ERR_UNAVAILABLE;
	struct bus_gate_session_request q = {.ticket = buf_slice(&p->ticket), .socket = fd};
	struct bus_gate_session_reply rep;
	struct arena ARENA_CLEANUP a;

	arena_init(&a, 65536);
	q.sender = arena_printf(&a, "%.*s@%.*s", SLICE_ARG(buf_slice(&p->user)), SLICE_ARG(domain));
	q.client = arena_printf(&a, "local user %.*s", SLICE_ARG(buf_slice(&p->user)));
	for (int i = 0; i < gates && err == ERR_UNAVAILABLE; i++)
		if (bus_peer(k->c->bus, ROLE_GATE, i) != NULL)
			err = BUS_CALL(k->c->bus, ROLE_GATE, i, gate_session, &q, &a, &rep, SESSION_MS);
	return err;
}

static void
refuse(int fd, const char *line)
{
	/* Who connects and does not read what is written to an empty socket is not told. */
	ssize_t ignored = send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)ignored;
}

static void
serve(struct clerk *k, int fd)
{
	struct program p = {.k = k};
	uint8_t random[TICKET_BYTES];
	struct ucred peer = {0};
	socklen_t n = sizeof(peer);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0 || n != sizeof(peer))
		return;
	p.uid = peer.uid;
	if ((int64_t)programs_of(k, p.uid) >= k->c->house->limits.local_sessions_per_user) {
		refuse(fd, "421 4.7.0 You have too many programs that send mail at this moment\r\n");
		return;
	}
	buf_init(&p.ticket, 2 * sizeof(random));
	buf_init(&p.user, 256);
	house_random(k->c->house, random, sizeof(random));
	buf_put_hex(&p.ticket, slice_of(random, sizeof(random)));
	err = find_user(&p);
	if (err == 0)
		err = map_put(&k->programs, buf_slice(&p.ticket), &p);
	if (err == 0) {
		err = run_at_gate(&p, fd);
		(void)map_remove(&k->programs, buf_slice(&p.ticket));
	}
	if (err == ERR_UNAVAILABLE || err == ERR_BUSY)
		refuse(fd, "421 4.3.2 The house cannot take mail at this moment; try again later\r\n");
	if (err != 0)
		LOG(k->c->house, INFO, "program_session_failed", LOG_I("uid", peer.uid), LOG_I("pid", peer.pid),
		    LOG_E(err));
	buf_free(&p.ticket);
	buf_free(&p.user);
}

static void
on_connection(struct net_session *n)
{
	struct clerk *k = n->arg;
	struct buf unread BUF_CLEANUP;
	int fd = -1;

	buf_init(&unread, 4096);
	if (stream_detach(&n->stream, &unread, &fd) != 0) {
		stream_close(&n->stream);
		return;
	}
	/* Nothing was read yet: all of it is the gate's. */
	serve(k, fd);
	(void)close(fd);
}

int
clerk_program_start(struct clerk *k, struct buf *detail)
{
	map_init(&k->programs, (size_t)k->c->house->limits.local_sessions, house_random_u64(k->c->house));
	for (size_t i = 0; i < k->c->listeners_count; i++) {
		int err;

		if (k->c->listeners[i].settings->service != LISTEN_LOCAL)
			continue;
		err = net_accept_start(&k->local, k->c->loop, k->c->listeners[i].fd,
		    (size_t)k->c->house->limits.local_sessions, on_connection, k);
		if (err != 0)
			buf_printf(detail, "the socket of local programs cannot be served: %s.", err_text(err));
		return err;
	}
	return 0;
}

void
clerk_program_stop(struct clerk *k)
{
	if (k->local == NULL)
		return;
	net_acceptor_stop(k->local);
	net_acceptor_cancel_sessions(k->local);
	while (net_acceptor_sessions(k->local) > 0)
		if (fiber_sleep(k->c->loop, 1) != 0)
			break;
}

/* ---- the machine's own domain ---------------------------------------------------------------------------------------- */

static bool
is_local_domain(const struct clerk *k, struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');

	return at != SLICE_NONE && slice_ieq(slice_from(address, at + 1), settings_local_domain(k->c->settings));
}

static int
first_domain(struct sqltx *tx, void *arg)
{
	struct first_domain *f = arg;

	return directory_first_domain(tx, f->a, &f->name);
}

int
clerk_program_address(struct clerk *k, struct slice address, bool or_postmaster, struct arena *a, struct slice *out)
{
	struct first_domain f = {.a = a};
	struct directory_rcpt r;
	struct slice there;
	int err;

	*out = address;
	if (!is_local_domain(k, address))
		return 0;
	err = directory_check_rcpt(k->directory, address, &anybody, &r);
	if (err != 0 || r.result == RCPT_OK || (r.local && !or_postmaster))
		return err;
	err = sql_read(k->directory_db, first_domain, &f);
	if (err != 0)
		return err == ERR_NOTFOUND ? 0 : err;
	there = arena_printf(
	    a, "%.*s@%.*s", SLICE_ARG(slice_head(address, slice_rfind_byte(address, '@'))), SLICE_ARG(f.name));
	err = directory_check_rcpt(k->directory, there, &anybody, &r);
	if (err == 0 && r.result == RCPT_OK)
		*out = there;
	else if (err == 0 && or_postmaster)
		*out = arena_printf(a, "postmaster@%.*s", SLICE_ARG(f.name));
	return err != 0 ? err : arena_failed(a) ? ERR_LIMIT : 0;
}

int
clerk_program_addresses(
    struct clerk *k, struct slice_list in, bool or_postmaster, struct arena *a, struct slice_list *out)
{
	struct slice *v = ARENA_ARRAY(a, struct slice, in.n + 1);
	int err = v == NULL ? ERR_LIMIT : 0;

	for (size_t i = 0; i < in.n && err == 0; i++)
		err = clerk_program_address(k, in.v[i], or_postmaster, a, &v[i]);
	*out = (struct slice_list){v, in.n};
	return err;
}

/* ---- as whom it may send ------------------------------------------------------------------------------------------- */

static bool
is_own(const struct clerk *k, const struct program *p, struct slice address)
{
	return is_local_domain(k, address) &&
	    slice_ieq(slice_head(address, slice_rfind_byte(address, '@')), buf_slice(&p->user));
}

static bool
may_all(const struct clerk *k, uid_t uid)
{
	return uid == 0 || uid == k->keeper_uid;
}

/* Somebody who is not listed: as itself, or with the rights of the house as any address of it. */
static int
sender_of_program(struct clerk *k, const struct program *p, struct slice address, struct clerk_sender *out)
{
	struct directory_rcpt r = {RCPT_OK, true};
	const struct limits *l = &k->c->house->limits;
	int err = address.n == 0 ? 0 : directory_check_rcpt(k->directory, address, &anybody, &r);

	if (err != 0)
		return err;
	if (address.n == 0 || is_own(k, p, address) || (may_all(k, p->uid) && (r.local || is_local_domain(k, address))))
		out->result = SENDER_OK;
	else
		out->result = r.local || r.result != RCPT_REMOTE ? SENDER_OTHER : SENDER_FOREIGN;
	if (!may_all(k, p->uid))
		out->rates = (struct guard_rates){l->account_messages_per_hour, l->account_messages_per_day,
		    l->account_recipients_per_hour, l->account_recipients_per_day};
	(void)snprintf(out->name, sizeof(out->name), "user:%.*s", SLICE_ARG(buf_slice(&p->user)));
	return 0;
}

int
clerk_sender_of_submitter(
    struct clerk *k, struct slice ticket, struct slice client, struct slice address, struct clerk_sender *out)
{
	const struct program *p = ticket.n > 0 ? map_get(&k->programs, ticket) : NULL;
	const struct submitter_settings *b;
	struct directory_rcpt r = {RCPT_REMOTE, false};
	int err = 0;

	*out = (struct clerk_sender){.result = SENDER_OTHER};
	if (ticket.n > 0 && p == NULL)
		return ERR_DENIED;
	b = submitters_find(k->c->settings, p != NULL ? buf_slice(&p->user) : SLICE_EMPTY, client, address);
	if (b != NULL) {
		out->result = SENDER_OK;
		out->rates = (struct guard_rates){
		    b->messages_per_hour, b->messages_per_day, b->recipients_per_hour, b->recipients_per_day};
		(void)snprintf(out->name, sizeof(out->name), "submitter:%.*s", SLICE_ARG(slice_head(b->name, 100)));
		return 0;
	}
	if (p != NULL)
		return sender_of_program(k, p, address, out);
	if (address.n > 0)
		err = directory_check_rcpt(k->directory, address, &anybody, &r);
	out->result = r.local ? SENDER_OTHER : SENDER_FOREIGN;
	return err;
}

bool
clerk_program_is(const struct clerk *k, struct slice ticket)
{
	return ticket.n > 0 && map_get(&k->programs, ticket) != NULL;
}
