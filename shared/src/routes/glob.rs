//! Shell patterns as Python's `fnmatch` reads them: `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`, case-sensitive, of the
//! whole name. Nothing is special behind a backslash, and a `[` that nothing closes is itself.

/// A pattern, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `*`: any characters, or none.
    Many,
    /// `?`: any one.
    One,
    /// `[…]`: one that is in one of the ranges, or with `!` one that is in none.
    Of {
        ranges: Vec<(char, char)>,
        not: bool,
    },
    /// Itself.
    Char(char),
}

impl Glob {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            parts.push(match first {
                '*' => Part::Many,
                '?' => Part::One,
                '[' => match set(rest) {
                    Some((part, after)) => {
                        rest = after;
                        part
                    }
                    None => Part::Char('['),
                },
                other => Part::Char(other),
            });
        }
        Self {
            text: text.to_owned(),
            parts,
        }
    }

    /// Whether a text would be read as a pattern, rather than as a name.
    pub(super) fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is the pattern of this name. Takes at most as many steps as both lengths multiplied.
    pub(super) fn is_match(&self, name: &str) -> bool {
        let (mut parts, mut rest) = (self.parts.as_slice(), name);
        // What is left of both behind the last `*`, where that has taken as little as it can.
        let mut again: Option<(&[Part], &str)> = None;
        loop {
            let mut chars = rest.chars();
            let next = chars.next();
            match (parts.split_first(), next) {
                (Some((Part::Many, after)), _) => {
                    again = Some((after, rest));
                    parts = after;
                    continue;
                }
                (Some((part, after)), Some(next)) if part.takes(next) => {
                    (parts, rest) = (after, chars.as_str());
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            // It takes one more.
            let Some((after, from)) = again else {
                return false;
            };
            let mut longer = from.chars();
            if longer.next().is_none() {
                return false;
            }
            again = Some((after, longer.as_str()));
            (parts, rest) = (after, longer.as_str());
        }
    }
}

impl Part {
    fn takes(&self, next: char) -> bool {
        match self {
            Part::Many => false,
            Part::One => true,
            Part::Of { ranges, not } => {
                let within = ranges
                    .iter()
                    .any(|(from, to)| (*from..=*to).contains(&next));
                within != *not
            }
            Part::Char(own) => *own == next,
        }
    }
}

/// What stands behind a `[`, and what follows its `]`; none, where there is none.
fn set(text: &str) -> Option<(Part, &str)> {
    let (not, body) = match text.strip_prefix('!') {
        Some(body) => (true, body),
        None => (false, text),
    };
    // A `]` in the first place is one of the characters.
    let skipped = usize::from(body.starts_with(']'));
    let end = skipped + body.get(skipped..)?.find(']')?;
    let after = body.get(end + 1..)?;
    let mut chars = body.get(..end)?.chars();
    let mut ranges = Vec::new();
    while let Some(from) = chars.next() {
        let mut ahead = chars.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                ranges.push((from, to));
                chars = ahead;
            }
            _ => ranges.push((from, from)),
        }
    }
    Some((Part::Of { ranges, not }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern, what it is one of, what it isn't: answers of Python's `fnmatch.fnmatchcase`.
    const PYTHON: &[(&str, &[&str], &[&str])] = &[
        (
            "reports.*",
            &["reports.", "reports.daily.pdf"],
            &["reports", "my.reports.daily"],
        ),
        ("*", &["", "a", "a.b"], &[]),
        ("a*b*c", &["abc", "aXbXbc", "abcbc"], &["ab", "acb", "abcd"]),
        ("img_?", &["img_a", "img_ü"], &["img_", "img_ab"]),
        ("[ab]c", &["ac", "bc"], &["cc", "abc", "c"]),
        ("[!ab]c", &["cc", "!c"], &["ac", "c"]),
        ("[a-c]", &["a", "b", "c"], &["d", "-"]),
        ("[c-a]", &[], &["a", "b", "c", "-"]),
        ("[!c-a]", &["a", "-"], &[""]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[-a]", &["a", "-"], &["b"]),
        ("[a-c-e]", &["a", "b", "c", "-", "e"], &["d"]),
        ("[]]", &["]"], &["[]]", "["]),
        ("[!]]", &["[", "a"], &["]"]),
        ("[]-a]", &["]", "^", "a"], &["b", "-"]),
        ("[", &["["], &["a", ""]),
        ("[!", &["[!"], &["["]),
        ("[]", &["[]"], &["]"]),
        ("[!]", &["[!]"], &["!"]),
        ("a[b", &["a[b"], &["ab"]),
        ("\\*", &["\\", "\\x"], &["*"]),
        ("[\\]", &["\\"], &["[\\]"]),
        ("[^a]", &["^", "a"], &["b"]),
        ("A*", &["Ab"], &["ab"]),
        ("a.c", &["a.c"], &["abc"]),
        ("a\nb*", &["a\nb\nc"], &["ab"]),
        ("", &[""], &["a"]),
    ];

    #[test]
    fn a_pattern_means_what_it_means_in_python() {
        for (pattern, names, others) in PYTHON {
            let glob = Glob::new(pattern);
            for name in *names {
                assert!(glob.is_match(name), "{pattern} is one of {name}");
            }
            for name in *others {
                assert!(!glob.is_match(name), "{pattern} is none of {name}");
            }
        }
    }

    /// The definition, word by word: no state, no care for time.
    fn slowly(parts: &[Part], name: &[char]) -> bool {
        match (parts.split_first(), name.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((Part::Many, after)), rest) => {
                slowly(after, name) || rest.is_some_and(|(_, rest)| slowly(parts, rest))
            }
            (Some((part, after)), Some((first, rest))) => part.takes(*first) && slowly(after, rest),
            (Some(_), None) => false,
        }
    }

    #[test]
    fn matching_is_what_the_definition_says() {
        const PATTERNS: [char; 9] = ['a', 'b', '*', '*', '?', '[', ']', '!', '-'];
        const NAMES: [char; 5] = ['a', 'b', 'c', '-', '['];
        let word = |alphabet: &[char], mut number: usize| {
            let mut word = Vec::new();
            while number > 0 {
                number -= 1;
                word.extend(alphabet.get(number % alphabet.len()));
                number /= alphabet.len();
            }
            word
        };
        let (mut matches, mut others) = (0, 0);
        // Every pattern of up to four characters, against every name of up to three.
        for pattern in 0..7381 {
            let glob = Glob::new(&String::from_iter(word(&PATTERNS, pattern)));
            for name in 0..156 {
                let name = word(&NAMES, name);
                let is_match = glob.is_match(&String::from_iter(&name));
                assert_eq!(is_match, slowly(&glob.parts, &name), "{glob:?} {name:?}");
                *(if is_match { &mut matches } else { &mut others }) += 1;
            }
        }
        assert!(matches > 10_000 && others > 10_000, "{matches} {others}");
    }

    #[test]
    fn stars_cost_no_more_than_both_lengths_multiplied() {
        let glob = Glob::new(&"a*".repeat(200));
        assert!(glob.is_match(&"a".repeat(500)));
        let glob = Glob::new(&format!("{}b", "a*".repeat(200)));
        assert!(!glob.is_match(&"a".repeat(500)));
    }
}
