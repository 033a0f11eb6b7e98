/* SPDX-License-Identifier: GPL-2.0 */

#ifndef _WG_SEGMENT_H
#define _WG_SEGMENT_H

struct sk_buff;

/* Return the segments of a packet of TCP segments as a list, or NULL if this is
 * one for the network stack. The packet itself is left to the caller.
 */
struct sk_buff *wg_segment_tcp(struct sk_buff *skb);

#endif /* _WG_SEGMENT_H */
