"""Shell completion."""

from collections.abc import Iterable

from denoisebench.config.compose import known_keys
from denoisebench.config.places import groups


def complete(line: str, commands: Iterable[str]) -> list[str]:
    """What the last word of `line` (without the program's name) can become: commands, groups, choices or keys."""
    words = line.split(" ")
    word, before = words[-1], words[:-1]
    if not before:
        return sorted(command for command in commands if command.startswith(word))
    if before[0] != "run":
        return []
    known = groups()
    if word.partition("=")[0] in known and "=" in word:
        group, _, value = word.partition("=")
        done, comma, last = value.rpartition(",")
        return [f"{group}={done}{comma}{choice}" for choice in known[group] if choice.startswith(last)]
    keys = [f"{group}=" for group in known] + [f"{key}=" for key in known_keys(before[1:]) if key not in known]
    return sorted(key for key in dict.fromkeys(keys) if key.startswith(word))
