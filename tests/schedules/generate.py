"""Writes tests/fixtures/schedules: due times as Celery's own schedules.py gives them.

    python3 -m venv target/celery
    target/celery/bin/pip install -r tests/schedules/requirements.txt
    target/celery/bin/python tests/schedules/generate.py

The same versions write the same text. What the files hold is said at the top of each.
"""

import gzip
import random
import zoneinfo
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import ephem
from celery import Celery
from celery.schedules import ParseException, crontab, crontab_parser, solar

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "schedules"
SEED = 20260301
UTC = timezone.utc
YEAR = 2026  # The year whose clock changes are looked at closely.
AROUND = timedelta(hours=48)
FIRST = 50  # Due times from each instant.

ZONES = [
    "UTC",
    "Asia/Kolkata",
    "America/New_York",
    "Europe/Kyiv",
    "Europe/Berlin",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/Havana",
    "America/Santiago",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Australia/Melbourne",
    "Pacific/Chatham",
]

# From Celery's user guide and docstrings, and those that its issues are about.
KNOWN = """
* * * * *
0 0 * * *
0 */3 * * *
0 0,3,6,9,12,15,18,21 * * *
*/15 * * * *
* * * * sun
*/10 * * * *
*/10 3,17,22 * * thu,fri
0 */2,*/3 * * *
0 */5 * * *
0 */3,8-17 * * *
0 0 2 * *
0 0 2-30/2 * *
0 0 1-7,15-21 * *
0 0 11 5 *
0 0 * */3 *
30 7 * * mon
30 2 * * *
30 1 * * *
30 3 * * *
*/30 * * * *
0 * * * *
15 * * * *
*/20 0-4 * * *
0,30 2 * * *
0,30 1 * * *
10,35 1-3 * * *
0 9 13 * fri
0 0 29 2 *
0 12 29 2 mon
0 0 31 * *
59 23 31 12 *
0 18 * * *
1,13,30-45,50-59/2 * * * *
0 0,8-17/2 * * *
30-10/15 22-4/2 * nov-feb sat-mon
""".strip().splitlines()

DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
DAY_NAMES = ["Sunday", "monday", "tuesday", "WEDNESDAY", "thurs", "friday", "saturday"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
# Name, how many values, the first one, names: crontab_parser's arguments.
FIELDS = [
    ("minute", 60, 0, None),
    ("hour", 24, 0, None),
    ("day of month", 31, 1, None),
    ("month of year", 12, 1, MONTHS),
    ("day of week", 7, 0, DAYS),
]


def unix(instant):
    return int(instant.timestamp())


def utc(seconds):
    return datetime.fromtimestamp(seconds, UTC)


# The due times.


class DueAtOnce(Exception):
    """A run that has just been is due again, and so without end."""


class Beat:
    """What Celery's beat would do with an expression, if its clock were exact."""

    def __init__(self, expression, zone):
        app = Celery(set_as_current=False)
        app.conf.timezone = zone
        self.zone = zoneinfo.ZoneInfo(zone)
        minute, hour, day, month, weekday = expression.split(" ")
        self.schedule = crontab(minute, hour, weekday, day, month, nowfun=lambda: self.now, app=app)

    def after(self, start):
        """The due times, in UTC, from a last run at this instant on."""
        last = start.astimezone(self.zone)
        while True:
            self.now = last
            state = self.schedule.is_due(last)
            if state.is_due:
                raise DueAtOnce
            while not state.is_due:
                now = self.now.astimezone(UTC) + timedelta(seconds=state.next)
                self.now = now.astimezone(self.zone)
                state = self.schedule.is_due(last)
            last = self.now
            yield last.astimezone(UTC)


def changes(zone):
    """The instants at which the clock is changed in YEAR."""
    zone = zoneinfo.ZoneInfo(zone)
    begin = datetime(YEAR, 1, 1, tzinfo=UTC)
    offset = begin.astimezone(zone).utcoffset()
    found = []
    for quarter in range(1, 366 * 96):
        instant = begin + quarter * timedelta(minutes=15)
        now = instant.astimezone(zone).utcoffset()
        if now != offset:
            found.append(instant)
        offset = now
    return found


def written(begin, dues):
    """Minutes since 1970 of the first, then the minutes between; equal ones as MINUTES*TIMES."""
    minutes = [unix(due) // 60 for due in dues]
    assert all(unix(due) % 60 == 0 for due in dues)
    runs = []
    for last, this in zip([0, *minutes], minutes):
        if runs and runs[-1][0] == this - last:
            runs[-1][1] += 1
        else:
            runs.append([this - last, 1])
    return f"{unix(begin)}: " + " ".join(f"{gap}*{times}" if times > 1 else f"{gap}" for gap, times in runs)


def starts(chance, zone_changes):
    """Eight instants: in leap years and others, and where a clock is changed two beside a change."""
    begin, end = unix(datetime(2023, 1, 1, tzinfo=UTC)), unix(datetime(2029, 1, 1, tzinfo=UTC))
    instants = [chance.randrange(begin, end) for _ in range(8)]
    instants[0] = unix(datetime(2024, 2, 28, 23, 59, 30, tzinfo=UTC))
    if zone_changes:
        instants[1] = unix(chance.choice(zone_changes)) + chance.randrange(-7200, 0)
        instants[2] = unix(chance.choice(zone_changes)) + chance.randrange(0, 7200)
    return [utc(instant) for instant in instants]


def random_value(chance, first, count, names):
    place = chance.randrange(count)
    if names is DAYS and chance.random() < 0.5:
        return chance.choice([DAYS, DAY_NAMES])[place]
    if names is MONTHS and chance.random() < 0.5:
        return MONTHS[place]
    return str(first + place)


def random_part(chance, name, count, first, names):
    def value():
        if name == "hour" and chance.random() < 0.5:
            return str(chance.randrange(5))  # Where clocks are changed.
        return random_value(chance, first, count, names)

    kind = chance.choice(["value", "value", "range", "every", "range/step"])
    if kind == "value":
        return value()
    if kind == "every":
        return f"*/{chance.randint(1, count)}"
    span = f"{value()}-{value()}"
    if kind == "range":
        return span
    return f"{span}/{chance.randint(1, len(crontab_parser(count, first).parse(span)))}"


def random_field(chance, field):
    name, count, first, names = field
    all_of_it = {"minute": 0.1, "hour": 0.35, "day of month": 0.6, "month of year": 0.7, "day of week": 0.6}[name]
    if chance.random() < all_of_it:
        return "*"
    parts = chance.choice([1, 1, 1, 2, 3])
    return ",".join(random_part(chance, name, count, first, names) for _ in range(parts))


def comes_true(expression):
    _, _, day, month, _ = expression.split(" ")
    lengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    months = crontab_parser(12, 1).parse(month)
    return min(crontab_parser(31, 1).parse(day)) <= max(lengths[month - 1] for month in months)


def expressions(chance):
    found = [(known, ZONES[place % len(ZONES)]) for place, known in enumerate(KNOWN)]
    # All that change their clocks see those that are about it.
    found += [(known, zone) for known in KNOWN[16:28] for zone in ZONES[2:]]
    while len(found) < 700:
        expression = " ".join(random_field(chance, field) for field in FIELDS)
        if comes_true(expression):
            found.append((expression, chance.choice(ZONES)))
    return list(dict.fromkeys(found))


def due_times(chance):
    zone_changes = {zone: changes(zone) for zone in ZONES}
    cases = expressions(chance)
    yield f"# Due times by Celery {version('celery')} with tzdata {version('tzdata')}, seed {SEED}."
    yield "# EXPRESSION in ZONE (and whether its hours are all 24), and below it `first` with the first 50 due"
    yield "# times after each of 8 instants, and `around` with all in the 96 hours around each change of the clock"
    yield "# in 2026. SECOND: MINUTES…, with the instant and the first due time since 1970 and the others since"
    yield "# the one before; 30*3 is 30 30 30."
    yield "# `again` where Celery, after a run at that instant, runs again at once and without end."
    for expression, zone in cases:
        beat = Beat(expression, zone)
        yield f"{expression} in {zone}" + (" every hour" if len(beat.schedule.hour) == 24 else "")
        for start in starts(chance, zone_changes[zone]):
            dues = beat.after(start)
            try:
                yield "first " + written(start, [next(dues) for _ in range(FIRST)])
            except DueAtOnce:
                yield f"again {unix(start)}:"
        for change in zone_changes[zone]:
            begin, end, dues = change - AROUND, change + AROUND, []
            for due in beat.after(begin):
                if due > end:
                    break
                dues.append(due)
            yield "around " + written(begin, dues)


# What is accepted.

ODD = (
    "1-5-7|*/2/3|*/100|*/0|5/15|*-5|-5|5-|1,,2|,|1,|L|W|5L|1#2|?|+5|1_0| 5|5 |٣|*5|**|*/|/5|*/*|*/mon|*/-1|"
    "monkey|marble|sunny|m|mo|7|1-7|0|60|24|32|13|99999999999999999999|007|sat-mon|dec-feb|22-4/2|30-10/15|*,5|"
    "5-5|*/1|mar|mon|may|MON|Tuesday|wednesday|2-1|1-31|0-59|*x|1-5x|1-5/2x|*/2x|5.0|1:5|fri-sun/2|1-3,*/7,4"
).split("|")


def odd_field(chance):
    pieces = ["*", "/", "-", ",", "1", "2", "5", "7", "12", "30", "59", "sun", "mon", "mar", "dec", "x", "L", "0"]
    return "".join(chance.choice(pieces) for _ in range(chance.randint(1, 6)))


def fields(chance):
    yield f"# What Celery {version('celery')} makes of a field, seed {SEED}."
    yield "# FIELD<tab>TEXT<tab>values; no values where Celery refuses it."
    texts = list(dict.fromkeys(ODD + [odd_field(chance) for _ in range(400)]))
    for name, count, first, names in FIELDS:
        regular = [random_part(chance, name, count, first, names) for _ in range(60)]
        for text in dict.fromkeys(regular + texts):
            try:
                values = " ".join(map(str, sorted(crontab_parser(count, first).parse(text))))
                crontab._expand_cronspec(text, count, first)
            except (ParseException, ValueError, IndexError):
                values = ""
            yield f"{name}\t{text}\t{values}"


# The sun.

PLACES = [(0, 0), (51.5, -0.12), (40.7, -74.0), (-33.87, 151.2), (64.1, -21.9), (35.68, 139.69), (-54.8, -68.3), (69.65, 18.96)]
# Where the sun stays up or down for weeks: every third day of a year.
POLAR = [(69.65, 18.96), (78.22, 15.65), (-77.85, 166.67)]
DATES = [(2024, 1, 15), (2024, 3, 20), (2025, 6, 21), (2025, 9, 22), (2026, 12, 21), (2027, 2, 28, 13, 7)]


def sun():
    """The next event as Celery asks for it. Where it gives up, for there is none that day, nothing:
    schedules.py then names the middle of the night."""
    yield f"# The next event of the sun by Celery {version('celery')} with ephem {version('ephem')}, seconds since 1970 in UTC."
    yield "# lat,lon,after,event,next; nothing where the sun has no such event that day."
    events = ["dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon", "sunset"]
    events += ["dusk_civil", "dusk_nautical", "dusk_astronomical"]
    asked = [(place, datetime(*date), event) for place in PLACES for date in DATES for event in events]
    days = [datetime(YEAR, 1, 1) + timedelta(days=day) for day in range(0, 365, 3)]
    asked += [(place, day, event) for place in POLAR for day in days for event in ("sunrise", "sunset", "dusk_civil")]
    for (lat, lon), after, event in asked:
        schedule = solar(event, lat, lon)
        schedule.cal.date = after
        how = {"use_center": True} if schedule.use_center else {}
        try:
            due = getattr(schedule.cal, schedule.method)(ephem.Sun(), start=after, **how)
            due = due.datetime().replace(tzinfo=UTC).timestamp()
        except ephem.CircumpolarError:
            due = ""
        yield f"{lat},{lon},{unix(after.replace(tzinfo=UTC))},{event},{due}"


def main():
    # The zones of the pinned package, not the machine's.
    zoneinfo.reset_tzpath(to=[])
    chance = random.Random(SEED)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    text = "\n".join(due_times(chance)) + "\n"
    with open(FIXTURES / "celery.txt.gz", "wb") as file:
        file.write(gzip.compress(text.encode(), mtime=0))
    (FIXTURES / "fields.tsv").write_text("\n".join(fields(chance)) + "\n")
    (FIXTURES / "solar.csv").write_text("\n".join(sun()) + "\n")


if __name__ == "__main__":
    main()
