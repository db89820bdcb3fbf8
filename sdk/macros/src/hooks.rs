//! Which hooks an `impl Policy` writes, and the mistakes that rustc would not explain well.

use syn::{FnArg, ImplItem, ImplItemFn, ItemImpl, spanned::Spanned};

/// Every function of the trait, with how it is written and how many arguments it takes.
const FUNCTIONS: [(&str, &str, usize); 13] = [
    (
        "check",
        "fn check(settings: &Self::Settings) -> Result<(), Vec<String>>",
        1,
    ),
    (
        "narrow",
        "fn narrow(settings: &Self::Settings, hooks: &mut Hooks, needs: &mut Needs)",
        3,
    ),
    (
        "samples",
        "fn samples(settings: &Self::Settings) -> Vec<Sample>",
        1,
    ),
    (
        "open",
        "fn open(settings: &'static Self::Settings, head: &Head) -> Self",
        2,
    ),
    (
        "on_request",
        "fn on_request(&mut self, request: &mut Request) -> Verdict",
        2,
    ),
    (
        "on_attempt",
        "fn on_attempt(&mut self, target: &Target, request: &mut Request) -> Verdict",
        3,
    ),
    (
        "on_pick",
        "fn on_pick(&mut self, target: &Target, request: &Request, endpoints: &[Endpoint]) -> Vec<f64>",
        4,
    ),
    (
        "on_response",
        "fn on_response(&mut self, response: &mut Response) -> Verdict",
        2,
    ),
    ("on_event", "fn on_event(&mut self, event: &mut Event)", 2),
    ("on_end", "fn on_end(&mut self) -> Vec<RawEvent>", 1),
    (
        "on_events",
        "fn on_events(&mut self, events: &mut Events)",
        2,
    ),
    ("on_finish", "fn on_finish(&mut self, outcome: &Outcome)", 2),
    (
        "on_tick",
        "fn on_tick(settings: &'static Self::Settings) -> Option<Duration>",
        1,
    ),
];

#[derive(Default, Clone, Copy)]
pub(crate) struct Hooks {
    pub(crate) request: bool,
    pub(crate) attempt: bool,
    pub(crate) pick: bool,
    pub(crate) response: bool,
    pub(crate) events: bool,
    pub(crate) finish: bool,
    pub(crate) tick: bool,
}

/// Finds the hooks, or every mistake at once.
pub(crate) fn read(block: &ItemImpl) -> syn::Result<Hooks> {
    let mut errors = Errors::default();
    check_block(block, &mut errors);
    for function in functions(block) {
        check_function(function, &mut errors);
    }
    check_settings(block, &mut errors);
    let single = find(block, "on_event").or_else(|| find(block, "on_end"));
    if let (Some(_), Some(one)) = (find(block, "on_events"), single) {
        let what = format!(
            "`{}` is never called when `on_events` is written: keep one of them",
            one.sig.ident
        );
        errors.add(syn::Error::new(one.sig.ident.span(), what));
    }
    errors.finish()?;
    let has = |name: &str| find(block, name).is_some();
    Ok(Hooks {
        request: has("on_request"),
        attempt: has("on_attempt") || has("on_pick"),
        pick: has("on_pick"),
        response: has("on_response"),
        events: has("on_event") || has("on_end") || has("on_events"),
        finish: has("on_finish"),
        tick: has("on_tick"),
    })
}

fn functions(block: &ItemImpl) -> impl Iterator<Item = &ImplItemFn> {
    block.items.iter().filter_map(|item| match item {
        ImplItem::Fn(function) => Some(function),
        _ => None,
    })
}

fn find<'a>(block: &'a ItemImpl, name: &str) -> Option<&'a ImplItemFn> {
    functions(block).find(|function| function.sig.ident == name)
}

fn check_block(block: &ItemImpl, errors: &mut Errors) {
    let is_policy = block
        .trait_
        .as_ref()
        .and_then(|(_, path, _)| path.segments.last())
        .is_some_and(|last| last.ident == "Policy");
    if !is_policy {
        errors.add(syn::Error::new(
            block.self_ty.span(),
            "`#[policy]` goes above `impl Policy for …`",
        ));
    }
    if !block.generics.params.is_empty() {
        let what = "a policy is one type: the host cannot choose type parameters";
        errors.add(syn::Error::new(block.generics.span(), what));
    }
}

fn check_function(function: &ImplItemFn, errors: &mut Errors) {
    let name = function.sig.ident.to_string();
    let span = function.sig.ident.span();
    let Some((_, written, count)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
        errors.add(syn::Error::new(span, unknown(&name)));
        return;
    };
    if let Some(word) = &function.sig.asyncness {
        let what = format!(
            "hooks are not async: a capability's call returns when it is done. Write `{written}`"
        );
        errors.add(syn::Error::new(word.span(), what));
    }
    let takes_self = matches!(function.sig.inputs.first(), Some(FnArg::Receiver(_)));
    if function.sig.inputs.len() != *count || takes_self != written.contains("&mut self") {
        errors.add(syn::Error::new(
            span,
            format!("`{name}` is written `{written}`"),
        ));
    }
}

fn check_settings(block: &ItemImpl, errors: &mut Errors) {
    let has_settings = block
        .items
        .iter()
        .any(|item| matches!(item, ImplItem::Type(item) if item.ident == "Settings"));
    if !has_settings {
        let what = "a policy says what its settings are: add `type Settings = …;`, \
                    with `NoSettings` if there is nothing to configure";
        errors.add(syn::Error::new(block.self_ty.span(), what));
    }
    if find(block, "open").is_none() {
        let what = format!(
            "a policy opens a session for each exchange: add `{}`",
            FUNCTIONS[3].1
        );
        errors.add(syn::Error::new(block.self_ty.span(), what));
    }
}

fn unknown(name: &str) -> String {
    let nearest = FUNCTIONS
        .iter()
        .map(|(known, ..)| (distance(name, known), *known))
        .min();
    match nearest {
        Some((distance, known)) if distance <= 3 => {
            format!("there is no hook `{name}`; did you mean `{known}`?")
        }
        _ => {
            let known: Vec<_> = FUNCTIONS
                .iter()
                .map(|(known, ..)| format!("`{known}`"))
                .collect();
            format!(
                "there is no hook `{name}`: a policy has {}. Other functions go into an `impl` of their own",
                known.join(", ")
            )
        }
    }
}

/// How many letters have to be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.bytes().enumerate() {
        let mut corner = above;
        row[0] = above + 1;
        for (at, wanted) in other.bytes().enumerate() {
            let kept = corner + usize::from(letter != wanted);
            corner = row[at + 1];
            row[at + 1] = kept.min(corner + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
