//! What clients ask: when, with which prompt, for how long an answer.

use tollgate_upstreams::balance::{Prefix, hash};

use crate::chance::Chance;

/// About what English and a usual tokenizer give.
pub(crate) const TOKEN_BYTES: u64 = 4;
/// Of text in a block of an endpoint's cache, which is not the gateway's.
pub(crate) const CACHED_BLOCK_TOKENS: u64 = 64;

const LENGTH: u64 = 120_000_000;

pub(crate) struct Request {
    /// In microseconds.
    pub(crate) at: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) answer_tokens: u64,
    /// What an endpoint's cache knows its blocks by.
    pub(crate) blocks: Vec<u64>,
    /// What the gateway knows of it.
    pub(crate) prefix: Prefix,
    pub(crate) session: u64,
    pub(crate) beginning: u64,
}

pub(crate) struct Traffic {
    pub(crate) seed: u64,
    pub(crate) requests: Vec<Request>,
}

fn request(at: u64, session: u64, prompt: &[u8], answer_tokens: u64) -> Request {
    let mut before = 0_u64;
    let whole_blocks = prompt.chunks_exact((CACHED_BLOCK_TOKENS * TOKEN_BYTES) as usize);
    let blocks = whole_blocks.map(|block| {
        before = hash(&[&before.to_le_bytes(), block].concat());
        before
    });
    Request {
        at,
        blocks: blocks.collect(),
        prompt_tokens: prompt.len() as u64 / TOKEN_BYTES,
        answer_tokens,
        prefix: Prefix::of("model", [prompt]),
        session: hash(&session.to_le_bytes()),
        beginning: hash(&prompt[..prompt.len().min(1_024)]),
    }
}

/// Sessions of several turns, each with one of a few instructions in front, some far more in
/// demand than others; a turn repeats all that was said before.
pub(crate) fn shared(seed: u64) -> Traffic {
    const INSTRUCTIONS: usize = 40;
    const SESSIONS_A_SECOND: f64 = 7.0;
    let mut chance = Chance::new(seed);
    let instructions: Vec<Vec<u8>> = (0..INSTRUCTIONS)
        .map(|_| {
            let tokens = chance.between(500, 3_000);
            chance.text(tokens)
        })
        .collect();
    let mut requests = Vec::new();
    let mut start = 0;
    for session in 0.. {
        start += chance.wait(SESSIONS_A_SECOND);
        if start > LENGTH {
            break;
        }
        let mut said = instructions[chance.zipf(INSTRUCTIONS)].clone();
        let mut at = start;
        for _ in 0..chance.between(1, 7) {
            let question = chance.between(20, 200);
            said.extend(chance.text(question));
            let answer_tokens = chance.between(50, 250);
            requests.push(request(at, session, &said, answer_tokens));
            said.extend(chance.text(answer_tokens));
            at += 4_000_000 + chance.wait(0.1);
        }
    }
    requests.retain(|request| request.at <= LENGTH);
    requests.sort_by_key(|request| request.at);
    Traffic { seed, requests }
}

/// Prompts of many lengths that have nothing in common.
pub(crate) fn uniform(seed: u64) -> Traffic {
    alone(seed, 22.0, (100, 3_000), (50, 250))
}

/// Short prompts that have nothing in common, and long answers.
pub(crate) fn long_answers(seed: u64) -> Traffic {
    alone(seed, 18.0, (20, 400), (200, 900))
}

/// So many a second, with prompts and answers of such lengths.
fn alone(seed: u64, a_second: f64, prompts: (u64, u64), answers: (u64, u64)) -> Traffic {
    let mut chance = Chance::new(seed);
    let mut requests = Vec::new();
    let mut at = 0;
    for session in 0.. {
        at += chance.wait(a_second);
        if at > LENGTH {
            break;
        }
        let tokens = chance.between(prompts.0, prompts.1);
        let prompt = chance.text(tokens);
        let answer_tokens = chance.between(answers.0, answers.1);
        requests.push(request(at, session, &prompt, answer_tokens));
    }
    Traffic { seed, requests }
}

/// 200 requests within two seconds, all with the same long instructions.
pub(crate) fn burst(seed: u64) -> Traffic {
    let mut chance = Chance::new(seed);
    let instructions = chance.text(3_000);
    let mut at = 2_000_000;
    let requests = (0..200).map(|session| {
        at += 10_000;
        let question = chance.between(20, 200);
        let prompt = [instructions.clone(), chance.text(question)].concat();
        request(at, session, &prompt, 100)
    });
    let requests = requests.collect();
    Traffic { seed, requests }
}
