"""Finds each value: in the environment, then in the network's table, then at the file's top."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from onsettle.config.problems import ConfigError, sentences
from onsettle.config.schema import Config, NetworkSection, NetworkTable

CONFIG_FILE = "onsettle.toml"

#: The network of an environment, or of a file without [networks.<name>] tables.
DEFAULT_NETWORK = "default"

#: These describe one chain, so where there are several networks each has its own.
OF_ONE_CHAIN = frozenset({"onsettle_rpc_urls", "onsettle_assets", "onsettle_mint_tokens"})

#: Empty where nothing sets it, which is reported as missing.
_REQUIRED = {"onsettle_rpc_urls": ()}

_Model = TypeVar("_Model", bound=BaseModel)


def _names(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(str(info.alias) for info in model.model_fields.values())


NETWORK_NAMES = _names(NetworkTable)
SERVICE_NAMES = _names(Config) - {"networks"}


def load(env: Mapping[str, str] | None = None, directory: Path | None = None) -> Config:
    """Read and check the configuration; `directory` stands for the working directory.

    Raises ConfigError with every problem that was found.
    """
    env = os.environ if env is None else env
    directory = Path.cwd() if directory is None else directory
    loading = _Loading(env=_of_env(env), file=_of_file(env, directory), directory=directory)
    config = loading.config()
    if config is None or loading.problems:
        raise ConfigError(loading.problems)
    return config


def _of_env(env: Mapping[str, str]) -> dict[str, Any]:
    """What is set; an empty variable counts as absent, as compose files often pass them."""
    found = {name: env.get(name.upper(), "").strip() for name in SERVICE_NAMES | NETWORK_NAMES}
    return {name: value for name, value in found.items() if value}


def _of_file(env: Mapping[str, str], directory: Path) -> dict[str, Any]:
    named = env.get("ONSETTLE_CONFIG", "").strip()
    try:
        path = directory / (Path(named).expanduser() if named else CONFIG_FILE)
    except RuntimeError:
        raise ConfigError(
            ["ONSETTLE_CONFIG begins with a home folder (~) that this machine does not have."]
        ) from None
    if not named and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path} can't be read: {error.strerror}."]) from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise ConfigError([f"{path} is not a TOML file: {error}."]) from None


@dataclass(slots=True, kw_only=True)
class _Loading:
    env: dict[str, Any]
    file: dict[str, Any]
    directory: Path
    problems: list[str] = field(default_factory=list)

    def networks(self) -> tuple[NetworkSection, ...]:
        shared = {name: value for name, value in self.file.items() if name in NETWORK_NAMES}
        of_env = {name: value for name, value in self.env.items() if name in NETWORK_NAMES}
        tables = self._tables()
        if len(tables) > 1:
            self._refuse_shared_chain(shared | of_env)
        elif not tables and (shared or of_env):
            tables = {DEFAULT_NETWORK: {}}
        sections = []
        for name, table in tables.items():
            place = f" in [networks.{name}]" if table else ""
            checked = self._checked(NetworkTable, _REQUIRED | shared | table | of_env, place)
            if checked is not None:
                sections.append(checked.section(name))
        return tuple(sections)

    def config(self) -> Config | None:
        """The whole; what stands in no table and is no network's is the service's."""
        networks = self.networks()
        merged = self.file | self.env
        service = {name: value for name, value in merged.items() if name not in NETWORK_NAMES}
        return self._checked(Config, service | {"networks": networks})

    def _tables(self) -> dict[str, dict[str, Any]]:
        tables = self.file.get("networks", {})
        if isinstance(tables, dict) and all(isinstance(table, dict) for table in tables.values()):
            return tables
        self.problems.append("networks must be tables: [networks.<name>].")
        return {}

    def _refuse_shared_chain(self, names: Iterable[str]) -> None:
        self.problems.extend(
            f"{name.upper()} is of one chain, and there are several networks: "
            "set it in each [networks.<name>] table."
            for name in sorted(OF_ONE_CHAIN.intersection(names))
        )

    def _checked(
        self, model: type[_Model], values: dict[str, Any], place: str = ""
    ) -> _Model | None:
        context = {
            "directory": self.directory,
            "has_password": "onsettle_keystore_password" in self.file | self.env,
        }
        try:
            return model.model_validate(values, context=context, by_alias=True, by_name=False)
        except ValidationError as error:
            self.problems.extend(sentences(error, place))
            return None
