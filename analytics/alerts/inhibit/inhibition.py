"""Inhibition: which alerts are mute because others fire, all decided at once.

It is asked once a tick, after every rule, with all alerts of the tick: so a source and its target
that come together never race. Missing and empty labels are the same, on both sides of `equal`. An
alert that matches both sides of a rule is not inhibited by another that does, nor by itself.
Source: `inhibit/inhibit.go` of Alertmanager.
"""

from collections.abc import Iterable, Mapping, Sequence

from analytics.alerts import matchers
from analytics.alerts.dispatch.routes import Inhibition
from analytics.alerts.labels import Labels

Key = tuple[str, ...]


def inhibited(
    rules: Sequence[Inhibition], firing: Mapping[str, Labels], asked: Mapping[str, Labels]
) -> dict[str, str]:
    """Return, for those of `asked` that are mute, the alert of `firing` that mutes them."""
    found: dict[str, str] = {}
    for rule in rules:
        sources = _sources(rule, firing)
        if not sources:
            continue
        for name in sorted(asked.keys() - found.keys()):
            source = _source_of(rule, asked[name], sources)
            if source:
                found[name] = source
    return found


def _sources(rule: Inhibition, firing: Mapping[str, Labels]) -> dict[Key, tuple[str, str]]:
    """Return by the labels of `equal` a source, and one that is not also a target."""
    found: dict[Key, tuple[str, str]] = {}
    for name in sorted(firing):
        labels = firing[name]
        if not matchers.all_hold(rule.source, labels):
            continue
        one, pure = found.get(_key(rule.equal, labels), ("", ""))
        if not pure and not matchers.all_hold(rule.target, labels):
            pure = name
        found[_key(rule.equal, labels)] = (one or name, pure)
    return found


def _source_of(rule: Inhibition, labels: Labels, sources: Mapping[Key, tuple[str, str]]) -> str:
    if not matchers.all_hold(rule.target, labels):
        return ""
    one, pure = sources.get(_key(rule.equal, labels), ("", ""))
    return pure if matchers.all_hold(rule.source, labels) else one


def _key(equal: Iterable[str], labels: Labels) -> Key:
    return tuple(labels.get(name, "") for name in equal)
