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
    /// What a run found out is written again and again, until its invocation ends; without it, it is tried once.
    InsistOnFinish,
    /// What can't be given its time in what is left of an invocation is handed back; without it, it is started.
    HandBackLate,
    /// A panic ends its body; without it, its process.
    ContainPanics,
    /// A body is stopped at its limit; without it, it isn't.
    StopAtLimit,
    /// What can't be decoded becomes a dead letter; without it, it is acknowledged.
    KeepUndecodable,
    /// What SQS gave up is recorded as FAILURE; without it, it is a dead letter and nothing else.
    RecordUndelivered,
    /// A redriven task's record begins anew, and then its message is sent; without it, the message goes first.
    RecordGenerationFirst,
    /// A dead letter is removed when its task was sent back to work; without it, before.
    RemoveLetterLast,
    /// A message of an earlier generation is acknowledged; without it, it counts as one of this.
    Supersede,
    /// What is sent by what was sent by … comes to an end after 1000 sends; without it, it doesn't.
    CapHops,
    /// A checkpoint is written only by who holds the claim; without it, by whoever comes to one.
    FenceCheckpoints,
    /// What a run reports of itself is written only while it holds the claim; without it, whenever it comes.
    FenceReports,
    /// A task that was asked to stop while it ran doesn't run again; without it, it does.
    HonourRequests,
    /// What bears a revocation isn't begun; without it, it is.
    HonourRevocations,
    /// A record past its ttl counts as absent; without it, it counts until it is removed.
    ForgetExpired,
    /// What waits in its record is entered in the bucket of its minute; without it, it isn't.
    EnterParked,
    /// A task that was put off since its message was sent waits until then; without it, it runs when its message
    /// says.
    AwaitMoves,
    /// A run of an entry without overlaps is left out while the one before is at it; without it, it runs.
    KeepApart,
    /// A unique task runs only under its key; without it, every key is granted.
    HoldKeys,
    /// Who is refused a key whose task nobody has seen sends that task's message; without it, doesn't.
    SendForHolder,
    /// The end of a unique task gives its key back; without it, the key stays until somebody takes it over.
    FreeKeys,
    /// A key is given back only by the task that has it; without it, by any that comes to an end.
    FenceKeys,
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
        Rule::InsistOnFinish,
        Rule::HandBackLate,
        Rule::ContainPanics,
        Rule::StopAtLimit,
        Rule::KeepUndecodable,
        Rule::RecordUndelivered,
        Rule::RecordGenerationFirst,
        Rule::RemoveLetterLast,
        Rule::Supersede,
        Rule::CapHops,
        Rule::FenceCheckpoints,
        Rule::FenceReports,
        Rule::HonourRequests,
        Rule::HonourRevocations,
        Rule::ForgetExpired,
        Rule::EnterParked,
        Rule::AwaitMoves,
        Rule::KeepApart,
        Rule::HoldKeys,
        Rule::SendForHolder,
        Rule::FreeKeys,
        Rule::FenceKeys,
    ];
}

impl Worker {
    /// Whether the rule holds, as [`App::keeps`](crate::App) says.
    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.app().keeps(rule)
    }
}
