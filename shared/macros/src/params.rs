//! The parameters of a task: what comes with the message, and what the worker gives.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, FnArg, Ident, Meta, Pat, PatType, Result, Token, Type};

/// A parameter of a task function.
pub(crate) enum Param {
    /// An argument of the message.
    Wire(Wire),
    /// `#[ctx]`: the run of the task. The type is the one behind the reference.
    Context(Type),
    /// `#[state]`: a value of the worker. The type is the one behind the reference.
    State(Type),
}

/// An argument of the message.
pub(crate) struct Wire {
    pub(crate) field: Ident,
    pub(crate) ty: Type,
    default: Default,
}

/// What an argument is that the sender left out.
enum Default {
    /// The sender must give it.
    None,
    /// `#[default]`
    OfType,
    /// `#[default = value]`
    Value(Expr),
}

impl Wire {
    /// The name in messages.
    pub(crate) fn name(&self) -> String {
        self.field.unraw().to_string()
    }

    pub(crate) fn required(&self) -> bool {
        matches!(self.default, Default::None)
    }

    /// The attribute of the field in the struct that serde reads.
    pub(crate) fn attribute(&self, task: &Ident) -> TokenStream {
        match self.default {
            Default::None => TokenStream::new(),
            Default::OfType => quote!(#[serde(default)]),
            Default::Value(_) => {
                let path = format!("{task}::{}", self.default_fn());
                quote!(#[serde(default = #path)])
            }
        }
    }

    /// The function that serde calls for `#[default = value]`.
    pub(crate) fn default_item(&self) -> Option<TokenStream> {
        let Default::Value(value) = &self.default else {
            return None;
        };
        let (function, ty) = (self.default_fn(), &self.ty);
        Some(quote! {
            #[doc(hidden)]
            fn #function() -> #ty { #value }
        })
    }

    fn default_fn(&self) -> Ident {
        format_ident!(
            "__default_{}",
            self.field.unraw(),
            span = Span::mixed_site()
        )
    }
}

/// Reads the parameters and takes the attributes that are Sedano's off them.
///
/// # Errors
/// One for each parameter that is wrong, together.
pub(crate) fn take(inputs: &mut Punctuated<FnArg, Token![,]>) -> Result<Vec<Param>> {
    let mut params = Vec::new();
    let mut errors: Option<Error> = None;
    for input in inputs {
        match param(input).and_then(|param| follows(&params, &param, input).map(|()| param)) {
            Ok(param) => params.push(param),
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    errors.map_or(Ok(params), Err)
}

/// Whether a parameter may stand after those before it.
fn follows(before: &[Param], param: &Param, input: &FnArg) -> Result<()> {
    match param {
        Param::Context(_)
            if before
                .iter()
                .any(|param| matches!(param, Param::Context(_))) =>
        {
            Err(Error::new_spanned(input, "a task has one `#[ctx]`"))
        }
        Param::Wire(wire) if wire.required() => {
            let optional = |param: &&Param| matches!(param, Param::Wire(wire) if !wire.required());
            match before.iter().find(optional) {
                None => Ok(()),
                Some(_) => Err(Error::new(
                    wire.field.span(),
                    "a parameter without `#[default]` comes before those with one: by position it \
                     could never be given alone",
                )),
            }
        }
        _ => Ok(()),
    }
}

fn param(input: &mut FnArg) -> Result<Param> {
    let typed = match input {
        FnArg::Typed(typed) => typed,
        FnArg::Receiver(receiver) => {
            return Err(Error::new_spanned(
                receiver,
                "a task is a free function: take what `self` would hold as `#[state] name: &Type`",
            ));
        }
    };
    let [ctx, state, default] = ["ctx", "state", "default"].map(|name| strip(typed, name));
    if let Some(other) = typed.attrs.iter().position(|attribute| !is_lint(attribute)) {
        // Off it comes: rustc would find it wrong a second time.
        return Err(Error::new_spanned(
            typed.attrs.remove(other),
            "a task's parameters know `#[ctx]`, `#[state]` and `#[default]`",
        ));
    }
    let injected = match (ctx, state) {
        (None, None) => return wire(typed, default).map(Param::Wire),
        (Some(_), Some(state)) => {
            return Err(Error::new_spanned(
                state,
                "a parameter is `#[ctx]` or `#[state]`, not both",
            ));
        }
        (Some(attribute), None) | (None, Some(attribute)) => attribute,
    };
    if let Some(default) = default {
        return Err(Error::new_spanned(
            default,
            "`#[default]` is for arguments of the message; this one comes from the worker",
        ));
    }
    let Meta::Path(kind) = &injected.meta else {
        return Err(Error::new_spanned(
            injected,
            "this attribute stands alone, without a value",
        ));
    };
    let ctx = kind.is_ident("ctx");
    let Type::Reference(reference) = &*typed.ty else {
        let message = if ctx {
            "the context is borrowed: `ctx: &Context`"
        } else {
            "state is borrowed: `&Type`"
        };
        return Err(Error::new_spanned(&typed.ty, message));
    };
    if let Some(mutability) = reference.mutability {
        return Err(Error::new(
            mutability.span,
            "tasks of a batch run at once and share this: take `&`, with a lock inside if need be",
        ));
    }
    let ty = (*reference.elem).clone();
    Ok(if ctx {
        Param::Context(ty)
    } else {
        Param::State(ty)
    })
}

fn is_lint(attribute: &Attribute) -> bool {
    let levels = ["allow", "expect", "warn", "deny", "forbid"];
    levels.iter().any(|level| attribute.path().is_ident(level))
}

/// Takes the attribute of this name off.
fn strip(typed: &mut PatType, name: &str) -> Option<Attribute> {
    let at = typed
        .attrs
        .iter()
        .position(|attribute| attribute.path().is_ident(name))?;
    Some(typed.attrs.remove(at))
}

fn wire(typed: &PatType, default: Option<Attribute>) -> Result<Wire> {
    let field = match &*typed.pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => name.ident.clone(),
        other => {
            return Err(Error::new_spanned(
                other,
                "a parameter of a task is a plain name: senders write it; take it apart in the body",
            ));
        }
    };
    if let Type::ImplTrait(_) = &*typed.ty {
        let message = "an argument of a task has one type: a worker must know what to read";
        return Err(Error::new_spanned(&typed.ty, message));
    }
    if let Some(span) = borrow(typed.ty.to_token_stream()) {
        return Err(Error::new(
            span,
            "a task owns its arguments, for they come out of a message: take `String` for `&str`, \
             `Vec<T>` for `&[T]`; what the worker lends is marked `#[ctx]` or `#[state]`",
        ));
    }
    let default = match default.map(|attribute| attribute.meta) {
        None => Default::None,
        Some(Meta::Path(_)) => Default::OfType,
        Some(Meta::NameValue(pair)) => Default::Value(pair.value),
        Some(Meta::List(list)) => {
            return Err(Error::new_spanned(
                list,
                "write `#[default]` or `#[default = value]`",
            ));
        }
    };
    Ok(Wire {
        field,
        ty: (*typed.ty).clone(),
        default,
    })
}

/// Where a type borrows: its first `&` or lifetime other than `'static`.
fn borrow(ty: TokenStream) -> Option<Span> {
    let mut quote = None;
    for token in ty {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => return Some(punct.span()),
            TokenTree::Punct(punct) if punct.as_char() == '\'' => quote = Some(punct.span()),
            TokenTree::Ident(name) => match quote.take() {
                Some(_) if name != "static" => return Some(name.span()),
                _ => {}
            },
            // In braces stand values: constants among the type's arguments.
            TokenTree::Group(group) if group.delimiter() != Delimiter::Brace => {
                if let Some(span) = borrow(group.stream()) {
                    return Some(span);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borrows(ty: &str) -> bool {
        borrow(ty.parse().unwrap()).is_some()
    }

    #[test]
    fn a_type_that_borrows_is_seen_at_any_depth() {
        for ty in [
            "&str",
            "&'static str",
            "Vec<&str>",
            "Option<(i64, [&u8; 2])>",
            "Cow<'_, str>",
        ] {
            assert!(borrows(ty), "{ty}");
        }
        for ty in [
            "String",
            "Cow<'static, str>",
            "Vec<(i64, [u8; 2])>",
            "Flags<{ A & B }>",
        ] {
            assert!(!borrows(ty), "{ty}");
        }
    }
}
