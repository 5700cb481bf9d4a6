//! Tasks that compute: the smallest there are, as in Celery's own guide.

use sedano::{TaskError, task};

/// Adds two numbers.
#[task]
pub async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    x.checked_add(y).ok_or_else(too_large)
}

/// Multiplies two numbers.
#[task]
pub async fn mul(x: i64, y: i64) -> Result<i64, TaskError> {
    x.checked_mul(y).ok_or_else(too_large)
}

/// Adds many numbers: what a group's results are reduced with.
#[task]
pub async fn xsum(numbers: Vec<i64>) -> Result<i64, TaskError> {
    numbers
        .into_iter()
        .try_fold(0_i64, i64::checked_add)
        .ok_or_else(too_large)
}

fn too_large() -> TaskError {
    TaskError::permanent("the result doesn't fit in 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedano::Class;

    #[tokio::test]
    async fn numbers_are_added_and_multiplied() {
        assert_eq!(add(2, 3).await.unwrap(), 5);
        assert_eq!(mul(4, -5).await.unwrap(), -20);
        assert_eq!(xsum(vec![1, 2, 3]).await.unwrap(), 6);
        assert_eq!(xsum(vec![]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn an_overflow_is_an_error_and_no_wrong_number() {
        for result in [
            add(i64::MAX, 1).await,
            mul(i64::MAX, 2).await,
            xsum(vec![i64::MIN, -1]).await,
        ] {
            assert_eq!(result.unwrap_err().class(), Class::Permanent);
        }
    }
}
