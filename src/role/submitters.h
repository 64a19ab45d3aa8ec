/* submitters.h: who may submit without signing in, as [submitter NAME] says: by address, or as a user of this machine. */
#ifndef ROLE_SUBMITTERS_H
#define ROLE_SUBMITTERS_H

#include "role/settings.h"
#include "rt/net.h"

/* Is the address listed at all? */
bool submitters_list_address(const struct settings *s, const struct net_address *a);
/* The section that lets this client (a user's name, or else the text of an address) send as this address; NULL: none.
 * `sender` is local@domain, not empty. */
const struct submitter_settings *submitters_find(
    const struct settings *s, struct slice user, struct slice client, struct slice sender);

#endif
