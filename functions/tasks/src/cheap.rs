//! Tasks that ask for less and so cost fewer writes: see `idempotent` and `ignore_result` in
//! [`sedano::Options`].

use sedano::{TaskError, task};

/// Adds two numbers; running twice does no harm, so no claim is written.
#[task(idempotent)]
pub async fn idempotent_add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x.saturating_add(y))
}

/// Adds two numbers for nobody: nothing at all is written, unless it fails.
#[task(idempotent, ignore_result)]
pub async fn quiet_add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x.saturating_add(y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedano::{Options, Task};

    #[tokio::test]
    async fn they_are_as_cheap_as_they_say() {
        let saves = |options: Options| (options.idempotent, options.ignore_result);
        assert_eq!(saves(idempotent_add::OPTIONS), (true, false));
        assert_eq!(saves(quiet_add::OPTIONS), (true, true));
        assert_eq!(
            idempotent_add(2, 3).await.unwrap(),
            quiet_add(4, 1).await.unwrap()
        );
    }
}
