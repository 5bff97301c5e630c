"""The header of a safetensors file, parsed strictly and written canonically.

A file is an 8-byte little-endian length, that many bytes of JSON, and the data. The JSON maps each
tensor's name to its dtype, shape and byte range. The parser insists on the specification (unique
names, padding, no unknown members): programs that accept the same file must see the same tensors.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn, cast

from reparam.checkpoint import TensorInfo
from reparam.errors import CheckpointError
from reparam_adapters.strict_json import parse_object, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LENGTH_BYTES = 8
MAX_HEADER = 32 * 2**20
MAX_TENSORS = 100_000
MAX_RANK = 8
MAX_AXIS = 2**40
_MAX_EXTENT = 2**62  # NumPy multiplies the non-zero axes even of an empty array

_METADATA = "__metadata__"
_MEMBERS = {"dtype", "shape", "data_offsets"}
_ADVICE = "The file is damaged or not made by a safetensors library: fetch or export it again."

_BITS: dict[str, tuple[str, int]] = {
    # In the order of the safetensors library, which stores the last ones first for alignment.
    "BOOL": ("bool", 8),
    "F4": ("f4", 4),
    "F6_E2M3": ("f6_e2m3", 6),
    "F6_E3M2": ("f6_e3m2", 6),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "I16": ("int16", 16),
    "U16": ("uint16", 16),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "I32": ("int32", 32),
    "U32": ("uint32", 32),
    "F32": ("float32", 32),
    "C64": ("complex64", 64),
    "F64": ("float64", 64),
    "I64": ("int64", 64),
    "U64": ("uint64", 64),
}
_CODES = {name: code for code, (name, _) in _BITS.items()}
_RANKS = {name: rank for rank, name in enumerate(_CODES)}


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Attributes:
        path: The file it belongs to.
        tensors: Shape and dtype by name, in the order of the names.
        spans: First byte and byte after the last one of each tensor, counted from the file's start.
        metadata: Free text.
    """

    path: Path
    tensors: dict[str, TensorInfo]
    spans: dict[str, tuple[int, int]]
    metadata: dict[str, str]

    def span(self, name: str) -> tuple[int, int]:
        """Return the span of one tensor, or refuse a name the file does not have."""
        try:
            return self.spans[name]
        except KeyError:
            raise CheckpointError(
                f"{self.path}: there is no tensor {shown(name)}. Name one the file lists."
            ) from None


def parse(path: Path, raw: bytes, size: int) -> Header:
    """Read the header `raw`, without its length, of a file of `size` bytes.

    Raises:
        CheckpointError: It breaks the specification or does not fit the file.
    """
    root, padding = parse_object(f"{path}: header", raw, _ADVICE)
    if padding.strip(" "):
        raise CheckpointError(
            f"{path}: the header is padded with {shown(padding)}, expected spaces. {_ADVICE}"
        )
    metadata = _check_metadata(path, root.pop(_METADATA, {}))
    if len(root) > MAX_TENSORS:
        raise CheckpointError(
            f"{path}: saw {len(root)} tensors, expected at most {MAX_TENSORS}. Split the file."
        )
    base = LENGTH_BYTES + len(raw)
    tensors: dict[str, TensorInfo] = {}
    spans: dict[str, tuple[int, int]] = {}
    for name in sorted(root):
        tensors[name], start, stop = _parse_entry(path, name, root[name])
        spans[name] = base + start, base + stop
    end = base
    for name, (start, stop) in sorted(spans.items(), key=itemgetter(1)):
        if start != end:
            saw, expected = f"its start at {start - base}", f"{end - base}"
            _refuse(path, name, "leaves a gap or overlaps another", saw, expected)
        end = stop
    if end != size:
        raise CheckpointError(
            f"{path}: the tensors end at byte {end}, but the file has {size} bytes. {_ADVICE}"
        )
    return Header(path, tensors, spans, metadata)


