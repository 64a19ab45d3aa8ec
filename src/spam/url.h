/* url.h: links as mail has them: in the middle of text, in attributes, written to deceive. */
#ifndef SPAM_URL_H
#define SPAM_URL_H

#include "base/arena.h"

#define URL_HOST_MAX 255

struct url {
	struct slice scheme;         /* as written; empty for www.example.com */
	char host[URL_HOST_MAX + 1]; /* lower case, percent escapes resolved, A-labels; "" if there is none */
	char domain[URL_HOST_MAX +
	    1];            /* what one can register (Public Suffix List); the host itself for an address; "" if none */
	struct slice path; /* with query and fragment, as written */
	bool user;         /* something@ before the host */
	bool port;         /* a port is named */
	bool number;       /* the host is an IP address, also as one number or in hexadecimal */
	bool escaped;      /* escapes in the host's name */
	bool unicode;      /* the name is not ASCII, or has A-labels */
};

/* Finds the next link from *at on in plain text ("http://…", "www.…"), moves *at behind it: false at the end. Linear over all calls. */
bool url_next(struct slice text, size_t *at, struct slice *link);
/* Takes a link apart: true if it leads to a host. `a` is for names that are not ASCII; what is put there may be released. */
bool url_parse(struct arena *a, struct slice link, struct url *out);
/* The registrable domain of a name in lower case; the whole when there is none. */
struct slice url_domain(struct arena *a, struct slice host);

#endif
