/* SPDX-License-Identifier: GPL-2.0 */

#ifndef _WG_LIST_H
#define _WG_LIST_H

#include <linux/types.h>

struct net;
struct sk_buff;
struct sock;
struct wg_device;

/* Take packets of UDP segments whole, from when the device has sockets in the
 * network namespace until wg_lists_stop(). If it fails they come separated.
 */
void wg_lists_start(struct wg_device *wg, struct net *net);
void wg_lists_accept(struct wg_device *wg, struct sock *sk);
void wg_lists_stop(struct wg_device *wg);

/* Whether a packet of UDP segments is a list of data messages for one key. */
bool wg_list_is_data(struct sk_buff *skb);

/* Make a list of packets, in order, of a packet of UDP segments. */
void wg_list_split(struct sk_buff *skb);

#endif /* _WG_LIST_H */
