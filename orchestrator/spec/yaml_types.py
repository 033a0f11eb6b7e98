# SPDX-License-Identifier: Apache-2.0
"""The types that YAML gives to unquoted texts, in words."""

import yaml

LONGEST_SHOWN = 40  # characters of a value in a sentence


def what_yaml_reads(tag: str, text: str) -> str:
    """Return what YAML takes an unquoted text for, given the type that it finds, such as bool: the truth value true."""
    try:
        value = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        value = None
    kind = {"bool": "the truth value", "int": "the number", "float": "the number", "timestamp": "the date"}
    if tag == "null":
        return "no value"
    if len(text) > LONGEST_SHOWN:
        return f"{kind[tag].replace('the', 'a', 1)} of {len(text)} characters, which is too large"
    if value is None:
        return f"{kind[tag].replace('the', 'a', 1)}, which it is not"
    return f"{kind[tag]} {str(value).lower() if tag == 'bool' else value}"


def plain_form(tag: str) -> str:
    """Return how a value of a YAML type is written in a spec."""
    return {
        "bool": "true or false",
        "int": "a decimal number",
        "float": "a decimal number with digits on both sides",
    }[tag]
