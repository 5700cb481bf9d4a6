//! Schedules and EventBridge's rules, for people.

use sedano::beat::Step;

use crate::target::Rules;

/// A line for each step; nothing is done.
pub(crate) fn text(rules: &Rules) -> String {
    let mut lines: Vec<String> = rules.plan.steps.iter().map(line).collect();
    let count = match rules.rules.len() {
        1 => "1 rule begins".to_owned(),
        count => format!("{count} rules begin"),
    };
    lines.push(format!(
        "{count} with `{}`. Nothing was changed.",
        rules.prefix
    ));
    lines.join("\n")
}

fn line(step: &Step) -> String {
    match step {
        Step::Create { rule, schedule } => format!("create  {rule}: {schedule}"),
        Step::Change { rule, from, to } => {
            let from = from.as_deref().unwrap_or("no schedule");
            format!("change  {rule}: {from} to {to}")
        }
        Step::Keep { rule } => format!("keep    {rule}"),
        Step::Foreign { rule } => format!("leave   {rule}: no entry stands for it"),
        Step::Tick { entry, reason } => format!("tick    {entry}: {reason}"),
        other => format!("?       {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use sedano::beat::{Beat, every};
    use sedano::ports::Rule;
    use sedano_tasks::arithmetic::add;

    #[test]
    fn each_step_has_its_line() {
        let rule = |name: &str, schedule: &str| Rule {
            name: name.to_owned(),
            schedule: Some(schedule.to_owned()),
            enabled: true,
            description: None,
            targets: Vec::new(),
        };
        let beat = Beat::new().entry("add", every(Duration::from_secs(300)), add::s(2, 2));
        let plan = |rules: Vec<Rule>| {
            text(&Rules {
                prefix: "s-".to_owned(),
                plan: beat.plan("s-", &rules),
                rules,
            })
        };
        assert_eq!(
            plan(vec![rule("s-tick", "rate(1 minute)")]),
            "leave   s-tick: no entry stands for it\n\
             create  s-add: cron(0/5 * * * ? *)\n\
             1 rule begins with `s-`. Nothing was changed."
        );
        assert_eq!(
            plan(vec![rule("s-add", "rate(1 hour)")]),
            "change  s-add: rate(1 hour) to cron(0/5 * * * ? *)\n\
             1 rule begins with `s-`. Nothing was changed."
        );
    }
}
