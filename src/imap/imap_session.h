/* imap_session.h: what the handlers of commands share: the session's state and how it answers. Private to the room. */
#ifndef IMAP_SESSION_H
#define IMAP_SESSION_H

#include "imap/imap.h"
#include "imap/imap_command.h"
#include "imap/imap_parse.h"
#include "imap/imap_reply.h"
#include "store/store.h"

enum imap_state { IMAP_SIGNED_IN = 1, IMAP_SELECTED = 2 };
enum imap_capability_when {
	IMAP_CAP_ALWAYS = 1,
	IMAP_CAP_BEFORE = 2,      /* before sign-in */
	IMAP_CAP_STARTTLS = 4,    /* STARTTLS is possible now */
	IMAP_CAP_SIGN_IN = 8,     /* sign-in is possible now … */
	IMAP_CAP_NO_SIGN_IN = 16, /* … or not before TLS */
	IMAP_CAP_AFTER = 32       /* after sign-in */
};
/* What a client switches on, by ENABLE (RFC 5161) or by using it (RFC 7162 §3.1). */
enum imap_on { IMAP_ON_REV2 = 1, IMAP_ON_CONDSTORE = 2, IMAP_ON_QRESYNC = 4, IMAP_ON_UIDONLY = 8, IMAP_ON_UTF8 = 16 };
/* Appends the names for these circumstances, separated by spaces. */
void imap_put_capabilities(struct buf *out, unsigned when, const struct limits *l);
/* The untagged ID response with its line end. */
void imap_put_id(struct buf *out);

/* Memory of one command beside what grows with the mailbox. */
#define IMAP_COMMAND_ARENA_BYTES (64u << 20)
/* A response that is put together before it is sent. */
#define IMAP_RESPONSE_BYTES_MAX (64u << 20)
/* A client that stops in the middle of a command. */
#define IMAP_MID_COMMAND_MS 300000
/* An idling client hears something this often. */
#define IMAP_IDLE_STILL_HERE_MS 240000

struct imap_contexts;
struct imap_notify;
struct imap_other;

struct imap_session {
	struct stream *st;
	struct store_account *account;
	const struct imap_session_config *c;
	const struct limits *limits;
	struct store_view *view; /* NULL: none selected */
	unsigned rights;         /* enum store_right, to the selected mailbox; all while none is selected */
	uint64_t acl_changes;    /* store_acl_changes() when they were read */
	uint8_t
	    *view_owner; /* "Other Users/ADDRESS/" of the selected mailbox; malloc'ed; NULL: it is the session's own */
	size_t view_owner_n;
	struct imap_other *others;      /* accounts that the command at hand has to do with (imap_place.c) */
	size_t keywords_known;          /* that the account had when … */
	size_t keywords_told;           /* … so many were in the FLAGS response */
	unsigned on;                    /* enum imap_on */
	struct imap_contexts *contexts; /* searches that are kept up to date (imap_context.c); NULL: none */
	struct imap_notify *notify;     /* what it asked for by NOTIFY (imap_notify.c); NULL: never */
	struct imap_sequence saved;     /* what it stands for: UIDs; malloc'ed */
	int64_t errors;                 /* bad commands so far */
	bool ended;                     /* LOGOUT, or a BYE was said */
	struct arena arena;             /* of the command */
	struct buf line;                /* of the response at hand; its memory is kept until the session waits */
	struct imap_command command;
	struct slice tag;
	struct slice name;     /* of the command as the client wrote it, for replies */
	bool uid;              /* "UID name" */
	bool idling;           /* between IDLE and DONE */
	struct slice idle_tag; /* of the IDLE; in idle_tag_bytes */
	uint8_t idle_tag_bytes[IMAP_TAG_BYTES_MAX];
	struct fiber *fiber; /* the session's own, which waits */
};

typedef void imap_handler(struct imap_session *s, struct imap_lex *x);
#define COMMAND(name, states, uid, handler, help) imap_handler imap_do_##handler;
#include "imap/commands.def"

