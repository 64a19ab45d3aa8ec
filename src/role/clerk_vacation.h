/* clerk_vacation.h: what the desk and the clerk agree on about answers of accounts whose person is away. */
#ifndef ROLE_CLERK_VACATION_H
#define ROLE_CLERK_VACATION_H

/* Addresses of one question (clerk_vacation). */
#define CLERK_VACATION_ADDRESSES 200

#endif
