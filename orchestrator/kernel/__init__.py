# SPDX-License-Identifier: Apache-2.0
"""Kernels and modules: where the source comes from, how they are built, and how a loaded module is identified."""
