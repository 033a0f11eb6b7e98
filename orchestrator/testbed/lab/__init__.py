# SPDX-License-Identifier: Apache-2.0
"""Code shared by providers with machines on this computer: the lab's namespaces, network and keys."""
