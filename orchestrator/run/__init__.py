# SPDX-License-Identifier: Apache-2.0
"""The campaign: blocks, rounds and attempts of a plan on their testbeds. It alone writes a run's directory."""
