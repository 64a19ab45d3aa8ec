/* dkim_rsa.h: RSA public keys out of DER. OpenSSL's decoders find out first what they have before them, which takes several times as long as
 * checking a signature; of the two forms that DKIM has (RFC 6376 §3.6.1) both are read here directly. */
#ifndef TRUST_DKIM_RSA_H
#define TRUST_DKIM_RSA_H

#include "base/slice.h"

#include <openssl/evp.h>

/* A SubjectPublicKeyInfo or an RSAPublicKey, to its end, as a key; NULL for anything else, and without memory. */
EVP_PKEY *dkim_rsa_open(struct slice der);

#endif
