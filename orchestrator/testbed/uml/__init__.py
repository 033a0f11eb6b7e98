# SPDX-License-Identifier: Apache-2.0
"""The embedded lab: User-Mode Linux machines on this computer, without KVM and without root."""
