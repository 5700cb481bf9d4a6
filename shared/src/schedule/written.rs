//! Schedules as JSON: stable, because they lie in tables.

use std::time::Duration;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::crontab::Expression;
use super::{Dialect, Event, Fault, Kind, Schedule, at, every, solar};
use crate::time::Timestamp;

/// The fields that there are. Their values are read one by one, so that an error names the field.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = r#"an object such as {"every": 30}"#)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crontab: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dialect: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    solar: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lat: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lon: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tz: Option<Value>,
}

const VIXIE: &str = "vixie";
const CELERY: &str = "celery";

impl Serialize for Schedule {
    /// # Errors
    /// For a schedule that was written wrongly: it couldn't be read back.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.check().map_err(S::Error::custom)?;
        let mut written = Written {
            tz: self.zone.as_ref().map(|zone| zone.name().into()),
            ..Written::default()
        };
        match &self.kind {
            Kind::Every(period) => written.every = Some(period.as_secs().into()),
            Kind::Crontab(expression) => {
                written.crontab = Some(expression.text().into());
                written.dialect = match expression.dialect() {
                    Dialect::Celery => None,
                    Dialect::Vixie => Some(VIXIE.into()),
                };
            }
            Kind::Solar(place) => {
                written.solar = Some(place.event.name().into());
                written.lat = Some(place.lat.into());
                written.lon = Some(place.lon.into());
            }
            Kind::At(instant) => written.at = Some(instant.to_string().into()),
            // Refused above.
            Kind::Faulty(fault) => return Err(S::Error::custom(&fault.message)),
        }
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let schedule = Written::deserialize(deserializer)?
            .read()
            .unwrap_or_else(Schedule::faulty);
        schedule.check().map_err(D::Error::custom)?;
        Ok(schedule)
    }
}

impl Written {
    fn read(mut self) -> Result<Schedule, Fault> {
        let schedule = if let Some(seconds) = self.every.take() {
            let seconds = seconds.as_u64().ok_or_else(|| {
                wrong(
                    "every",
                    &seconds,
                    "is no whole number of seconds, at least 1",
                )
            })?;
            every(Duration::from_secs(seconds))
        } else if let Some(expression) = self.crontab.take() {
            let expression = text("crontab", &expression)?;
            let dialect = match self.dialect.take() {
                None => Dialect::Celery,
                Some(dialect) => match text("dialect", &dialect)? {
                    CELERY => Dialect::Celery,
                    VIXIE => Dialect::Vixie,
                    _ => {
                        return Err(wrong(
                            "dialect",
                            &dialect,
                            "is neither `celery` nor `vixie`",
                        ));
                    }
                },
            };
            Expression::parse(expression, dialect).into()
        } else if let Some(event) = self.solar.take() {
            let event = Event::named(text("solar", &event)?)?;
            solar(
                event,
                degrees("lat", self.lat.take())?,
                degrees("lon", self.lon.take())?,
            )
        } else if let Some(instant) = self.at.take() {
            let instant: Timestamp = text("at", &instant)?
                .parse()
                .map_err(|error| Fault::new("at", error))?;
            at(instant)
        } else {
            let reason = "a schedule has one of `every`, `crontab`, `solar` and `at`";
            return Err(Fault::whole("schedule", reason.to_owned()));
        };
        let schedule = match self.tz.take() {
            Some(tz) => schedule.in_tz(text("tz", &tz)?),
            None => schedule,
        };
        match self.left() {
            Some(field) => Err(Fault::new(
                field,
                "doesn't belong to a schedule of this kind: leave it out",
            )),
            None => Ok(schedule),
        }
    }

    /// A field that nothing was made of.
    fn left(&self) -> Option<&'static str> {
        [
            ("crontab", &self.crontab),
            ("dialect", &self.dialect),
            ("solar", &self.solar),
            ("lat", &self.lat),
            ("lon", &self.lon),
            ("at", &self.at),
        ]
        .into_iter()
        .find_map(|(field, value)| value.as_ref().map(|_| field))
    }
}

