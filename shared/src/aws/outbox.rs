//! Rows of an outbox as the SDK takes them.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};

use crate::error::{Error, ErrorKind, Result};
use crate::outbox::{Outbox, OutboxRow};

use super::dynamodb::sdk_item;

impl<Out> Outbox<Out> {
    /// The rows for `TransactWriteItems` of `aws-sdk-dynamodb`, to be put beside your own.
    ///
    /// # Errors
    /// None in practice: `Invalid`, for what DynamoDB couldn't hold.
    pub fn transact_items(&self) -> Result<Vec<TransactWriteItem>> {
        self.rows().iter().map(transact_item).collect()
    }
}

fn transact_item(row: &OutboxRow) -> Result<TransactWriteItem> {
    let mut put = Put::builder()
        .table_name(&row.table)
        .set_item(Some(sdk_item(&row.item)?));
    if let Some(name) = row.unless {
        put = put
            .condition_expression("attribute_not_exists(#unless)")
            .expression_attribute_names("#unless", name);
    }
    let put = put.build().map_err(|error| {
        Error::new(ErrorKind::Invalid, "an outbox row can't be put").caused_by(error)
    })?;
    Ok(TransactWriteItem::builder().put(put).build())
}

#[cfg(test)]
mod tests {
    use crate::memory::Memory;
    use crate::{Signature, tasks};

    #[test]
    fn rows_are_put_where_no_task_of_that_id_is() {
        let app = Memory::default().app().tasks(tasks![]);
        let call: Signature<(), i64> = Signature::named("add").arg(2).id("order-17");
        let items = app.outbox(call).unwrap().transact_items().unwrap();
        let puts: Vec<_> = items.iter().map(|item| item.put().unwrap()).collect();
        assert_eq!(puts.len(), 2);
        assert_eq!(puts[0].table_name(), "results");
        assert_eq!(puts[0].item()["id"].as_s().unwrap(), "order-17");
        assert_eq!(puts[0].item()["status"].as_s().unwrap(), "PENDING");
        assert!(puts[0].item()["message"].is_b());
        assert_eq!(
            puts[0].condition_expression(),
            Some("attribute_not_exists(#unless)")
        );
        assert_eq!(
            puts[0].expression_attribute_names().unwrap()["#unless"],
            "id"
        );
        assert_eq!(puts[1].table_name(), "state");
        assert!(puts[1].item()["pk"].as_s().unwrap().starts_with("due#"));
        assert_eq!(puts[1].item()["sk"].as_s().unwrap(), "order-17");
        assert_eq!(puts[1].condition_expression(), None);
    }
}
