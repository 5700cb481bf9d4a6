//! What stands in the brackets of `#[task(…)]`.
//!
//! Only `name`, `alias` and `unique_by`, which names parameters, are known here. Every other key is passed on as a call of the setter of
//! that name, so that a new option is written once, in `sedano::Options`, and an unknown one is
//! rustc's own error on the user's token.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, Lit, LitStr, Result, Token};

/// The options of a task as its author wrote them.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    /// The parameters that it is unique by.
    unique_by: Vec<LitStr>,
    settings: Vec<Setting>,
}

struct Setting {
    key: Ident,
    value: Option<Expr>,
}

const FORM: &str = "an option is `key = value` or `key`; the task's name is `name = \"…\"`";

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Options::default();
        let mut seen = BTreeSet::new();
        while !input.is_empty() {
            if input.peek(Lit) {
                return Err(input.error(FORM));
            }
            let key = input.call(Ident::parse_any)?;
            let value = input
                .parse::<Option<Token![=]>>()?
                .map(|_| input.parse())
                .transpose()?;
            if !seen.insert(key.to_string()) {
                return Err(Error::new(key.span(), format!("`{key}` is set twice")));
            }
            match key.to_string().as_str() {
                "name" => options.name = Some(text(&key, value.as_ref())?),
                "alias" => options.aliases = texts(&key, value)?,
                "unique_by" => options.unique_by = texts(&key, value)?,
                _ => options.settings.push(Setting { key, value }),
            }
            match input.peek(Token![,]) {
                true => drop(input.parse::<Token![,]>()?),
                false if input.is_empty() => {}
                false => return Err(input.error(FORM)),
            }
        }
        Ok(options)
    }
}

impl Options {
    /// No two of the task's names are the same.
    pub(crate) fn check_names(&self, name: &str) -> Result<()> {
        let mut seen = BTreeSet::from([name.to_owned()]);
        match self
            .aliases
            .iter()
            .find(|alias| !seen.insert(alias.value()))
        {
            None => Ok(()),
            Some(twice) => {
                let message = format!("the task already answers to `{}`", twice.value());
                Err(Error::new(twice.span(), message))
            }
        }
    }
}

impl Options {
    /// What the task is unique by are parameters of it.
    pub(crate) fn check_unique_by(&self, parameters: &[String]) -> Result<()> {
        let known = |name: &&LitStr| parameters.contains(&name.value());
        let Some(unknown) = self.unique_by.iter().find(|name| !known(name)) else {
            return Ok(());
        };
        let name = unknown.value();
        let there = match parameters {
            [] => "it takes none from its messages".to_owned(),
            _ => format!("there are `{}`", parameters.join("`, `")),
        };
        let message = format!("the task has no parameter `{name}` to be unique by; {there}");
        Err(Error::new(unknown.span(), message))
    }
}

