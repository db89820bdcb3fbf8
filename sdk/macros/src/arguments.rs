//! What stands between the brackets of `#[policy(…)]`.

use syn::{
    Ident, LitStr, Token, parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

const NEEDS: &str = "`request_json`, `request_body`, `response_json`, `response_body`";

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) needs: Needs,
    pub(crate) name: Option<LitStr>,
    pub(crate) stateless: bool,
}

#[derive(Default, Clone, Copy)]
pub(crate) struct Needs {
    pub(crate) request_json: bool,
    pub(crate) request_body: bool,
    pub(crate) response_json: bool,
    pub(crate) response_body: bool,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            match word.to_string().as_str() {
                "needs" => arguments.needs = needs(input)?,
                "name" => {
                    input.parse::<Token![=]>()?;
                    arguments.name = Some(name(input)?);
                }
                "stateless" => arguments.stateless = true,
                other => {
                    let what = format!(
                        "`#[policy]` knows `needs(…)`, `name = \"…\"` and `stateless`, not `{other}`"
                    );
                    return Err(syn::Error::new(word.span(), what));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

fn needs(input: ParseStream<'_>) -> syn::Result<Needs> {
    let list;
    parenthesized!(list in input);
    let mut needs = Needs::default();
    for word in Punctuated::<Ident, Token![,]>::parse_terminated(&list)? {
        let need = match word.to_string().as_str() {
            "request_json" => &mut needs.request_json,
            "request_body" => &mut needs.request_body,
            "response_json" => &mut needs.response_json,
            "response_body" => &mut needs.response_body,
            other => {
                let what = format!("a policy cannot need `{other}`; there are {NEEDS}");
                return Err(syn::Error::new(word.span(), what));
            }
        };
        *need = true;
    }
    Ok(needs)
}

fn name(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let name: LitStr = input.parse()?;
    let value = name.value();
    let is_name = !value.is_empty()
        && value.len() <= 64
        && value
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        return Err(syn::Error::new(
            name.span(),
            "a plugin's name is made of a-z, 0-9 and `-`, at most 64 of them",
        ));
    }
    Ok(name)
}
