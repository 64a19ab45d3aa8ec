/* imap_parse.h: the arguments of commands that have a grammar of their own: flags, STATUS, ID, FETCH and SEARCH (RFC 3501
 * §9 and its extensions). Everything lies in the lexer's arena or in the command. Errors stick in the lexer. */
#ifndef IMAP_PARSE_H
#define IMAP_PARSE_H

#include "imap/imap_sequence.h"
#include "message/mime.h"
#include "store/store.h"

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
	IMAP_STATUS_UNSEEN = 16,
	IMAP_STATUS_DELETED = 32,          /* RFC 9051 */
	IMAP_STATUS_SIZE = 64,             /* RFC 8438 */
	IMAP_STATUS_HIGHESTMODSEQ = 128,   /* RFC 7162 */
	IMAP_STATUS_MAILBOXID = 256,       /* RFC 8474 */
	IMAP_STATUS_APPENDLIMIT = 512,     /* RFC 7889 */
	IMAP_STATUS_DELETED_STORAGE = 1024 /* RFC 9208 */
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
	IMAP_FETCH_BODYSTRUCTURE = 64,
	IMAP_FETCH_MODSEQ = 128,       /* RFC 7162 */
	IMAP_FETCH_EMAILID = 256,      /* RFC 8474 */
	IMAP_FETCH_THREADID = 512,     /* RFC 8474 */
	IMAP_FETCH_SAVEDATE = 1024,    /* RFC 8514 */
	IMAP_FETCH_PREVIEW = 2048,     /* RFC 8970 */
	IMAP_FETCH_PREVIEW_LAZY = 4096 /* only if it costs little */
};

/* How the response names the bytes. */
enum imap_section_form {
	IMAP_FORM_BODY,
	IMAP_FORM_RFC822,
	IMAP_FORM_RFC822_HEADER,
	IMAP_FORM_RFC822_TEXT,
	IMAP_FORM_BINARY,     /* without its transfer encoding (RFC 3516) */
	IMAP_FORM_BINARY_SIZE /* how many bytes that is */
};

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

/* A part of a list of results (RFC 9394): the lo'th to the hi'th from the front, or from the end. 1 <= lo <= hi. */
struct imap_partial {
	bool given, from_end;
	uint32_t lo, hi;
};
void imap_parse_partial(struct imap_lex *x, struct imap_partial *out);

struct imap_fetch {
	unsigned items;
	struct imap_section *sections;
	size_t sections_n;
	bool sets_seen; /* some section is not PEEK */
	/* modifiers */
	bool changed; /* CHANGEDSINCE (RFC 7162 §3.1.4.1) … */
	uint64_t changed_since;
	bool vanished; /* … with VANISHED (RFC 7162 §3.2.6) */
	struct imap_partial partial;
};
/* Items and modifiers, up to the end. */
void imap_parse_fetch(struct imap_lex *x, const struct limits *l, struct imap_fetch *out);
/* Only the items, in parentheses. */
void imap_parse_fetch_items(struct imap_lex *x, const struct limits *l, struct imap_fetch *out);
/* What stands between the brackets of BODY[1.2.MIME], with the closing one and a partial behind it; s->form is set before. */
void imap_parse_section(struct imap_lex *x, struct imap_section *s);
/* Writes the section as it stands in the response: `BODY[1.2.HEADER.FIELDS ("To")]<0>`. */
void imap_put_section(struct buf *out, const struct imap_section *s);

/* ---- SEARCH -------------------------------------------------------------------------------------------------------- */

