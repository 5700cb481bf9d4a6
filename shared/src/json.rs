//! What of JSON is read and written: how deep, which numbers, and what is wrong with a text that is none.
//!
//! `serde_json` sets the limits of reading. What it couldn't read back is refused where it is written: a
//! message that no worker can decode must not be sent, a result that nobody can read must not be recorded.

use serde_json::{Error, Value};

/// The deepest nesting of lists and objects that is read, the outermost included.
pub(crate) const DEPTH: usize = 127;

/// Why a text can't be read as JSON, and where, in a sentence about `what` ("the message").
pub(crate) fn unreadable(what: &str, text: &[u8], error: &Error) -> String {
    let (line, column) = (error.line(), error.column());
    let place = format!("at line {line}, column {column}");
    let said = error.to_string();
    let why = said.split(" at line ").next().unwrap_or_default();
    match why {
        "recursion limit exceeded" => format!(
            "{what} is nested deeper than {DEPTH} levels {place}: flatten it, or send the inner part as text"
        ),
        "number out of range" => {
            format!("{what} has a number beyond 1.8e308 {place}: send it as text")
        }
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            format!("{what} has half of a surrogate pair {place}: \\ud800 to \\udfff come in pairs")
        }
        _ if std::str::from_utf8(text).is_err() => {
            format!("{what} is no JSON {place}: it isn't UTF-8")
        }
        _ if is_not_a_number(text, line, column) => format!(
            "{what} is no JSON {place}: it has no NaN and no Infinity; send null, or a text"
        ),
        why => format!("{what} is no JSON {place}: {why}"),
    }
}

/// Whether one of the words that Python and JavaScript write for such numbers stands there.
fn is_not_a_number(text: &[u8], line: usize, column: usize) -> bool {
    let line = text
        .split(|byte| *byte == b'\n')
        .nth(line.saturating_sub(1));
    // The fault is in the word's first byte, or in the one before it: the minus sign.
    [column.saturating_sub(1), column].into_iter().any(|at| {
        let word = line.and_then(|line| line.get(at..)).unwrap_or_default();
        word.starts_with(b"NaN") || word.starts_with(b"Infinity")
    })
}

/// Whether a value is nested deeper than `levels`.
pub(crate) fn is_deeper(value: &Value, levels: usize) -> bool {
    let Some(inside) = levels.checked_sub(1) else {
        return matches!(value, Value::Array(_) | Value::Object(_));
    };
    match value {
        Value::Array(list) => list.iter().any(|value| is_deeper(value, inside)),
        Value::Object(map) => map.values().any(|value| is_deeper(value, inside)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn the_limit_is_where_reading_ends() {
        let deepest = nested(DEPTH);
        let value: Value = serde_json::from_str(&deepest).unwrap();
        assert!(!is_deeper(&value, DEPTH));
        assert!(is_deeper(&value, DEPTH - 1));
        let deeper = nested(DEPTH + 1);
        assert!(serde_json::from_str::<Value>(&deeper).is_err());
        assert!(is_deeper(&Value::Array(vec![value]), DEPTH));
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_what_to_do() {
        let cases: [(&[u8], &str); 9] = [
            (
                b"",
                "it is no JSON at line 1, column 0: EOF while parsing a value",
            ),
            (
                b"[1,\n oops]",
                "it is no JSON at line 2, column 2: expected value",
            ),
            (
                b"[NaN]",
                "it is no JSON at line 1, column 2: it has no NaN and no Infinity; send null, or a text",
            ),
            (
                b"[1,\n-Infinity]",
                "it is no JSON at line 2, column 2: it has no NaN and no Infinity; send null, or a text",
            ),
            (
                b"[Infinity]",
                "it is no JSON at line 1, column 2: it has no NaN and no Infinity; send null, or a text",
            ),
            (
                b"[1e999]",
                "it has a number beyond 1.8e308 at line 1, column 6: send it as text",
            ),
            (
                br#"["\ud800"]"#,
                "it has half of a surrogate pair at line 1, column 9: \\ud800 to \\udfff come in pairs",
            ),
            (
                b"[\"\xff\"]",
                "it is no JSON at line 1, column 3: it isn't UTF-8",
            ),
            (
                &[b'['; 200],
                "it is nested deeper than 127 levels at line 1, column 128: flatten it, or send the inner part as text",
            ),
        ];
        for (text, wanted) in cases {
            let error = serde_json::from_slice::<Value>(text).unwrap_err();
            assert_eq!(unreadable("it", text, &error), wanted);
        }
    }
}
