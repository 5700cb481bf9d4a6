//! From an async function to a task.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, Ident, Lit, Meta, Result, ReturnType, Safety, Signature, Token,
    Visibility,
};

use crate::options::Options;
use crate::params::{self, Param, Wire};

/// A function, its body unread: it goes through untouched, and its errors stay rustc's.
struct Function {
    attrs: Vec<Attribute>,
    vis: Visibility,
    sig: Signature,
    body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let function = input.peek(Token![fn])
            || input.peek(Token![async])
            || input.peek(Token![const])
            || input.peek(Token![unsafe])
            || input.peek(Token![extern]);
        if !function {
            return Err(input.error("`#[task]` goes on an `async fn`"));
        }
        let sig = input.parse()?;
        Ok(Self {
            attrs,
            vis,
            sig,
            body: input.parse()?,
        })
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self {
            attrs,
            vis,
            sig,
            body,
        } = self;
        tokens.extend(quote! {
            #[allow(
                clippy::needless_pass_by_value,
                clippy::unused_async,
                reason = "a task is async and owns its arguments, whatever it does with them"
            )]
            #(#attrs)* #vis #sig #body
        });
    }
}

/// The function and all that belongs to the task, or the function and what is wrong with it: so that
/// a mistake in one place isn't followed by "cannot find function" in others.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: Function = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#error #item);
        }
    };
    // Before anything can fail: rustc doesn't know the parameters' attributes.
    let params = params::take(&mut function.sig.inputs);
    let task = check(&mut function.sig).and_then(|()| {
        let options = syn::parse2(options)?;
        Task::new(&function, options, params?)
    });
    let rest = task.map_or_else(
        |error| error.to_compile_error(),
        |task| task.to_token_stream(),
    );
    quote!(#function #rest)
}

/// What a function must be, apart from its parameters. What rustc would call wrong again is taken off.
fn check(sig: &mut Signature) -> Result<()> {
    if let Some(constness) = sig.constness.take() {
        return Err(Error::new(
            constness.span,
            "a task can't be `const`: it runs in a worker",
        ));
    }
    if let Safety::Unsafe(keyword) = sig.safety {
        return Err(Error::new(
            keyword.span,
            "a task can't be `unsafe`: anyone may send it any arguments",
        ));
    }
    if let Some(abi) = &sig.abi {
        return Err(Error::new_spanned(
            abi,
            "a task can't be `extern`: messages start it, not a linker",
        ));
    }
    if sig.asyncness.is_none() {
        return Err(Error::new(sig.fn_token.span, "a task is an `async fn`"));
    }
    if !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &sig.generics,
            "a task can't be generic: its name on the wire stands for one function",
        ));
    }
    if let Some(clause) = &sig.generics.where_clause {
        return Err(Error::new_spanned(
            clause,
            "a task can't be generic: it needs no `where`",
        ));
    }
    if let Some(variadic) = sig.variadic.take() {
        return Err(Error::new_spanned(
            variadic,
            "a task's parameters are named: take a `Vec`",
        ));
    }
    Ok(())
}

/// The longest tuple that serde writes.
const TUPLE: usize = 16;

/// All that the macro adds.
struct Task<'a> {
    function: &'a Function,
    options: Options,
    params: Vec<Param>,
}

impl<'a> Task<'a> {
    fn new(function: &'a Function, options: Options, params: Vec<Param>) -> Result<Self> {
        let task = Self {
            function,
            options,
            params,
        };
        task.options.check_names(&task.name())?;
        let names: Vec<String> = task.wires().map(Wire::name).collect();
        task.options.check_unique_by(&names)?;
        Ok(task)
    }

    fn ident(&self) -> &Ident {
        &self.function.sig.ident
    }

    /// The name on the wire.
    fn name(&self) -> String {
        match &self.options.name {
            Some(name) => name.value(),
            None => self.ident().unraw().to_string(),
        }
    }

    fn wires(&self) -> impl Iterator<Item = &Wire> {
        self.params.iter().filter_map(|param| match param {
            Param::Wire(wire) => Some(wire),
            Param::Context(_) | Param::State(_) => None,
        })
    }

    /// What rustc finds wrong with the return type is shown there, and shown once.
    fn at_output(&self) -> Span {
        match &self.function.sig.output {
            ReturnType::Type(_, ty) => located(ty),
            ReturnType::Default => located(self.ident()),
        }
    }

