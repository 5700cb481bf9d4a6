//! What the test binaries share: where the emulators of AWS are, and how to set things up on them.
//!
//! Set-up goes through the SDK directly, so that an adapter is never tested with itself.

pub mod emulator;
pub mod setup;
