# SPDX-License-Identifier: Apache-2.0
"""One attempt at a trial: driving its tool, reading what came of it, judging whether it is valid."""
