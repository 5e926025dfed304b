"""Settings of a process: where its log is, where it serves health, how it logs; and the domain's settings.

Environment variables beginning with ``LEDGERLB_`` set everything. The domain's settings may also come from a YAML
file (``LEDGERLB_SETTINGS``), with the keys of ``DomainSettings`` (``contrailNamespace``, ``defaults: {quarantine:
5m}``); their variables are the same names in capitals (``LEDGERLB_CONTRAIL_NAMESPACE``), with two underscores before a
nested key (``LEDGERLB_DEFAULTS__QUARANTINE``) and JSON for mappings (``LEDGERLB_EXTERNAL_NETWORK_SELECTORS``). The
environment wins over the file. A variable with this prefix that no part of the process reads changes nothing;
``unread_variables`` finds those, so that the process reports a misspelt name.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_origin

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.core.settings import DomainSettings
from ledgerlb.eventlog.security import LogSecurity
from ledgerlb.runtime.files import read_regular
from ledgerlb.runtime.yaml_reader import KUBERNETES, YamlError, read_yaml

PREFIX: Final = "LEDGERLB_"
TOOL_VARIABLES: Final = re.compile(
    r"LEDGERLB_(CACHE_DIR|CA_BUNDLE|DEBIAN_(SECURITY_)?MIRROR|DOCKERD_ARGS|EDIT_(RATE|SECONDS|SERVICES)|IMAGE_[A-Z_]+"
    r"|(AGENT|IPAM|KAFKA|NETWORK_SELECTOR|PLANNER|WATCHER)_PORT|SEED|SETTINGS_FILE|TAG|TEST_SEED)"
)
"""Variables that scripts, tests and compose files read. No process reads them, and none complains about them."""
_SERVICE_LINK: Final = re.compile(
    r"LEDGERLB_([A-Z0-9_]+_)?(SERVICE_HOST=.*|SERVICE_PORT(_[A-Z0-9_]+)?=.*|PORT(_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?)=.*"
    r"|PORT=[a-z]+://.*)"
)
"""Variables (``NAME=value``) that Kubernetes sets in every pod for the Services of its namespace."""
_MAX_FILE_BYTES: Final = 1024 * 1024


class ProcessSettings(BaseSettings):
    """See module. Build it with ``process_settings()``, which raises InvalidSetting instead of pydantic's error."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    log: str = "sqlite:///.ledgerlb/ledger.db"
    """``kafka://host:port,host:port``, ``sqlite:///path`` or ``memory:``."""
    log_tls_ca: str = ""
    """PEM file of the certificate authority of the Kafka brokers, or `system`. Turns TLS on."""
    log_tls_cert: str = ""
    """PEM file of the client certificate for Kafka (mTLS)."""
    log_tls_key: str = ""
    """PEM file of the client certificate's key."""
    log_sasl_mechanism: str = ""
    """`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; empty: no SASL."""
    log_sasl_username: str = ""
    """User name for SASL."""
    log_sasl_password_file: str = ""
    """File with the password for SASL; read again for every new connection."""
    log_insecure: bool = False
    """Whether Kafka on other hosts may be used without TLS."""
    signing_key_file: str = ""
    """PEM file of the Ed25519 key that signs what the process writes to the ledger, the path sets and the reports."""
    trusted_keys_file: str = ""
    """File of public keys. Set: what none of them signed is damage (ledger) or bad input (path sets, reports)."""
    log_provision: bool = True
    """Whether the process makes missing topics and corrects wrong settings of topics at start."""
    log_new_ledger: bool = False
    """Whether to begin a new ledger if the log has lost the one it had. Any address may then be given out again."""
    log_replication: int = Field(default=1, ge=1, le=9)
    """Copies of each topic that is made (Kafka)."""
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    """0 takes a free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """``auto``: console on a terminal, JSON elsewhere."""
    stop_timeout: float = Field(default=20.0, gt=0, le=600)
    """Seconds that a stopping process may take to finish what it is doing."""
    settings: Path | None = None
    """The YAML file of the domain's settings."""

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object, info: ValidationInfo) -> object:
        del info
        return value.lower() if isinstance(value, str) else value

    @field_validator("settings", mode="before")
    @classmethod
    def _unset(cls, value: object, info: ValidationInfo) -> object:
        del info
        return value or None

    @property
    def log_security(self) -> LogSecurity:
        """Return the settings of the connection to Kafka. Raises InvalidSetting for a combination that cannot work."""
        return LogSecurity(
            self.log_tls_ca,
            self.log_tls_cert,
            self.log_tls_key,
            self.log_sasl_mechanism,
            self.log_sasl_username,
            self.log_sasl_password_file,
            self.log_insecure,
        )


def process_settings(**overrides: Any) -> ProcessSettings:
    """Return the settings from the environment; ``overrides`` (by field name) win. Raises InvalidSetting."""
    try:
        return ProcessSettings(**overrides)
    except ValidationError as error:
        raise refused_variable(error) from error


def variables_of(models: Iterable[type[BaseModel]]) -> Iterator[str]:
    """Yield the names of the variables that set the fields of these models and of ``DomainSettings``."""
    every: tuple[type[BaseModel], ...] = (*models, DomainSettings)
    for model in every:
        for name in model.model_fields:
            nested = _nested_model(model, name)
            if nested is None:
                yield PREFIX + name.upper()
            else:
                yield from (f"{PREFIX}{name.upper()}__{key.upper()}" for key in nested.model_fields)


