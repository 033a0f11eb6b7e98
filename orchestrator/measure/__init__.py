# SPDX-License-Identifier: Apache-2.0
"""One attempt at a trial: running its tool, reading the results, and judging whether it is valid."""
