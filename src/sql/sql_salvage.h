/* sql_salvage.h: what can still be read of a damaged SQLite file. */
#ifndef SQL_SQL_SALVAGE_H
#define SQL_SQL_SALVAGE_H

#include "base/buf.h"

struct sql_salvaged {
	int64_t rows;    /* copied */
	int64_t breaks;  /* places at which a table could not be read on */
	int64_t refused; /* rows that the new tables do not take */
};

/* Copies the rows of every table that `to` has from the file `from` into it, past whatever cannot be read. `to` is a database that
 * sqldb_open() has made and nobody has open; rows that are in it stay. Blocking. ERR_DAMAGED: nothing of `from` can be read, with a
 * sentence in `detail`; other errors are those of `to`. */
NODISCARD int sql_salvage(const char *from, const char *to, struct sql_salvaged *out, struct buf *detail);

#endif
