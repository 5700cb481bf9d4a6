//! Where an adapter can't run a case, and why. AWS's documentation decides what is right.

use sedano::StoreWrites;
use sedano_tests::emulator::Emulator;

struct Difference {
    /// A case, or the group of it with `::*`.
    case: &'static str,
    /// None: memory.
    emulator: Option<Emulator>,
    /// None: whichever way the store writes.
    path: Option<StoreWrites>,
    reason: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        case: "warm::warming_names_what_is_missing",
        emulator: None,
        path: None,
        reason: "memory has both tables always",
    },
    Difference {
        case: "store::an_unknown_table_is_not_found",
        emulator: None,
        path: None,
        reason: "memory has both tables always",
    },
    Difference {
        case: "reads::of_an_unknown_table_nothing_is_read",
        emulator: None,
        path: None,
        reason: "memory has both tables always",
    },
    Difference {
        case: "reads::of_an_unknown_table_no_page_is_read",
        emulator: None,
        path: None,
        reason: "memory has both tables always",
    },
    Difference {
        case: "write_many::an_unknown_table_is_not_found",
        emulator: None,
        path: None,
        reason: "memory has both tables always",
    },
    Difference {
        case: "delivery::a_deletion_may_be_repeated",
        emulator: Some(Emulator::Ministack),
        path: None,
        reason: "ministack takes the receipt of a deleted message for none at all; SQS says it is deleted",
    },
    Difference {
        case: "delivery::what_is_not_in_flight_cannot_be_hidden",
        emulator: Some(Emulator::Ministack),
        path: None,
        reason: "ministack hides a visible message again; SQS answers MessageNotInflight",
    },
    Difference {
        case: "store::appending_to_a_text_is_refused",
        emulator: Some(Emulator::Ministack),
        path: None,
        reason: "ministack takes list_append to a text and changes nothing",
    },
    Difference {
        case: "store::two_changes_of_one_attribute_are_refused",
        emulator: Some(Emulator::Ministack),
        path: None,
        reason: "ministack takes overlapping paths in an update expression",
    },
    Difference {
        case: "condition::what_has_no_order_cannot_be_smaller",
        emulator: Some(Emulator::Ministack),
        path: None,
        reason: "ministack compares any type with <; DynamoDB refuses the expression",
    },
    Difference {
        case: "bus::what_is_not_said_of_a_rule_is_not_kept",
        emulator: Some(Emulator::Ministack),
        path: None,
        reason: "ministack keeps the description that a PutRule doesn't say; EventBridge keeps nothing",
    },
    Difference {
        case: "bus::tags_are_added_and_none_is_taken_away",
        emulator: Some(Emulator::Ministack),
        path: None,
        reason: "ministack replaces a rule's tags by those of PutRule; EventBridge takes these for a new rule only",
    },
    Difference {
        case: "delivery::a_lapsed_receipt_deletes_nothing",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto deletes by any receipt that a message ever had",
    },
    Difference {
        case: "delivery::a_lapsed_receipt_hides_nothing",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto hides by any receipt that a message ever had",
    },
    Difference {
        case: "delivery::what_is_not_in_flight_cannot_be_hidden",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto hides a visible message again; SQS answers MessageNotInflight",
    },
    Difference {
        case: "delivery::what_is_given_up_names_the_queue_it_was_sent_to",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto doesn't say which queue a message was moved from",
    },
    Difference {
        case: "fifo::a_deduplication_id_is_remembered_after_the_message_is_gone",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto forgets a deduplication id with its message",
    },
    Difference {
        case: "store::an_update_without_changes_creates_the_bare_item",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto fails inside on an UpdateItem without an expression",
    },
    Difference {
        case: "store::an_item_over_the_limit_is_refused",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto measures an item by its JSON, so that one of exactly the limit is over it",
    },
    Difference {
        case: "condition::null_is_a_value_and_not_the_lack_of_one",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto takes an absent attribute for null",
    },
    Difference {
        case: "condition::another_type_is_not_smaller",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto fails inside when a text is compared with a number",
    },
    Difference {
        case: "condition::what_has_no_order_cannot_be_smaller",
        emulator: Some(Emulator::Moto),
        path: None,
        reason: "moto compares any type with <; DynamoDB refuses the expression",
    },
    Difference {
        case: "write_many::*",
        emulator: Some(Emulator::Moto),
        path: Some(StoreWrites::Batch),
        reason: "moto fails inside on the statements of BatchExecuteStatement",
    },
];

/// Why this case can't run there; none if it can.
pub(crate) fn difference(
    case: &str,
    emulator: Option<Emulator>,
    path: StoreWrites,
) -> Option<&'static str> {
    let found = DIFFERENCES.iter().find(|difference| {
        let same_case = match difference.case.strip_suffix('*') {
            Some(group) => case.starts_with(group),
            None => case == difference.case,
        };
        same_case
            && difference.emulator == emulator
            && difference.path.is_none_or(|only| only == path)
    });
    found.map(|difference| difference.reason)
}
