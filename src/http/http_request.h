/* http_request.h: the head of an HTTP/1.1 request (RFC 9112), strictly: what two readers could understand differently is refused.
 * Requests with content are not for this reader. */
#ifndef HTTP_HTTP_REQUEST_H
#define HTTP_HTTP_REQUEST_H

#include "base/slice.h"

/* Bytes of a head, its empty line included, and fields in it. */
#define HTTP_HEAD_BYTES_MAX 8192u
#define HTTP_FIELDS_MAX 64u

/* Slices of the head. */
struct http_request {
	struct slice method; /* "GET"; case-sensitive */
	struct slice path;   /* from the "/" on, without query; not decoded */
	struct slice query;  /* behind the "?", or empty */
	struct slice host;   /* of Host, without port; "[::1]" keeps its brackets */
	int minor;           /* HTTP/1.0 or HTTP/1.1 */
};

/* The length of a head at the beginning of these bytes, its empty line included; 0: it is not complete. */
size_t http_head_length(struct slice bytes);
/* A whole head. 0, or the status that refuses it: 400, 414 (the target is too long), 431 (too many fields), 501 (a method that is no
 * word of ours), 505 (another version), 413 (content). */
NODISCARD int http_request_parse(struct slice head, struct http_request *out);
/* "OK" for 200. */
const char *http_reason(int status);

#endif
