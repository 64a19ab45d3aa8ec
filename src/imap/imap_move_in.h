/* imap_move_in.h: what only the operator's sessions have, through which `posthouse import` brings mail in. */
#ifndef IMAP_MOVE_IN_H
#define IMAP_MOVE_IN_H

#include "imap/imap_session.h"

/* append-ext (RFC 4466 §6.1) "XORIGIN (source number uid) ": 32 hexadecimal digits that stand for a folder elsewhere, the
 * message's number in it, and the UID that it should have here, or 0. */
void imap_parse_origin(struct imap_lex *x, struct store_origin *out);

#endif
