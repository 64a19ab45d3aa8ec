/* report_apart.h: a report in a file, read as one that came by mail is: by a reader, which is made for it. No house is needed. */
#ifndef ROLE_REPORT_APART_H
#define ROLE_REPORT_APART_H

#include "bus/bus.h"

/* `file`: a message, or the file of a report. Everything in *reply lies in the arena. Blocks; not on a fiber. 0; ERR_DAMAGED: the reader did not
 * live through it; ERR_UNSUPPORTED: the kernel has no sandbox for it (words in detail); ERR_NOMEM, ERR_IO. */
NODISCARD int report_apart_read(
    struct house *h, struct slice file, struct arena *a, struct bus_reader_report_reply *reply, struct buf *detail);

#endif
