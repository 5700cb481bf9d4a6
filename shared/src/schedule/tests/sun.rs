//! The sun's events held against Celery's (which asks PyEphem), and against an almanac.

use std::time::Duration;

use crate::schedule::{Event, crontab, solar};
use crate::time::Timestamp;

const FIXTURE: &str = include_str!("../../../../tests/fixtures/schedules/solar.csv");

/// Whether the sun is highest or lowest within half an hour: an event then is one that the sun grazes, on the
/// first or last day before it stays up or down for weeks. A few thousandths of a degree decide whether it comes
/// that day or not, and the air alone bends its light by more than that.
fn grazing(lat: f64, lon: f64, event: Timestamp) -> bool {
    let noon = solar(Event::SolarNoon, lat, lon).next_after(event).unwrap();
    let half_day = 43_200;
    let off = noon.since(event).as_secs() % half_day;
    off.min(half_day - off) < 1800
}

#[test]
fn events_are_celerys() {
    let (mut off, mut absent, mut grazed, mut another_day) = (Vec::new(), 0, 0, 0);
    for line in FIXTURE.lines().filter(|line| !line.starts_with('#')) {
        let [lat, lon, after, event, celery] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let number = |text: &str| text.parse::<f64>().unwrap();
        let event: Event = event.parse().unwrap();
        let after = Timestamp::from_millis(after.parse::<i64>().unwrap() * 1000);
        let (lat, lon) = (number(lat), number(lon));
        let own = solar(event, lat, lon).next_after(after).unwrap();
        if celery.is_empty() {
            // No such event within the day; here the next one is due, whenever it is.
            let apart = own.since(after) > Duration::from_secs(86_400);
            assert!(apart || grazing(lat, lon, own), "{line}: {own}");
            absent += 1;
            continue;
        }
        let celery = Timestamp::from_millis((number(celery) * 1000.0) as i64);
        let seconds = own.since(celery).max(celery.since(own)).as_secs_f64();
        if event != Event::SolarNoon && grazing(lat, lon, celery) {
            grazed += 1;
            if seconds > 600.0 {
                // The day before or after.
                assert!(seconds < 90_000.0, "{line}: {own}");
                another_day += 1;
            }
            continue;
        }
        off.push(seconds);
        assert!(seconds < 60.0, "{line}: {own}");
    }
    off.sort_by(f64::total_cmp);
    let part = |percent| off[(off.len() - 1) * percent / 100];
    let [median, most, nearly_all, all] = [50, 95, 99, 100].map(part);
    println!(
        "{} compared, {absent} absent in both, {grazed} grazed ({another_day} on another day): median {median:.1} s, 95% {most:.1} s, \
         99% {nearly_all:.1} s, all {all:.1} s",
        off.len()
    );
    assert!(off.len() > 900 && absent > 300 && grazed < 10 && another_day <= 1);
    assert!(median < 5.0 && most < 15.0 && nearly_all < 60.0);
}

/// Day, sunrise and sunset as the Melbourne Planetarium printed them, in local time.
const MELBOURNE: [(&str, &str, &str); 12] = [
    ("1 12 2013", "5:52", "20:26"),
    ("11 12 2013", "5:51", "20:35"),
    ("21 12 2013", "5:54", "20:42"),
    ("31 12 2013", "6:00", "20:45"),
    ("1 12 2016", "5:52", "20:27"),
    ("11 12 2016", "5:52", "20:36"),
    ("21 12 2016", "5:55", "20:42"),
    ("31 12 2016", "6:01", "20:45"),
    ("1 10 2025", "5:55", "18:24"),
    ("11 10 2025", "6:40", "19:33"),
    ("21 10 2025", "6:26", "19:43"),
    ("31 10 2025", "6:14", "19:53"),
];

#[test]
fn the_almanac_of_melbourne() {
    for (day, rise, set) in MELBOURNE {
        let (date, year) = day.rsplit_once(' ').unwrap();
        for (event, time) in [(Event::Sunrise, rise), (Event::Sunset, set)] {
            let (hour, minute) = time.split_once(':').unwrap();
            let printed = crontab(format!("{minute} {hour} {date} *")).in_tz("Australia/Melbourne");
            let new_year = format!("{year}-01-01").parse().unwrap();
            let printed = printed.next_after(new_year).unwrap();
            let due = solar(event, -37.83, 145.0).next_after(printed - Duration::from_secs(3600));
            let off = due.unwrap().as_secs() - printed.as_secs();
            assert!(
                (-60..=60).contains(&off),
                "{event} {day}: {off} s off {printed}"
            );
        }
    }
}

#[test]
fn in_the_polar_night_nothing_is_due() {
    // In Tromsø the sun stays below the horizon from 27 November to 15 January.
    let sunrise = solar(Event::Sunrise, 69.65, 18.96);
    let due = |from: &str, until: &str| {
        let (from, until) = (from.parse().unwrap(), until.parse().unwrap());
        sunrise.due(from, until).count()
    };
    assert_eq!(due("2026-11-29", "2027-01-14"), 0);
    assert_eq!(due("2026-11-10", "2026-11-20"), 10);
    // Nor does it set, or rise, from 18 May to 26 July.
    assert_eq!(due("2026-05-20", "2026-07-24"), 0);
}
