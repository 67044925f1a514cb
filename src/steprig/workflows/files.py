"""Files and folders for tests."""

import csv
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_files(directory: str | Path, files: Mapping[str, Any]) -> list[Path]:
    """Write files under a directory. For the arguments see `AsyncWorkflowFixtures.create_test_files`."""
    root = Path(directory).resolve()
    content = {_inside(root, name): _encoded(name, value) for name, value in files.items()}
    for path, data in content.items():  # only when all are known to be fine
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [*content]


def temporary() -> tempfile.TemporaryDirectory[str]:
    """A new directory."""
    return tempfile.TemporaryDirectory(prefix="steprig-")


def _inside(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    if path == root or not path.is_relative_to(root):
        raise ValueError(f"the file {name!r} would not lie within {root}")
    return path


def _encoded(name: str, content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if Path(name).suffix == ".csv" and _are_rows(content):
        return _as_csv(content).encode()
    try:
        return json.dumps(content, indent=2).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the content of {name!r} is text, bytes, rows of a .csv, or what JSON can say: {error}"
        ) from None


def _are_rows(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and all(isinstance(row, Mapping) for row in content)


def _as_csv(rows: list[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
