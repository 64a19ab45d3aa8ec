/* imap_lex.h: the small words of IMAP's grammar (RFC 3501 §9) over a command that has arrived whole: its line with
 * the bytes of each literal in place behind their "{n}" CRLF. The first error sticks, with a sentence for the
 * client; past it everything reads as empty. Nothing here looks at a byte more than a constant number of times. */
#ifndef IMAP_LEX_H
#define IMAP_LEX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"

struct imap_lex {
	struct cursor c;
	struct arena *arena; /* of the command: unescaped strings live here */
	const char *why;     /* the first error, a static sentence; NULL without one */
	int64_t depth_max;   /* limits.imap_nesting */
};

/* The command must outlive what is read from it. */
struct imap_lex imap_lex_of(struct slice command, struct arena *arena, int64_t depth_max);
void imap_lex_fail(struct imap_lex *x, const char *why);
static inline bool
imap_lex_failed(const struct imap_lex *x)
{
	return x->c.err != 0;
}

/* One space (exactly). */
void imap_lex_space(struct imap_lex *x);
/* True and moves if the next byte is b. */
bool imap_lex_accept(struct imap_lex *x, uint8_t b);
void imap_lex_expect(struct imap_lex *x, uint8_t b);
int imap_lex_peek(const struct imap_lex *x);
/* An error unless everything is read. */
void imap_lex_end(struct imap_lex *x);

/* tag, atom: never empty unless failed. */
struct slice imap_lex_tag(struct imap_lex *x);
struct slice imap_lex_atom(struct imap_lex *x);
/* string = quoted / literal; 8-bit bytes are taken, NUL, CR and LF in quoted are not, NUL in literals is not. */
struct slice imap_lex_string(struct imap_lex *x);
struct slice imap_lex_astring(struct imap_lex *x);
/* objectid (RFC 8474 §7): 1*255 of letters, digits, "_" and "-". */
struct slice imap_lex_object_id(struct imap_lex *x);
/* nstring: true if it was NIL. */
bool imap_lex_nstring(struct imap_lex *x, struct slice *out);
/* list-mailbox: a pattern, with wildcards even outside quotes. */
struct slice imap_lex_list_mailbox(struct imap_lex *x);
uint32_t imap_lex_number(struct imap_lex *x);
uint32_t imap_lex_nz_number(struct imap_lex *x);
/* A number of 63 bits: a modseq (RFC 7162 §7 mod-sequence-valzer). */
uint64_t imap_lex_number64(struct imap_lex *x);

/* date: days since 1970-01-01 (may be negative), with or without quotes. */
int64_t imap_lex_date(struct imap_lex *x);
/* date-time in quotes: seconds since 1970 UTC. */
int64_t imap_lex_date_time(struct imap_lex *x);

/* Tells whether s can be sent as an atom, and as a quoted string (no CR, LF, NUL, 8-bit). */
bool imap_is_atom(struct slice s);
bool imap_is_quotable(struct slice s);

/* If the line ends in a literal's announcement ("{n}", "{n+}"), 1 with its size (capped to UINT64_MAX) and whether it
 * is non-synchronising (RFC 7888); 0 if not; ERR_SYNTAX for a number over 63 bits. */
int imap_literal_at_end(struct slice line, uint64_t *size, bool *nonsync);

#endif
