/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a device's packets go through the machine: chosen when the device is
 * created, from the module's parameters, and readable afterwards in
 * /sys/class/net/DEVICE/wireguard/.
 */

#ifndef _WG_SETTINGS_H
#define _WG_SETTINGS_H

#include <linux/types.h>

struct net_device;

enum wg_path {
	WG_PATH_QUEUED,	/* upstream's: a ring, a worker on any CPU, a serial stage */
	WG_PATH_INLINE	/* the CPU that has the packet does all of it */
};

struct wg_settings {
	enum wg_path transmit, receive;
};

/* Sample the module's parameters for a new device, before it is registered. */
void wg_settings_init(struct net_device *dev);

#endif /* _WG_SETTINGS_H */
