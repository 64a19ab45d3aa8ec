/* assess.h: everything that is checked of where a stranger's message comes from (SPF, DKIM, ARC, DMARC, the client's name), and what
 * follows from it: whether the message is taken, goes into Junk or is refused. The checks are those of the other files of this
 * room; here they are put in order, weighed, and told of: to programs in Authentication-Results, to people in sentences. */
#ifndef TRUST_ASSESS_H
#define TRUST_ASSESS_H

#include "trust/arc.h"
#include "trust/dmarc.h"
#include "trust/reverse.h"
#include "trust/spf.h"

/* Domains in From fields that are looked at. */
#define ASSESS_AUTHORS_MAX 3

/* What the house makes of the policies of others (DMARC). */
enum assess_mode {
	ASSESS_NOTE, /* they are noted */
	ASSESS_JUNK, /* what is to be refused goes into Junk */
	ASSESS_OBEY  /* it is refused */
};

struct assess_rules {
	enum assess_mode dmarc;
	bool spf_reject; /* what a domain's SPF says "fail" to is refused, unless DMARC passes */
	bool defer;      /* where DNS did not answer the client has to come again */
	struct slice_list
	    lists; /* domains of mailing lists, and of others that send messages on, that are known to be sound */
	struct slice_list sealers; /* domains whose ARC seals are believed */
};

struct assess_question {
	struct trust_dns dns;
	struct house *house;
	struct slice hostname; /* ours: the name in Authentication-Results */
	struct net_address client;
	struct slice helo, sender;  /* as in struct spf_question */
	struct dkim_reader *reader; /* the message, after dkim_reader_end() */
	const struct assess_rules *rules;
};

enum assess_verdict {
	ASSESS_FINE,
	ASSESS_TO_JUNK,
	ASSESS_DEFER,     /* 451: ask again */
	ASSESS_REFUSE,    /* 550: DMARC */
	ASSESS_REFUSE_SPF /* 550: SPF */
};

/* Why something else was done than the policy asks for (RFC 9990 §3.1.1.8, PolicyOverrideType). */
enum assess_override {
	ASSESS_AS_ASKED,
	ASSESS_LOCAL_POLICY,
	ASSESS_MAILING_LIST,
	ASSESS_TRUSTED_FORWARDER,
	ASSESS_TEST_MODE /* the domain itself says that it is testing (t=y) */
};

struct assessment {
	struct iprev_result iprev;
	struct spf_result spf;  /* of MAIL FROM; of HELO where that is null */
	struct spf_result helo; /* of HELO beside it (RFC 7208 §2.3): it is told, and nothing follows from it */
	struct dkim_results dkim;
	struct arc_result arc;
	struct dmarc_signature *signatures; /* parallel to dkim */
	struct dmarc_result dmarc;          /* of the author that came off worst */
	size_t authors;                     /* domains in From fields */
	enum assess_verdict verdict;
	enum assess_override override;
	const char *override_comment; /* a few words, or "" */
	struct slice reply;           /* of a refusal: ASCII, at most 400 bytes */
};

/* 0 whenever *out is filled; ERR_NOMEM, ERR_CANCELLED, ERR_INVALID (the client has no IP address). Lies in the arena, or is the
 * reader's. */
NODISCARD int assess_message(const struct assess_question *q, struct arena *a, struct assessment *out);
/* The second half of that: DMARC and the verdict, from the results of SPF, DKIM and ARC in *r. */
NODISCARD int assess_weigh(const struct assess_question *q, struct arena *a, struct assessment *r);
/* "fine", "junk", "defer" or "refuse". A static string. */
const char *assess_verdict_name(enum assess_verdict v);
/* "mailing_list", …; "" for ASSESS_AS_ASKED. A static string. */
const char *assess_override_name(enum assess_override o);
/* Is the reverse-path most likely somebody's who has nothing to do with the message, so that a report of its failure would hit a
 * bystander? */
bool assess_is_forged(const struct assessment *r);
/* What was done: the policy that was applied. */
enum dmarc_policy assess_disposition(const struct assessment *r);

/* The value of Authentication-Results (RFC 8601), without line end; errors are out->err. */
void assess_put_results(const struct assess_question *q, const struct assessment *r, struct buf *out);
/* The same for people, in sentences on one line. */
void assess_put_findings(const struct assess_question *q, const struct assessment *r, struct buf *out);

#endif
