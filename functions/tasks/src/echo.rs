//! A task that gives back what it got: to see what a value becomes on its way.

use sedano::{TaskError, task};
use serde_json::Value;

/// Returns its argument, whatever it is.
#[task]
pub async fn echo(value: Value) -> Result<Value, TaskError> {
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_value_comes_back() {
        let value = serde_json::json!({"a": [1, 2.5, null], "b": "ü"});
        assert_eq!(echo(value.clone()).await.unwrap(), value);
    }
}
