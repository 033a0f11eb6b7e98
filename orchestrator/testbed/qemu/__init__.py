# SPDX-License-Identifier: Apache-2.0
"""Guests: virtual machines of QEMU on this computer, with Debian's own kernels, by KVM or by emulation."""
