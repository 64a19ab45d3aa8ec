/* porch_brake.h: what one client address may do before it has signed in: how many sessions it keeps open, how many
 * passwords it has checked at a time, and how fast it may guess. IPv6 addresses count by their /64. */
#ifndef ROLE_PORCH_BRAKE_H
#define ROLE_PORCH_BRAKE_H

#include "base/list.h"
#include "base/map.h"
#include "rt/net.h"

struct porch_brake {
	struct loop *loop;
	struct map by_address; /* struct brake_address */
	struct list oldest_first;
	int64_t refused; /* sessions and sign-ins that were too many */
};

struct brake_address;

void porch_brake_init(struct porch_brake *b, struct loop *l);
void porch_brake_free(struct porch_brake *b);
/* Counts a session that has not signed in; NULL when the address has limits.porch_waiting_per_address of them, or without
 * memory. */
struct brake_address *porch_brake_arrive(struct porch_brake *b, const struct net_address *client);
/* The session has ended, or is signed in. */
void porch_brake_depart(struct porch_brake *b, struct brake_address **a);

/* Before a password is checked: waits while limits.sign_ins_per_address of the address are under way. 0, ERR_BUSY
 * when that takes too long, ERR_CANCELLED. After 0 porch_brake_leave() must follow. */
NODISCARD int porch_brake_enter(struct porch_brake *b, struct brake_address *a);
/* The password was checked. After a wrong one it keeps the place of its address for a while that grows with the failures of the
 * last minutes: other places are left for those who share the address. Parks. */
void porch_brake_leave(struct porch_brake *b, struct brake_address *a, bool wrong);

#endif
