"""Days and times in filters: which moments each of them stands for, to the microsecond."""

from datetime import datetime, timedelta

import pytest
import time_machine

from tests.support.api import Api

# In Auckland the first of February has begun.
NOW = "2026-01-31T11:30:00Z"
MICROSECOND = timedelta(microseconds=1)
# A value, the zone, and its first and last moment in UTC; a value without a last moment stands for one moment.
RANGES = """
today          UTC              2026-01-31T00:00:00 2026-01-31T23:59:59.999999
today          Pacific/Auckland 2026-01-31T11:00:00 2026-02-01T10:59:59.999999
yesterday      Pacific/Auckland 2026-01-30T11:00:00 2026-01-31T10:59:59.999999
tomorrow       UTC              2026-02-01T00:00:00 2026-02-01T23:59:59.999999
tomorrow+1d    UTC              2026-02-02T00:00:00 2026-02-02T23:59:59.999999
today-2w       UTC              2026-01-17T00:00:00 2026-01-17T23:59:59.999999
today+1mo      UTC              2026-02-28T00:00:00 2026-02-28T23:59:59.999999
today+1mo      Pacific/Auckland 2026-02-28T11:00:00 2026-03-01T10:59:59.999999
today-1mo      UTC              2025-12-31T00:00:00 2025-12-31T23:59:59.999999
today+11mo     UTC              2026-12-31T00:00:00 2026-12-31T23:59:59.999999
today+25mo     UTC              2028-02-29T00:00:00 2028-02-29T23:59:59.999999
today-2y       UTC              2024-01-31T00:00:00 2024-01-31T23:59:59.999999
today+90m      UTC              2026-01-31T01:30:00
yesterday+2h   Pacific/Auckland 2026-01-30T13:00:00
now            UTC              2026-01-31T11:30:00
now-3m         UTC              2026-01-31T11:27:00
now+36h        UTC              2026-02-01T23:30:00
now+3d         UTC              2026-02-03T11:30:00
now+1w         UTC              2026-02-07T11:30:00
now+1mo        UTC              2026-02-28T11:30:00
now+1mo        Pacific/Auckland 2026-02-28T11:30:00
now+3mo        Pacific/Auckland 2026-04-30T12:30:00
now-1y         UTC              2025-01-31T11:30:00
2026-03-29     UTC              2026-03-29T00:00:00 2026-03-29T23:59:59.999999
2026-03-29     Europe/Berlin    2026-03-28T23:00:00 2026-03-29T21:59:59.999999
2026-10-25     Europe/Berlin    2026-10-24T22:00:00 2026-10-25T22:59:59.999999
2024-03-31     Asia/Beirut      2024-03-30T22:00:00 2024-03-31T20:59:59.999999
2024-11-03     America/Havana   2024-11-03T04:00:00 2024-11-04T04:59:59.999999
9999-12-31     UTC              9999-12-31T00:00:00 9999-12-31T23:59:59.999999
2026-07-01T12:00:00        Europe/Berlin 2026-07-01T10:00:00
2026-07-01T12:00:00Z       Europe/Berlin 2026-07-01T12:00:00
2026-07-01T12:00:00.5+09:00 UTC          2026-07-01T03:00:00.500000
9999-12-31T23:59:59.999999Z UTC          9999-12-31T23:59:59.999999
"""


@pytest.mark.one_database
def test_each_day_and_time_stands_for_its_moments(api: Api) -> None:
    with time_machine.travel(NOW, tick=False):
        ada = api.person()
        cases, rows = [line.split() for line in RANGES.strip().split("\n")], []
        for number, (_, _, first, *last) in enumerate(cases):
            begin, end = (datetime.fromisoformat(each) for each in (first, *(last or [first])))
            rows += [{"title": f"at {number}", "due_at": each.isoformat()} for each in (begin, end)]
            rows.append({"title": f"before {number}", "due_at": (begin - MICROSECOND).isoformat()})
            if not first.startswith("9999"):
                rows.append({"title": f"behind {number}", "due_at": (end + MICROSECOND).isoformat()})
        assert ada.post("/tasks/import", json=rows).status_code == 201
        wrong = []
        for number, (value, tz, *_) in enumerate(cases):
            names = [f"{where} {number}" for where in ("before", "at", "behind")]
            behind = [] if value.startswith("9999") else names[2:]
            for operator, expected in (("<", names[:1]), ("=", [names[1]] * 2), (">", behind)):
                text = f"due {operator} '{value}' and title in ({', '.join(map(repr, names))})"
                answer = ada.get("/tasks", params={"filter": text, "tz": tz})
                if [task["title"] for task in answer.json()] != expected:
                    wrong.append((value, tz, operator, answer.json()))
    assert wrong == []


@pytest.mark.parametrize("kind", ["plain filters", "the language"])
def test_a_day_that_a_zone_skipped_is_empty_and_has_its_place_between_others(api: Api, kind: str) -> None:
    # Samoa went from the 29th to the 31st of December.
    ada, skipped = api.person(), "2011-12-30"
    rows = [{"title": day, "due_at": f"{day}T09:00:00"} for day in ("2011-12-29", "2011-12-30", "2011-12-31")]
    rows.append({"title": "midnight", "due_at": "2011-12-30T10:00:00"})
    ada.post("/tasks/import", json=rows)

    def found(*conditions: str) -> list[str]:
        plain = [each.replace(" < ", "_before=").replace(" >= ", "_after=") for each in conditions]
        query = f"filter={' and '.join(conditions)}" if kind == "the language" else "&".join(plain)
        answer = ada.get(f"/tasks?{query}&tz=Pacific/Apia&sort_by=due_at&sort_order=asc")
        assert answer.status_code == 200, answer.text
        return [task["title"] for task in answer.json()]

    assert found(f"due < {skipped}") == ["2011-12-29", "2011-12-30"]
    assert found(f"due >= {skipped}") == ["midnight", "2011-12-31"]
    assert found(f"due >= {skipped}", f"due < {skipped}") == []
    assert found(f"due >= {skipped}", "due < 2011-12-31") == []
    if kind == "the language":
        assert found(f"due = {skipped}") == []
        assert found(f"due > {skipped}") == found(f"not (due <= {skipped})") == ["midnight", "2011-12-31"]
        assert len(found(f"due != {skipped}")) == 4
