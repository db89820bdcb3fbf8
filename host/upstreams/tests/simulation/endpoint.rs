//! A model server: continuous batching, prefill in chunks, a prefix cache.
//!
//! It works in steps. In each, every request of the batch that has been read gets a token, and
//! some tokens of prompts are read; a step takes longer for both. What is left of its memory
//! besides the requests at work keeps blocks of prompts, the least recent go first.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write,
};

use crate::traffic::{CACHED_BLOCK_TOKENS, Request};

const STEP_MICROS: u64 = 10_000;
const READ_TOKEN_MICROS: u64 = 80;
const ANSWER_TOKEN_MICROS: u64 = 200;
/// Tokens of prompts that one step reads at most.
const CHUNK: u64 = 2_048;
const BATCH: usize = 32;
const MEMORY_TOKENS: u64 = 64_000;

#[derive(Default)]
pub(crate) struct Endpoint {
    waiting: VecDeque<usize>,
    batch: Vec<Work>,
    cache: Cache,
    /// Tokens of prompts that did not have to be read, and of all.
    pub(crate) spared: u64,
    pub(crate) asked: u64,
    pub(crate) is_at_work: bool,
}

struct Work {
    request: usize,
    to_read: u64,
    reading: u64,
    to_answer: u64,
    tokens: u64,
}

/// What a step brought.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) first_tokens: Vec<usize>,
    pub(crate) ended: Vec<usize>,
}

impl Endpoint {
    pub(crate) fn queue(&mut self, request: usize) {
        self.waiting.push_back(request);
    }

    /// How long the next step takes; `None`: there is nothing to do.
    pub(crate) fn begin(&mut self, requests: &[Request]) -> Option<u64> {
        self.admit(requests);
        let mut left = CHUNK;
        let mut answering = 0;
        for work in &mut self.batch {
            work.reading = work.to_read.min(left);
            left -= work.reading;
            answering += u64::from(work.to_read == 0);
        }
        self.is_at_work = !self.batch.is_empty();
        let read = CHUNK - left;
        let micros = STEP_MICROS + READ_TOKEN_MICROS * read + ANSWER_TOKEN_MICROS * answering;
        self.is_at_work.then_some(micros)
    }

    fn admit(&mut self, requests: &[Request]) {
        while self.batch.len() < BATCH {
            let Some(&next) = self.waiting.front() else {
                return;
            };
            let request = &requests[next];
            let tokens = request.prompt_tokens + request.answer_tokens;
            if self.held() + tokens > MEMORY_TOKENS && !self.batch.is_empty() {
                return;
            }
            self.waiting.pop_front();
            let spared = self.cache.matching(&request.blocks) * CACHED_BLOCK_TOKENS;
            let spared = spared.min(request.prompt_tokens - 1);
            self.spared += spared;
            self.asked += request.prompt_tokens;
            self.batch.push(Work {
                request: next,
                to_read: request.prompt_tokens - spared,
                reading: 0,
                to_answer: request.answer_tokens,
                tokens,
            });
        }
    }

    pub(crate) fn end(&mut self, requests: &[Request]) -> Step {
        let mut step = Step::default();
        let room = MEMORY_TOKENS.saturating_sub(self.held()) / CACHED_BLOCK_TOKENS;
        for work in &mut self.batch {
            let was_read = work.to_read == 0;
            work.to_read -= work.reading;
            if work.to_read > 0 {
                continue;
            }
            if !was_read {
                step.first_tokens.push(work.request);
                self.cache.keep(&requests[work.request].blocks, room);
            }
            work.to_answer -= 1;
            if work.to_answer == 0 {
                step.ended.push(work.request);
            }
        }
        self.batch.retain(|work| work.to_answer > 0);
        step
    }

    fn held(&self) -> u64 {
        self.batch.iter().map(|work| work.tokens).sum()
    }

    /// As vLLM writes it.
    pub(crate) fn page(&self) -> String {
        let mut page = String::from("# TYPE vllm:num_requests_running gauge\n");
        let cache_use = self.held() as f64 / MEMORY_TOKENS as f64;
        for (name, value) in [
            ("num_requests_running", self.batch.len() as f64),
            ("num_requests_waiting", self.waiting.len() as f64),
            ("kv_cache_usage_perc", cache_use.min(1.0)),
        ] {
            writeln!(
                page,
                "vllm:{name}{{engine=\"0\",model_name=\"model\"}} {value}"
            )
            .unwrap();
        }
        page
    }
}

/// Blocks and when they were last of use; stale entries of the order are passed over.
#[derive(Default)]
struct Cache {
    used: HashMap<u64, u64>,
    order: VecDeque<(u64, u64)>,
    clock: u64,
}

impl Cache {
    fn matching(&mut self, blocks: &[u64]) -> u64 {
        let held = blocks
            .iter()
            .take_while(|block| self.used.contains_key(*block));
        let held = held.count();
        self.touch(&blocks[..held]);
        held as u64
    }

    fn keep(&mut self, blocks: &[u64], room: u64) {
        self.touch(blocks);
        while self.used.len() as u64 > room {
            let Some((block, used)) = self.order.pop_front() else {
                return;
            };
            if self.used.get(&block) == Some(&used) {
                self.used.remove(&block);
            }
        }
    }

    /// The end of a prompt goes before its beginning.
    fn touch(&mut self, blocks: &[u64]) {
        for block in blocks.iter().rev() {
            self.clock += 1;
            self.used.insert(*block, self.clock);
            self.order.push_back((*block, self.clock));
        }
    }
}
