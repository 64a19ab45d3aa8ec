/* report_unpack.h: the file of a report out of its packing: gzip (RFC 1952), a zip archive, or none. Told apart by their first bytes: what the
 * mail says of them is often wrong. */
#ifndef READER_REPORT_UNPACK_H
#define READER_REPORT_UNPACK_H

#include "reader/report.h"

/* Takes a piece of the file: 0, or an error that ends it. */
typedef int report_sink(void *ctx, struct slice piece);

bool report_is_gzip(struct slice s);
bool report_is_zip(struct slice s);
/* Passes the file on piece by piece, at most limits.report_unpacked_bytes: 0; ERR_INVALID with a problem; ERR_NOMEM; or the sink's error. */
NODISCARD int report_unpack(struct report *r, struct slice packed, report_sink *put, void *ctx);

#endif
