//! The sun's events at a place: when it rises, sets, is highest, and crosses the twilights' depths.
//!
//! The sun's place is after Jean Meeus, *Astronomical Algorithms*, chapters 12 (sidereal time), 22
//! (nutation, the greatest term) and 25 (the sun, low accuracy: 0.01°, which the sky turns by in 2.4 s).
//! Each event belongs to a solar day, from one lower transit to the next, and is computed from the number
//! of that day alone: so the due times are the same from wherever one asks.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use super::Fault;
use crate::failure::shortened;
use crate::task::{QUOTED, nearest};
use crate::time::Timestamp;

/// What the sun does: Celery's nine events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The centre comes up to 18° below the horizon: `dawn_astronomical`.
    DawnAstronomical,
    /// The centre comes up to 12° below the horizon: `dawn_nautical`.
    DawnNautical,
    /// The centre comes up to 6° below the horizon: `dawn_civil`.
    DawnCivil,
    /// The upper limb comes up to the horizon, with 34′ of refraction: `sunrise`.
    Sunrise,
    /// The sun crosses the meridian: `solar_noon`.
    SolarNoon,
    /// The upper limb goes below the horizon, with 34′ of refraction: `sunset`.
    Sunset,
    /// The centre goes to 6° below the horizon: `dusk_civil`.
    DuskCivil,
    /// The centre goes to 12° below the horizon: `dusk_nautical`.
    DuskNautical,
    /// The centre goes to 18° below the horizon: `dusk_astronomical`.
    DuskAstronomical,
}

/// When an event comes to pass.
enum Moment {
    Noon,
    /// The sun, its centre or its upper limb, passes this altitude in degrees, upwards or downwards.
    Passing {
        altitude: f64,
        limb: bool,
        upwards: bool,
    },
}

impl Event {
    const ALL: [Event; 9] = [
        Event::DawnAstronomical,
        Event::DawnNautical,
        Event::DawnCivil,
        Event::Sunrise,
        Event::SolarNoon,
        Event::Sunset,
        Event::DuskCivil,
        Event::DuskNautical,
        Event::DuskAstronomical,
    ];

