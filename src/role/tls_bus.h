/* tls_bus.h: a TLS server for a role that has no keys: certificates and ticket keys come from the vault over the
 * bus, and the vault signs handshakes. Used by the gate and the porch. */
#ifndef ROLE_TLS_BUS_H
#define ROLE_TLS_BUS_H

#include "base/buf.h"
#include "bus/bus.h"
#include "rt/tls.h"

struct tls_bus;

/* Makes the server and fetches the certificates; parks. Then renews the ticket keys every hour on a fiber of its own. An
 * error leaves a sentence in `detail`. */
NODISCARD int tls_bus_new(struct tls_bus **out, struct loop *l, struct bus *b, struct buf *detail);
/* Fetches again (after a reload or a renewed certificate): takes all or changes nothing. Parks. */
NODISCARD int tls_bus_refresh(struct tls_bus *t, struct buf *detail);
/* For stream_start_tls_server(). Never NULL. */
struct tls_server *tls_bus_server(struct tls_bus *t);
/* Ends the fiber and frees the server: no handshake may be under way. On a fiber. */
void tls_bus_free(struct tls_bus **t);

#endif
