/* vault_brake.h: guesses at one account from many addresses. The porch slows down an address (porch_brake.h); here, in the vault,
 * which all porches ask and which goes on when one of them is restarted, an account's failures are counted. Once there are some
 * that are not forgiven, addresses from which nobody has signed in to the account lately have to wait for their turn, one
 * at a time, and a wrong guess keeps the turn for a while that grows. Whoever comes from an address (IPv6: /64) from which
 * the account's owner has signed in is not asked to wait: guessing locks nobody out of where he is used to be. */
#ifndef ROLE_VAULT_BRAKE_H
#define ROLE_VAULT_BRAKE_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "rt/fiber.h"

#define VAULT_BRAKE_KNOWN 16 /* addresses remembered for an account */

struct vault_brake {
	struct loop *loop;
	struct map accounts; /* struct braked_account */
	struct list oldest_first;
	uint64_t waited, refused;
	bool changed; /* since vault_brake_rows() was told so */
};

struct braked_account;

void vault_brake_init(struct vault_brake *b, struct loop *l);
void vault_brake_free(struct vault_brake *b);
/* Before a password or a proof is looked at, from a fiber: 0 with *turn to give back, NULL for who need not wait. ERR_BUSY when
 * too many wait or it takes too long, ERR_CANCELLED. */
NODISCARD int vault_brake_enter(
    struct vault_brake *b, struct slice account_id, struct slice client, struct braked_account **turn);
/* `err`: how it ended; ERR_DENIED counts as a guess, 0 makes the address known. With a turn and ERR_DENIED it parks for the wait. */
void vault_brake_leave(
    struct vault_brake *b, struct slice account_id, struct slice client, struct braked_account **turn, int err);
/* Failures of the account that are not forgiven. */
int64_t vault_brake_failures(struct vault_brake *b, struct slice account_id);

/* What is known of an account that has failures. */
struct vault_brake_row {
	struct slice account_id;
	int64_t failures, waiting;
	int64_t since_ms;   /* so long ago the next one began to be forgiven */
	struct slice known; /* addresses, 16 bytes each, the newest first */
};
/* Those with the most failures first, at most VAULT_BRAKE_ROWS; in the arena. */
#define VAULT_BRAKE_ROWS 1000u
NODISCARD int vault_brake_rows(struct vault_brake *b, struct arena *a, struct vault_brake_row **rows, size_t *n);
/* What vault_brake_rows() told of an account, in a brake that does not know it. */
void vault_brake_restore(struct vault_brake *b, const struct vault_brake_row *row);
/* Forgives everything: false when there was nothing. */
bool vault_brake_lift(struct vault_brake *b, struct slice account_id);

#endif