    /// Its name in Celery.
    pub const fn name(self) -> &'static str {
        match self {
            Event::DawnAstronomical => "dawn_astronomical",
            Event::DawnNautical => "dawn_nautical",
            Event::DawnCivil => "dawn_civil",
            Event::Sunrise => "sunrise",
            Event::SolarNoon => "solar_noon",
            Event::Sunset => "sunset",
            Event::DuskCivil => "dusk_civil",
            Event::DuskNautical => "dusk_nautical",
            Event::DuskAstronomical => "dusk_astronomical",
        }
    }

    fn moment(self) -> Moment {
        let (altitude, limb, upwards) = match self {
            Event::SolarNoon => return Moment::Noon,
            Event::DawnAstronomical => (-18.0, false, true),
            Event::DawnNautical => (-12.0, false, true),
            Event::DawnCivil => (-6.0, false, true),
            Event::Sunrise => (-34.0 / 60.0, true, true),
            Event::Sunset => (-34.0 / 60.0, true, false),
            Event::DuskCivil => (-6.0, false, false),
            Event::DuskNautical => (-12.0, false, false),
            Event::DuskAstronomical => (-18.0, false, false),
        };
        Moment::Passing {
            altitude,
            limb,
            upwards,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Event {
    type Err = crate::Error;

    /// From its name in Celery.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::named(name).map_err(|fault| Self::Err::from(&fault))
    }
}

impl Event {
    pub(super) fn named(name: &str) -> Result<Self, Fault> {
        let known = Self::ALL.into_iter().find(|event| event.name() == name);
        known.ok_or_else(|| {
            let hint = match nearest(name, Self::ALL.into_iter().map(Self::name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the events are {}", Self::ALL.map(Self::name).join(", ")),
            };
            let name = shortened(name, QUOTED);
            Fault::new("solar", format!("`{name}` is no event of the sun; {hint}"))
        })
    }
}

/// An event at a place on earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) event: Event,
    pub(super) lat: f64,
    pub(super) lon: f64,
}

/// Seconds since 1970-01-01T00:00:00Z.
type Seconds = f64;

const DAY: Seconds = 86_400.0;

/// How many solar days without the event are looked through: at the poles the sun rises once a year.
const DAYS: i64 = 800;

impl Place {
    pub(super) fn new(event: Event, lat: f64, lon: f64) -> Result<Self, Fault> {
        for (field, degrees, most) in [("lat", lat, 90.0), ("lon", lon, 180.0)] {
            // What is no number is in no range either.
            if !(-most..=most).contains(&degrees) {
                let reason = format!("{degrees} is outside -{most} to {most} degrees");
                return Err(Fault::new(field, reason));
            }
        }
        Ok(Self { event, lat, lon })
    }

    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        // Exact enough for any instant that has a text, and no others are asked about.
        jiff::Timestamp::from_millisecond(after.as_millis()).ok()?;
        // The solar day before may reach into this one.
        let today = (after.as_millis() as Seconds / 1000.0 / DAY + self.lon / 360.0).floor() as i64;
        let first = today.checked_sub(1)?;
        (first..first.checked_add(DAYS)?)
            .flat_map(|day| self.on(day))
            .flatten()
            .map(|instant| Timestamp::from_millis((instant.round() as i64).saturating_mul(1000)))
            .find(|due| *due > after)
    }

    /// When the event is in this solar day, counted by mean time at the place since 1970: of two halves,
    /// before and after noon, each has it or not. In order.
    fn on(&self, day: i64) -> [Option<Seconds>; 2] {
        let noon = self.transit(day, 0.5);
        let Moment::Passing {
            altitude,
            limb,
            upwards,
        } = self.event.moment()
        else {
            return [Some(noon), None];
        };
        let above = |instant| {
            let sun = Sun::at(instant);
            let radius = if limb { sun.radius } else { 0.0 };
            self.altitude(&sun) + radius >= altitude.to_radians()
        };
        let passing = |mut from: Seconds, mut to: Seconds| {
            if above(from) == upwards || above(to) != upwards {
                return None;
            }
            // Down to a hundredth of a second.
            while to - from > 0.01 {
                let middle = f64::midpoint(from, to);
                if above(middle) == upwards {
                    to = middle;
                } else {
                    from = middle;
                }
            }
            Some(to)
        };
        [
            passing(self.transit(day, 0.0), noon),
            passing(noon, self.transit(day, 1.0)),
        ]
    }

    /// When the sun crosses the meridian in this solar day: below the pole at its beginning (0) and its
    /// end (1), highest at its middle (0.5).
    fn transit(&self, day: i64, part: f64) -> Seconds {
        let wanted = (part + 0.5) * 2.0 * PI;
        let mut instant = (day as f64 + part - self.lon / 360.0) * DAY;
        // The hour angle grows by a turn a day; what the guess is off by shrinks a hundredfold each time.
        for _ in 0..4 {
            instant -= wrapped(self.hour_angle(&Sun::at(instant)) - wanted) / (2.0 * PI) * DAY;
        }
        instant
    }

    fn hour_angle(&self, sun: &Sun) -> f64 {
        sun.sidereal_time + self.lon.to_radians() - sun.right_ascension
    }

    fn altitude(&self, sun: &Sun) -> f64 {
        let lat = self.lat.to_radians();
        let (sin, cos) = sun.declination.sin_cos();
        (lat.sin() * sin + lat.cos() * cos * self.hour_angle(sun).cos()).asin()
    }
}

/// For people: the event and where.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, lat, lon } = self;
        let (north, east) = (
            if *lat < 0.0 { 'S' } else { 'N' },
            if *lon < 0.0 { 'W' } else { 'E' },
        );
        write!(f, "{event} at {}°{north} {}°{east}", lat.abs(), lon.abs())
    }
}

/// The angle within half a turn of none.
fn wrapped(angle: f64) -> f64 {
    (angle + PI).rem_euclid(2.0 * PI) - PI
}

/// Where the sun appears from the middle of the earth, and how far the sky has turned. In radians.
struct Sun {
    right_ascension: f64,
    declination: f64,
    /// Half its width.
    radius: f64,
    /// At Greenwich.
    sidereal_time: f64,
}

