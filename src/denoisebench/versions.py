"""Versions of what a score means: of a data set, a noise and a protocol, in every row.

A class whose results change in meaning (other pixels from the same seed, another score of the same images) raises its
`version`, which is "1" where a class says nothing. Scores of two versions are not of the same thing.
`tests/test_versions.py` holds pixels and scores of each against its version.
"""

import hashlib
from dataclasses import fields, is_dataclass

FIRST = "1"


def version_of(thing: object) -> str:
    """Of a data set or a noise: of its class. Its parameters are part of its name."""
    return str(getattr(type(thing), "version", FIRST))


def protocol_version(protocol: object) -> str:
    """`1.5d3a0c`: of its class, and a hash of its settings, which its name does not show."""
    settings = {f.name: getattr(protocol, f.name) for f in fields(protocol)} if is_dataclass(protocol) else {}
    told = repr(sorted((name, value) for name, value in settings.items() if name != "name"))
    return f"{version_of(protocol)}.{hashlib.sha256(told.encode()).hexdigest()[:6]}"
