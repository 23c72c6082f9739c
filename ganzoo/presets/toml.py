"""Writes TOML (tomllib only reads)."""

import json
import re


def to_toml(tables: dict, prefix: str = "") -> str:
    """TOML of nested tables of strings, numbers, booleans and lists (tomllib only reads)."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in tables.items() if not isinstance(v, dict) and v is not None]
    for key, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{prefix}{_key(key)}]", to_toml(table, f"{prefix}{_key(key)}.").rstrip()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _value(key)


def _value(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v) for v in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON strings are TOML strings
    return repr(value)
