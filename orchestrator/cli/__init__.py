# SPDX-License-Identifier: Apache-2.0
"""The command line. It imports from every layer, and nothing imports it."""
