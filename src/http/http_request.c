#include "http/http_request.h"

#define TARGET_BYTES_MAX 2048u
#define METHOD_BYTES_MAX 20u

size_t
http_head_length(struct slice bytes)
{
	size_t end = slice_find(bytes, SLICE("\r\n\r\n"));

	return end == SLICE_NONE ? 0 : end + 4;
}

const char *
http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} v[] = {{200, "OK"}, {400, "Bad Request"}, {404, "Not Found"}, {405, "Method Not Allowed"},
	    {408, "Request Timeout"}, {413, "Content Too Large"}, {414, "URI Too Long"}, {421, "Misdirected Request"},
	    {431, "Request Header Fields Too Large"}, {501, "Not Implemented"}, {503, "Service Unavailable"},
	    {505, "HTTP Version Not Supported"}};

	for (size_t i = 0; i < COUNT_OF(v); i++)
		if (v[i].status == status)
			return v[i].reason;
	return "Error";
}

/* RFC 9110 §5.6.2 */
static bool
is_token(struct slice s)
{
	static const struct slice marks = SLICE_INIT("!#$%&'*+-.^_`|~");

	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(slice_at(s, i)) && slice_find_byte(marks, slice_at(s, i)) == SLICE_NONE)
			return false;
	return s.n > 0;
}

/* A line up to and without its CRLF; false: there is a CR or LF elsewhere, or a NUL. */
static bool
take_line(struct slice *rest, struct slice *line)
{
	size_t end = slice_find(*rest, SLICE("\r\n"));

	if (end == SLICE_NONE)
		return false;
	*line = slice_head(*rest, end);
	*rest = slice_from(*rest, end + 2);
	return slice_find_byte(*line, '\r') == SLICE_NONE && slice_find_byte(*line, '\n') == SLICE_NONE &&
	    slice_find_byte(*line, '\0') == SLICE_NONE;
}

/* The origin form only (RFC 9112 §3.2.1): "/" and visible ASCII. */
static int
take_target(struct slice target, struct http_request *out)
{
	if (target.n > TARGET_BYTES_MAX)
		return 414;
	if (!slice_starts(target, SLICE("/")))
		return 400;
	for (size_t i = 0; i < target.n; i++)
		if (slice_at(target, i) <= ' ' || slice_at(target, i) > 126 || slice_at(target, i) == '#')
			return 400;
	out->query = target;
	out->path = slice_cut(&out->query, '?');
	return 0;
}

/* RFC 9112 §3 */
static int
take_request_line(struct slice line, struct http_request *out)
{
	struct slice rest = line, target;

	out->method = slice_cut(&rest, ' ');
	if (rest.p == NULL)
		return 400;
	target = slice_cut(&rest, ' ');
	if (!is_token(out->method) || rest.p == NULL)
		return 400;
	if (out->method.n > METHOD_BYTES_MAX)
		return 501;
	if (slice_eq(rest, SLICE("HTTP/1.1")))
		out->minor = 1;
	else if (slice_eq(rest, SLICE("HTTP/1.0")))
		out->minor = 0;
	else
		return slice_starts(rest, SLICE("HTTP/")) ? 505 : 400;
	return take_target(target, out);
}

/* host or [address], maybe with a port (RFC 9110 §7.2). */
static bool
take_host(struct slice value, struct slice *host)
{
	size_t colon = slice_rfind_byte(value, ':'), bracket = slice_rfind_byte(value, ']');
	struct slice port = SLICE_EMPTY;
	uint64_t number;

	*host = value;
	if (colon != SLICE_NONE && (bracket == SLICE_NONE || colon > bracket)) {
		*host = slice_head(value, colon);
		port = slice_from(value, colon + 1);
		if (port.n > 0 && slice_to_u64(port, 65535, &number) != 0)
			return false;
	}
	for (size_t i = 0; i < host->n; i++) {
		uint8_t c = slice_at(*host, i);

		if (!ascii_is_alnum(c) && c != '.' && c != '-' && c != '_' && c != '[' && c != ']' && c != ':')
			return false;
	}
	return true;
}

/* RFC 9112 §5: no space before the colon, no folded lines. */
static int
take_field(struct slice line, struct http_request *out, unsigned *hosts)
{
	size_t colon = slice_find_byte(line, ':');
	struct slice name, value;
	uint64_t length;

	if (colon == SLICE_NONE || !is_token(slice_head(line, colon)))
		return 400;
	name = slice_head(line, colon);
	value = slice_trim(slice_from(line, colon + 1));
	for (size_t i = 0; i < value.n; i++)
		if ((slice_at(value, i) < ' ' && slice_at(value, i) != '\t') || slice_at(value, i) == 127)
			return 400;
	if (slice_ieq(name, SLICE("Host")))
		return ++*hosts == 1 && take_host(value, &out->host) ? 0 : 400;
	if (slice_ieq(name, SLICE("Transfer-Encoding")))
		return 413;
	if (slice_ieq(name, SLICE("Content-Length")))
		return slice_to_u64(value, INT64_MAX, &length) != 0 ? 400 : length > 0 ? 413 : 0;
	return 0;
}

int
http_request_parse(struct slice head, struct http_request *out)
{
	struct slice rest = head, line;
	unsigned fields = 0, hosts = 0;
	int status;

	*out = (struct http_request){.minor = 0};
	if (head.n > HTTP_HEAD_BYTES_MAX)
		return 431;
	if (http_head_length(head) != head.n || !take_line(&rest, &line))
		return 400;
	status = take_request_line(line, out);
	while (status == 0) {
		if (!take_line(&rest, &line))
			return 400;
		if (line.n == 0)
			break;
		if (++fields > HTTP_FIELDS_MAX)
			return 431;
		status = take_field(line, out, &hosts);
	}
	/* RFC 9112 §3.2: HTTP/1.1 has exactly one Host. */
	return status != 0 ? status : out->minor == 1 && hosts != 1 ? 400 : 0;
}
