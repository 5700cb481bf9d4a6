//! Schedules and EventBridge's rules.

use std::collections::BTreeMap;

use sedano::beat::{Owner, Step};
use sedano::ports::QueueName;

use crate::args::SyncArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output;
use crate::target::{Rules, Target};

/// Plans, and does it unless it is only to be said.
pub(crate) fn sync(target: &dyn Target, asked: &SyncArgs, json: bool) -> Result<Exit> {
    let mut rules = target.plan(asked)?;
    if !asked.dry_run {
        let is_given_back = |step: &Step| matches!(step, Step::Remove { to_tick: true, .. });
        if !json && rules.plan.steps.iter().any(is_given_back) {
            output::complain(
                "This takes 70 s: a rule goes once the tick has taken its entry over.",
            );
        }
        target.apply(&mut rules)?;
    }
    output::print(json, &rules, || text(&rules));
    match rules.failed.len() {
        0 => Ok(Exit::Success),
        count => {
            let first = rules.failed.first().map(|failed| failed.message.as_str());
            let what = format!(
                "{count} of {} steps failed, the first with: {}; what is done stays done: run it again",
                rules.plan.steps.len(),
                first.unwrap_or_default(),
            );
            Err(Failure::new(Exit::Other, what))
        }
    }
}

/// Whose rules they are: the stack's, or those that begin with what was said.
pub(crate) fn owner(
    asked: &SyncArgs,
    stack: Option<&str>,
    queues: &BTreeMap<QueueName, String>,
    region: &str,
) -> Result<Owner> {
    let prefix = match (&asked.prefix, stack) {
        (Some(prefix), _) => prefix.clone(),
        (None, Some(stack)) => format!("{stack}-"),
        (None, None) => {
            let what = "say with --prefix what the names of the rules begin with, such as STACK-";
            return Err(Failure::usage(what));
        }
    };
    // The same, whether the stack was named or its variables are set.
    let stack = stack.unwrap_or(prefix.trim_end_matches('-'));
    if stack.is_empty() {
        let what = "--prefix is empty: it tells the stack's rules from others, such as STACK-";
        return Err(Failure::usage(what));
    }
    let arn = |(name, url): (&QueueName, &String)| Some((name.clone(), arn(url, region)?));
    Ok(Owner {
        stack: stack.to_owned(),
        queues: queues.iter().filter_map(arn).collect(),
        prefix,
    })
}

/// The ARN of a queue by its URL, which ends in account and name. A rule sends to queues of its own region only.
pub(crate) fn arn(url: &str, region: &str) -> Option<String> {
    let partition = match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    let mut parts = url.rsplit('/');
    let (name, account) = (parts.next()?, parts.next()?);
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_account && !name.is_empty())
        .then(|| format!("arn:{partition}:sqs:{region}:{account}:{name}"))
}

/// A line for each step, and what became of them.
fn text(rules: &Rules) -> String {
    let failed = |step: &Step| {
        let mut failed = rules.failed.iter();
        failed.find(|failed| {
            failed.rule.as_deref() == step.rule() && failed.entry.as_deref() == step.entry()
        })
    };
    let mut lines: Vec<String> = rules
        .plan
        .steps
        .iter()
        .map(|step| match failed(step) {
            Some(failed) => format!("FAILED  {}", failed.message),
            None => line(step),
        })
        .collect();
    let count = match rules.rules.len() {
        1 => "1 rule begins".to_owned(),
        count => format!("{count} rules begin"),
    };
    lines.push(match rules.applied {
        false => format!("{count} with `{}`. Nothing was changed.", rules.prefix),
        true => summary(rules),
    });
    lines.join("\n")
}

fn summary(rules: &Rules) -> String {
    let failed = |step: &Step| {
        let mut failed = rules
            .failed
            .iter()
            .filter_map(|failed| failed.rule.as_deref());
        failed.any(|failed| Some(failed) == step.rule())
    };
    let count = |is: fn(&Step) -> bool| {
        let steps = rules.plan.steps.iter();
        steps.filter(|step| is(step) && !failed(step)).count()
    };
    format!(
        "Rules made: {}, changed: {}, removed: {}, kept: {}.",
        count(|step| matches!(step, Step::Create { .. })),
        count(|step| matches!(step, Step::Change { .. })),
        count(|step| matches!(step, Step::Remove { .. })),
        count(|step| matches!(step, Step::Keep { .. })),
    )
}

