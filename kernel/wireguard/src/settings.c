// SPDX-License-Identifier: GPL-2.0
/*
 * The choices that are made when a device is created: see settings.h.
 */

#include "settings.h"
#include "device.h"

#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/string.h>
#include <linux/sysfs.h>

static const char *const path_names[] = {
	[WG_PATH_QUEUED] = "queued",
	[WG_PATH_INLINE] = "inline",
};

static int path_param_set(const char *text, const struct kernel_param *param)
{
	int path = __sysfs_match_string(path_names, ARRAY_SIZE(path_names), text);

	if (path < 0)
		return path;
	WRITE_ONCE(*(enum wg_path *)param->arg, path);
	return 0;
}

static int path_param_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n",
			  path_names[READ_ONCE(*(enum wg_path *)param->arg)]);
}

static const struct kernel_param_ops path_ops = {
	.set = path_param_set,
	.get = path_param_get,
};

static enum wg_path transmit = WG_PATH_QUEUED, receive = WG_PATH_QUEUED;

module_param_cb(transmit, &path_ops, &transmit, 0644);
MODULE_PARM_DESC(transmit, "Where devices created from now on encrypt: queued (default) or inline");
module_param_cb(receive, &path_ops, &receive, 0644);
MODULE_PARM_DESC(receive, "Where devices created from now on decrypt: queued (default) or inline");

static const struct wg_settings *settings_of(struct device *dev)
{
	const struct wg_device *wg = netdev_priv(to_net_dev(dev));

	return &wg->settings;
}

static ssize_t transmit_show(struct device *dev, struct device_attribute *attr,
			     char *buffer)
{
	return sysfs_emit(buffer, "%s\n", path_names[settings_of(dev)->transmit]);
}
static DEVICE_ATTR_RO(transmit);

static ssize_t receive_show(struct device *dev, struct device_attribute *attr,
			    char *buffer)
{
	return sysfs_emit(buffer, "%s\n", path_names[settings_of(dev)->receive]);
}
static DEVICE_ATTR_RO(receive);

static struct attribute *settings_attributes[] = {
	&dev_attr_transmit.attr,
	&dev_attr_receive.attr,
	NULL
};

static const struct attribute_group settings_group = {
	.name = "wireguard",
	.attrs = settings_attributes,
};

void wg_settings_init(struct net_device *dev)
{
	struct wg_device *wg = netdev_priv(dev);

	wg->settings.transmit = READ_ONCE(transmit);
	wg->settings.receive = READ_ONCE(receive);
	dev->sysfs_groups[0] = &settings_group;
}
