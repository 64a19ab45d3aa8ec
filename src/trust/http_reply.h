/* http_reply.h: the answer to one GET (RFC 9112), taken in pieces of any size, with limits. Redirects are told by their status
 * and never followed. No I/O. */
#ifndef TRUST_HTTP_REPLY_H
#define TRUST_HTTP_REPLY_H

#include "base/buf.h"

enum http_stage {
	HTTP_STATUS,
	HTTP_FIELDS,
	HTTP_BODY,
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK,
	HTTP_CHUNK_END,
	HTTP_TRAILER,
	HTTP_DONE
};

struct http_reply {
	enum http_stage stage;
	int status;    /* 200, … of the last status line: 1xx are passed over */
	char type[64]; /* the media type in lower case without parameters, or "" */
	bool chunked, has_length;
	uint64_t left; /* of the body or of the chunk */
	size_t fields_bytes;
	struct buf line; /* the unfinished one */
	struct buf body;
};

void http_reply_init(struct http_reply *r, size_t body_max);
void http_reply_free(struct http_reply *r);
#define HTTP_REPLY_CLEANUP __attribute__((cleanup(http_reply_free)))
/* 0, also when the reply is complete (stage HTTP_DONE; what follows is ignored); ERR_SYNTAX; ERR_LIMIT: the fields or the body are
 * too long; ERR_NOMEM. */
NODISCARD int http_reply_feed(struct http_reply *r, struct slice in);
/* The connection has ended: 0 when the reply is complete by that, or ERR_CLOSED. */
NODISCARD int http_reply_end(struct http_reply *r);

#endif
