//! How far something is, told while it runs: one line that is redrawn on a terminal, now and then a
//! line of its own elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use sedano::Timestamp;

/// Between two lines where lines stay.
const SPARSE: Duration = Duration::from_secs(2);

/// A place that progress is told to.
#[derive(Debug)]
pub struct Progress<W> {
    out: W,
    redraw: bool,
    told: Option<Timestamp>,
}

impl Progress<std::io::Stderr> {
    /// The standard error stream.
    pub fn stderr() -> Self {
        let out = std::io::stderr();
        let redraw = out.is_terminal();
        Self::new(out, redraw)
    }
}

impl<W: Write> Progress<W> {
    /// A place to write to, which may be a terminal.
    pub fn new(out: W, redraw: bool) -> Self {
        Self {
            out,
            redraw,
            told: None,
        }
    }

    /// How far it is now.
    pub fn tell(&mut self, now: Timestamp, what: &str) {
        if self.redraw {
            self.write(format_args!("\r\x1b[2K{what}"));
        } else if self.told.is_none_or(|told| now.since(told) >= SPARSE) {
            self.told = Some(now);
            self.write(format_args!("{what}\n"));
        }
    }

    /// It is over: the line makes room for what comes.
    pub fn end(&mut self) {
        if self.redraw {
            self.write(format_args!("\r\x1b[2K"));
        }
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        // Nobody watches a stream that is closed.
        let _ = self.out.write_fmt(what);
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(redraw: bool) -> String {
        let mut progress = Progress::new(Vec::new(), redraw);
        for (millis, what) in [(0, "none"), (1000, "one"), (2000, "two"), (2500, "three")] {
            progress.tell(Timestamp::from_millis(millis), what);
        }
        progress.end();
        String::from_utf8(progress.out).unwrap()
    }

    #[test]
    fn a_terminal_has_one_line() {
        assert_eq!(
            told(true),
            "\r\x1b[2Knone\r\x1b[2Kone\r\x1b[2Ktwo\r\x1b[2Kthree\r\x1b[2K"
        );
    }

    #[test]
    fn elsewhere_lines_are_sparse() {
        assert_eq!(told(false), "none\ntwo\n");
    }
}
