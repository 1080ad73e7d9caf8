"""Statements as drivers take them, the same for both engines. Rows are tuples in the order of the columns."""

from sqlalchemy import Engine, Table


def insertion(engine: Engine, table: Table) -> str:
    """Add a row, unless one with its key is there."""
    return f"{_insert(engine, table)} ON CONFLICT DO NOTHING"


def replacement(engine: Engine, table: Table) -> str:
    """Add a row, or put it in the place of the one that has its first column's value."""
    key, *others = (column.name for column in table.columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"{_insert(engine, table)} ON CONFLICT ({key}) DO UPDATE SET {changes}"


def _insert(engine: Engine, table: Table) -> str:
    names = ", ".join(column.name for column in table.columns)
    marks = ", ".join([_mark(engine)] * len(table.columns))
    return f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - our own tables' names


def _mark(engine: Engine) -> str:
    return "?" if engine.dialect.name == "sqlite" else "%s"
