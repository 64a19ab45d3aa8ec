/* role_start.h: what the keeper and the processes it starts agree on beyond the bus. */
#ifndef ROLE_ROLE_START_H
#define ROLE_ROLE_START_H

#include "role/role.h"

/* ROLE_ANY when there is none of that name. */
enum bus_role role_by_name(struct slice name);
/* An entry of role_start's links: "gate 0 17". */
NODISCARD bool role_start_link(struct slice text, enum bus_role *role, int *index, int *fd);

#endif