    /// The return type, as what a task may return.
    fn returned(&self) -> TokenStream {
        let ty = match &self.function.sig.output {
            ReturnType::Type(_, ty) => ty.to_token_stream(),
            ReturnType::Default => quote!(()),
        };
        quote_spanned!(self.at_output()=> <#ty as ::sedano::TaskReturn>)
    }

    /// The call by name: a struct whose fields are the arguments.
    fn call(&self) -> TokenStream {
        let (ident, vis) = (self.ident(), &self.function.vis);
        let attrs = self
            .function
            .attrs
            .iter()
            .filter(|attr| belongs_to_both(attr));
        let summary = summary(&self.function.attrs);
        let what = format!("A call of the task [`{ident}`](fn@{ident}), its arguments by name.");
        let fields = self.wires().map(|wire| {
            let (attribute, field, ty) = (wire.attribute(ident), &wire.field, &wire.ty);
            quote!(#attribute #vis #field: #ty)
        });
        quote! {
            #(#attrs)*
            #(#[doc = #summary])*
            #[doc = #what]
            #[derive(::sedano::__private::Serialize, ::sedano::__private::Deserialize)]
            #[serde(crate = "::sedano::__private::serde")]
            #vis struct #ident { #(#fields),* }
        }
    }

    /// The implementation of `sedano::Task`.
    fn implementation(&self) -> TokenStream {
        let (ident, name, options) = (self.ident(), self.name(), &self.options);
        let aliases = &options.aliases;
        let params = self.wires().map(|wire| {
            let name = wire.name();
            if wire.required() {
                quote!(::sedano::Param::required(#name))
            } else {
                quote!(::sedano::Param::optional(#name))
            }
        });
        let states = self.params.iter().filter_map(|param| match param {
            Param::State(ty) => Some(quote_spanned!(ty.span()=> ::sedano::StateType::of::<#ty>())),
            Param::Wire(_) | Param::Context(_) => None,
        });
        // Located at the user's tokens, so that what rustc finds wrong is shown there.
        let ctx = Ident::new("ctx", Span::mixed_site());
        let arguments = self.params.iter().map(|param| match param {
            Param::Wire(Wire { field, .. }) => quote!(self.#field),
            Param::Context(ty) => Ident::new("ctx", located(ty)).into_token_stream(),
            Param::State(ty) => quote_spanned!(located(ty)=> #ctx.state::<#ty>()),
        });
        let run = Ident::new("run", located(ident));
        let returned = self.returned();
        let at = self.at_output();
        let returns = quote_spanned!(at=>
            ::core::result::Result<Self::Output, ::sedano::TaskError>
        );
        quote! {
            #[automatically_derived]
            impl ::sedano::Task for #ident {
                const NAME: &'static str = #name;
                const ALIASES: &'static [&'static str] = &[#(#aliases),*];
                const PARAMS: &'static [::sedano::Param] = &[#(#params),*];
                const OPTIONS: ::sedano::Options = #options;
                const STATE: &'static [::sedano::StateType] = &[#(#states),*];
                type Output = #returned::Output;
                async fn #run(
                    self,
                    #ctx: &::sedano::Context,
                ) -> #returns {
                    #returned::into_result(#ident(#(#arguments),*).await)
                }
            }
            #[allow(deprecated, reason = "the task may be")]
            // Looked at here, so that an impossible option is an error where it is written.
            const _: ::sedano::Options = <#ident as ::sedano::Task>::OPTIONS;
        }
    }

    /// The call by position.
    fn constructor(&self) -> TokenStream {
        let (ident, vis) = (self.ident(), &self.function.vis);
        let fields: Vec<_> = self.wires().map(|wire| &wire.field).collect();
        let types = self.wires().map(|wire| &wire.ty);
        let s = Ident::new("s", located(ident));
        let output = self.output();
        let returns = quote_spanned!(self.at_output()=> ::sedano::Signature<(), #output>);
        let defaults = self.wires().filter_map(Wire::default_item);
        let (partial, maps) = (self.partial(), self.maps());
        quote! {
            impl #ident {
                /// A call of this task, its arguments by position; not sent yet.
                #vis fn #s(
                    #(#fields: #types),*
                ) -> #returns {
                    ::sedano::Signature::new(Self { #(#fields),* })
                }
                #partial
                #maps
                #(#defaults)*
            }
        }
    }

    /// The call that lacks its first argument.
    fn partial(&self) -> Option<TokenStream> {
        let mut wires = self.wires();
        let first = &wires.next()?.ty;
        let rest: Vec<_> = wires.collect();
        let fields = rest.iter().map(|wire| &wire.field);
        let types = rest.iter().map(|wire| &wire.ty);
        let names = rest.iter().map(|wire| wire.name());
        let values = rest.iter().map(|wire| &wire.field);
        let vis = &self.function.vis;
        let partial = Ident::new("partial", located(self.ident()));
        let output = self.output();
        let returns = quote_spanned!(self.at_output()=> ::sedano::Signature<#first, #output>);
        Some(quote! {
            /// A call of this task that lacks its first argument, which is the result of the step before it.
            #vis fn #partial(
                #(#fields: #types),*
            ) -> #returns {
                ::sedano::Signature::partial::<Self>()#(.kwarg(#names, #values))*
            }
        })
    }

    /// The calls that run it over many items.
    fn maps(&self) -> TokenStream {
        let wires: Vec<_> = self.wires().collect();
        let (Some(first), types) = (wires.first(), wires.iter().map(|wire| &wire.ty)) else {
            return TokenStream::new();
        };
        let (vis, at) = (&self.function.vis, located(self.ident()));
        let (first, output) = (&first.ty, self.output());
        let list = quote_spanned!(self.at_output()=> ::std::vec::Vec<#output>);
        let returns = quote_spanned!(self.at_output()=> ::sedano::Signature<(), #list>);
        let mut maps = TokenStream::new();
        if wires.iter().skip(1).all(|wire| !wire.required()) {
            let map = Ident::new("map", at);
            maps.extend(quote! {
                /// One call that runs this task with each item, one after the other.
                #vis fn #map(
                    items: impl ::core::iter::IntoIterator<Item = #first>,
                ) -> #returns {
                    ::sedano::__private::map::<Self, _>(items)
                }
            });
        }
        if wires.len() <= TUPLE {
            let (starmap, chunks) = (Ident::new("starmap", at), Ident::new("chunks", at));
            let item = quote!((#(#types,)*));
            let lists = quote_spanned!(self.at_output()=>
                ::sedano::Signature<(), ::std::vec::Vec<#list>>
            );
            maps.extend(quote! {
                /// One call that runs this task with each tuple of arguments, one after the other.
                #vis fn #starmap(
                    items: impl ::core::iter::IntoIterator<Item = #item>,
                ) -> #returns {
                    ::sedano::__private::starmap::<Self, _>(items)
                }
                /// A group of calls that each run this task with `size` of the tuples of arguments.
                #vis fn #chunks(
                    items: impl ::core::iter::IntoIterator<Item = #item>,
                    size: usize,
                ) -> #lists {
                    ::sedano::__private::chunks::<Self, _>(items, size)
                }
            });
        }
        maps
    }

    /// What the task yields.
    fn output(&self) -> TokenStream {
        quote_spanned!(self.at_output()=> <Self as ::sedano::Task>::Output)
    }
}

impl ToTokens for Task<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let cfgs: Vec<_> = self
            .function
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("cfg"))
            .collect();
        for item in [self.call(), self.implementation(), self.constructor()] {
            tokens.extend(quote! {
                #(#cfgs)*
                #[allow(
                    clippy::all,
                    clippy::nursery,
                    clippy::pedantic,
                    clippy::restriction,
                    dead_code,
                    deprecated,
                    missing_docs,
                    non_camel_case_types,
                    private_interfaces,
                    unreachable_pub,
                    reason = "written by #[task] for the function beside it, which is linted itself"
                )]
                #item
            });
        }
    }
}

/// A span that shows at these tokens but belongs to the macro.
fn located(tokens: &impl ToTokens) -> Span {
    Span::mixed_site().located_at(tokens.span())
}

/// Whether an attribute of the function is one of the call's too.
fn belongs_to_both(attr: &Attribute) -> bool {
    attr.path().is_ident("deprecated")
        || attr.path().is_ident("doc") && matches!(attr.meta, Meta::List(_))
}

/// The first paragraph of the documentation and an empty line. Not all of it: its examples would be
/// tested twice.
fn summary(attrs: &[Attribute]) -> Vec<String> {
    let lines = attrs
        .iter()
        .filter(|attr| attr.path().is_ident("doc"))
        .map_while(|attr| match &attr.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    let mut lines: Vec<String> = lines.take_while(|line| !line.trim().is_empty()).collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}
