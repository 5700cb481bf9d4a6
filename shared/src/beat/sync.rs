//! Entries that EventBridge can express exactly, held against the rules that are there.

use serde::Serialize;

use crate::ports::Rule;

use super::{Beat, Schedule};

/// What would make the native rules equal to the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// One step for each entry and for each rule that no entry stands for, by rule name.
    pub steps: Vec<Step>,
}

/// One entry or rule, and what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The rule is missing.
    Create {
        /// Its name.
        rule: String,
        /// What it would say.
        schedule: String,
    },
    /// The rule says something else.
    Change {
        /// Its name.
        rule: String,
        /// What it says now.
        from: Option<String>,
        /// What it would say.
        to: String,
    },
    /// The rule is as it should be.
    Keep {
        /// Its name.
        rule: String,
    },
    /// A rule with the prefix that no entry stands for: left alone.
    Foreign {
        /// Its name.
        rule: String,
    },
    /// The entry stays on the tick, for this reason.
    Tick {
        /// The entry's name.
        entry: String,
        /// Why EventBridge can't express it exactly.
        reason: String,
    },
}

impl Beat {
    /// Holds the entries against the existing rules whose names begin with `prefix`; changes nothing.
    pub fn plan(&self, prefix: &str, rules: &[Rule]) -> Plan {
        let mut steps = Vec::new();
        let mut wanted = Vec::new();
        for entry in &self.0 {
            match entry.schedule.to_eventbridge() {
                Ok(schedule) => wanted.push((format!("{prefix}{}", entry.name), schedule)),
                Err(reason) => steps.push(Step::Tick {
                    entry: entry.name.clone(),
                    reason,
                }),
            }
        }
        for rule in rules {
            if !wanted.iter().any(|(name, _)| *name == rule.name) {
                steps.push(Step::Foreign {
                    rule: rule.name.clone(),
                });
            }
        }
        for (name, schedule) in wanted {
            steps.push(match rules.iter().find(|rule| rule.name == name) {
                None => Step::Create {
                    rule: name,
                    schedule,
                },
                Some(rule) if rule.schedule.as_deref() == Some(&schedule) && rule.enabled => {
                    Step::Keep { rule: name }
                }
                Some(rule) => Step::Change {
                    rule: name,
                    from: rule.schedule.clone(),
                    to: schedule,
                },
            });
        }
        Plan { steps }
    }
}

impl Schedule {
    /// The schedule as EventBridge writes it, or why it can't: only what falls on the same minutes. A
    /// `rate` counts from when the rule was made, so it is a `cron`, whose fields begin anew each hour
    /// and each day.
    fn to_eventbridge(&self) -> Result<String, String> {
        let Some(period) = self.period() else {
            return Err(format!("only an interval is kept as a rule, not {self}"));
        };
        let seconds = period.as_secs();
        match (seconds / 60, seconds % 60) {
            (minutes, 0) if minutes > 0 && 60 % minutes == 0 => {
                Ok(format!("cron(0/{minutes} * * * ? *)"))
            }
            (minutes, 0) if minutes > 0 && minutes % 60 == 0 && 24 % (minutes / 60) == 0 => {
                Ok(format!("cron(0 0/{} * * ? *)", minutes / 60))
            }
            (minutes, 0) if minutes > 0 => Err(format!(
                "every {minutes} minutes doesn't divide the hour or the day, where a cron begins anew"
            )),
            _ => Err(format!("every {seconds} s is no whole number of minutes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beat::{crontab, every};
    use crate::signature::Signature;
    use std::time::Duration;

    fn rule(name: &str, schedule: &str) -> Rule {
        Rule {
            name: name.to_owned(),
            schedule: Some(schedule.to_owned()),
            enabled: true,
            description: None,
            targets: Vec::new(),
        }
    }

    #[test]
    fn each_entry_and_rule_has_its_step() {
        let call = || Signature::<(), ()>::named("ping");
        let minutes = |minutes: u64| every(Duration::from_secs(60 * minutes));
        let beat = Beat::new()
            .entry("new", minutes(1), call())
            .entry("same", minutes(5), call())
            .entry("moved", minutes(10), call())
            .entry("quick", every(Duration::from_secs(90)), call())
            .entry("daily", crontab("0 6 * * *"), call());
        let rules = [
            rule("s-same", "cron(0/5 * * * ? *)"),
            rule("s-moved", "rate(1 hour)"),
            rule("s-x", "y"),
        ];
        let text = |text: &str| text.to_owned();
        assert_eq!(
            beat.plan("s-", &rules).steps,
            [
                Step::Tick {
                    entry: text("quick"),
                    reason: text("every 90 s is no whole number of minutes")
                },
                Step::Tick {
                    entry: text("daily"),
                    reason: text("only an interval is kept as a rule, not 0 6 * * * (UTC)")
                },
                Step::Foreign { rule: text("s-x") },
                Step::Create {
                    rule: text("s-new"),
                    schedule: text("cron(0/1 * * * ? *)")
                },
                Step::Keep {
                    rule: text("s-same")
                },
                Step::Change {
                    rule: text("s-moved"),
                    from: Some(text("rate(1 hour)")),
                    to: text("cron(0/10 * * * ? *)")
                },
            ]
        );
    }
}
