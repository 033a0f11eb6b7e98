// SPDX-License-Identifier: GPL-2.0
/*
 * ChaCha20 and Poly1305 for a full packet, with AVX-512.
 *
 * A full packet has 22.2 blocks of ChaCha20, and Poly1305's key is one more. All
 * are computed in one pass: 16 blocks in 512-bit vectors and eight in 256-bit
 * ones, so that the two sets of independent operations fill all vector units.
 *
 * Poly1305 takes eight blocks at a time, one for each 64-bit lane, in two chains
 * that advance by the key's 16th power, so that neither waits for the other's
 * multiplication. A number has three limbs of 44, 44 and 42 bits, which the
 * 52-bit multiplications of AVX-512 IFMA take (M. Goll, S. Gueron: Vectorization
 * of Poly1305 message authentication code, 2015).
 *
 * This file is compiled with vector instructions: all of it must run between
 * kernel_fpu_begin() and kernel_fpu_end().
 */

#include "aead.h"

#ifdef WG_AEAD_HAS_WIDE

#include <crypto/chacha.h>
#include <crypto/poly1305.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/math.h>
#include <linux/minmax.h>
#if __has_include(<linux/unaligned.h>)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

typedef u32 words8 __attribute__((vector_size(32)));
typedef u32 words16 __attribute__((vector_size(64)));
typedef u64 lanes __attribute__((vector_size(64)));
/* The same in memory, of any alignment. */
typedef u32 words8_at __attribute__((vector_size(32), aligned(1), may_alias));
typedef u32 words16_at __attribute__((vector_size(64), aligned(1), may_alias));
typedef u64 lanes_at __attribute__((vector_size(64), aligned(1), may_alias));

#define BLOCKS8 ((words8){ 0, 1, 2, 3, 4, 5, 6, 7 })
#define BLOCKS16 ((words16){ 8, 9, 10, 11, 12, 13, 14, 15, \
			     16, 17, 18, 19, 20, 21, 22, 23 })

#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* One bit for each of the first @count bytes of a vector. */
static __always_inline u64 bytes_below(long count)
{
	return count >= 64 ? ~0ULL : count <= 0 ? 0 : (1ULL << count) - 1;
}

/* Bytes that are not in the mask are neither read nor written. */
static __always_inline lanes load_bytes(const u8 *from, u64 mask)
{
	lanes v;

	asm("kmovq %2, %%k1\n\t"
	    "vmovdqu8 (%1), %0 %{%%k1%}%{z%}"
	    : "=v"(v) : "r"(from), "r"(mask) : "k1", "memory");
	return v;
}

static __always_inline void store_bytes(u8 *to, lanes v, u64 mask)
{
	asm volatile("kmovq %2, %%k1\n\t"
		     "vmovdqu8 %0, (%1) %{%%k1%}"
		     : : "v"(v), "r"(to), "r"(mask) : "k1", "memory");
}

/*
 * ChaCha20: element i of vector w is word w of block i.
 */

#define ROTATE(v, bits) (((v) << (bits)) | ((v) >> (32 - (bits))))

/* A quarter of a quarter round, of the four columns or diagonals. */
#define STEP(x, a, b, d, bits)                              \
	do {                                                \
		_Pragma("GCC unroll 4")                     \
		for (int i_ = 0; i_ < 4; ++i_)              \
			x[a(i_)] += x[b(i_)];               \
		_Pragma("GCC unroll 4")                     \
		for (int i_ = 0; i_ < 4; ++i_)              \
			x[d(i_)] ^= x[a(i_)];               \
		_Pragma("GCC unroll 4")                     \
		for (int i_ = 0; i_ < 4; ++i_)              \
			x[d(i_)] = ROTATE(x[d(i_)], bits);  \
	} while (0)

#define ROUND(x, a, b, c, d)             \
	do {                             \
		STEP(x, a, b, d, 16);    \
		STEP(x, c, d, b, 12);    \
		STEP(x, a, b, d, 8);     \
		STEP(x, c, d, b, 7);     \
	} while (0)

#define ROW_A(i) (i)
#define ROW_B(i) (4 + (i))
#define ROW_C(i) (8 + (i))
#define ROW_D(i) (12 + (i))
#define DIAGONAL_B(i) (4 + ((i) + 1) % 4)
#define DIAGONAL_C(i) (8 + ((i) + 2) % 4)
#define DIAGONAL_D(i) (12 + ((i) + 3) % 4)

