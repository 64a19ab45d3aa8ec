/* desk_private.h: what the files of the desk share. */
#ifndef ROLE_DESK_PRIVATE_H
#define ROLE_DESK_PRIVATE_H

#include "base/log.h"
#include "base/map.h"
#include "imap/imap.h"
#include "message/charset.h"
#include "pop3/pop3.h"
#include "role/desk_reader.h"
#include "role/role.h"
#include "smtp/smtp.h"
#include "store/store.h"

#define DESK_ASK_MS 30000

/* Durable deliveries of one account that the clerk has not been told of yet. */
struct desk_report;

struct desk {
	struct role_context *c;
	struct store *store;
	struct workers *workers; /* for sessions: charsets, large bodies */
	struct charset_warmth *charsets;
	struct desk_readers *readers; /* desk_reader.c */
	bool stopping;
	size_t requests; /* handlers under way that hold an account */
	/* desk_session.c */
	struct list sessions;
	size_t sessions_count;
	uint64_t sessions_total, sessions_refused;
	struct imap_counters imap;
	struct pop3_counters pop3;
	struct smtp_sessions smtp;
	/* desk_report.c */
	struct list reports;
	size_t reports_count; /* waiting and under way */
	struct waitq reports_waiting;
	size_t reporters;
	uint64_t reported;
	struct map
	    pop3_times; /* account id → int64_t: when it last began a POP3 session; with limits.pop3_login_delay_ms */
	/* desk_account.c */
	struct map settings; /* account id → struct desk_account */
	/* desk_room.c */
	struct fiber_lock sharing; /* desk_share.c: one change of what is shared at a time */
	struct map full;           /* account id → desk: the clerk was told that it is full */
	/* desk_received.c */
	struct list received; /* messages that wait to be looked through for reports */
	size_t received_count;
	bool receiving;
};

/* What the clerk says of an account, remembered for a minute. */
struct desk_account {
	int64_t until_ms;
	int64_t quota_bytes;
	bool found, enabled, vacation;
};

/* desk_account.c: ERR_NOTFOUND, ERR_DENIED (disabled), ERR_UNAVAILABLE, … Without `cached` the clerk is asked. */
NODISCARD int desk_account_settings(struct desk *d, struct slice account_id, bool cached, struct desk_account *out);
/* Takes a reference to an account of this desk that the clerk knows; makes it if it has none yet. */
NODISCARD int desk_account_open(struct desk *d, struct slice account_id, bool cached, struct store_account **out);
void desk_account_forget(struct desk *d, struct slice account_id);
/* The clerk has something new on it: asks what, and acts on it. */
NODISCARD int desk_account_changed(struct desk *d, struct slice account_id);
void desk_account_free(struct desk *d);
/* Has the account begun a POP3 session within limits.pop3_login_delay_ms? If not, it does so now. */
bool desk_pop3_too_soon(struct desk *d, struct slice account_id);

/* desk_vacation.c: answers a message that was delivered (for the first time or again), if its account's person is away. Failing is logged. */
void desk_vacation(struct desk *d, struct store_account *account, const struct bus_desk_deliver_request *q);

/* desk_received.c: a message that was delivered (for the first time or again) is looked through for a report of others, if it came to an address for
 * them; later, on a fiber. */
void desk_received_start(struct desk *d);
void desk_received(struct desk *d, const struct bus_desk_deliver_request *q);
/* Waits for what is under way until end_ms; forgets what waits then. */
void desk_received_end(struct desk *d, int64_t end_ms);

/* desk_session.c */
NODISCARD int desk_session_take(struct desk *d, int porch, struct bus_desk_session_request *q);
/* The same for one that the clerk has let in. */
NODISCARD int desk_session_take_operator(struct desk *d, struct bus_desk_operator_request *q);
/* Ends those of one account: IMAP and POP3 politely, submission at once. */
void desk_sessions_end_of(struct desk *d, struct slice account_id);
/* Ends them politely until end_ms, then by force. */
void desk_sessions_end(struct desk *d, int64_t end_ms);

/* desk_share.c: mailboxes that accounts share. */
void desk_share_handle(struct desk *d);
struct imap_sharing desk_sharing(struct desk *d);

/* desk_room.c: a delivery did not fit: would hardly any? Remembered then, until messages are removed. */
bool desk_room_none(struct desk *d, struct slice account_id);
/* Hook of the store: the clerk hears that a full account has room. */
void desk_room_freed(void *desk, struct slice account_id);

/* desk_copy.c: what a backup asks for. */
void desk_copy_handle(struct desk *d);

/* desk_report.c */
NODISCARD int desk_report_start(struct desk *d);
void desk_report_durable(void *desk, struct slice account_id, struct slice_list delivery_ids);
void desk_report_end(struct desk *d, int64_t end_ms);

#endif
