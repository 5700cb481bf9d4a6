//! What must hold of unique tasks.

use std::collections::BTreeMap;

use super::{Invariant, Judge};
use crate::time::Timestamp;

/// From the first run to the first end; without one, for ever.
type AtWork<'a> = (Timestamp, Option<Timestamp>, &'a str);

impl Judge<'_> {
    /// Tasks that are unique by all of their arguments until they are done.
    pub(super) fn unique(&mut self) {
        let history = self.history;
        let mut alike: BTreeMap<(&str, &str), BTreeMap<&str, ()>> = BTreeMap::new();
        for sent in history.sent.iter().filter_map(|sent| sent.task.as_ref()) {
            let options = self.options(&sent.name);
            let by_all = options.unique_by.is_empty() && options.unique_for.is_none();
            if options.unique && by_all {
                let same = alike.entry((&sent.name, &sent.arguments)).or_default();
                same.insert(&sent.id, ());
            }
        }
        for ((name, arguments), ids) in alike {
            let mut at_work: Vec<AtWork<'_>> = ids
                .into_keys()
                .filter_map(|id| {
                    let begun = self.runs_of(id).iter().map(|run| run.begun).min()?;
                    let steps = history.steps.get(id).into_iter().flatten();
                    let ends = steps.filter(|step| step.state.is_final() && step.at >= begun);
                    Some((begun, ends.map(|step| step.at).min(), id))
                })
                .collect();
            at_work.sort_unstable();
            for pair in at_work.windows(2) {
                let [(_, ended, first), (begun, _, second)] = pair else {
                    continue;
                };
                if ended.is_none_or(|ended| ended > *begun) {
                    let what = format!(
                        "`{name}` {arguments} is unique: {second} began at {begun}, and {first} ended at {ended:?}"
                    );
                    self.found(Invariant::Unique, what);
                }
            }
        }
    }
}