def build(
    path: Path, tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str]
) -> tuple[bytes, Header]:
    """Lay out a file; the bytes, length included, depend on the contents alone, not their order.

    Raises:
        CheckpointError: `parse` would refuse such a file.
    """
    for name, info in tensors.items():
        if info.dtype not in _CODES:
            known = "one of " + ", ".join(_CODES)
            _refuse(path, name, "cannot be stored", info.dtype, known, advice="Convert or drop it.")
    root: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))} if metadata else {}
    position = 0
    for name in sorted(tensors, key=lambda name: (-_RANKS[tensors[name].dtype], name)):
        code, shape = _CODES[tensors[name].dtype], tensors[name].shape
        stop = position + math.prod(shape) * _BITS[code][1] // 8
        if name == _METADATA:
            _refuse(path, name, "has a reserved name", name, "any other", advice="Rename it.")
        root[name] = {"dtype": code, "shape": list(shape), "data_offsets": [position, stop]}
        position = stop
    text = json.dumps(root, ensure_ascii=False, separators=(",", ":"))
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(
            f"{path}: a tensor name or metadata text is not Unicode: saw "
            f"{shown(text[error.start : error.end])}. Rename it."
        ) from None
    raw += b" " * (-len(raw) % 8)
    if len(raw) > MAX_HEADER:
        raise CheckpointError(
            f"{path}: the header would have {len(raw)} bytes, expected at most {MAX_HEADER}. "
            "Shorten the names or the metadata."
        )
    # Whatever the reader would refuse must not be written in the first place.
    header = parse(path, raw, LENGTH_BYTES + len(raw) + position)
    return len(raw).to_bytes(LENGTH_BYTES, "little") + raw, header


def _check_metadata(path: Path, metadata: object) -> dict[str, str]:
    if type(metadata) is dict:
        texts = cast("dict[str, str]", metadata)
        if all(type(text) is str for text in texts.values()):
            return texts
    raise CheckpointError(
        f"{path}: {_METADATA} is {shown(metadata)}, expected an object of texts. {_ADVICE}"
    )


def _parse_entry(path: Path, name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    """Return one tensor's description and its byte range within the data."""
    if type(entry) is not dict or cast("dict[str, Any]", entry).keys() != _MEMBERS:
        _refuse(path, name, "is not described", shown(entry), "dtype, shape and data_offsets")
    members = cast("dict[str, Any]", entry)
    code, shape = members["dtype"], _integers(members["shape"])
    offsets = _integers(members["data_offsets"])
    if type(code) is not str or code not in _BITS:
        _refuse(path, name, "has an unknown dtype", shown(code), "one of " + ", ".join(_BITS))
    if shape is None or len(shape) > MAX_RANK or max(shape, default=0) > MAX_AXIS:
        expected = f"at most {MAX_RANK} integers up to {MAX_AXIS}"
        _refuse(path, name, "has an unusable shape", shown(members["shape"]), expected)
    if offsets is None or len(offsets) != 2:  # noqa: PLR2004  # a pair is no magic number
        saw = shown(members["data_offsets"])
        _refuse(path, name, "has unusable data_offsets", saw, "[start, stop]")
    start, stop = offsets
    dtype, bits = _BITS[code]
    stored = math.prod(shape) * bits
    if stored != (stop - start) * 8:  # counted in bits: F4 and F6 may end within a byte
        size = f"{stored // 8} bytes" if stored % 8 == 0 else f"{stored} bits"
        _refuse(path, name, f"does not fit its shape {shape} of {code}", shown(offsets), size)
    if stored == 0 and math.prod(x or 1 for x in shape) * bits > _MAX_EXTENT:
        _refuse(path, name, "has an unusable shape", shown(shape), "smaller axes")
    return TensorInfo(tuple(shape), dtype), start, stop


def _integers(value: object) -> list[int] | None:
    """Return a list of integers as such; `true` and 1.0 would pass for 1 in any looser test."""
    if type(value) is not list:
        return None
    items = cast("list[object]", value)
    return cast("list[int]", items) if set(map(type, items)) <= {int} else None


def _refuse(
    path: Path, name: str, what: str, saw: str, expected: str, *, advice: str = _ADVICE
) -> NoReturn:
    raise CheckpointError(
        f"{path}: tensor {shown(name)} {what}: saw {saw}, expected {expected}. {advice}"
    )
