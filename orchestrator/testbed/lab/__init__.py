# SPDX-License-Identifier: Apache-2.0
"""What providers with machines on this computer share: the lab's namespaces, network and keys."""
