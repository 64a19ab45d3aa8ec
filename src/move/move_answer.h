/* move_answer.h: what an IMAP server answers, as a client reads it (RFC 9051 §7). The server may be any, broken or hostile: what
 * is not understood is told as such, and nothing of it is believed beyond its form. */
#ifndef MOVE_MOVE_ANSWER_H
#define MOVE_MOVE_ANSWER_H

#include "base/arena.h"
#include "base/limits.h"
#include "store/store.h"

enum move_answer_kind {
	MOVE_ANSWER_OTHER, /* of no interest, or not understood */
	MOVE_ANSWER_OK,    /* with a tag, or without one: a remark */
	MOVE_ANSWER_NO,
	MOVE_ANSWER_BAD,
	MOVE_ANSWER_BYE,
	MOVE_ANSWER_PREAUTH,
	MOVE_ANSWER_CONTINUE,
	MOVE_ANSWER_CAPABILITY, /* text */
	MOVE_ANSWER_LIST,       /* name, delimiter, selectable, role */
	MOVE_ANSWER_LSUB,       /* the same */
	MOVE_ANSWER_NAMESPACE,  /* name: prefix of the first personal one; delimiter */
	MOVE_ANSWER_EXISTS,     /* number */
	MOVE_ANSWER_EXPUNGE,    /* number */
	MOVE_ANSWER_FETCH,      /* number and the fields of a message */
	MOVE_ANSWER_MISSING,    /* numbers (imap_move_in.c) */
	MOVE_ANSWER_ADOPTED,    /* number */
	MOVE_ANSWER_DROPPED     /* number */
};

struct move_answer {
	enum move_answer_kind kind;
	struct slice tag;  /* empty: none */
	struct slice code; /* of OK, NO, BAD, BYE, PREAUTH: what stands in [] */
	struct slice text; /* words for people; of CAPABILITY the names */
	uint32_t number;
	/* LIST, LSUB, NAMESPACE */
	struct slice name; /* as it was sent */
	uint8_t delimiter; /* 0: none */
	bool selectable;
	enum store_role role;
	/* FETCH */
	bool has_uid, has_flags, has_date, has_size, has_body;
	uint32_t uid, size;
	uint8_t flags;              /* enum store_flag */
	struct slice_list keywords; /* those that can be kept */
	size_t keywords_lost;       /* how many cannot */
	int64_t internal_s;
	struct slice body;  /* of BODY[] or RFC822, where it stood in the line */
	struct slice other; /* of any other BODY[…] */
	/* MISSING */
	const int64_t *numbers;
	size_t numbers_n;
};

/* `text` is a whole response without its last line end, literals in place behind their "{n}" CRLF. Slices point into it, or lie
 * in `a`. What is malformed is MOVE_ANSWER_OTHER. */
void move_answer_parse(struct slice text, const struct limits *l, struct arena *a, struct move_answer *out);
/* A number in a response code: "UIDVALIDITY 5" with the name "UIDVALIDITY"; false if it is another code. */
bool move_answer_code_number(struct slice code, struct slice name, uint32_t *out);
bool move_answer_code_number64(struct slice code, struct slice name, uint64_t *out); /* of 63 bits: a modseq */
/* Does the code say that the server has enough for now (RFC 5530 and what large providers answer)? */
bool move_answer_is_throttle(const struct move_answer *a);

#endif