/// 2000-01-01T12:00:00Z.
const J2000: Seconds = 946_728_000.0;

/// By how much the time of the planets is ahead of UTC: 69.2 s since 2017.
const DELTA_T: Seconds = 69.2;

impl Sun {
    fn at(instant: Seconds) -> Self {
        let days = (instant - J2000) / DAY;
        // Centuries.
        let t = (instant + DELTA_T - J2000) / (36_525.0 * DAY);
        let mean_longitude = 280.46646 + t * (36000.76983 + t * 0.0003032);
        let anomaly = (357.52911 + t * (35999.05029 - t * 0.0001537)).to_radians();
        let eccentricity = 0.016_708_634 - t * (0.000_042_037 + t * 0.000_000_126_7);
        let centre = (1.914_602 - t * (0.004_817 + t * 0.000_014)) * anomaly.sin()
            + (0.019_993 - t * 0.000_101) * (2.0 * anomaly).sin()
            + 0.000_289 * (3.0 * anomaly).sin();
        let node = (125.04 - 1934.136 * t).to_radians();
        let nutation = -0.004_78 * node.sin();
        let aberration = -0.005_69;
        let longitude = (mean_longitude + centre + aberration + nutation).to_radians();
        let obliquity = (23.439_291 - t * (0.013_004_2 + t * (0.000_000_16 - t * 0.000_000_504))
            + 0.002_56 * node.cos())
        .to_radians();
        // In astronomical units.
        let distance = 1.000_001_018 * (1.0 - eccentricity * eccentricity)
            / (1.0 + eccentricity * (anomaly + centre.to_radians()).cos());
        let sidereal_time = 280.460_618_37
            + 360.985_647_366_29 * days
            + 0.000_387_933 * (days / 36_525.0).powi(2)
            + nutation * obliquity.cos();
        Self {
            right_ascension: (obliquity.cos() * longitude.sin()).atan2(longitude.cos()),
            declination: (obliquity.sin() * longitude.sin()).asin(),
            radius: (959.63 / 3600.0_f64).to_radians() / distance,
            sidereal_time: sidereal_time.to_radians(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_event_that_was_is_not_due_again() {
        for event in Event::ALL {
            let place = Place::new(event, 47.4, 8.5).unwrap();
            let mut due = at("2026-01-01T00:00:00Z");
            for _ in 0..400 {
                let next = place.next_after(due).unwrap();
                assert_eq!(
                    place.next_after(next - std::time::Duration::from_millis(1)),
                    Some(next)
                );
                let hours = next.since(due).as_secs() / 3600;
                assert!(hours <= 24, "{event} {due} {next}");
                due = next;
            }
        }
    }

    #[test]
    fn at_the_pole_the_sun_rises_once_a_year() {
        for (lat, month) in [(90.0, "-03-"), (-90.0, "-09-")] {
            let place = Place::new(Event::Sunrise, lat, 0.0).unwrap();
            let first = place.next_after(at("2026-01-01")).unwrap();
            let second = place.next_after(first).unwrap();
            let days = second.since(first).as_secs() / 86_400;
            assert!(first.to_string().contains(month), "{first}");
            assert!((364..=367).contains(&days), "{first} {second}");
        }
    }

    #[test]
    fn names_are_celerys() {
        for event in Event::ALL {
            assert_eq!(event.to_string().parse::<Event>().unwrap(), event);
        }
        let error = "sunsett".parse::<Event>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`solar`: `sunsett` is no event of the sun; did you mean `sunset`?"
        );
        let error = "noon".parse::<Event>().unwrap_err().to_string();
        assert!(
            error.contains("the events are dawn_astronomical, "),
            "{error}"
        );
    }

    #[test]
    fn no_place_is_off_the_earth() {
        let wrong = |lat, lon| Place::new(Event::Sunset, lat, lon).unwrap_err().message;
        assert_eq!(wrong(90.5, 0.0), "`lat`: 90.5 is outside -90 to 90 degrees");
        assert_eq!(
            wrong(0.0, -181.0),
            "`lon`: -181 is outside -180 to 180 degrees"
        );
        assert_eq!(
            wrong(f64::NAN, 0.0),
            "`lat`: NaN is outside -90 to 90 degrees"
        );
    }
}
