//! A real job over files: the words of each are counted by a task of its own, and the counts reduced
//! to the most frequent ones.
//!
//! Counts are lists, most frequent word first, and a list is cut to a length: so a result stays far
//! below the 400 KB of a record, and a reduction takes what another one gave.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use sedano::{TaskError, task};

/// Words and how often each occurs; the most frequent first, equally frequent ones by the alphabet.
pub type Counts = Vec<(String, u64)>;

/// Letters of a word at most: longer ones are no language but data.
const LONGEST: usize = 40;

/// Counts the words of a file, case aside, and keeps the `limit` most frequent: with 500, some 8 KB.
#[task]
pub async fn count_words(path: String, #[default = 500] limit: usize) -> Result<Counts, TaskError> {
    let failed = |error| TaskError::new(format!("can't read {path}: {error}"));
    let mut reader = BufReader::new(File::open(&path).map_err(failed)?);
    let mut counts = BTreeMap::new();
    let mut line = Vec::new();
    // Line by line, so that a large file needs little memory.
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        count(&String::from_utf8_lossy(&line), &mut counts);
        line.clear();
    }
    Ok(most_frequent(counts, limit))
}

/// Adds up the counts of many files, or of many reductions, and keeps the `limit` most frequent.
#[task]
pub async fn top_words(
    counts: Vec<Counts>,
    #[default = 20] limit: usize,
) -> Result<Counts, TaskError> {
    let mut sums = BTreeMap::new();
    for (word, count) in counts.into_iter().flatten() {
        *sums.entry(word).or_default() += count;
    }
    Ok(most_frequent(sums, limit))
}

fn count(text: &str, counts: &mut BTreeMap<String, u64>) {
    let words = text
        .split(|c: char| !c.is_alphabetic() && c != '\'')
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty() && word.chars().count() <= LONGEST);
    for word in words {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
}

fn most_frequent(counts: BTreeMap<String, u64>, limit: usize) -> Counts {
    let mut counts: Counts = counts.into_iter().collect();
    // Stable: equals stay in the map's order.
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.truncate(limit);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter()
            .map(|(word, count)| ((*word).to_owned(), *count))
            .collect()
    }

    /// A file of its own, gone at the end.
    struct Page(std::path::PathBuf);

    impl Page {
        fn new(name: &str, content: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("sedano-{}-{name}", std::process::id()));
            File::create(&path).unwrap().write_all(content).unwrap();
            Self(path)
        }

        fn path(&self) -> String {
            self.0.display().to_string()
        }
    }

    impl Drop for Page {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    #[tokio::test]
    async fn words_of_a_file_are_counted() {
        let page = Page::new(
            "counted",
            b"The queue, the worker:\nit's `the` \xff queue2queue\n\n'quoted'",
        );
        assert_eq!(
            count_words(page.path(), 500).await.unwrap(),
            counts(&[
                ("queue", 3),
                ("the", 3),
                ("it's", 1),
                ("quoted", 1),
                ("worker", 1)
            ])
        );
        assert_eq!(
            count_words(page.path(), 1).await.unwrap(),
            counts(&[("queue", 3)])
        );
    }

    #[tokio::test]
    async fn what_is_no_word_is_left_out() {
        let data = "x".repeat(LONGEST + 1);
        let page = Page::new("data", format!("{data} ' -- 42 é").as_bytes());
        assert_eq!(
            count_words(page.path(), 500).await.unwrap(),
            counts(&[("é", 1)])
        );
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = count_words("/no/such/file".into(), 500)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("can't read /no/such/file: "), "{error}");
    }

    #[tokio::test]
    async fn counts_are_added_up_and_reductions_reduced_again() {
        let (a, b) = (counts(&[("x", 2), ("y", 1)]), counts(&[("y", 4), ("z", 2)]));
        let sums = top_words(vec![a, b], 20).await.unwrap();
        assert_eq!(sums, counts(&[("y", 5), ("x", 2), ("z", 2)]));
        assert_eq!(
            top_words(vec![sums.clone(), sums], 2).await.unwrap(),
            counts(&[("y", 10), ("x", 4)])
        );
    }
}
