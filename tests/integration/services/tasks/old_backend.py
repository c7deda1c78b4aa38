"""The old backend's database, built by hand: its tables, as they may be found, and rows of every kind."""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

ENUMS = {
    "type": "ENUM('window','door','wall')",
    "state": "ENUM('open','closed','draft')",
    "decision": "ENUM('no_decision','archived','todo')",
}
# MySQL before 8 gave a table's first TIMESTAMP column these by itself.
TOUCHED = "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"


def tables(*, charset: str, keys: bool) -> list[str]:
    """Statements that create the three tables; ``keys``: with foreign keys between them."""
    ending = f"ENGINE=InnoDB DEFAULT CHARSET={charset}"
    owner = ", CONSTRAINT owner FOREIGN KEY (userID) REFERENCES UserData (userID)" if keys else ""
    parent = (
        ", CONSTRAINT parent FOREIGN KEY (taskID) REFERENCES LeakageTask (taskID) ON DELETE CASCADE" if keys else ""
    )
    texts = ", ".join(
        f"{name} VARCHAR(255)"
        for name in ("title", "subtitle", "difficulty", "costRange", "estimatedReduction", "lifetime")
    )
    return [
        f"""CREATE TABLE UserData (userID VARCHAR(64) NOT NULL PRIMARY KEY, zipCode VARCHAR(16),
            energyCompany VARCHAR(255), retrofitBudget VARCHAR(255), ownership VARCHAR(100), appliances JSON,
            suggestedBudget FLOAT, createdAt TIMESTAMP NULL, updatedAt {TOUCHED}) {ending}""",
        f"""CREATE TABLE LeakageTask (taskID VARCHAR(64) NOT NULL PRIMARY KEY, userID VARCHAR(64), title VARCHAR(255),
            type {ENUMS["type"]}, state {ENUMS["state"]}, decision {ENUMS["decision"]}, closedResult VARCHAR(255),
            insideTemp FLOAT, outsideTemp FLOAT, RGBphotoIDs JSON, thermalPhotoIDs JSON, leakSeverity VARCHAR(255),
            energyLossValue FLOAT, energyLossCost FLOAT, savingsPercent FLOAT, savingsCost FLOAT,
            reportPhotoID VARCHAR(64), createdAt TIMESTAMP NULL, updatedAt {TOUCHED}{owner}) {ending}""",
        f"""CREATE TABLE Suggestion (suggestionID VARCHAR(64) NOT NULL PRIMARY KEY, taskID VARCHAR(64), {texts}{parent})
            {ending}""",
    ]


USERS: list[dict[str, Any]] = [
    {
        "userID": "Someone@Example.COM",
        "zipCode": "15213",
        "energyCompany": "Électricité",
        "retrofitBudget": "up to $200",
        "ownership": "Rent",
        "appliances": ["Window AC", "Electric Vehicle"],
        "suggestedBudget": 99.5,
    },
    {"userID": "müller@example.com", "appliances": None},  # JSON's null, not SQL's
    {"userID": "110169484474386276334"},
]
# For latin1_swedish_ci, the old default, ü is a y; for utf8mb4's default it is a u.
LATIN_USER = {"userID": "muller@example.com"}

_FIGURES = {"energyLossValue": 15.8, "energyLossCost": 142.0, "savingsPercent": 19.0, "savingsCost": 31.0}


def tasks(rgb: str, thermal: str, picture: str) -> list[dict[str, Any]]:
    """Rows of ``LeakageTask``; the arguments are ids of photos in GridFS."""
    return [
        {
            "taskID": "whole",
            "userID": "Someone@Example.COM",
            "title": "Fenêtre côté nord",
            "type": "window",
            "state": "open",
            "decision": "todo",
            "closedResult": "fixed",
            "insideTemp": 71.5,
            "outsideTemp": 35,
            "RGBphotoIDs": [rgb],
            "thermalPhotoIDs": [thermal],
            "leakSeverity": "Moderate",
            **_FIGURES,
            "reportPhotoID": picture,
            "createdAt": "2025-08-08 17:12:15",
            "updatedAt": "2025-08-09 01:02:03",
        },
        {"taskID": "bare", "updatedAt": "2025-08-09 01:02:03"},
        {
            "taskID": "draft",
            "userID": "müller@example.com",
            "state": "draft",
            "RGBphotoIDs": None,  # JSON's null, not SQL's
            "thermalPhotoIDs": [],
            "createdAt": "2025-08-10 00:00:00",
            "updatedAt": "2025-08-10 00:00:00",
        },
        {
            "taskID": "odd",
            "userID": "someone@example.com",
            "title": "",
            "type": "door",
            "state": "closed",
            "decision": "archived",
            "RGBphotoIDs": json.dumps(["not-an-objectid-24-chars", "short", 7]),  # a list written as text
            "thermalPhotoIDs": {"not": "a list"},
            "leakSeverity": "Severe",  # a word that we do not know
            "reportPhotoID": "gone",
            "createdAt": "2025-08-11 00:00:00",
            "updatedAt": "2025-08-11 00:00:00",
        },
    ]


SUGGESTIONS: list[dict[str, Any]] = [
    {
        "suggestionID": f"s{number}",
        "taskID": "whole",
        "title": "Weatherstripping",
        "subtitle": "Seal around window frame",
        "difficulty": "Easy",
        "costRange": "$10-20",
        "estimatedReduction": "50-70%",
        "lifetime": "3-5 years",
    }
    for number in range(2)
] + [{"suggestionID": "bare", "taskID": "odd"}]

_JSON = ("appliances", "RGBphotoIDs", "thermalPhotoIDs")


async def insert(connection: AsyncConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert ``rows`` as they are, each with the columns that it names."""
    for row in rows:
        values = {name: json.dumps(value) if name in _JSON else value for name, value in row.items()}
        names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        await connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)  # noqa: S608


async def contents(connection: AsyncConnection, table: str, columns: list[str]) -> list[dict[str, Any]]:
    """Every row of ``table``, by its primary key, which is its first column; JSON is read."""
    found = await connection.execute(sa.text(f"SELECT {', '.join(columns)} FROM {table}"))  # noqa: S608
    rows = [
        {name: json.loads(value) if name in _JSON and value is not None else value for name, value in row.items()}
        for row in found.mappings()
    ]
    return sorted(rows, key=lambda row: str(row[columns[0]]))
