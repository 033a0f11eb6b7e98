# SPDX-License-Identifier: Apache-2.0
"""The provider ``ssh``: hosts that are there, reached by SSH, and given back as they were."""