def unread_variables(environ: Mapping[str, str], models: Iterable[type[BaseModel]]) -> list[tuple[str, str]]:
    """Return each variable of our prefix that none of the models reads, with the nearest name that one of them reads.

    Leaves out the variables of scripts (``TOOL_VARIABLES``) and those that Kubernetes sets in every pod.
    """
    known = sorted(set(variables_of(models)))
    return [
        (name, difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0])
        for name in sorted(environ)
        if name.startswith(PREFIX)
        and name not in known
        and not TOOL_VARIABLES.fullmatch(name)
        and not _SERVICE_LINK.fullmatch(f"{name}={environ[name]}")
    ]


def refused_variable(error: ValidationError, variable: str = "") -> InvalidSetting:
    """Turn the first error into one that names the variable (by default that of the field)."""
    named = variable or f"{PREFIX}{str(error.errors()[0]['loc'][0]).upper()}"
    return InvalidSetting("environment", named, _problem(error), "correct or unset it")


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{first['msg'].removeprefix('Value error, ')} (it is {first['input']!r})"


def domain_settings(process: ProcessSettings, environ: Mapping[str, str] | None = None) -> DomainSettings:
    """Return the domain's settings from file and environment. Raises InvalidSetting with the key and its origin."""
    found = _from_file(process.settings) if process.settings is not None else {}
    origin: dict[tuple[str, ...], str] = {}
    for path, variable, value in _from_environment(os.environ if environ is None else environ):
        origin[path] = variable
        _put(found, path, value)
    try:
        return DomainSettings.model_validate(found)
    except ValidationError as error:
        raise _invalid(error, origin, process.settings) from error


def _from_file(path: Path) -> dict[str, Any]:
    subject = f"settings file {path}"
    remedy = f"correct {PREFIX}SETTINGS"
    raw = read_regular(path, max_bytes=_MAX_FILE_BYTES, subject=subject, remedy=remedy, refusal=InvalidSetting)
    try:
        documents = list(read_yaml(raw, KUBERNETES))
    except YamlError as error:
        raise InvalidSetting(subject, f"line {error.line}", error.problem, error.remedy) from error
    if len(documents) > 1:
        raise InvalidSetting(subject, "", f"holds {len(documents)} documents", "keep one of them")
    data = None
    for document in documents:
        if isinstance(document, YamlError):
            raise InvalidSetting(subject, f"line {document.line}", document.problem, document.remedy)
        data = document.data
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InvalidSetting(
            subject, "", "is not a mapping of settings", "write keys such as contrailNamespace: contrail"
        )
    return _camel(data, DomainSettings)


def _camel(data: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The keys of the model as in YAML, whichever of their two spellings the file has: one value per key."""
    return {
        (to_camel(key) if key in model.model_fields else key): (
            _camel(value, nested)
            if isinstance(value, dict) and (nested := _nested_model(model, key)) is not None
            else value
        )
        for key, value in data.items()
    }


def _nested_model(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in {name, field.alias}:
            kind = field.annotation
            return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return None


def _from_environment(environ: Mapping[str, str]) -> list[tuple[tuple[str, ...], str, Any]]:
    """(path of YAML keys, variable, value) of every variable that names a setting of the domain."""
    found: list[tuple[tuple[str, ...], str, Any]] = []
    for name, field in DomainSettings.model_fields.items():
        variable = PREFIX + name.upper()
        nested = _nested_model(DomainSettings, name)
        if nested is not None:
            found.extend(_nested_from_environment(environ, name, nested))
        elif variable in environ:
            text = environ[variable]
            is_mapping = get_origin(field.annotation) is Mapping
            found.append(((to_camel(name),), variable, _json(variable, text) if is_mapping else text))
    return found


def _nested_from_environment(
    environ: Mapping[str, str], name: str, model: type[BaseModel]
) -> list[tuple[tuple[str, ...], str, Any]]:
    prefix = f"{PREFIX}{name.upper()}__"
    known = {prefix + key.upper(): key for key in model.model_fields}
    found: list[tuple[tuple[str, ...], str, Any]] = []
    for variable in sorted(variable for variable in environ if variable.startswith(prefix)):
        if variable not in known:
            raise InvalidSetting("environment", variable, "is no setting", f"use one of {', '.join(sorted(known))}")
        found.append(((to_camel(name), to_camel(known[variable])), variable, environ[variable]))
    return found


def _json(variable: str, text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError as error:
        raise InvalidSetting("environment", variable, f"is not valid JSON: {error}", "write a JSON object") from error


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        inner = data.get(key)
        data[key] = inner if isinstance(inner, dict) else {}
        data = data[key]
    data[path[-1]] = value


def _invalid(error: ValidationError, origin: Mapping[tuple[str, ...], str], file: Path | None) -> InvalidSetting:
    first = error.errors()[0]
    # pydantic adds union members and the like to the place: keep only the keys.
    path = tuple(str(part) for part in first["loc"])
    for length in range(len(path), 0, -1):
        if (variable := origin.get(path[:length])) is not None:
            return refused_variable(error, variable)
    remedy = "remove it" if first["type"] == "extra_forbidden" else "correct it"
    problem = "is no setting" if first["type"] == "extra_forbidden" else _problem(error)
    return InvalidSetting(f"settings file {file}", ".".join(path), problem, remedy)
