/* sql_dialect.h: from the common dialect of statements and migrations to what each engine reads. The common
 * dialect is SQL that SQLite and PostgreSQL share, with $1 parameters, the column types INTEGER, TEXT and BLOB, and
 * tables that end in STRICT (and WITHOUT ROWID where the key is the table). */
#ifndef SQL_SQL_DIALECT_H
#define SQL_SQL_DIALECT_H

#include "base/buf.h"

/* No statement or migration is longer. */
#define SQL_TEXT_MAX ((size_t)1 << 20)

/* $1 becomes ?1: SQLite would number $-parameters in the order in which they are met. */
void sql_dialect_sqlite(struct buf *out, struct slice sql);
/* INTEGER becomes BIGINT, BLOB BYTEA, x'00ff' '\x00ff'::bytea; STRICT and WITHOUT ROWID go. */
void sql_dialect_postgres(struct buf *out, struct slice sql);

#endif
