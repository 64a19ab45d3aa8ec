/* report_file.h: the file of a report, packed or not: what is in it is told by its content. */
#ifndef READER_REPORT_FILE_H
#define READER_REPORT_FILE_H

#include "reader/report.h"

/* Could these bytes begin the file of a report: gzip, a zip archive, XML, JSON? */
bool report_file_is(struct slice file);
/* Reads it into *r. 0; ERR_INVALID with a problem; ERR_NOMEM. */
NODISCARD int report_file_read(struct report *r, struct slice file);

#endif
