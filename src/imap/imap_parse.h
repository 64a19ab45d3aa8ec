/* imap_parse.h: the arguments of commands that have a grammar of their own: flags, STATUS, ID, FETCH and SEARCH (RFC 3501
 * §9). Everything lies in the lexer's arena or in the command. Errors stick in the lexer. */
#ifndef IMAP_PARSE_H
#define IMAP_PARSE_H

#include "imap/imap_sequence.h"
#include "message/mime.h"

/* ---- flags --------------------------------------------------------------------------------------------------- */

struct imap_flags {
	uint8_t flags; /* enum store_flag */
	struct slice_list keywords;
};
/* flag-list in parentheses, or without them as STORE also allows. \Recent cannot be set and is an error, as are system
 * flags that do not exist. */
void imap_parse_flags(struct imap_lex *x, const struct limits *l, bool bare_allowed, struct imap_flags *out);

/* ---- STATUS --------------------------------------------------------------------------------------------------- */

enum imap_status_item {
	IMAP_STATUS_MESSAGES = 1,
	IMAP_STATUS_RECENT = 2,
	IMAP_STATUS_UIDNEXT = 4,
	IMAP_STATUS_UIDVALIDITY = 8,
	IMAP_STATUS_UNSEEN = 16
};
unsigned imap_parse_status(struct imap_lex *x);

/* ---- ID (RFC 2971) --------------------------------------------------------------------------------------------- */

/* Checks the parameters and their limits (30 pairs, names of 30 bytes, values of 1,024); the client's name and
 * version are given out for the log. */
void imap_parse_id(struct imap_lex *x, struct slice *name, struct slice *version);

/* ---- FETCH ------------------------------------------------------------------------------------------------------- */

enum imap_fetch_item {
	IMAP_FETCH_FLAGS = 1,
	IMAP_FETCH_UID = 2,
	IMAP_FETCH_INTERNALDATE = 4,
	IMAP_FETCH_SIZE = 8,
	IMAP_FETCH_ENVELOPE = 16,
	IMAP_FETCH_BODY = 32, /* BODYSTRUCTURE without extension data */
	IMAP_FETCH_BODYSTRUCTURE = 64
};

/* How the response names the bytes. */
enum imap_section_form { IMAP_FORM_BODY, IMAP_FORM_RFC822, IMAP_FORM_RFC822_HEADER, IMAP_FORM_RFC822_TEXT };

struct imap_section {
	enum imap_section_form form;
	bool peek;
	const uint32_t *numbers;
	size_t numbers_n;
	enum mime_section section;
	bool fields;     /* HEADER.FIELDS or … */
	bool fields_not; /* … HEADER.FIELDS.NOT */
	struct slice_list names;
	bool partial;
	uint32_t offset, count;
};

struct imap_fetch {
	unsigned items;
	struct imap_section *sections;
	size_t sections_n;
	bool sets_seen; /* some section is not PEEK */
};
void imap_parse_fetch(struct imap_lex *x, const struct limits *l, struct imap_fetch *out);
/* Writes the section as it stands in the response: `BODY[1.2.HEADER.FIELDS ("To")]<0>`. */
void imap_put_section(struct buf *out, const struct imap_section *s);

/* ---- SEARCH -------------------------------------------------------------------------------------------------------- */

enum imap_key_kind {
	IMAP_KEY_ALL,
	IMAP_KEY_SEQUENCE, /* set */
	IMAP_KEY_UID,      /* set */
	IMAP_KEY_FLAG,     /* flag */
	IMAP_KEY_RECENT,
	IMAP_KEY_NEW,     /* \Recent and not \Seen */
	IMAP_KEY_KEYWORD, /* text */
	IMAP_KEY_BEFORE,  /* INTERNALDATE; day */
	IMAP_KEY_ON,
	IMAP_KEY_SINCE,
	IMAP_KEY_LARGER, /* number */
	IMAP_KEY_SMALLER,
	IMAP_KEY_AND, /* children */
	IMAP_KEY_OR,  /* children */
	/* From here on the message itself is read: its header … */
	IMAP_KEY_HEADER, /* name, text */
	IMAP_KEY_SENTBEFORE,
	IMAP_KEY_SENTON,
	IMAP_KEY_SENTSINCE,
	/* … or all of it. */
	IMAP_KEY_BODY,
	IMAP_KEY_TEXT
};

struct imap_key {
	enum imap_key_kind kind;
	bool negated;
	uint8_t flag; /* enum store_flag */
	uint32_t number;
	int64_t day;             /* since 1970-01-01 */
	size_t leaf;             /* index among the keys without children that need not read the message */
	struct slice name, text; /* as sent, in the search's charset */
	struct imap_sequence set;
	struct imap_key *first; /* children */
	struct imap_key *next;  /* sibling */
};

struct imap_search {
	struct slice charset;  /* as given, or empty: US-ASCII, taken as UTF-8 */
	struct imap_key *root; /* an IMAP_KEY_AND */
	size_t leaves;
	bool needs_header; /* some key reads the header … */
	bool needs_body;   /* … or the whole message */
};
/* Everything behind "SEARCH ". Depth is bounded by limits.imap_nesting, keys by limits.imap_search_keys and imap_search_texts. */
void imap_parse_search(struct imap_lex *x, const struct limits *l, struct imap_search *out);

#endif
