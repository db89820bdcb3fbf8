//! What an endpoint says of itself on its metrics page.
//!
//! The pages of vLLM, SGLang, TGI and Triton, told apart by the names on them. A page comes from
//! another machine: it is bounded, read once from front to back, and what makes no sense on it
//! counts as not said.

mod adapters;
mod sample;

pub use self::adapters::Adapters;
use self::sample::{Sample, samples};

/// A longer page is refused; those of servers with many histograms have some 200 KiB.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// How busy an endpoint says it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Requests that it works on.
    pub running: u32,
    /// Requests that wait to be worked on.
    pub waiting: u32,
    /// How much of its KV cache requests hold, from 0 to 1.
    pub cache_use: Option<f64>,
    /// The LoRA adapters that it has at hand.
    pub adapters: Adapters,
}

/// Why a page tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    #[error("the page is longer than {} MiB", PAGE_BYTES_MAX >> 20)]
    TooLong,
    #[error("the page has no metric of vLLM, SGLang, TGI or Triton that says what is waiting")]
    Unknown,
}

/// Reads a page in Prometheus' text format.
///
/// # Errors
/// The page is too long, or says nothing of requests.
pub fn figures(page: &[u8]) -> Result<Figures, ScrapeError> {
    if page.len() > PAGE_BYTES_MAX {
        return Err(ScrapeError::TooLong);
    }
    let mut sums = Sums::default();
    for sample in samples(page) {
        sums.add(&sample);
    }
    if !sums.says_load {
        return Err(ScrapeError::Unknown);
    }
    Ok(Figures {
        running: whole(sums.running),
        waiting: whole(sums.waiting),
        cache_use: (sums.caches > 0.0).then(|| (sums.cache_use / sums.caches).clamp(0.0, 1.0)),
        adapters: sums.adapters,
    })
}

/// What a metric means.
enum Meaning {
    Running,
    Waiting,
    /// From 0 to 1.
    CacheUse,
    Adapters,
}

fn meaning(sample: &Sample<'_>) -> Option<Meaning> {
    let labelled = |label: &[u8], value: &[u8]| sample.label(label) == Some(value);
    Some(match sample.name {
        b"vllm:num_requests_running" | b"tgi_batch_current_size" => Meaning::Running,
        b"vllm:num_requests_waiting" | b"tgi_queue_size" => Meaning::Waiting,
        // Requests that Triton holds back; those at work it does not tell.
        b"nv_inference_pending_request_count" => Meaning::Waiting,
        // The older name, and the newer one of vLLM's V1 engine.
        b"vllm:gpu_cache_usage_perc" | b"vllm:kv_cache_usage_perc" => Meaning::CacheUse,
        b"vllm:lora_requests_info" => Meaning::Adapters,
        b"sglang:token_usage" => Meaning::CacheUse,
        // With priorities there is a sample for each of them besides the one for all.
        b"sglang:num_running_reqs" if is_for_all(sample) => Meaning::Running,
        b"sglang:num_queue_reqs" if is_for_all(sample) => Meaning::Waiting,
        // Triton's backend for TensorRT-LLM.
        b"nv_trt_llm_request_metrics" if labelled(b"request_type", b"scheduled") => {
            Meaning::Running
        }
        b"nv_trt_llm_request_metrics" if labelled(b"request_type", b"waiting") => Meaning::Waiting,
        b"nv_trt_llm_kv_cache_block_metrics" if labelled(b"kv_cache_block_type", b"fraction") => {
            Meaning::CacheUse
        }
        _ => return None,
    })
}

fn is_for_all(sample: &Sample<'_>) -> bool {
    sample.label(b"priority").is_none_or(<[u8]>::is_empty)
}

/// Engines and models of one server add up; their caches have a mean.
#[derive(Default)]
struct Sums {
    says_load: bool,
    running: f64,
    waiting: f64,
    cache_use: f64,
    caches: f64,
    adapters: Adapters,
    /// vLLM writes a sample for each set of adapters there ever was; its value is the time.
    adapters_at: f64,
}

impl Sums {
    fn add(&mut self, sample: &Sample<'_>) {
        let Some(meaning) = meaning(sample) else {
            return;
        };
        let value = sample.value;
        if !value.is_finite() || value < 0.0 {
            return;
        }
        match meaning {
            Meaning::Running => {
                self.says_load = true;
                self.running += value;
            }
            Meaning::Waiting => {
                self.says_load = true;
                self.waiting += value;
            }
            Meaning::CacheUse => {
                self.cache_use += value;
                self.caches += 1.0;
            }
            Meaning::Adapters if value >= self.adapters_at => {
                self.adapters_at = value;
                self.adapters = Adapters::of(sample);
            }
            Meaning::Adapters => {}
        }
    }
}

/// As a count; what no server has at once is cut.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is within the range"
)]
fn whole(value: f64) -> u32 {
    const MOST: f64 = 1e6;
    value.clamp(0.0, MOST) as u32
}

#[cfg(test)]
mod tests;
