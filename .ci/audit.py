"""Ask the Open Source Vulnerabilities database for advisories on the versions pinned in constraints.txt.

One request; skipped with one line where the database cannot be reached. Exit code: 1 if there is an advisory that is not
accepted below.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
ADDRESS = "https://api.osv.dev/v1/querybatch"
TIMEOUT_S = 5
ACCEPTED: Mapping[str, str] = {}  # advisory -> why it does not concern this project


def pins(text: str) -> list[tuple[str, str]]:
    """The (name, version) pairs of a constraints file, whatever their markers."""
    return re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)


def advisories(pinned: list[tuple[str, str]], address: str) -> list[str]:
    """A line for each advisory that is not accepted. Raises: OSError, ValueError where there is no usable answer."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pinned]
    body = json.dumps({"queries": queries}).encode()
    with urlopen(Request(address, body, {"Content-Type": "application/json"}), timeout=TIMEOUT_S) as answer:
        results = json.load(answer)["results"]
    if len(results) != len(pinned):
        raise ValueError(f"{len(results)} results for {len(pinned)} packages")
    return [
        f"{name} {version}: https://osv.dev/vulnerability/{found['id']}"
        for (name, version), result in zip(pinned, results, strict=True)
        for found in result.get("vulns", ())
        if found["id"] not in ACCEPTED
    ]


def main() -> int:
    pinned = pins(CONSTRAINTS.read_text(encoding="utf-8"))
    try:
        found = advisories(pinned, os.environ.get("OSV_ADDRESS", ADDRESS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        print(f"audit: skipped, the database of advisories did not answer ({reason})")
        return 0
    print("\n".join(found) or f"audit: no advisories on {len(pinned)} pinned versions")
    if found:
        print("audit: upgrade with `make constraints`, or accept an advisory with its reason in .ci/audit.py", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
