//! What mistakes in tasks look like to their authors, to the letter.
//!
//! Each file in `cases/` is a mistake, the `.stderr` beside it what the compiler says. After a change
//! that is meant, `TRYBUILD=overwrite cargo test -p sedano-ui-tests` writes them anew: read the diff.

#[test]
fn mistakes_are_explained_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