/* ---- answers: errors stick in the stream ---- */
void imap_write(struct imap_session *s, struct slice bytes);
/* A response that was put together; one that could not be (no memory) ends the session, since half of it would be told. */
void imap_write_buf(struct imap_session *s, const struct buf *b);
void imap_printf(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Tagged "OK [code] text"; code may be "". News are told first: expunges too, unless the command is one of those that must
 * not (FETCH, STORE, SEARCH by sequence number). */
void imap_ok(struct imap_session *s, const char *code, const char *text);
void imap_no(struct imap_session *s, const char *code, const char *text);
/* OK with "[MESSAGELIMIT max lowest]" if `lowest` is not 0 (RFC 9738 §3.1); else with `code`. Both: the former is told in an
 * untagged NO before. */
void imap_ok_limited(struct imap_session *s, uint32_t lowest, const char *code);
void imap_bad(struct imap_session *s, const char *text);
/* NO with the response code (RFC 5530) and words for an error of the store. */
void imap_no_err(struct imap_session *s, int err);
/* The lexer's error as BAD: true if there was one. */
bool imap_bad_syntax(struct imap_session *s, struct imap_lex *x);
void imap_bye(struct imap_session *s, const char *text);

/* Tells what happened in the selected mailbox. */
void imap_tell_news(struct imap_session *s, bool expunges);
/* "* n FETCH (FLAGS (…))", with UID and MODSEQ where the session wants them. Without `flags` only those two. */
void imap_tell_flags(struct imap_session *s, size_t seq, bool flags);
void imap_put_entry_flags(struct imap_session *s, struct buf *out, const struct store_entry *e, uint8_t more);
/* "* n FETCH (", or with UIDONLY "* uid UIDFETCH (" (RFC 9586 §3.3). */
void imap_put_fetch_start(const struct imap_session *s, struct buf *out, size_t seq, uint32_t uid);
/* FLAGS and PERMANENTFLAGS. */
void imap_tell_flag_names(struct imap_session *s);
void imap_deselect(struct imap_session *s);
static inline bool
imap_is_on(const struct imap_session *s, unsigned what)
{
	return (s->on & what) != 0;
}
/* Mailbox names travel as UTF-8, not as modified UTF-7 (RFC 9051 §5.1, RFC 9755 §3). */
static inline bool
imap_utf8_names(const struct imap_session *s)
{
	return imap_is_on(s, IMAP_ON_REV2 | IMAP_ON_UTF8);
}
/* Switches CONDSTORE on, and whatever a selected mailbox has to tell for it then (RFC 7162 §3.1). */
void imap_condstore_on(struct imap_session *s);
/* For the answer of a command that removes messages: "[HIGHESTMODSEQ n]" (RFC 7162 §3.2.7), or "" when QRESYNC is off or the client
 * has not been told all up to it. Tells the news first. */
const char *imap_modseq_code(struct imap_session *s, char code[64]);
/* Messages that are gone are told by UID (VANISHED), not by number. */
static inline bool
imap_tells_vanished(const struct imap_session *s)
{
	return imap_is_on(s, IMAP_ON_QRESYNC | IMAP_ON_UIDONLY);
}
/* "* VANISHED (EARLIER) …": the UIDs within `set` that were expunged after `modseq` (RFC 7162 §3.2.10.1): 0 or an error of the
 * store. */
NODISCARD int imap_tell_vanished_earlier(struct imap_session *s, uint64_t modseq, const struct imap_sequence *set);
/* What "$" stands for; frees what it stood for before. `set` is copied: 0 or ERR_NOMEM. */
NODISCARD int imap_save_result(struct imap_session *s, const struct imap_sequence *uids);
void imap_forget_result(struct imap_session *s);

/* Appends the UTF-8 form of a name or pattern as the client writes it: 0 or an error of imap_utf7_decode(). */
NODISCARD int imap_name_decode(const struct imap_session *s, struct slice raw, struct buf *out);
/* Reads a mailbox argument: its normal form in UTF-8, in the command's arena. A syntax error fails the lexer; a name
 * that cannot be is told by p == NULL without failing the lexer. */
struct slice imap_lex_mailbox(struct imap_session *s, struct imap_lex *x);

/* A special use by its name without the backslash (RFC 6154 §2). */
bool imap_role_named(struct slice name, enum store_role *role);
/* The whole untagged LIST response for a name, with all its attributes; m NULL: it does not exist. old_name, if it is not empty, is told
 * as OLDNAME (RFC 9051 §6.3.9.7). */
void imap_put_list(struct imap_session *s, struct buf *out, struct slice name, const struct store_mailbox *m,
    bool subscribed, struct slice old_name);
/* The whole untagged STATUS response of a mailbox of that account; items: enum imap_status_item. */
void imap_put_status(struct imap_session *s, struct buf *out, struct store_account *account,
    const struct store_mailbox *m, unsigned items);
/* The whole untagged MYRIGHTS response. */
void imap_put_my_rights(struct imap_session *s, struct buf *out, struct slice name, unsigned rights);

/* ---- messages named by a set ---- */
struct imap_iter {
	struct imap_sequence set; /* resolved */
	struct imap_walk walk;
	size_t range, seq;
	bool uid;
	size_t skip, left;      /* PARTIAL: messages to pass over first, and to take then */
	uint64_t changed_since; /* messages with a lower or this modseq are passed over; 0: none */
};
/* Reads the set, or "$"; checks that sequence numbers exist (RFC 3501 §9). */
void imap_lex_messages(struct imap_session *s, struct imap_lex *x, struct imap_iter *it);
/* The next sequence number or 0. */
size_t imap_iter_next(struct imap_session *s, struct imap_iter *it);
/* Keeps only the messages of that part (RFC 9394 §3.3). */
void imap_iter_partial(struct imap_session *s, struct imap_iter *it, const struct imap_partial *p);
/* Keeps only the highest limits.imap_messages of the messages (RFC 9738 §3): the lowest UID that is kept, or 0 when all are. */
uint32_t imap_iter_limit(struct imap_session *s, struct imap_iter *it);
/* All UIDs at once, in the arena: 0 or ERR_LIMIT. */
NODISCARD int imap_iter_uids(struct imap_session *s, struct imap_iter *it, uint32_t **uids, size_t *n);

struct imap_fetch;
/* Tells these items of the messages with these UIDs, beside any command; what cannot be told is left out. */
void imap_fetch_beside(struct imap_session *s, const struct imap_fetch *f, const struct imap_sequence *uids);

/* While idling there is input, or news. */
void imap_idle_step(struct imap_session *s);

#endif
