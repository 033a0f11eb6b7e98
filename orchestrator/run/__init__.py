# SPDX-License-Identifier: Apache-2.0
"""The loop of a run: prepare, configure, measure, judge, store. It alone writes a run's directory."""
