/* backup_seal.h: encryption of one file of a backup: all of it or nothing comes out again. */
#ifndef BACKUP_BACKUP_SEAL_H
#define BACKUP_BACKUP_SEAL_H

#include "base/buf.h"

#define BACKUP_SEAL_EXTRA 46 /* bytes that a sealed text is longer */

/* Appends `plain` under the key; `name` has to be the same when it is opened, so that files cannot change places. */
NODISCARD int backup_seal(const uint8_t key[32], struct slice name, struct slice plain, struct buf *out);
/* ERR_DAMAGED: not sealed with this key and name, or changed since; ERR_VERSION: of a newer Posthouse. */
NODISCARD int backup_unseal(const uint8_t key[32], struct slice name, struct slice sealed, struct buf *out);

#endif
