//! The protocol's seldom taken branches by name, so that a simulation can tell which of them its worlds came
//! through: what no world reaches, no world tests. Left out is what no world can come to:
//! processes that outlive their lease, and messages of a megabyte.

/// A branch that only something out of the ordinary leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(feature = "sim"),
    expect(unreachable_pub, reason = "public where there is a simulation")
)]
#[non_exhaustive]
pub enum Branch {
    /// A message that can't be decoded.
    Undecodable,
    /// Not due: sent on, or hidden.
    PutBack,
    /// Not due for a while: kept in its record.
    Parked,
    /// Parked by another copy of the message.
    ParkedBefore,
    /// Put off since its message was sent.
    Moved,
    /// Left out, for the run before it was still at it.
    LeftOut,
    /// Due in a moment: waited for.
    ShortWait,
    /// Expired before it was started.
    Expired,
    /// Too little of the invocation left for it.
    HandedBackLate,
    /// Its task unknown, and hidden for a deployment that knows it.
    AwaitsDeployment,
    /// Its task unknown for long enough.
    NotRegistered,
    /// Run without a claim, for its task is idempotent.
    Unclaimed,
    /// A claim asked for again, since its answer was lost.
    AsksAgain,
    /// A claim that recognised itself.
    OwnClaim,
    /// A record past its ttl, replaced by what would have been written if it weren't there.
    ReplacesExpired,
    /// A claim given up.
    Released,
    /// Run again with nobody beside it, where it is.
    Suspect,
    /// A FIFO message that goes on as the attempt which is recorded.
    Adopted,
    /// The end of a task that killed its process too often.
    WorkerLost,
    /// A panic of a body.
    Panicked,
    /// A body stopped at its time limit.
    StoppedAtLimit,
    /// A body stopped by the end of an invocation that it began late.
    CutShort,
    /// A checkpoint written.
    CheckpointKept,
    /// A checkpoint of an earlier run taken.
    CheckpointTaken,
    /// What a run reports of itself, written.
    Reported,
    /// Revoked by its group, root, stamp or name, and turned away before its claim.
    RevokedUnclaimed,
    /// The same, found out beside its claim.
    RevokedClaimed,
    /// A claim that was told of a request to stop, and gave the task up.
    RequestHonoured,
    /// A body that stopped, for it was revoked.
    StoppedRevoked,
    /// A retry that isn't, for the run had learned that it was revoked.
    RevokedForRetry,
    /// A group that was revoked before it began.
    GroupRevoked,
    /// Members of a group that were revoked before they were sent.
    MembersRevoked,
    /// A finish written again, for a passing error.
    InsistsOnFinish,
    /// A finish that recognised its own earlier success.
    OwnFinish,
    /// A refused finish that wasn't told the record, and asked for it.
    AsksForRecord,
    /// A finish in place of a record past its ttl.
    FinishesExpired,
    /// A message of a final task.
    Final,
    /// A message of a final task whose dead letter was made good.
    LetterMadeGood,
    /// The message of a task that was revoked by its id, kept in its record.
    RevokedMessageKept,
    /// A message that sent a later attempt again.
    Helped,
    /// A message that a later attempt has overtaken.
    Overtaken,
    /// A message of an earlier generation.
    Superseded,
    /// A message hidden while its task is held.
    Held,
    /// A message moved to quarantine.
    Quarantined,
    /// What SQS gave up, recorded as FAILURE.
    Reaped,
    /// What SQS gave up, and is held or final or further on.
    ReapedInVain,
    /// A message sent anew, to outlast an outage.
    SentAnew,
    /// The rest of a FIFO group, handed back behind what isn't done.
    GroupHandedBack,
    /// A failed task redriven.
    Redriven,
    /// A redrive that found itself recorded.
    RedrivenAgain,
    /// A redrive of a task whose runner is dead.
    RedrivenAbandoned,
    /// A dead letter out of date, removed.
    LetterOutOfDate,
    /// A unique task left out, for another has its key.
    LeftOutForFirst,
    /// A key that recognised its own task.
    OwnKey,
    /// A key taken over from a task that has ended.
    KeyTakenOver,
    /// A message sent for the task that holds a key.
    SentForHolder,
    /// A key that was given back before, or is another's by now.
    KeyFreedBefore,
}

#[cfg(feature = "sim")]
impl Branch {
    /// Every branch.
    pub const ALL: &[Branch] = &[
        Branch::Undecodable,
        Branch::PutBack,
        Branch::ShortWait,
        Branch::Expired,
        Branch::HandedBackLate,
        Branch::AwaitsDeployment,
        Branch::NotRegistered,
        Branch::Unclaimed,
        Branch::AsksAgain,
        Branch::OwnClaim,
        Branch::ReplacesExpired,
        Branch::Released,
        Branch::Suspect,
        Branch::Adopted,
        Branch::WorkerLost,
        Branch::Panicked,
        Branch::StoppedAtLimit,
        Branch::CutShort,
        Branch::CheckpointKept,
        Branch::CheckpointTaken,
        Branch::Reported,
        Branch::RevokedUnclaimed,
        Branch::RevokedClaimed,
        Branch::RequestHonoured,
        Branch::StoppedRevoked,
        Branch::RevokedForRetry,
        Branch::GroupRevoked,
        Branch::MembersRevoked,
        Branch::InsistsOnFinish,
        Branch::OwnFinish,
        Branch::AsksForRecord,
        Branch::FinishesExpired,
        Branch::Final,
        Branch::LetterMadeGood,
        Branch::RevokedMessageKept,
        Branch::Helped,
        Branch::Overtaken,
        Branch::Superseded,
        Branch::Held,
        Branch::Quarantined,
        Branch::Reaped,
        Branch::ReapedInVain,
        Branch::SentAnew,
        Branch::GroupHandedBack,
        Branch::Redriven,
        Branch::RedrivenAgain,
        Branch::RedrivenAbandoned,
        Branch::LetterOutOfDate,
        Branch::LeftOutForFirst,
        Branch::OwnKey,
        Branch::KeyTakenOver,
        Branch::SentForHolder,
        Branch::KeyFreedBefore,
    ];
}

/// Tells the simulation, if there is one.
#[cfg(feature = "sim")]
pub(crate) fn reached(branch: Branch) {
    crate::sim::reached(branch);
}

/// Tells the simulation, if there is one.
#[cfg(not(feature = "sim"))]
pub(crate) fn reached(_: Branch) {}
