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
/* Appends the names for these circumstances, separated by spaces. */
void imap_put_capabilities(struct buf *out, unsigned when);
/* The untagged ID response with its line end. */
void imap_put_id(struct buf *out);

/* Memory of one command beside what grows with the mailbox. */
#define IMAP_COMMAND_ARENA_BYTES (64u << 20)
/* A client that stops in the middle of a command. */
#define IMAP_MID_COMMAND_MS 300000
/* An idling client hears something this often. */
#define IMAP_IDLE_STILL_HERE_MS 240000

struct imap_session {
	struct stream *st;
	struct store_account *account;
	const struct imap_session_config *c;
	const struct limits *limits;
	struct store_view *view; /* NULL: none selected */
	size_t keywords_told;    /* of the FLAGS response */
	int64_t errors;          /* bad commands so far */
	bool ended;              /* LOGOUT, or a BYE was said */
	struct arena arena;      /* of the command */
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
void imap_bad(struct imap_session *s, const char *text);
/* NO with the response code (RFC 5530) and words for an error of the store. */
void imap_no_err(struct imap_session *s, int err);
/* The lexer's error as BAD: true if there was one. */
bool imap_bad_syntax(struct imap_session *s, struct imap_lex *x);
void imap_bye(struct imap_session *s, const char *text);

/* Tells what happened in the selected mailbox. */
void imap_tell_news(struct imap_session *s, bool expunges);
/* "* n FETCH (FLAGS (…))". */
void imap_tell_flags(struct imap_session *s, size_t seq);
void imap_put_entry_flags(struct imap_session *s, struct buf *out, const struct store_entry *e, uint8_t more);
/* FLAGS and PERMANENTFLAGS. */
void imap_tell_flag_names(struct imap_session *s);
void imap_deselect(struct imap_session *s);

/* Reads a mailbox argument: its normal form in UTF-8, in the command's arena. A syntax error fails the lexer; a name
 * that cannot be is told by p == NULL without failing the lexer. */
struct slice imap_lex_mailbox(struct imap_session *s, struct imap_lex *x);

/* ---- messages named by a set ---- */
struct imap_iter {
	struct imap_sequence set; /* resolved */
	struct imap_walk walk;
	size_t range, seq;
	bool uid;
};
/* Reads the set; checks that sequence numbers exist (RFC 3501 §9). */
void imap_lex_messages(struct imap_session *s, struct imap_lex *x, struct imap_iter *it);
/* The next sequence number or 0. */
size_t imap_iter_next(struct imap_session *s, struct imap_iter *it);
/* All UIDs at once, in the arena: 0 or ERR_LIMIT. */
NODISCARD int imap_iter_uids(struct imap_session *s, struct imap_iter *it, uint32_t **uids, size_t *n);

/* While idling there is input, or news. */
void imap_idle_step(struct imap_session *s);

#endif
