//! The protocol's rules by name.
//!
//! Each can be switched off, in the simulation and nowhere else: a rule whose absence nobody would notice
//! is none, and a check that can't fail proves nothing.

use crate::worker::Worker;

/// A rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(feature = "sim"),
    expect(dead_code, unreachable_pub, reason = "all of it is for the simulation")
)]
#[non_exhaustive]
pub enum Rule {
    /// A message is acknowledged last of all; without it, as soon as it was received.
    AcknowledgeLast,
    /// A task runs only under a claim that nobody else holds; without it, every claim is granted.
    ClaimBeforeRun,
    /// A lease reaches beyond the end of its invocation; without it, it ends after five seconds.
    LeaseOutlivesInvocation,
    /// The copy of a message whose task runs is hidden; without it, it is acknowledged.
    HideWhileHeld,
    /// A claim whose answer was lost is asked for again and recognises itself; without it, its message is
    /// handed back.
    AskAgainInDoubt,
    /// A finish is written only by who holds the claim; without it, by whoever comes to an end.
    FenceFinish,
    /// A retry is recorded, and then its message is sent; without it, the message goes first.
    RecordRetryFirst,
    /// A message that finds a later attempt recorded sends that; without it, it is just acknowledged.
    HelpStale,
    /// What follows from a final state is repeated when its message comes again; without it, it isn't.
    FollowAgain,
    /// Only a death with nobody beside it counts; without it, each does.
    SingleOut,
    /// The third death of its own ends a task; without it, it goes on for ever.
    CountDeaths,
    /// Nothing runs before its time; without it, at once.
    WaitUntilDue,
    /// What has expired isn't started; without it, it is.
    RevokeExpired,
    /// A task that this worker doesn't know waits for one that does; without it, it fails at once.
    WaitForDeployment,
    /// Children's ids are derived from their parent's; without it, they are drawn anew by each run.
    DeriveChildIds,
    /// What an outage keeps from being worked on is sent anew, before SQS gives it up; without it, it isn't.
    OutlastOutage,
    /// Behind a message of a FIFO group that isn't done, the rest of the group waits; without it, it goes on.
    KeepOrder,
}

#[cfg(feature = "sim")]
impl Rule {
    /// Every rule.
    pub const ALL: &[Rule] = &[
        Rule::AcknowledgeLast,
        Rule::ClaimBeforeRun,
        Rule::LeaseOutlivesInvocation,
        Rule::HideWhileHeld,
        Rule::AskAgainInDoubt,
        Rule::FenceFinish,
        Rule::RecordRetryFirst,
        Rule::HelpStale,
        Rule::FollowAgain,
        Rule::SingleOut,
        Rule::CountDeaths,
        Rule::WaitUntilDue,
        Rule::RevokeExpired,
        Rule::WaitForDeployment,
        Rule::DeriveChildIds,
        Rule::OutlastOutage,
        Rule::KeepOrder,
    ];
}

impl Worker {
    /// Whether the rule holds. Everywhere but in the simulation, always.
    #[cfg(not(feature = "sim"))]
    pub(crate) fn keeps(&self, _: Rule) -> bool {
        true
    }

    /// Whether the rule holds. Everywhere but in the simulation, always.
    #[cfg(feature = "sim")]
    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The worker without one of the protocol's rules.
    #[cfg(feature = "sim")]
    pub(crate) fn without(mut self, rule: Option<Rule>) -> Self {
        self.without = rule;
        self
    }
}
