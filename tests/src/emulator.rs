//! The emulators of AWS that the tests know, and where they are.

use std::env;

/// An independent emulator of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Emulator {
    /// The PyPI package `ministack`.
    Ministack,
    /// The PyPI package `moto`, as a server.
    Moto,
}

impl Emulator {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ministack, Self::Moto];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Moto => "moto",
        }
    }

    /// The variable that holds its URL.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Ministack => "SEDANO_TEST_MINISTACK",
            Self::Moto => "SEDANO_TEST_MOTO",
        }
    }

    /// Its URL; an error says why there is none.
    ///
    /// # Errors
    /// [`Missing`], where its variable isn't set.
    pub fn url(self) -> Result<String, Missing> {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests have settings of their own"
        )]
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        variable(self.variable()).ok_or_else(|| Missing {
            variable: self.variable(),
            required: variable("SEDANO_TEST_EMULATORS").is_some_and(|value| value == "required"),
        })
    }
}

/// An emulator that isn't there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The variable that should hold its URL.
    pub variable: &'static str,
    /// Whether that is a failure: `SEDANO_TEST_EMULATORS=required`.
    pub required: bool,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not set", self.variable)
    }
}
