//! Whether a model would say the same again.

use crate::canonical::Canonical;

/// Where a model draws its words: elsewhere (embeddings, scores) there is nothing to draw.
const DRAWING: [&str; 5] = [
    "/completions",
    "/responses",
    "/messages",
    "/generate",
    "/generate_stream",
];

/// By the request's own words: nothing is drawn at a temperature of 0, out of one candidate,
/// or where the dice are given by a seed.
pub(crate) fn is_deterministic(path: &str, body: &Canonical) -> bool {
    if !DRAWING.iter().any(|end| path.ends_with(end)) {
        return true;
    }
    let is = |name: &str, number: i128| body.at(&[name]) == Some(&Canonical::Whole(number));
    let is_seeded = matches!(body.at(&["seed"]), Some(Canonical::Whole(_)));
    is("temperature", 0) || is("top_k", 1) || is_seeded
}
