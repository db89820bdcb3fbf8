use proptest::prelude::*;

use super::*;

fn read(page: &str) -> Figures {
    figures(page.as_bytes()).unwrap()
}

fn has(figures: &Figures, adapter: &str) -> bool {
    figures
        .adapters
        .contains(crate::balance::hash(adapter.as_bytes()))
}

#[test]
fn a_page_of_vllm_is_read() {
    let found = read(
        r#"# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B"} 5.0
vllm:num_requests_running{engine="1",model_name="meta-llama/Llama-3.1-8B"} 3.0
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B"} 2.0
vllm:num_requests_waiting{engine="1",model_name="meta-llama/Llama-3.1-8B"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="meta-llama/Llama-3.1-8B"} 0.25
vllm:lora_requests_info{max_lora="2",running_lora_adapters="old",waiting_lora_adapters=""} 1.788626454e+09
vllm:lora_requests_info{max_lora="2",running_lora_adapters="sql, chat",waiting_lora_adapters="sql"} 1.788626457e+09
vllm:lora_requests_info{max_lora="2",running_lora_adapters="older",waiting_lora_adapters=""} 1.788626450e+09
vllm:num_requests_running_by_reason{reason="x"} 99
"#,
    );
    assert_eq!((found.running, found.waiting), (8, 2));
    assert_eq!(found.cache_use, Some(0.375));
    assert!(has(&found, "sql") && has(&found, "chat") && !has(&found, "old"));
    assert!(found.adapters.is_full());
}

#[test]
fn an_older_vllm_has_another_name_for_its_cache() {
    let found =
        read("vllm:num_requests_waiting 1\nvllm:gpu_cache_usage_perc{model_name=\"m\"} 0.9\n");
    assert_eq!((found.waiting, found.cache_use), (1, Some(0.9)));
    assert!(found.adapters.is_empty());
}

#[test]
fn a_page_of_sglang_is_read_and_priorities_count_once() {
    let found = read(
        r#"sglang:num_running_reqs{engine_type="unified",model_name="m",priority="",tp_rank="0"} 4.0
sglang:num_running_reqs{engine_type="unified",model_name="m",priority="1",tp_rank="0"} 4.0
sglang:num_queue_reqs{model_name="m"} 2826.0
sglang:token_usage{model_name="m"} 0.28
"#,
    );
    assert_eq!((found.running, found.waiting), (4, 2_826));
    assert_eq!(found.cache_use, Some(0.28));
}

#[test]
fn a_page_of_tgi_is_read() {
    let found = read("# TYPE tgi_queue_size gauge\ntgi_queue_size 7\ntgi_batch_current_size 12\n");
    assert_eq!((found.running, found.waiting), (12, 7));
    assert_eq!(found.cache_use, None);
}

#[test]
fn a_page_of_triton_is_read_with_and_without_tensorrt_llm() {
    let found = read(
        r#"nv_inference_pending_request_count{model="a",version="1"} 2
nv_inference_pending_request_count{model="b",version="1"} 1
"#,
    );
    assert_eq!((found.running, found.waiting), (0, 3));
    let found = read(
        r#"nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 3
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 9
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.125
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm",version="1"} 64
"#,
    );
    assert_eq!((found.running, found.waiting), (9, 3));
    assert_eq!(found.cache_use, Some(0.125));
}

#[test]
fn a_page_of_something_else_says_nothing() {
    for page in [
        "",
        "\n\n",
        "<html>502</html>",
        "up 1\n",
        "vllm:kv_cache_usage_perc 0.5\n",
    ] {
        assert_eq!(
            figures(page.as_bytes()),
            Err(ScrapeError::Unknown),
            "{page}"
        );
    }
    let long = vec![b'\n'; PAGE_BYTES_MAX + 1];
    assert_eq!(figures(&long), Err(ScrapeError::TooLong));
}

#[test]
fn what_makes_no_sense_is_passed_over() {
    for line in [
        "vllm:num_requests_running NaN",
        "vllm:num_requests_running +Inf",
        "vllm:num_requests_running -5",
        "vllm:num_requests_running",
        "vllm:num_requests_running x",
        "vllm:num_requests_running{model_name=\"} 5",
        "vllm:num_requests_running{a=\"b\\\"} 5",
        "vllm:num_requests_running{a=\"}\" 5",
        "{} 5",
        "= 5",
    ] {
        let found = read(&format!(
            "{line}\r\nvllm:num_requests_waiting 1 1788626454000\r\n"
        ));
        assert_eq!((found.running, found.waiting), (0, 1), "{line}");
    }
}

#[test]
fn values_out_of_any_range_are_cut() {
    let found = read(
        "vllm:num_requests_running 1e300\nvllm:num_requests_running 1e300\nvllm:kv_cache_usage_perc 55\n",
    );
    assert_eq!((found.running, found.cache_use), (1_000_000, Some(1.0)));
}

#[test]
fn labels_may_hold_braces_quotes_and_commas() {
    let found = read(
        "sglang:num_queue_reqs { model_name = \"a}\\\",priority=\\\"1\" , priority=\"\" , } 3 # {x=\"y\"} 1\n",
    );
    assert_eq!(found.waiting, 3);
}

#[test]
fn as_many_adapters_as_a_page_names_are_kept_to_a_bound() {
    let names: Vec<String> = (0..100_000).map(|i| format!("a{i}")).collect();
    let page = format!(
        "vllm:num_requests_running 1\nvllm:lora_requests_info{{running_lora_adapters=\"{}\"}} 1\n",
        names.join(",")
    );
    let found = read(&page);
    assert!(has(&found, "a0") && has(&found, "a1023") && !has(&found, "a1024"));
    assert!(!found.adapters.is_full());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(page in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = figures(&page);
    }

    #[test]
    fn pieces_of_pages_are_read_without_harm(pieces in prop::collection::vec(prop::sample::select(vec![
        "vllm:num_requests_running", "sglang:num_queue_reqs", "vllm:lora_requests_info",
        "nv_trt_llm_request_metrics", "{", "}", "\"", "\\", "=", ",", " ", "\n", "#", "1", "-", "e9",
        "NaN", "priority", "running_lora_adapters", "request_type", "waiting", "\u{e4}",
    ]), 0..60)) {
        if let Ok(found) = figures(pieces.concat().as_bytes()) {
            prop_assert!(found.running <= 1_000_000 && found.waiting <= 1_000_000);
        }
    }

    #[test]
    fn what_is_written_is_read(running in 0_u32..1_000_000, waiting in 0_u32..1_000_000, name in "[^\"\\\\\n]{0,30}") {
        let page = format!(
            "vllm:num_requests_running{{model_name=\"{name}\"}} {running}\nvllm:num_requests_waiting{{model_name=\"{name}\"}} {waiting}.0\n"
        );
        let found = read(&page);
        prop_assert_eq!((found.running, found.waiting), (running, waiting));
    }
}
