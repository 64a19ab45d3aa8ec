/* extract.h: from a message to what the classifier sees of it. The work for one message is bounded (limits.spam_*), whatever it
 * consists of. What the receiving house adds (Received at the top, Return-Path, Authentication-Results, marks of filters) is no
 * feature, nor is a date: else a model would learn when and where mail was collected. */
#ifndef SPAM_EXTRACT_H
#define SPAM_EXTRACT_H

#include "base/limits.h"
#include "message/mime.h"
#include "spam/features.h"
#include "trust/trust_result.h"

/* Turns a text part into UTF-8 as a person reads it. In a role it asks the reader (role/reader.c); spam_texts_here() does it here.
 * An error leaves the part without text; the message is judged by the rest. */
struct spam_texts {
	NODISCARD int (*read)(void *of, bool html, struct slice charset, struct slice decoded, struct buf *out);
	void *of;
};
/* In this process: for the command line, for tests. Not on a fiber. */
struct spam_texts spam_texts_here(void);

/* What was found out about the sender, where somebody looked. */
struct spam_trust {
	bool known; /* without it the rest counts for nothing */
	enum trust_result spf, dkim, dmarc, arc, iprev;
};

struct spam_message {
	struct slice raw;
	size_t own_received; /* Received fields at the top that this house wrote: 0 in the gate */
	struct spam_trust trust;
	struct spam_texts texts;
	enum charset_place place;
};

/* What is used again from message to message. */
struct spam_extractor {
	const struct limits *limits;
	struct arena arena;
	struct buf decoded, text, plain; /* of one part; all text so far; in its plain form */
};
void spam_extractor_init(struct spam_extractor *x, const struct limits *limits);
void spam_extractor_free(struct spam_extractor *x);
#define SPAM_EXTRACTOR_CLEANUP __attribute__((cleanup(spam_extractor_free)))

/* Fills `f` anew: 0, ERR_NOMEM. Anything is a message. */
NODISCARD int spam_extract(struct spam_extractor *x, const struct spam_message *m, struct spam_features *f);

#endif