fn line(step: &Step) -> String {
    match step {
        Step::Create { rule, schedule, .. } => format!("create  {rule}: {schedule}"),
        Step::Change {
            rule,
            from,
            to,
            differs,
            ..
        } => {
            let from = from.as_deref().unwrap_or("no schedule");
            match from == to {
                true => format!("change  {rule}: its {}", differs.join(", ")),
                false => format!("change  {rule}: {from} to {to}"),
            }
        }
        Step::Keep { rule, .. } => format!("keep    {rule}"),
        Step::Remove {
            rule,
            entry,
            to_tick: true,
        } => format!("remove  {rule}: the tick keeps {entry} again"),
        Step::Remove { rule, entry, .. } => {
            format!("remove  {rule}: the schedule has no entry {entry} any more")
        }
        Step::Foreign { rule } => format!("leave   {rule}: sedano did not make it"),
        Step::Tick {
            entry,
            field,
            reason,
        } => format!("tick    {entry} ({field}): {reason}"),
        other => format!("?       {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Failed;
    use sedano::beat::{Native, Plan, crontab, every};
    use sedano::memory::Memory;
    use sedano::ports::Rule;
    use std::time::Duration;

    fn asked(prefix: Option<&str>) -> SyncArgs {
        SyncArgs {
            dry_run: true,
            prefix: prefix.map(str::to_owned),
            entry: Vec::new(),
            back: Vec::new(),
        }
    }

    fn queues() -> BTreeMap<QueueName, String> {
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/s-default";
        BTreeMap::from([(QueueName::new(QueueName::DEFAULT), url.to_owned())])
    }

    #[test]
    fn the_stack_and_its_variables_mean_the_same_rules() {
        let named = owner(&asked(None), Some("s"), &queues(), "eu-central-1").unwrap();
        let by_env = owner(&asked(Some("s-")), None, &queues(), "eu-central-1").unwrap();
        assert_eq!(named, by_env);
        assert_eq!((named.stack.as_str(), named.prefix.as_str()), ("s", "s-"));
        let default = &named.queues[&QueueName::new(QueueName::DEFAULT)];
        assert_eq!(default, "arn:aws:sqs:eu-central-1:123456789012:s-default");
        for prefix in [None, Some(""), Some("-")] {
            assert!(owner(&asked(prefix), None, &queues(), "eu-central-1").is_err());
        }
    }

    #[test]
    fn a_queues_arn_is_told_from_its_url() {
        let path = "127.0.0.1:4566/000000000000/q";
        let local = format!("http://{path}");
        assert_eq!(
            arn(&local, "us-east-1").unwrap(),
            "arn:aws:sqs:us-east-1:000000000000:q"
        );
        assert!(
            arn(&local, "cn-north-1")
                .unwrap()
                .starts_with("arn:aws-cn:")
        );
        assert!(
            arn(&local, "us-gov-west-1")
                .unwrap()
                .starts_with("arn:aws-us-gov:")
        );
        assert_eq!(arn("memory:q", "us-east-1"), None);
        assert_eq!(arn("http://host/q", "us-east-1"), None);
    }

    fn rule(name: &str) -> Rule {
        Rule {
            name: name.to_owned(),
            schedule: Some("rate(1 hour)".to_owned()),
            enabled: true,
            description: None,
            targets: Vec::new(),
            tags: BTreeMap::new(),
        }
    }

    fn rules(rules: Vec<Rule>) -> Rules {
        let app = Memory::default().app().tasks(sedano_tasks::all());
        let native = |name: &str, schedule| {
            let call = sedano_tasks::arithmetic::add::s(2, 2);
            Native::new(&app, name, schedule, call).unwrap()
        };
        let natives = [
            native("add", every(Duration::from_secs(300))),
            native("taken", crontab("0 6 * * *")),
            native("local", crontab("0 6 * * *").in_tz("Asia/Tokyo")),
        ];
        let owner = owner(&asked(None), Some("s"), &queues(), "eu-central-1").unwrap();
        Rules {
            prefix: "s-".to_owned(),
            plan: Plan::new(&natives, &owner, &rules),
            rules,
            applied: false,
            failed: Vec::new(),
        }
    }

    #[test]
    fn each_step_has_its_line() {
        let tagged = |name: &str, entry: &str| Rule {
            tags: [("sedano:entry", entry), ("sedano:stack", "s")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..rule(name)
        };
        let mut rules = rules(vec![
            rule("s-taken"),
            tagged("s-add", "add"),
            tagged("s-gone", "gone"),
            tagged("s-local", "local"),
        ]);
        let steps = "\
tick    taken (name): there is a rule named `s-taken` which sedano did not make
tick    local (tz): `tz`: a rule of EventBridge is in UTC, this schedule in Asia/Tokyo
change  s-add: rate(1 hour) to cron(0/5 * * * ? *)
remove  s-gone: the schedule has no entry gone any more
remove  s-local: the tick keeps local again
leave   s-taken: sedano did not make it
";
        assert_eq!(
            text(&rules),
            format!("{steps}4 rules begin with `s-`. Nothing was changed.")
        );
        rules.applied = true;
        rules.failed.push(Failed {
            rule: Some("s-add".to_owned()),
            entry: Some("add".to_owned()),
            message: "rule `s-add`: no".to_owned(),
        });
        let steps = steps.replace(
            "change  s-add: rate(1 hour) to cron(0/5 * * * ? *)",
            "FAILED  rule `s-add`: no",
        );
        let end = "Rules made: 0, changed: 0, removed: 2, kept: 0.";
        assert_eq!(text(&rules), format!("{steps}{end}"));
    }
}
