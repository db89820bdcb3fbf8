//! Keys of well-known services, by the letters that they begin with.
//!
//! Once a key is long enough there is no doubt left, so no more than that is waited for;
//! what follows of it is left out as it comes, however long it is.

use super::{Bytes, Finding, Hit};
use crate::text::Text;

struct Shape {
    lead: &'static [u8],
    body: Bytes,
    /// How many bytes of the body are enough.
    enough: usize,
}

const fn shape(lead: &'static str, body: Bytes, enough: usize) -> Shape {
    Shape {
        lead: lead.as_bytes(),
        body,
        enough,
    }
}

/// The shapes of keys that start with a byte.
const fn shapes(first: u8) -> &'static [Shape] {
    match first {
        // Amazon, Google.
        b'A' => {
            const {
                &[
                    shape("AKIA", is_upper, 16),
                    shape("ASIA", is_upper, 16),
                    shape("AIza", is_wide, 35),
                ]
            }
        }
        // SendGrid.
        b'S' => const { &[shape("SG.", is_wide_or_dot, 40)] },
        // DigitalOcean.
        b'd' => const { &[shape("dop_v1_", is_word, 40)] },
        // GitHub, GitLab, Groq.
        b'g' => {
            const {
                &[
                    shape("ghp_", is_word, 36),
                    shape("gho_", is_word, 36),
                    shape("ghu_", is_word, 36),
                    shape("ghs_", is_word, 36),
                    shape("ghr_", is_word, 36),
                    shape("github_pat_", is_word, 36),
                    shape("glpat-", is_wide, 20),
                    shape("gsk_", is_word, 40),
                ]
            }
        }
        // Hugging Face.
        b'h' => const { &[shape("hf_", is_word, 30)] },
        b'n' => const { &[shape("npm_", is_word, 36)] },
        b'p' => const { &[shape("pypi-", is_wide, 50)] },
        // OpenAI, Anthropic and those who followed; Stripe.
        b's' => {
            const {
                &[
                    shape("sk-", is_wide, 20),
                    shape("sk_live_", is_word, 16),
                    shape("sk_test_", is_word, 16),
                ]
            }
        }
        b'r' => {
            const {
                &[
                    shape("rk_live_", is_word, 16),
                    shape("rk_test_", is_word, 16),
                ]
            }
        }
        b'w' => const { &[shape("whsec_", is_word, 24)] },
        // Slack, xAI.
        b'x' => {
            const {
                &[
                    shape("xoxa-", is_wide, 16),
                    shape("xoxb-", is_wide, 16),
                    shape("xoxp-", is_wide, 16),
                    shape("xoxr-", is_wide, 16),
                    shape("xoxs-", is_wide, 16),
                    shape("xapp-", is_wide, 16),
                    shape("xai-", is_wide, 40),
                ]
            }
        }
        _ => &[],
    }
}

/// Whether a key may start with this byte.
pub(crate) fn starts_api_key(byte: u8) -> bool {
    !shapes(byte).is_empty()
}

pub(crate) fn api_key(text: &Text, start: usize) -> Finding {
    if text.before(start).is_some_and(is_wide) {
        return Ok(None);
    }
    // Most of these bytes start words: the second one tells.
    let Some((first, second)) = text.at(start)?.zip(text.at(start + 1)?) else {
        return Ok(None);
    };
    for shape in shapes(first).iter().filter(|shape| shape.lead[1] == second) {
        if let Some(hit) = shape.find(text, start)? {
            return Ok(Some(hit));
        }
    }
    Ok(None)
}

impl Shape {
    fn find(&self, text: &Text, start: usize) -> Finding {
        for (step, byte) in self.lead.iter().enumerate() {
            if text.at(start + step)? != Some(*byte) {
                return Ok(None);
            }
        }
        let body = start + self.lead.len();
        let mut looks_random = false;
        for place in body..body + self.enough {
            match text.at(place)? {
                Some(byte) if (self.body)(byte) => looks_random |= is_upper(byte),
                _ => return Ok(None),
            }
        }
        Ok(looks_random.then(|| self.to_its_end(text, body + self.enough)))
    }

    fn to_its_end(&self, text: &Text, start: usize) -> Hit {
        let rest = &text.bytes()[start..];
        let length = rest.iter().take_while(|byte| (self.body)(**byte)).count();
        text.count(length);
        let is_open = length == rest.len() && !text.is_whole();
        Hit {
            end: start + length,
            goes_on: is_open.then_some(self.body),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_wide(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn is_wide_or_dot(byte: u8) -> bool {
    is_wide(byte) || byte == b'.'
}

/// Also what tells a key from words with dashes between them.
fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}
