//! The attribute macro of the Tollgate SDK. See `tollgate_sdk::policy`.

mod arguments;
mod hooks;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{quote, quote_spanned};
use syn::{ItemImpl, Type, parse_macro_input, spanned::Spanned};

use arguments::{Arguments, Needs};
use hooks::Hooks;

/// Makes a policy the crate's plugin.
///
/// Goes above the `impl Policy for …`. It sees which hooks are written, so that the others
/// are never called, and exports the plugin when the crate is built for
/// `wasm32-unknown-unknown`. A crate has one policy.
///
/// - `needs(…)`: what must be at hand before the hooks run: `request_json`,
///   `request_body`, `response_json`, `response_body`. Without any, bodies stream past.
/// - `name = "…"`: the plugin's name, if it is not the crate's.
/// - `stateless`: the policy keeps nothing from one exchange to the next, neither in a static
///   nor behind its settings. Then what it decided may be remembered with
///   `isolation: shared` too; with `isolation: exchange` no policy can keep anything.
///
/// ```
/// use tollgate_sdk::prelude::*;
///
/// struct Tame;
///
/// #[policy(needs(request_json), name = "tame")]
/// impl Policy for Tame {
///     type Settings = NoSettings;
///
///     fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
///         Self
///     }
///
///     fn on_request(&mut self, request: &mut Request) -> Verdict {
///         if request.json::<f64>("/temperature").is_some_and(|heat| heat > 1.0) {
///             request.set_json("/temperature", 1.0);
///         }
///         Verdict::next()
///     }
/// }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn policy(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as Arguments);
    let original = Tokens::from(item.clone());
    let block = match syn::parse::<ItemImpl>(item) {
        Ok(block) => block,
        Err(_) => {
            let error = syn::Error::new_spanned(
                &original,
                "`#[policy]` goes above `impl Policy for …`, not above another item",
            );
            let error = error.into_compile_error();
            return quote!(#error #original).into();
        }
    };
    expand(&arguments, &block).into()
}

/// With a mistake, nothing but its message: rustc would only say it again in other words.
fn expand(arguments: &Arguments, block: &ItemImpl) -> Tokens {
    match hooks::read(block) {
        Ok(hooks) => {
            let described = describe(arguments, &hooks, &block.self_ty);
            quote!(#block #described)
        }
        Err(error) => error.into_compile_error(),
    }
}

fn describe(arguments: &Arguments, hooks: &Hooks, policy: &Type) -> Tokens {
    let name = match &arguments.name {
        Some(name) => quote!(#name),
        None => quote!(::core::env!("CARGO_PKG_NAME")),
    };
    let Needs {
        request_json,
        request_body,
        response_json,
        response_body,
    } = arguments.needs;
    let stateless = arguments.stateless;
    let Hooks {
        request,
        attempt,
        pick,
        response,
        events,
        finish,
        tick,
    } = *hooks;
    // A world has all of its exports, so what is not written is not exported.
    let timed = tick.then(|| {
        quote! {
            ::tollgate_sdk::bindings::timed::export_timed!(
                Plugin with_types_in ::tollgate_sdk::bindings::timed
            );
        }
    });
    quote_spanned! {policy.span()=>
        impl ::tollgate_sdk::Described for #policy {
            const NAME: &'static str = #name;
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const HOOKS: ::tollgate_sdk::Hooks = ::tollgate_sdk::Hooks {
                request: #request,
                attempt: #attempt,
                response: #response,
                events: #events,
                finish: #finish,
            };
            const NEEDS: ::tollgate_sdk::Needs = ::tollgate_sdk::Needs {
                request_json: #request_json,
                request_body: #request_body,
                response_json: #response_json,
                response_body: #response_body,
            };
            const PICKS: bool = #pick;
            const TICKS: bool = #tick;
            const STATELESS: bool = #stateless;
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Plugin = ::tollgate_sdk::guest::Plugin<#policy>;
            ::tollgate_sdk::bindings::export!(Plugin with_types_in ::tollgate_sdk::bindings);
            #timed
        };
    }
}
