//! A worked schedule: what is open in the evening is cancelled.
//!
//! A refund is a row. The entry in [`schedule`](crate::schedule) is due at 18:00 in Kyiv, on every day of the year;
//! what it cancels is what was open *then*, however late it runs. It cancels by a conditional write, so that of
//! two runs at once, or of one run and whoever pays the refund out, one comes first and the other sees it.

use sedano::ports::{Attribute, Change, Item, Op, Outcome, When};
use sedano::{Context, TaskError, Timestamp, task};

use crate::Rows;

const REFUNDS: &str = "refunds";
const STATUS: &str = "status";
const OPEN: &str = "open";
const OPENED_AT: &str = "opened_at";
const CANCELLED: &str = "cancelled";
/// The due time that a refund was cancelled for.
const DUE: &str = "due";
/// How long a refund is kept after it was cancelled.
const KEPT_DAYS: i64 = 90;

/// Opens a refund of so many cents. One that there is already stays as it is.
#[task(backoff = exponential(secs(5)))]
pub async fn open_refund(
    #[ctx] ctx: &Context,
    #[state] rows: &Rows,
    refund: String,
    cents: i64,
) -> Result<(), TaskError> {
    let opened = Item::from([
        (STATUS.into(), OPEN.into()),
        ("cents".into(), cents.into()),
        (OPENED_AT.into(), ctx.started_at().into()),
    ]);
    let put = Op::Put(opened);
    rows.write(REFUNDS, &refund, put, When::Absent).await?;
    Ok(())
}

/// Cancels the refunds that were open when it was due, and says how many those are: the same number, if it runs
/// again for the same due time.
#[task(backoff = exponential(secs(5)))]
pub async fn cancel_open_refunds(
    #[ctx] ctx: &Context,
    #[state] rows: &Rows,
) -> Result<usize, TaskError> {
    // Called by hand, it is due when it is called.
    let due = ctx.due().unwrap_or(ctx.started_at());
    let mut cancelled = 0;
    // One after the other: an evening's refunds are few.
    for refund in rows.part(REFUNDS).await? {
        if opened_before(&refund, due) && cancel(rows, &refund, due, ctx.started_at()).await? {
            cancelled += 1;
        }
    }
    Ok(cancelled)
}

fn opened_before(refund: &Item, due: Timestamp) -> bool {
    let opened_at = refund.get(OPENED_AT).and_then(Attribute::as_text);
    opened_at.is_some_and(|opened_at| *opened_at < *due.to_string())
}

/// Whether it is cancelled for this due time, by this run or by one before.
async fn cancel(
    rows: &Rows,
    refund: &Item,
    due: Timestamp,
    now: Timestamp,
) -> Result<bool, TaskError> {
    let is = |refund: &Item, name: &str, value: Attribute| refund.get(name) == Some(&value);
    if !is(refund, STATUS, OPEN.into()) {
        return Ok(is(refund, DUE, due.into()));
    }
    let Some(name) = refund.get("sk").and_then(Attribute::as_text) else {
        return Ok(false);
    };
    let cancelled = Op::Update(vec![
        Change::Set(STATUS.into(), CANCELLED.into()),
        Change::Set(DUE.into(), due.into()),
        Change::Set("cancelled_at".into(), now.into()),
        Change::Set("ttl".into(), (now.as_secs() + KEPT_DAYS * 86_400).into()),
    ]);
    let still_open = When::Eq(STATUS.into(), OPEN.into());
    Ok(
        match rows.write(REFUNDS, name, cancelled, still_open).await? {
            Outcome::Applied(_) => true,
            // Somebody came first: another run, or this one, whose answer was lost.
            Outcome::Refused(is_now) => is_now.is_some_and(|refund| is(&refund, DUE, due.into())),
        },
    )
}