impl ToTokens for Options {
    /// The value of `Task::OPTIONS`.
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let setters = self
            .settings
            .iter()
            .map(|Setting { key, value }| match value {
                None => quote_spanned!(key.span()=> .#key(true)),
                // Celery's way to say it; the setter takes a plain number otherwise.
                Some(value) if key == "max_retries" && is_none(value) => {
                    quote_spanned!(key.span()=> .retry_for_ever())
                }
                Some(value) => quote!(.#key(#value)),
            });
        let by = &self.unique_by;
        let unique_by = (!by.is_empty()).then(|| quote!(.unique_by(&[#(#by),*])));
        tokens.extend(if self.settings.is_empty() && by.is_empty() {
            quote!(::sedano::Options::new())
        } else {
            quote!({
                #[allow(unused_imports, reason = "most options are plain values")]
                use ::sedano::scope::*;
                ::sedano::Options::new() #(#setters)* #unique_by
            })
        });
    }
}

fn is_none(value: &Expr) -> bool {
    matches!(value, Expr::Path(path) if path.path.is_ident("None"))
}

fn text(key: &Ident, value: Option<&Expr>) -> Result<LitStr> {
    let wrong = |span| Error::new(span, format!("`{key}` is written out: `{key} = \"…\"`"));
    match value {
        None => Err(wrong(key.span())),
        Some(Expr::Lit(literal)) => match &literal.lit {
            Lit::Str(text) if text.value().is_empty() => {
                Err(Error::new(text.span(), format!("`{key}` can't be empty")))
            }
            Lit::Str(text) => Ok(text.clone()),
            other => Err(wrong(other.span())),
        },
        Some(other) => Err(wrong(other.span())),
    }
}

fn texts(key: &Ident, value: Option<Expr>) -> Result<Vec<LitStr>> {
    match value {
        Some(Expr::Array(array)) => array.elems.iter().map(|one| text(key, Some(one))).collect(),
        // As a constant slice would be written.
        Some(Expr::Reference(reference)) => texts(key, Some(*reference.expr)),
        one => text(key, one.as_ref()).map(|alias| vec![alias]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> std::result::Result<Options, String> {
        syn::parse_str(options).map_err(|error| error.to_string())
    }

    fn setters(options: &str) -> String {
        let tokens = parse(options)
            .unwrap()
            .to_token_stream()
            .to_string()
            .replace(' ', "");
        tokens
            .rsplit_once("new()")
            .unwrap()
            .1
            .trim_end_matches('}')
            .to_owned()
    }

    #[test]
    fn keys_become_setters_in_the_order_written() {
        assert_eq!(setters(""), "");
        assert_eq!(setters("name = \"n\", alias = \"o\""), "");
        assert_eq!(
            setters("queue = \"io\", idempotent"),
            ".queue(\"io\").idempotent(true)"
        );
        assert_eq!(
            setters("backoff = exponential(secs(1)).cap(mins(2)),"),
            ".backoff(exponential(secs(1)).cap(mins(2)))"
        );
        assert_eq!(setters("max_retries = 5"), ".max_retries(5)");
        assert_eq!(setters("max_retries = None"), ".retry_for_ever()");
    }

    #[test]
    fn aliases_are_one_or_many() {
        let aliases = |options| -> Vec<String> {
            parse(options)
                .unwrap()
                .aliases
                .iter()
                .map(LitStr::value)
                .collect()
        };
        assert_eq!(aliases("alias = \"a\""), ["a"]);
        assert_eq!(aliases("alias = [\"a\", \"b\"]"), ["a", "b"]);
        assert_eq!(aliases("alias = &[\"a\"]"), ["a"]);
    }

    #[test]
    fn what_it_is_unique_by_are_parameters() {
        assert_eq!(
            setters("unique_for = mins(5), unique_by = \"x\""),
            ".unique_for(mins(5)).unique_by(&[\"x\"])"
        );
        let options = parse("unique_by = [\"x\", \"z\"]").unwrap();
        let check = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            options
                .check_unique_by(&names)
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(&["x", "y", "z"]), Ok(()));
        assert_eq!(
            check(&["x", "y"]).unwrap_err(),
            "the task has no parameter `z` to be unique by; there are `x`, `y`"
        );
        assert_eq!(
            check(&[]).unwrap_err(),
            "the task has no parameter `x` to be unique by; it takes none from its messages"
        );
    }

    #[test]
    fn mistakes_are_named() {
        let error = |options: &str| parse(options).err().unwrap();
        assert_eq!(
            error("queue = \"a\", queue = \"b\""),
            "`queue` is set twice"
        );
        assert_eq!(error("name"), "`name` is written out: `name = \"…\"`");
        assert_eq!(error("name = \"\""), "`name` can't be empty");
        for form in ["\"add\"", "queue(\"io\")", "queue: \"io\""] {
            assert_eq!(error(form), FORM);
        }
        let options = parse("alias = [\"a\", \"a\"]").unwrap();
        assert_eq!(
            options.check_names("b").unwrap_err().to_string(),
            "the task already answers to `a`"
        );
        assert_eq!(
            options.check_names("a").unwrap_err().to_string(),
            "the task already answers to `a`"
        );
    }
}