/* Each block's first 32 bytes get into x[0] to x[7], the others into the rest. */
static __always_inline void blocks_of_8(words8 x[16])
{
	words8 a[8], b[8];

#pragma GCC unroll 2
	for (int half = 0; half < 2; ++half, x += 8) {
#pragma GCC unroll 4
		for (int i = 0; i < 8; i += 2) {
			a[i] = SHUFFLE(x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
			a[i + 1] = SHUFFLE(x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
		}
#pragma GCC unroll 2
		for (int i = 0; i < 8; i += 4) {
			b[i] = SHUFFLE(a[i], a[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
			b[i + 1] = SHUFFLE(a[i], a[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
			b[i + 2] = SHUFFLE(a[i + 1], a[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
			b[i + 3] = SHUFFLE(a[i + 1], a[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
		}
#pragma GCC unroll 4
		for (int i = 0; i < 4; ++i) {
			x[i] = SHUFFLE(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
			x[i + 4] = SHUFFLE(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
		}
	}
}

#define EVEN_QUARTERS(a, b) SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, \
				    16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_QUARTERS(a, b) SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, \
				   20, 21, 22, 23, 28, 29, 30, 31)

/* Block i gets into x[i]. */
static __always_inline void blocks_of_16(words16 x[16])
{
	words16 t[16];

	/* Quarter j of t[i + k] has words i to i + 3 of block 4 * j + k. */
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4) {
		words16 a = SHUFFLE(x[i], x[i + 1], 0, 16, 1, 17, 4, 20, 5, 21,
				    8, 24, 9, 25, 12, 28, 13, 29);
		words16 b = SHUFFLE(x[i], x[i + 1], 2, 18, 3, 19, 6, 22, 7, 23,
				    10, 26, 11, 27, 14, 30, 15, 31);
		words16 c = SHUFFLE(x[i + 2], x[i + 3], 0, 16, 1, 17, 4, 20, 5, 21,
				    8, 24, 9, 25, 12, 28, 13, 29);
		words16 d = SHUFFLE(x[i + 2], x[i + 3], 2, 18, 3, 19, 6, 22, 7, 23,
				    10, 26, 11, 27, 14, 30, 15, 31);

		t[i] = SHUFFLE(a, c, 0, 1, 16, 17, 4, 5, 20, 21,
			       8, 9, 24, 25, 12, 13, 28, 29);
		t[i + 1] = SHUFFLE(a, c, 2, 3, 18, 19, 6, 7, 22, 23,
				   10, 11, 26, 27, 14, 15, 30, 31);
		t[i + 2] = SHUFFLE(b, d, 0, 1, 16, 17, 4, 5, 20, 21,
				   8, 9, 24, 25, 12, 13, 28, 29);
		t[i + 3] = SHUFFLE(b, d, 2, 3, 18, 19, 6, 7, 22, 23,
				   10, 11, 26, 27, 14, 15, 30, 31);
	}
#pragma GCC unroll 4
	for (int k = 0; k < 4; ++k) {
		words16 a = EVEN_QUARTERS(t[k], t[4 + k]);
		words16 b = ODD_QUARTERS(t[k], t[4 + k]);
		words16 c = EVEN_QUARTERS(t[8 + k], t[12 + k]);
		words16 d = ODD_QUARTERS(t[8 + k], t[12 + k]);

		x[k] = EVEN_QUARTERS(a, c);
		x[4 + k] = EVEN_QUARTERS(b, d);
		x[8 + k] = ODD_QUARTERS(a, c);
		x[12 + k] = ODD_QUARTERS(b, d);
	}
}

/*
 * Poly1305: element i of a number's vectors belongs to block BLOCK_OF[i] of
 * eight, as unpacking two vectors of text gives it.
 */

#define BLOCK_OF ((lanes){ 0, 4, 1, 5, 2, 6, 3, 7 })
#define LIMB0 ((1ULL << 44) - 1)
#define LIMB1 LIMB0
#define LIMB2 ((1ULL << 42) - 1)
/* A block's 129th bit, in the last limb. */
#define BLOCK_BIT (1ULL << (128 - 88))

struct limbs {
	u64 v[3];
};

/* A factor's limbs, and 20 times the last two. */
struct factor {
	lanes r[3], r20[2];
};

/* Of the last eight blocks each has a power of its own, 8 to 1, and of the eight
 * before it, 16 to 9.
 */
struct powers {
	struct factor last, last_but_one, eighth, sixteenth;
};

static __always_inline struct limbs limbs_mul(struct limbs a, struct limbs b)
{
	const u64 b1 = b.v[1] * 20, b2 = b.v[2] * 20;
	unsigned __int128 d0, d1, d2;
	struct limbs h;
	u64 c;

	d0 = (unsigned __int128)a.v[0] * b.v[0] + (unsigned __int128)a.v[1] * b2 +
	     (unsigned __int128)a.v[2] * b1;
	d1 = (unsigned __int128)a.v[0] * b.v[1] + (unsigned __int128)a.v[1] * b.v[0] +
	     (unsigned __int128)a.v[2] * b2;
	d2 = (unsigned __int128)a.v[0] * b.v[2] + (unsigned __int128)a.v[1] * b.v[1] +
	     (unsigned __int128)a.v[2] * b.v[0];

	d1 += (u64)(d0 >> 44);
	d2 += (u64)(d1 >> 44);
	h.v[0] = ((u64)d0 & LIMB0) + (u64)(d2 >> 42) * 5;
	c = h.v[0] >> 44;
	h.v[0] &= LIMB0;
	h.v[1] = ((u64)d1 & LIMB1) + c;
	h.v[2] = (u64)d2 & LIMB2;
	return h;
}

static __always_inline lanes all_lanes(u64 v)
{
	return (lanes){ v, v, v, v, v, v, v, v };
}

static __always_inline void set_factor(struct factor *f, const lanes v[3])
{
	f->r[0] = v[0];
	f->r[1] = v[1];
	f->r[2] = v[2];
	/* What gets above 2^130 counts five times; a limb's 132nd bit 20 times. */
	f->r20[0] = (v[1] << 4) + (v[1] << 2);
	f->r20[1] = (v[2] << 4) + (v[2] << 2);
}

#define MUL_LOW(sum, a, b) \
	asm("vpmadd52luq %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(b))
#define MUL_HIGH(sum, a, b) \
	asm("vpmadd52huq %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(b))

/* Products are in two parts: of weight 1, and of weight 2^52. */
static __always_inline void number_mul(lanes h[3], const struct factor *f)
{
	lanes l0 = {}, l1 = {}, l2 = {}, h0 = {}, h1 = {}, h2 = {}, c;

	MUL_HIGH(h0, h[2], f->r20[0]);
	MUL_HIGH(h1, h[2], f->r20[1]);
	MUL_HIGH(h2, h[2], f->r[0]);
	MUL_LOW(l0, h[2], f->r20[0]);
	MUL_LOW(l1, h[2], f->r20[1]);
	MUL_LOW(l2, h[2], f->r[0]);
	MUL_HIGH(h0, h[0], f->r[0]);
	MUL_HIGH(h1, h[0], f->r[1]);
	MUL_HIGH(h2, h[0], f->r[2]);
	MUL_LOW(l0, h[0], f->r[0]);
	MUL_LOW(l1, h[0], f->r[1]);
	MUL_LOW(l2, h[0], f->r[2]);
	MUL_HIGH(h0, h[1], f->r20[1]);
	MUL_HIGH(h1, h[1], f->r[0]);
	MUL_HIGH(h2, h[1], f->r[1]);
	MUL_LOW(l0, h[1], f->r20[1]);
	MUL_LOW(l1, h[1], f->r[0]);
	MUL_LOW(l2, h[1], f->r[1]);

	c = l0 >> 44;
	h[0] = l0 & LIMB0;
	l1 += (h0 << 8) + c;
	c = l1 >> 44;
	h[1] = l1 & LIMB1;
	l2 += (h1 << 8) + c;
	c = (l2 >> 42) + (h2 << 10);
	h[2] = l2 & LIMB2;
	h[0] += (c << 2) + c;
	c = h[0] >> 44;
	h[0] &= LIMB0;
	h[1] += c;
}

/* Add eight blocks: 64 bytes in @a, and 64 in @b. */
static __always_inline void number_add(lanes h[3], lanes a, lanes b, lanes bit)
{
	lanes low = SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
	lanes high = SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
	lanes middle;

	asm("vpshrdq $44, %2, %1, %0" : "=v"(middle) : "v"(low), "v"(high));
	h[0] += low & LIMB0;
	h[1] += middle & LIMB1;
	h[2] += (high >> 24) | bit;
}

static __always_inline void number_add_text(lanes h[3], const u8 *text)
{
	number_add(h, *(const lanes_at *)text, *(const lanes_at *)(text + 64),
		   all_lanes(BLOCK_BIT));
}

#define FIRST_LANE(v) SHUFFLE(v, v, 0, 0, 0, 0, 0, 0, 0, 0)

static __always_inline void broadcast_factor(struct factor *f, const lanes v[3])
{
	const lanes first[3] = { FIRST_LANE(v[0]), FIRST_LANE(v[1]), FIRST_LANE(v[2]) };

	set_factor(f, first);
}

static __always_inline void set_powers(struct powers *p, const u8 *key)
{
	struct limbs r1, r2, r3, r4;
	lanes v[3], fourth[3];
	u64 low = get_unaligned_le64(key) & 0x0ffffffc0fffffffULL;
	u64 high = get_unaligned_le64(key + 8) & 0x0ffffffc0ffffffcULL;

	r1.v[0] = low & LIMB0;
	r1.v[1] = (low >> 44 | high << 20) & LIMB1;
	r1.v[2] = high >> 24;
	r2 = limbs_mul(r1, r1);
	r3 = limbs_mul(r2, r1);
	r4 = limbs_mul(r2, r2);
	/* Blocks 0 to 3 get powers 4 to 1, and so do blocks 4 to 7; the former
	 * are multiplied by the fourth power once more.
	 */
#pragma GCC unroll 3
	for (int i = 0; i < 3; ++i) {
		const u64 one = i == 0;

		v[i] = (lanes){ r4.v[i], r4.v[i], r3.v[i], r3.v[i],
				r2.v[i], r2.v[i], r1.v[i], r1.v[i] };
		fourth[i] = (lanes){ r4.v[i], one, r4.v[i], one,
				     r4.v[i], one, r4.v[i], one };
	}
	set_factor(&p->last, fourth);
	number_mul(v, &p->last);
	set_factor(&p->last, v);
	broadcast_factor(&p->eighth, v);
	number_mul(v, &p->eighth);
	set_factor(&p->last_but_one, v);
	broadcast_factor(&p->sixteenth, v);
}

static __always_inline u64 sum_of_lanes(lanes v)
{
	v += SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
	v += SHUFFLE(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
	return v[0] + v[1];
}

/* Reduce a number completely, and add the second half of the key. */
static __always_inline void put_tag(u8 tag[POLY1305_DIGEST_SIZE], const u8 *key,
				    u64 h0, u64 h1, u64 h2)
{
	u64 g0, g1, g2, c, smaller, low, high;
	unsigned __int128 sum;

	c = h0 >> 44; h0 &= LIMB0; h1 += c;
	c = h1 >> 44; h1 &= LIMB1; h2 += c;
	c = h2 >> 42; h2 &= LIMB2; h0 += c * 5;
	c = h0 >> 44; h0 &= LIMB0; h1 += c;
	c = h1 >> 44; h1 &= LIMB1; h2 += c;
	c = h2 >> 42; h2 &= LIMB2; h0 += c * 5;
	c = h0 >> 44; h0 &= LIMB0; h1 += c;

	/* Less 2^130 - 5, if that is not below zero. */
	g0 = h0 + 5;
	c = g0 >> 44; g0 &= LIMB0;
	g1 = h1 + c;
	c = g1 >> 44; g1 &= LIMB1;
	g2 = h2 + c - (1ULL << 42);
	smaller = (g2 >> 63) - 1;
	h0 = (h0 & ~smaller) | (g0 & smaller);
	h1 = (h1 & ~smaller) | (g1 & smaller);
	h2 = (h2 & ~smaller) | (g2 & smaller);

	low = h0 | h1 << 44;
	high = h1 >> 20 | h2 << 24;
	sum = (unsigned __int128)low + get_unaligned_le64(key + 16);
	high += get_unaligned_le64(key + 24) + (u64)(sum >> 64);
	put_unaligned_le64((u64)sum, tag);
	put_unaligned_le64(high, tag + 8);
}

void wg_aead_wide_crypt(struct wg_aead_scratch *scratch, const u32 state[16],
			u8 *to, const u8 *from, size_t len)
{
	long left = min_t(size_t, len, WG_AEAD_WIDE_BYTES);
	words16 x[16];
	words8 y[16];

	BUILD_BUG_ON(sizeof(struct powers) != sizeof(scratch->powers));
#pragma GCC unroll 16
	for (int i = 0; i < 16; ++i) {
		x[i] = (words16){} + state[i];
		y[i] = (words8){} + state[i];
	}
	x[12] = BLOCKS16;
	y[12] = BLOCKS8;
	for (int i = 0; i < 10; ++i) {
		ROUND(x, ROW_A, ROW_B, ROW_C, ROW_D);
		ROUND(y, ROW_A, ROW_B, ROW_C, ROW_D);
		ROUND(x, ROW_A, DIAGONAL_B, DIAGONAL_C, DIAGONAL_D);
		ROUND(y, ROW_A, DIAGONAL_B, DIAGONAL_C, DIAGONAL_D);
	}
#pragma GCC unroll 16
	for (int i = 0; i < 16; ++i) {
		if (i == 12)
			continue;
		x[i] += state[i];
		y[i] += state[i];
	}
	x[12] += BLOCKS16;
	y[12] += BLOCKS8;

	blocks_of_8(y);
	*(words8_at *)scratch->key = y[0];
	set_powers((struct powers *)scratch->powers, scratch->key);
#pragma GCC unroll 7
	for (int i = 1; i < 8; ++i, to += 64, from += 64) {
		*(words8_at *)to = *(const words8_at *)from ^ y[i];
		*(words8_at *)(to + 32) = *(const words8_at *)(from + 32) ^ y[8 + i];
	}
	left -= 7 * CHACHA_BLOCK_SIZE;

	blocks_of_16(x);
#pragma GCC unroll 16
	for (int i = 0; i < 16; ++i, to += 64, from += 64, left -= 64) {
		if (left >= 64)
			*(words16_at *)to = *(const words16_at *)from ^ x[i];
		else if (left > 0)
			store_bytes(to, load_bytes(from, bytes_below(left)) ^ (lanes)x[i],
				    bytes_below(left));
	}
}

/* The blocks are counted from the end, so that the last eight, of which one has
 * the lengths, get powers 8 to 1. In front of the text there are no blocks.
 */
void wg_aead_wide_tag(struct wg_aead_scratch *scratch, u8 tag[POLY1305_DIGEST_SIZE],
		      const u8 *text, size_t len)
{
	const struct powers *p = (const struct powers *)scratch->powers;
	long blocks = DIV_ROUND_UP(len, POLY1305_BLOCK_SIZE) + 1;
	long groups = DIV_ROUND_UP(blocks, 8), missing = groups * 8 - blocks;
	long absent = missing * POLY1305_BLOCK_SIZE;
	const u8 *end = text + len;
	lanes h[3] = {}, o[3] = {}, a, b;

	text -= absent;
	number_add(h, load_bytes(text, ~bytes_below(absent)),
		   load_bytes(text + 64, ~bytes_below(absent - 64)),
		   (lanes)(BLOCK_OF >= (u64)missing) & BLOCK_BIT);
	text += 128;
	if (groups % 2) {
		number_mul(h, &p->eighth);
		number_add_text(h, text);
		text += 128;
	}
	for (groups -= 2 + groups % 2; groups > 0; groups -= 2, text += 256) {
		number_add_text(o, text);
		number_mul(h, &p->sixteenth);
		number_mul(o, &p->sixteenth);
		number_add_text(h, text + 128);
	}
	number_mul(h, &p->last_but_one);

	a = load_bytes(text, bytes_below(end - text));
	b = load_bytes(text + 64, bytes_below(end - text - 64));
	b |= (lanes){ 0, 0, 0, 0, 0, 0, 0, len };
	number_add(o, a, b, all_lanes(BLOCK_BIT));
	number_mul(o, &p->last);

	put_tag(tag, scratch->key, sum_of_lanes(h[0] + o[0]),
		sum_of_lanes(h[1] + o[1]), sum_of_lanes(h[2] + o[2]));

#pragma GCC unroll 20
	for (int i = 0; i < sizeof(struct powers) / sizeof(lanes); ++i)
		((lanes *)scratch->powers)[i] = (lanes){};
	*(words8_at *)scratch->key = (words8){};
	barrier_data(scratch);
}

#endif
