//! The sun's events held against Celery's (which asks PyEphem), and against an almanac.

use std::time::Duration;

use crate::schedule::{Event, crontab, solar};
use crate::time::Timestamp;

const FIXTURE: &str = include_str!("../../../../tests/fixtures/schedules/solar.csv");

#[test]
fn events_are_celerys() {
    let (mut off, mut absent) = (Vec::new(), 0);
    for line in FIXTURE.lines().filter(|line| !line.starts_with('#')) {
        let [lat, lon, after, event, celery] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let number = |text: &str| text.parse::<f64>().unwrap();
        let event: Event = event.parse().unwrap();
        let after = Timestamp::from_millis(after.parse::<i64>().unwrap() * 1000);
        let own = solar(event, number(lat), number(lon))
            .next_after(after)
            .unwrap();
        if celery.is_empty() {
            // No such event within the day; here the next one is due, whenever it is.
            assert!(
                own.since(after) > Duration::from_secs(86_400),
                "{line}: {own}"
            );
            absent += 1;
            continue;
        }
        let celery = number(celery) * 1000.0;
        off.push((own.as_millis() as f64 - celery).abs() / 1000.0);
        // Grazing the horizon, the sun takes minutes for what it takes seconds for elsewhere.
        assert!(off.last() < Some(&60.0), "{line}: {own}");
    }
    off.sort_by(f64::total_cmp);
    let (median, nineteen_of_twenty) = (off[off.len() / 2], off[off.len() * 95 / 100]);
    println!(
        "{} compared, {absent} absent in both: median {median:.1} s, 95% {nineteen_of_twenty:.1} s, most {:.1} s",
        off.len(),
        off[off.len() - 1]
    );
    assert!(off.len() > 400 && absent > 20, "{} {absent}", off.len());
    assert!(
        median < 5.0 && nineteen_of_twenty < 10.0,
        "{median} {nineteen_of_twenty}"
    );
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
