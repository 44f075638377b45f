"""Where settings come from: a TOML file, the environment, and the command line, the later before the former.

The file holds settings by their names, and a table of datasets::

    base_url = "https://tiles.example.org"
    max_age = 600

    [datasets]
    heights = "s3://maps/dem.zarr"

    [datasets.scene]
    location = "scene.zarr"      # beside this file
    title = "Rocky Mountains"

What is unknown or out of its range is an error that names the file and the key.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from geozarr.errors import ParameterError
from tiler import settings as settings_module
from tiler.settings import BOOLEAN, NAMES, WHOLE, Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "GEOZARR_SERVE_"
_DATASET_KEYS = ("location", "title")
_WHOLE = re.compile(r"[0-9]{1,15}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SECRET = "***"


@dataclass(frozen=True)
class Config:
    """Everything that settings are made of, to be read as often as the file changes.

    Parameters
    ----------
    file : Path or None
        TOML.
    environ : mapping of str to str
        Variables named `GEOZARR_SERVE_` and a setting in capitals; others do not matter.
    given : mapping of str to object
        Settings of the command line, by their names.
    datasets : tuple of Dataset
        Datasets of the command line; they take the place of those of the file that have the same name.
    """

    file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()

    def read(self) -> Settings:
        """Read the file and put all together.

        Raises
        ------
        ParameterError
            If the file cannot be read, a key or variable is unknown, or a value is out of its range.
        """
        values: dict[str, Any] = {}
        datasets: dict[str, Dataset] = {}
        if self.file is not None:
            values, datasets = read_file(self.file)
        values |= read_environment(self.environ) | dict(self.given)
        datasets |= {dataset.name: dataset for dataset in self.datasets}
        given = [dataset.name for dataset in self.datasets]
        if not datasets or len(set(given)) != len(given):
            expected = "at least one, each name once, on the command line or in [datasets] of the file"
            raise ParameterError("datasets", found=given or None, expected=expected)
        return Settings(tuple(datasets.values()), **values)


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Dataset]]:
    """Read a file.

    Parameters
    ----------
    path : Path
        TOML in UTF-8. Relative locations of datasets are meant from its folder.

    Returns
    -------
    dict
        Settings by name.
    dict
        Datasets by name.

    Raises
    ------
    ParameterError
        If it cannot be read, is no TOML, has an unknown key, or a value is out of its range.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ParameterError(str(path), found=error.strerror, expected="a file that can be read") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise ParameterError(str(path), found=str(error), expected="TOML in UTF-8") from error
    listed = document.pop("datasets", {})
    for key, value in document.items():
        if key not in NAMES:
            _refuse(str(path), key, (*NAMES, "datasets"))
        settings_module.check(key, value, f"{path}: {key}")
    if not isinstance(listed, dict):
        raise ParameterError(f"{path}: datasets", found=listed, expected="a table of names and locations")
    return document, {name: _read_dataset(path, name, entry) for name, entry in listed.items()}


def _read_dataset(path: Path, name: str, entry: Any) -> Dataset:
    where = f"{path}: datasets.{name}"
    table = {"location": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict) or not isinstance(table.get("location"), str) or not table["location"]:
        raise ParameterError(where, found=entry, expected="a location, or a table with one")
    for key in table:
        if key not in _DATASET_KEYS:
            _refuse(where, key, _DATASET_KEYS)
    location: str = table["location"]
    if "://" not in location:
        location = str(path.parent / Path(location).expanduser())
    try:
        return Dataset(name, location, table.get("title", ""))
    except ParameterError as error:
        raise ParameterError(f"{where}: {error.parameter}", found=error.found, expected=error.expected) from error


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the variables that name settings.

    Returns
    -------
    dict
        Settings by name.

    Raises
    ------
    ParameterError
        If a variable of the prefix names no setting, or its value is out of range.
    """
    names = {f"{PREFIX}{name.upper()}": name for name in NAMES}
    values = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        if variable not in names:
            _refuse("environment variable", variable, names)
        values[names[variable]] = parse(names[variable], text, variable)
    return values


def parse(name: str, text: str, where: str) -> Any:
    """Read the value of a setting from a text.

    Parameters
    ----------
    name : str
        The setting.
    text : str
        A whole number in digits; 0, 1, false or true; or the text itself.
    where : str
        How whoever gave it has named it, for the message.

    Raises
    ------
    ParameterError
        If it is out of its range.
    """
    value: Any = text
    if name in WHOLE and _WHOLE.fullmatch(text):
        value = int(text)
    if name in BOOLEAN:
        value = {"0": False, "false": False, "1": True, "true": True}.get(text.lower(), text)
    settings_module.check(name, value, where)
    return value


def parse_pair(text: str, where: str) -> tuple[str, Any]:
    """Read `name=value`; raises `ParameterError` as `parse` does, and where there is no such setting."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(where, found=text, expected="name=value")
    if name not in NAMES:
        _refuse(where, name, NAMES)
    return name, parse(name, value, f"{where} {name}")


def _refuse(where: str, key: str, known: Iterable[str]) -> NoReturn:
    names = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.5)
    expected = f"{names[nearest[0]]!r}, which is the nearest name" if nearest else f"one of {', '.join(names.values())}"
    raise ParameterError(f"{where}: unknown name", found=key, expected=expected)


def to_toml(settings: Settings) -> str:
    """Write settings as a file that `read_file` reads; what may be a secret in an address is masked.

    Parameters
    ----------
    settings : Settings
        With locations that are texts or paths.

    Returns
    -------
    str
        TOML.
    """
    lines = [f"{name} = {_value(getattr(settings, name))}" for name in NAMES]
    for dataset in settings.datasets:
        key = dataset.name if _BARE_KEY.fullmatch(dataset.name) else _value(dataset.name)
        lines += ["", f"[datasets.{key}]", f"location = {_value(masked(str(dataset.location)))}"]
        if dataset.title:
            lines.append(f"title = {_value(dataset.title)}")
    return "\n".join(lines) + "\n"


def masked(location: str) -> str:
    """Return a location without what may be a secret in it: user, password, and query of a URL."""
    if "://" not in location:
        return location
    try:
        parts = urlsplit(location)
    except ValueError:
        return _SECRET
    host = parts.netloc.rpartition("@")[2]
    place = f"{_SECRET}@{host}" if "@" in parts.netloc else host
    return urlunsplit((parts.scheme, place, parts.path, _SECRET if parts.query else "", ""))


def _value(value: Any) -> str:
    """Write a value as TOML 1.0 does; its basic strings have JSON's escapes, and DEL is escaped too."""
    if not isinstance(value, str):
        return json.dumps(value)
    text = json.dumps(value.encode(errors="replace").decode(), ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")


def differences(one: Settings, other: Settings) -> tuple[str, ...]:
    """Names of the settings, but for the datasets, that are not the same in both."""
    return tuple(name for name in NAMES if getattr(one, name) != getattr(other, name))
