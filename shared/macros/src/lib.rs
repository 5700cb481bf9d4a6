//! The attribute macro of Sedano.
