/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ChaCha20Poly1305 for messages in one piece, in place: see aead.c.
 */

#ifndef _WG_AEAD_H
#define _WG_AEAD_H

#include "noise.h"

#include <linux/types.h>

/* The 64 bytes before the text are written to and then restored. The tag is
 * put behind the text.
 */
#define WG_AEAD_HEADROOM 64

void wg_aead_encrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN]);

/* @len includes the tag. If the tag is wrong the text is left as it was. */
bool wg_aead_decrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN]);

#ifdef DEBUG
bool wg_aead_selftest(void);
#endif

#endif /* _WG_AEAD_H */
