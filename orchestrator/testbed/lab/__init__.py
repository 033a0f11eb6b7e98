# SPDX-License-Identifier: Apache-2.0
"""What the providers whose machines live on this computer share: the lab's namespaces, its network, its keys."""
