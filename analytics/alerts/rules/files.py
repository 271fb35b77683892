"""Read Prometheus rule files, strictly and unchanged, with our additions.

What Prometheus refuses is refused with file, line and column (`model/rulefmt/rulefmt.go`): unknown
fields, a missing or unreadable `expr`, both or neither of `alert` and `record`, `for` on a record,
bad names, two groups of one name, templates that cannot be read. A function that nobody has makes
an annotation a warning, and renders as the error it is. Beyond it, `{{ $value }}` in a
label is refused: each tick would make another alert, which never reaches its `for`. What loads but
is hardly meant becomes a caution. A rule in PromQL beyond what we evaluate loads, is listed in
`beyond` with its place, and fails loudly when it is evaluated. Additions: `no_data`,
`no_data_for`, and the short conditions.
"""

from collections.abc import Mapping
from typing import Final

from analytics.alerts import documents
from analytics.alerts.documents import BadFile, Caution, Node, Position
from analytics.alerts.rules import conditions, expressions
from analytics.alerts.rules.rules import AlertRule, Group, NoData, RecordRule, Rule, RuleFile
from analytics.alerts.template import templates
from analytics.alerts.template.templates import Around, BadFunction, BadTemplate, Data, Template
from analytics.alerts.template.values import Sample

RULES_MAX: Final = 10_000
"""How many rules a file may hold."""
_TEMPLATE: Final = "template: "
_FILE: Final = frozenset({"groups"})
_GROUP: Final = frozenset({"name", "interval", "limit", "query_offset", "labels", "rules"})
_RECORD: Final = frozenset({"record", "expr", "labels"})
_ALERT: Final = frozenset(
    {"alert", "expr", "for", "keep_firing_for", "labels", "annotations", "no_data", "no_data_for"}
)
_RULE: Final = _RECORD | _ALERT | conditions.KINDS


def load(path: str, text: str) -> RuleFile:
    """Return the rules in a file; raise `BadFile` with the place of what is wrong."""
    root, cautions = documents.read(path, text)
    reading = _Reading(list(cautions))
    groups = [reading.group(node) for node in _groups(root)]
    names: dict[str, Group] = {}
    for group in groups:
        if group.name in names:
            first = names[group.name].place.line
            reason = f"group {group.name!r} is there twice, first in line {first}"
            raise BadFile(group.place, reason)
        names[group.name] = group
    count = sum(len(group.rules) for group in groups)
    if count > RULES_MAX:
        raise BadFile(Position(path), f"more than {RULES_MAX} rules; split the file")
    if not count:
        reason = (
            "the file holds no rules, so nothing is evaluated by it; rules stand under `groups:`"
        )
        reading.cautions.append(Caution(Position(path), reason))
    return RuleFile(path, tuple(groups), tuple(reading.cautions), tuple(reading.beyond))


def _groups(root: Node | None) -> list[Node]:
    if root is None:
        return []
    fields = root.fields(_FILE)
    return fields["groups"].items() if "groups" in fields else []