enum imap_key_kind {
	IMAP_KEY_ALL,
	IMAP_KEY_SEQUENCE, /* set */
	IMAP_KEY_UID,      /* set */
	IMAP_KEY_SAVED,    /* "$" (RFC 5182): becomes a set of UIDs */
	IMAP_KEY_FLAG,     /* flag */
	IMAP_KEY_RECENT,
	IMAP_KEY_NEW,     /* \Recent and not \Seen */
	IMAP_KEY_KEYWORD, /* text */
	IMAP_KEY_BEFORE,  /* INTERNALDATE; day */
	IMAP_KEY_ON,
	IMAP_KEY_SINCE,
	IMAP_KEY_OLDER, /* number: seconds before now (RFC 5032) */
	IMAP_KEY_YOUNGER,
	IMAP_KEY_LARGER, /* number */
	IMAP_KEY_SMALLER,
	IMAP_KEY_MODSEQ,    /* modseq: this one or higher (RFC 7162 §3.1.5) */
	IMAP_KEY_UIDAFTER,  /* number (RFC 9738 §3.2) */
	IMAP_KEY_UIDBEFORE, /* number */
	/* From here on the message's identifiers are needed … */
	IMAP_KEY_SAVEDBEFORE, /* day (RFC 8514) */
	IMAP_KEY_SAVEDON,
	IMAP_KEY_SAVEDSINCE,
	IMAP_KEY_EMAILID, /* text (RFC 8474) */
	IMAP_KEY_THREADID,
	IMAP_KEY_AND, /* children */
	IMAP_KEY_OR,  /* children */
	/* … from here on its Date field … */
	IMAP_KEY_SENTBEFORE, /* day */
	IMAP_KEY_SENTON,
	IMAP_KEY_SENTSINCE,
	/* … and here its text. */
	IMAP_KEY_HEADER, /* name, text */
	IMAP_KEY_BODY,   /* text */
	IMAP_KEY_TEXT
};

struct imap_key {
	enum imap_key_kind kind;
	bool negated;
	bool fuzzy;   /* FUZZY was before it or around it (RFC 6203) */
	uint8_t flag; /* enum store_flag */
	uint32_t number;
	uint64_t modseq;
	int64_t day;             /* since 1970-01-01 */
	struct slice name, text; /* as sent, in the search's charset */
	size_t at, words; /* of its text among imap_search.texts, and how many words of a fuzzy one follow there */
	struct imap_sequence set;
	struct imap_key *first; /* children */
	struct imap_key *next;  /* sibling */
};

static inline bool
imap_key_is_id(const struct imap_key *k)
{
	return k->kind >= IMAP_KEY_SAVEDBEFORE && k->kind <= IMAP_KEY_THREADID;
}
static inline bool
imap_key_is_sent(const struct imap_key *k)
{
	return k->kind >= IMAP_KEY_SENTBEFORE && k->kind <= IMAP_KEY_SENTSINCE;
}
static inline bool
imap_key_is_text(const struct imap_key *k)
{
	return k->kind >= IMAP_KEY_HEADER;
}

/* What is to be told of the messages that were found (RFC 4731, RFC 5182, RFC 5267, RFC 9394, RFC 6203). */
enum imap_return_option {
	IMAP_RETURN_MIN = 1,
	IMAP_RETURN_MAX = 2,
	IMAP_RETURN_ALL = 4,
	IMAP_RETURN_COUNT = 8,
	IMAP_RETURN_SAVE = 16,
	IMAP_RETURN_PARTIAL = 32,
	IMAP_RETURN_UPDATE = 64,
	IMAP_RETURN_CONTEXT = 128,
	IMAP_RETURN_RELEVANCY = 256
};
struct imap_return {
	bool given;       /* RETURN (…) was there: the answer is an ESEARCH response */
	unsigned options; /* RETURN () is ALL */
	struct imap_partial partial;
	struct slice
	    fetch; /* of UPDATE: the items to tell of new messages, as sent in their parentheses (RFC 5465 §7) */
};
/* "RETURN (…) " if it is there. */
void imap_parse_return(struct imap_lex *x, const struct limits *l, struct imap_return *out);

struct imap_search {
	struct slice charset;         /* as given, or empty: US-ASCII, taken as UTF-8 */
	struct imap_key *root;        /* an IMAP_KEY_AND */
	bool needs_ids;               /* some key asks for identifiers or the date of saving */
	bool needs_dates;             /* … for the Date field */
	bool has_texts;               /* … for text */
	bool by_modseq;               /* MODSEQ is among the keys: the highest modseq is told too */
	bool fuzzy;                   /* FUZZY is */
	bool by_number;               /* sequence numbers are */
	bool by_saved;                /* "$" is */
	struct store_text_key *texts; /* made by imap_search_ready() */
	size_t texts_n, texts_cap;
};
/* "[CHARSET x] keys" up to the end. Depth is bounded by limits.imap_nesting, keys by limits.imap_search_keys and
 * imap_search_texts. */
void imap_parse_search(struct imap_lex *x, const struct limits *l, struct imap_search *out);
/* The same without CHARSET before the keys: for SORT and THREAD, whose charset stands elsewhere. */
void imap_parse_search_keys(struct imap_lex *x, const struct limits *l, struct imap_search *out);

#endif
