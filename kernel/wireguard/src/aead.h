/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ChaCha20Poly1305 for messages in one piece, in place: see aead.c.
 */

#ifndef _WG_AEAD_H
#define _WG_AEAD_H

#include "noise.h"

#include <linux/types.h>

/* The 64 bytes before the text are written to and then restored. The tag is
 * put behind the text. Softirqs must be off.
 */
#define WG_AEAD_HEADROOM 64

void wg_aead_encrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN]);

/* Softirqs must be off. @len includes the tag. If the tag is wrong the text is left as it was. */
bool wg_aead_decrypt(u8 *text, size_t len, u64 nonce,
		     const u8 key[NOISE_SYMMETRIC_KEY_LEN]);

int wg_aead_init(void);
void wg_aead_uninit(void);

#ifdef DEBUG
bool wg_aead_selftest(void);
#endif

/* The rest is between aead.c and aead-avx512.c. */

#if defined(CONFIG_X86_64) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define WG_AEAD_HAS_WIDE 1
#endif
#endif

#ifdef WG_AEAD_HAS_WIDE
/* What one pass encrypts: 24 blocks, of which the first is for Poly1305. */
#define WG_AEAD_WIDE_BYTES (23 * 64)
/* Shorter texts gain nothing by it. */
#define WG_AEAD_WIDE_LEAST 577

struct wg_aead_scratch {
	u64 powers[4][5][8];	/* of Poly1305's key: aead-avx512.c */
	u8 key[32];		/* Poly1305's */
	u8 text[WG_AEAD_WIDE_BYTES];
} __aligned(64);

/* Encrypt or decrypt at most WG_AEAD_WIDE_BYTES, and keep what the tag needs.
 * @len, at least WG_AEAD_WIDE_LEAST, may be larger: the rest is left.
 */
void wg_aead_wide_crypt(struct wg_aead_scratch *scratch, const u32 state[16],
			u8 *to, const u8 *from, size_t len);

/* Only after wg_aead_wide_crypt(), whose secrets it overwrites. */
void wg_aead_wide_tag(struct wg_aead_scratch *scratch, u8 tag[16],
		      const u8 *text, size_t len);
#endif

#endif /* _WG_AEAD_H */
