//! Any bytes as a message: refused in a short sentence, or read, written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sedano::{ErrorKind, Message};
use sedano_fuzz::NOW;

fuzz_target!(|data: &[u8]| {
    let Ok(body) = std::str::from_utf8(data) else {
        return;
    };
    let message = match Message::decode(body, "mid-1", NOW) {
        Ok(message) => message,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 400, "{text}");
            assert!(!text.contains(char::is_control), "{text:?}");
            return;
        }
    };
    let written = match message.encode() {
        Ok(written) => written,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
            return;
        }
    };
    // Nothing is relative any more, and the id is in it.
    let other = sedano::Timestamp::from_millis(0);
    match Message::decode(&written, "mid-2", other) {
        Ok(again) => assert_eq!(again, message, "{written}"),
        Err(error) => panic!("{error}: {written}"),
    }
    assert!(!written.contains(['\u{fffe}', '\u{ffff}']));
});
