"""What the files of a run hold, checked when they are read: a file may be damaged, edited, or of another program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from vaelab.errors import ConfigError, RunError
from vaelab.reading import parse_json, read_json
from vaelab.slots import describe

#: Bytes of a file of lines; a line a step of a million steps is less.
MAX_BYTES = 2**30


class Record(BaseModel):
    """Base of the records: what is named has its type, more may stand there."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class ValueRecord(Record):
    """A value in evaluation.json."""

    value: float | None
    stderr: float | None
    unit: str
    better: Literal["lower", "higher"] | None
    extractor: str | None = None
    number: NonNegativeInt | None = None


class DataRecord(Record):
    """Where data came from."""

    source: str = "unknown"


class EvaluationRecord(Record):
    """evaluation.json."""

    split: str
    number: NonNegativeInt
    seed: NonNegativeInt
    batch_size: int = Field(ge=1)
    values: dict[str, ValueRecord]
    data: DataRecord
    metrics: list[dict[str, Any]]


class ManifestRecord(Record):
    """manifest.json."""

    format: int = 1
    name: str = ""
    id: str = ""
    status: str = ""
    started: str | None = None
    finished: str | None = None
    error: str | None = None
    wall_seconds: float = Field(0.0, ge=0)
    processor_seconds: float = Field(0.0, ge=0)
    data: DataRecord | None = None
    weights_of_step: NonNegativeInt | None = None


class FindingRecord(Record):
    """A finding in health.jsonl."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    severity: Literal["problem", "warning", "note"]
    title: str
    seen: str
    cause: str
    remedy: str
    step: int | None = None
    subject: str = ""
    until: int | None = None


class TrainingRecord(Record):
    """state.json of a checkpoint that training goes on from."""

    step: NonNegativeInt
    optimisers: dict[str, dict[str, Any]]
    names: list[str]
    count: NonNegativeInt | list[NonNegativeInt]  # a list where several processes wrote it
    best: float | None
    best_step: NonNegativeInt
    bad_validations: NonNegativeInt
    last_line: NonNegativeInt | None
    skipped: NonNegativeInt


class LineRecord(Record):
    """A line of metrics.jsonl or health.jsonl: terms by their names, beside where it stands."""

    model_config = ConfigDict(allow_inf_nan=True)

    step: NonNegativeInt
    split: str
    epoch: float = 0.0
    finding: FindingRecord | None = None

    __pydantic_extra__: dict[str, float | None]

    @model_validator(mode="after")
    def _with_its_finding(self) -> Self:
        if (self.split == "finding") != (self.finding is not None):
            raise ValueError("a line of the split 'finding' should hold a finding, and no other one")
        return self


def read_record(path: Path, record: type[Record]) -> dict[str, Any]:
    """The content of a JSON file of a run.

    Raises:
        RunError: it cannot be read, or is no such record; the message names the file and the JSON path.
    """
    try:
        content = read_json(path)
    except ConfigError as error:
        raise RunError(f"{error} {_REMEDY}") from error
    return checked(content, record, str(path))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file such as metrics.jsonl; none where there is no file.

    A last line without its end was cut off when the process that wrote it was killed, and is left out.

    Raises:
        RunError: another line is damaged; the message names it.
    """
    if not path.exists():
        return []
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}). {_REMEDY}") from error
    if len(content) > MAX_BYTES:
        raise RunError(f"{path}: more than {MAX_BYTES // 2**30} GiB. {_REMEDY}")
    *whole, last = content.split(b"\n")
    lines = []
    cut_off = not last or (last.startswith(b"{") and not _is_json(last))
    for number, raw in enumerate(whole if cut_off else [*whole, last], start=1):
        where = f"{path}: line {number}"
        try:
            line = parse_json(raw.decode("utf-8"), where, finite=False)
        except (UnicodeDecodeError, ConfigError) as error:
            said = error if isinstance(error, ConfigError) else f"{where}: not UTF-8 text"
            raise RunError(f"{said}. {_REMEDY}") from error
        lines.append(checked(line, LineRecord, where))
    return lines


_REMEDY = "Restore the file from a copy, or remove it."


def checked(content: Any, record: type[Record], where: str) -> dict[str, Any]:
    """A JSON object that holds what a record does. Raises `RunError` as `read_record` does, naming `where`."""
    if not isinstance(content, dict):
        raise RunError(f"{where}: not a JSON object. {_REMEDY}")
    try:
        record.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{describe(error, where, content, record)}. {_REMEDY}") from error
    return content


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True
