/* zone_file.h: answers of DNS out of a file in the master file format (RFC 1035 §5), for tests and for debugging: what
 * `posthouse trust --dns FILE` reads.
 *
 *   $ORIGIN example.org.
 *   @            MX   10 mail
 *                TXT  "v=spf1 mx " "-all"
 *   mail   3600 IN A  192.0.2.1
 *   *.any        A    192.0.2.2          ; wildcards (RFC 4592)
 *   www          CNAME mail
 *   $TEMPFAIL slow.example.org.          ; ours: questions for what the file has not got end in a temporary error
 *   $TEMPFAIL example.org. AAAA PTR      ; ours: these do, even if the file has them
 *
 * Names without a final dot are below the origin, which is the root at first. Parentheses, comments and escapes are as in
 * the standard; strings of TXT records may be longer than 255 bytes. Of other known types only the owner's name counts;
 * $INCLUDE and DNAME are refused. No answer counts as validated with DNSSEC. */
#ifndef TRUST_ZONE_FILE_H
#define TRUST_ZONE_FILE_H

#include "base/buf.h"
#include "trust/trust_dns.h"

#define ZONE_FILE_BYTES_MAX (32u << 20)

struct zone_file;

/* Reads a zone, which keeps no part of `text`: 0; ERR_SYNTAX with one sentence "line N: …" in `detail` (of the first mistake);
 * ERR_LIMIT over ZONE_FILE_BYTES_MAX; ERR_NOMEM. */
NODISCARD int zone_file_new(struct zone_file **out, struct slice text, struct buf *detail);
void zone_file_free(struct zone_file **z);
#define ZONE_FILE_CLEANUP __attribute__((cleanup(zone_file_free)))
/* The zone as a source of answers, which point into it. */
struct trust_dns zone_file_dns(struct zone_file *z);

#endif
