/* spf_macro.h: the macros of SPF records (RFC 7208 §7): their syntax, and what they stand for. No I/O. */
#ifndef TRUST_SPF_MACRO_H
#define TRUST_SPF_MACRO_H

#include "trust/client_ip.h"

/* What the letters stand for. */
struct spf_values {
	struct slice local;         /* of <sender>: %{l}; "postmaster" when it has none */
	struct slice sender_domain; /* %{o} */
	struct slice domain;        /* <domain>: %{d} */
	struct slice helo;          /* %{h} */
	struct slice validated;     /* %{p}: a name of the address that leads back to it, or "unknown" */
	struct slice receiver;      /* %{r} */
	const struct client_ip *ip; /* %{i} %{c} %{v} */
	int64_t now_s;              /* %{t} */
};

enum spf_use {
	SPF_DOMAIN_SPEC, /* becomes a name in DNS */
	SPF_EXPLAIN,     /* the text of an explanation: spaces, and %{c} %{r} %{t} */
	SPF_MODIFIER     /* the value of a modifier that nobody knows */
};

/* Is it well formed? The whole of it is looked at: 0 or ERR_SYNTAX. */
NODISCARD int spf_macro_check(struct slice text, enum spf_use use);
/* Does a text that is well formed use the letter (given in lower case)? */
bool spf_macro_uses(struct slice text, uint8_t letter);
/* The name that a well-formed domain-spec stands for, without final dot. Of one longer than 253 bytes labels are left out from
 * the left (§7.3); what remains need not be a name. Memory and time do not depend on how much the macros make of it:
 * 0 or ERR_NOMEM. */
NODISCARD int spf_macro_domain(struct slice text, const struct spf_values *values, struct arena *a, struct slice *out);
/* The explanation that a well-formed text stands for, cut off behind `max` bytes: 0 or ERR_NOMEM. It may hold what a sender wrote
 * into its address. */
NODISCARD int spf_macro_explain(
    struct slice text, const struct spf_values *values, size_t max, struct arena *a, struct slice *out);

#endif