fn text<'a>(field: &'static str, value: &'a Value) -> Result<&'a str, Fault> {
    value
        .as_str()
        .ok_or_else(|| wrong(field, value, "is no text"))
}

fn degrees(field: &'static str, value: Option<Value>) -> Result<f64, Fault> {
    let value = value.unwrap_or_default();
    value
        .as_f64()
        .ok_or_else(|| wrong(field, &value, "is no number of degrees"))
}

fn wrong(field: &'static str, value: &Value, what: &str) -> Fault {
    let value = crate::failure::shortened(&value.to_string(), crate::task::QUOTED);
    Fault::new(field, format!("{value} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{crontab, crontab_vixie};

    #[test]
    fn each_kind_has_its_json() {
        let noon: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (schedule, json) in [
            (every(Duration::from_secs(30)), r#"{"every":30}"#),
            (
                crontab("30 7 * * mon-fri"),
                r#"{"crontab":"30 7 * * mon-fri"}"#,
            ),
            (
                crontab("30 7 * * mon-fri").in_tz("Europe/Kyiv"),
                r#"{"crontab":"30 7 * * mon-fri","tz":"Europe/Kyiv"}"#,
            ),
            (
                crontab_vixie("@daily").in_tz("asia/tokyo"),
                r#"{"crontab":"@daily","dialect":"vixie","tz":"Asia/Tokyo"}"#,
            ),
            (
                solar(Event::DuskCivil, 48.85, -2.35),
                r#"{"solar":"dusk_civil","lat":48.85,"lon":-2.35}"#,
            ),
            (at(noon), r#"{"at":"2026-03-01T12:00:00.000Z"}"#),
        ] {
            assert_eq!(serde_json::to_string(&schedule).unwrap(), json);
            assert_eq!(serde_json::from_str::<Schedule>(json).unwrap(), schedule);
        }
    }

    #[test]
    fn an_error_names_the_field() {
        for (json, message) in [
            (
                "{}",
                "a schedule has one of `every`, `crontab`, `solar` and `at`",
            ),
            (
                r#"{"every":0}"#,
                "`every`: 0ns isn't a whole number of seconds, at least 1",
            ),
            (
                r#"{"every":"5m"}"#,
                "`every`: \"5m\" is no whole number of seconds, at least 1",
            ),
            (
                r#"{"every":1.5}"#,
                "`every`: 1.5 is no whole number of seconds, at least 1",
            ),
            (r#"{"crontab":5}"#, "`crontab`: 5 is no text"),
            (
                r#"{"crontab":"* 24 * * *"}"#,
                "crontab `* 24 * * *`, hour `24`: 24 is outside 0-23",
            ),
            (
                r#"{"crontab":"* * * * *","dialect":"quartz"}"#,
                "`dialect`: \"quartz\" is neither `celery` nor `vixie`",
            ),
            (
                r#"{"crontab":"* * * * *","tz":"Europe/Kyjiv"}"#,
                "`tz`: `Europe/Kyjiv` is no time zone of the IANA database, as Europe/Kyiv is; did you mean `Europe/Kyiv`?",
            ),
            (
                r#"{"every":5,"tz":"UTC"}"#,
                "`tz`: an interval is the same in every time zone: leave `tz` out, or use a crontab",
            ),
            (
                r#"{"solar":"sunset","lat":1}"#,
                "`lon`: null is no number of degrees",
            ),
            (
                r#"{"every":5,"at":"2026-01-01"}"#,
                "`at`: doesn't belong to a schedule of this kind: leave it out",
            ),
            (
                r#"{"at":"noon"}"#,
                "`at`: `noon` is no date and time: write it as 2026-03-01T12:00:00Z",
            ),
        ] {
            let error = serde_json::from_str::<Schedule>(json).unwrap_err();
            assert_eq!(error.to_string(), message, "{json}");
        }
        let error = serde_json::from_str::<Schedule>(r#"{"cron":"* * * * *"}"#).unwrap_err();
        assert!(
            error.to_string().starts_with("unknown field `cron`"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_not_written() {
        let error = serde_json::to_string(&crontab("60 * * * *")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "crontab `60 * * * *`, minute `60`: 60 is outside 0-59"
        );
    }
}