class _Reading:
    """One file being read; it gathers cautions on the way."""

    def __init__(self, cautions: list[Caution]) -> None:
        self.cautions = cautions
        self.beyond: list[Caution] = []

    def group(self, node: Node) -> Group:
        fields = node.fields(_GROUP)
        name = fields["name"].text() if "name" in fields else ""
        if not name:
            raise node.refuse("a group needs a name")
        labels = documents.labels_of(fields["labels"]) if "labels" in fields else {}
        rules: list[Rule] = []
        for entry in fields["rules"].items() if "rules" in fields else []:
            rules.extend(self._rules(entry, labels))
        self._warn_of_doubles(rules)
        interval_ms = fields["interval"].duration_ms() if "interval" in fields else 0
        return Group(
            name=name,
            rules=tuple(rules),
            place=fields["name"].place,
            interval_ms=interval_ms or None,
            limit=fields["limit"].whole() if "limit" in fields else 0,
            query_offset_ms=fields["query_offset"].duration_ms() if "query_offset" in fields else 0,
        )

    def _warn_of_doubles(self, rules: list[Rule]) -> None:
        seen: dict[tuple[object, ...], Rule] = {}
        for rule in rules:
            written = tuple(sorted((name, str(value)) for name, value in rule.labels.items()))
            key = (type(rule), rule.name, written)
            if key in seen:
                first = seen[key].place.line
                reason = f"rule {rule.name!r} is alike the one in line {first}: name and labels"
                self.cautions.append(Caution(rule.place, reason))
            seen.setdefault(key, rule)

    def _rules(self, node: Node, inherited: Mapping[str, str]) -> list[Rule]:
        fields = node.fields(_RULE)
        is_record, is_alert = (
            name in fields and bool(fields[name].text()) for name in ("record", "alert")
        )
        if is_record and is_alert:
            raise node.refuse("a rule has either record or alert, not both")
        if not is_record and not is_alert:
            raise node.refuse("a rule needs alert or record, with its name")
        own = documents.labels_of(fields["labels"]) if "labels" in fields else {}
        for name in own:
            if name == "__name__":
                raise fields["labels"].refuse("the label '__name__' cannot be set by a rule")
        labels = {**inherited, **own}
        if is_record:
            return [self._record(node, fields, labels)]
        return self._alerts(node, fields, labels)

    def _record(
        self, node: Node, fields: Mapping[str, Node], labels: Mapping[str, str]
    ) -> RecordRule:
        for name in sorted(fields.keys() - _RECORD):
            raise fields[name].refuse(f"a recording rule has no {name!r}")
        name = fields["record"].text()
        if not documents.is_label_name(name.replace(":", "_")):
            raise fields["record"].refuse(f"{name!r} is no name of a series")
        expr, _ = self._expression(node, fields)
        return RecordRule(name=name, expr=expr, labels=labels, place=fields["record"].place)

    def _alerts(
        self, node: Node, fields: Mapping[str, Node], labels: Mapping[str, str]
    ) -> list[Rule]:
        kinds = sorted(fields.keys() & conditions.KINDS)
        if len(kinds) > 1 or (kinds and "expr" in fields):
            raise node.refuse(f"a rule has one condition, not several: {', '.join(kinds)}, expr")
        if not kinds:
            expr, shape = self._expression(node, fields)
            return [self._alert(fields, expr, shape, labels)]
        short = fields[kinds[0]]
        found: list[Rule] = []
        for expr, severity in conditions.compiled(kinds[0], short):
            shape = self._checked(expr, short)
            found.append(self._alert(fields, expr, shape, {**severity, **labels}))
        return found

    def _alert(
        self,
        fields: Mapping[str, Node],
        expr: str,
        shape: expressions.Shape,
        labels: Mapping[str, str],
    ) -> AlertRule:
        known = None if shape.labels is None else shape.labels | {"alertname"}
        rendered = {name: self._label(fields, name, text, known) for name, text in labels.items()}
        annotations = documents.labels_of(fields["annotations"]) if "annotations" in fields else {}
        for_node, keep = fields.get("for"), fields.get("keep_firing_for")
        return AlertRule(
            name=fields["alert"].text(),
            expr=expr,
            place=fields["alert"].place,
            for_ms=for_node.duration_ms() if for_node else 0,
            keep_firing_for_ms=keep.duration_ms() if keep else 0,
            labels=rendered,
            annotations={
                name: self._annotation(_field(fields["annotations"], name), text, known)
                for name, text in annotations.items()
            },
            no_data=_no_data(fields),
            no_data_for_ms=fields["no_data_for"].duration_ms() if "no_data_for" in fields else None,
        )

    def _label(
        self, fields: Mapping[str, Node], name: str, text: str, known: frozenset[str] | None
    ) -> Template:
        owner = fields.get("labels", fields["alert"])
        node = _field(owner, name) if owner is not fields["alert"] else owner
        template = self._template(node, text, known)
        if template.uses_value():
            reason = (
                f"label {name!r} holds $value: each tick would make another alert, which never "
                "reaches its `for`; put it into an annotation"
            )
            raise node.refuse(reason)
        return template

    def _annotation(self, node: Node, text: str, known: frozenset[str] | None) -> Template:
        """Read a template; one with a function that nobody has costs a warning, not the file."""
        try:
            return self._template(node, text, known)
        except BadFile as error:
            if not isinstance(error.__context__, BadFunction):
                raise
            self.cautions.append(Caution(error.place, f"{error.reason}; it renders as this error"))
            return templates.broken(text, error.reason.removeprefix(_TEMPLATE))

    def _template(self, node: Node, text: str, known: frozenset[str] | None) -> Template:
        try:
            template = templates.parse(text)
        except BadTemplate as error:
            place = node.inside(error.line, error.column)
            raise BadFile(place, f"{_TEMPLATE}{error.reason}") from error
        self._try(node, template, known)
        if known is not None:
            for label in sorted(template.labels_used() - known):
                listed = ", ".join(sorted(known - {"alertname"})) or "none"
                reason = f"the result has no label {label!r} (it has: {listed}); it renders empty"
                self.cautions.append(node.caution(reason))
        return template

    def _try(self, node: Node, template: Template, known: frozenset[str] | None) -> None:
        """Render it once, as if an alert had every label that it may have."""
        labels = dict.fromkeys(known if known is not None else template.labels_used(), "text")
        around = Around(ask=lambda _: [Sample(labels, 1.0)])
        said = template.render(Data(labels=labels, value=1.0), around)
        if said.startswith(templates.FAILED):
            fault = said.removeprefix(templates.FAILED).removesuffix(">")
            self.cautions.append(node.caution(f"{_TEMPLATE}it may fail when rendered: {fault}"))

    def _expression(self, node: Node, fields: Mapping[str, Node]) -> tuple[str, expressions.Shape]:
        if "expr" not in fields or not fields["expr"].text().strip():
            raise (fields.get("expr") or node).refuse("a rule needs an expr")
        expr = fields["expr"].text()
        return expr, self._checked(expr, fields["expr"])

    def _checked(self, expr: str, node: Node) -> expressions.Shape:
        try:
            shape = expressions.shape(expr)
        except expressions.Unreadable as error:
            place = node.inside(error.line, error.column)
            raise BadFile(place, f"could not read the expression: {error.reason}") from None
        if shape.beyond is not None:
            place = node.inside(shape.beyond.line, shape.beyond.column)
            self.beyond.append(Caution(place, f"cannot be evaluated: {shape.beyond.reason}"))
        return shape


def _field(node: Node, name: str) -> Node:
    """Return the field `name`, or the whole where a group's labels brought it in."""
    return node.fields().get(name, node)


def _no_data(fields: Mapping[str, Node]) -> NoData:
    if "no_data" not in fields:
        return NoData.OK
    text = fields["no_data"].text()
    if text not in set(NoData):
        known = ", ".join(mode.value for mode in NoData)
        raise fields["no_data"].refuse(f"no_data is one of {known}; found {text!r}")
    return NoData(text)
