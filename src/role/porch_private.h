/* porch_private.h: the porch's state, shared by porch.c (doors, sessions) and porch_signin.c. */
#ifndef ROLE_PORCH_PRIVATE_H
#define ROLE_PORCH_PRIVATE_H

#include "role/porch_brake.h"
#include "role/role.h"
#include "role/tls_bus.h"

#include "base/log.h"
#include "base/map.h"
#include "imap/imap.h"
#include "pop3/pop3.h"
#include "smtp/smtp.h"

struct door {
	struct porch *porch;
	const struct role_listener *listener;
	struct net_acceptor *acceptor;
};

struct porch {
	struct role_context *c;
	struct tls_bus *tls;
	struct porch_brake brake;
	struct door *doors;
	size_t doors_count;
	struct list waiting; /* struct porch_session: before sign-in */
	bool stopping;
	struct map returns; /* struct porch_session by number: IMAP sessions with their desk (porch_return.c) */
	int64_t numbers;
	struct guest_counters imap, pop3;
	struct smtp_sessions smtp;
	int64_t joined; /* sessions with their desk now */
	int64_t handshakes_failed;
	int64_t sign_ins, sign_ins_failed;
	int64_t scrapes;
};

/* One client, on its fiber's stack. */
struct porch_session {
	struct list_node node; /* in porch.waiting */
	struct porch *porch;
	enum listen_service service;
	struct stream *client, *desk;
	char address[NET_ADDRESS_TEXT_MAX];
	struct brake_address *brake; /* until it is signed in; NULL where nothing is braked */
	struct fiber *waiter, *talk;
	struct net_address peer;
	int64_t number; /* 0: none */
	int desk_index;
	bool returning, returned; /* from its desk */
	struct buf unread;        /* what it had sent there that its desk did not want any more */
	bool listed;              /* may submit without signing in */
	bool done;
};

/* porch_return.c */
void porch_return_start(struct porch *p);
/* Before the desk gets the session: gives it a number. */
NODISCARD int porch_return_expect(struct porch_session *s);
void porch_return_forget(struct porch_session *s);
/* porch_metrics.c: one connection to the listener of metrics; its arg is the door. */
void porch_metrics_serve(struct net_session *n);
/* porch_submitter.c: for smtp_presession_config, with a porch_session as its ctx. */
NODISCARD int porch_join_gate(void *ctx, struct slice helo, struct slice tls, struct stream **session);
/* porch_signin.c: with a porch_session as their ctx. */
struct signin_ops porch_signin_ops(struct porch_session *s);

#endif
