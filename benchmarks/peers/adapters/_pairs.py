"""Groups of pictures as pairs, closed: whoever is in one group is a pair. Standard library only, as in `_run.py`."""

import os
from collections import defaultdict
from itertools import combinations


def closed(pairs):
    """All pairs within the connected components of `pairs`, each sorted, in order."""
    leader = {}

    def root(name):
        while leader.setdefault(name, name) != name:
            leader[name] = name = leader[leader[name]]
        return name

    for one, other in pairs:
        leader[root(one)] = root(other)
    return within((root(name), name) for name in list(leader))


def within(members):
    """All pairs of names with the same group, each sorted, in order; `members` are (group, name)."""
    groups = defaultdict(set)
    for group, name in members:
        groups[group].add(name)
    return sorted(pair for names in groups.values() for pair in combinations(sorted(names), 2))


def below(folder, path):
    """`path` as ours are told: relative to `folder`, with slashes."""
    return os.path.relpath(path, folder).replace(os.sep, "/")
