"""Labels and label selectors as Kubernetes writes them in a cell."""

from __future__ import annotations

from schema.printing.printer import NONE, Fields


class Requirement(Fields):
    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class LabelSelector(Fields):
    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


def format_labels(labels: dict[str, str] | None) -> str:
    return ",".join(sorted(f"{key}={value}" for key, value in labels.items())) if labels else NONE


def format_selector(selector: LabelSelector | None) -> str:
    """As in most wide columns: `<none>` for what selects everything or nothing, `<error>` for what is not valid."""
    try:
        return selector_text(selector) or NONE
    except ValueError:
        return "<error>"


def selector_text(selector: LabelSelector | None) -> str:
    """`a=b,c in (d,e),!f`, sorted by key. Raises ValueError for an operator or values that Kubernetes would refuse."""
    if selector is None:
        return ""
    parts = [(key, f"{key}={value}") for key, value in (selector.match_labels or {}).items()]
    parts += [(requirement.key, _requirement(requirement)) for requirement in selector.match_expressions or ()]
    parts.sort(key=lambda part: part[0])
    return ",".join(part for _, part in parts)


def _requirement(requirement: Requirement) -> str:
    values = requirement.values or []
    match requirement.operator:
        case "In" | "NotIn":
            if not values:
                raise ValueError(f"{requirement.operator} of {requirement.key} needs values")
            return f"{requirement.key} {requirement.operator.lower()} ({','.join(sorted(values))})"
        case "Exists" | "DoesNotExist":
            if values:
                raise ValueError(f"{requirement.operator} of {requirement.key} takes no values")
            return requirement.key if requirement.operator == "Exists" else f"!{requirement.key}"
    raise ValueError(f"{requirement.operator!r} is no label selector operator")


def go_text(selector: LabelSelector) -> str:
    """The Go struct as its generated String() writes it, which policy bindings show for a selector."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.match_labels or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{r.key},Operator:{r.operator},Values:[{' '.join(r.values or ())}],}},"
        for r in selector.match_expressions or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
