"""The text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from rdctl.metrics.model import METRICS, Labels, Sample


def unique(samples: Iterable[Sample]) -> list[Sample]:
    """Sorted, without repetitions of the same labels: Prometheus would reject all samples."""
    known: dict[tuple[str, Labels], Sample] = {}
    for sample in samples:
        known.setdefault((sample.metric, sample.labels), sample)
    return [known[key] for key in sorted(known)]


def exposed(samples: Iterable[Sample]) -> str:
    """All samples of a metric below its HELP and TYPE."""
    lines = []
    for name, of_metric in groupby(unique(samples), key=lambda sample: sample.metric):
        metric = METRICS[name]
        lines.append(f"# HELP {name} {_help(metric.help)}")
        lines.append(f"# TYPE {name} {metric.kind}")
        lines += [f"{name}{_labels(one.labels)} {_number(one.value)}" for one in of_metric]
    return "\n".join(lines) + "\n"


def as_data(samples: Iterable[Sample]) -> list[Mapping[str, Any]]:
    """The same for JSON and YAML."""
    return [
        {
            **METRICS[name]._asdict(),
            "samples": [
                {"labels": dict(one.labels), "value": _plain(one.value)} for one in of_metric
            ],
        }
        for name, of_metric in groupby(unique(samples), key=lambda sample: sample.metric)
    ]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_value(text)}"' for key, text in labels) + "}"


def _value(text: str) -> str:
    if text.isascii() and text.isalnum():
        return text
    return _help(_utf8(text)).replace('"', '\\"')


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _utf8(text: str) -> str:
    """A name may have bytes that are not UTF-8, for which Prometheus would reject all samples."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: float) -> float:
    return int(value) if isinstance(value, bool) else value


def _number(value: float) -> str:
    return repr(_plain(value))
