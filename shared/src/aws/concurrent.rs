//! Futures that run at the same time within one task: nothing is spawned, so nothing outlives the
//! call.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// The outputs of all futures, in their order.
pub(super) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    enum Slot<F: Future> {
        Running(Pin<Box<F>>),
        Done(Option<F::Output>),
    }
    impl<F: Future> Unpin for Slot<F> {}

    let mut slots: Vec<Slot<F>> = futures
        .into_iter()
        .map(|future| Slot::Running(Box::pin(future)))
        .collect();
    poll_fn(move |context| {
        let mut done = true;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Slot::Done(Some(output)),
                    Poll::Pending => done = false,
                }
            }
        }
        if !done {
            return Poll::Pending;
        }
        let outputs = slots.iter_mut().filter_map(|slot| match slot {
            Slot::Done(output) => output.take(),
            Slot::Running(_) => None,
        });
        Poll::Ready(outputs.collect())
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn they_run_at_once_and_answer_in_order() {
        // Each waits for all others: one after the other, none would end.
        let barrier = Arc::new(tokio::sync::Barrier::new(3));
        let futures = (0..3).map(|number| {
            let barrier = barrier.clone();
            async move {
                barrier.wait().await;
                number
            }
        });
        assert_eq!(all(futures).await, [0, 1, 2]);
    }

    #[tokio::test]
    async fn none_is_done_at_once() {
        let none: [std::future::Ready<()>; 0] = [];
        assert!(all(none).await.is_empty());
    }
}
