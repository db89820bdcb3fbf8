fn main() {
    let wasm = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        use tollgate_sandbox::*;
        let sandbox = Sandbox::new(
            SandboxOptions::default(),
            tollgate_capabilities::Capabilities::embedded(Default::default()),
        )
        .unwrap();
        for isolation in [
            tollgate_config::Isolation::Exchange,
            tollgate_config::Isolation::Shared,
        ] {
            let t = std::time::Instant::now();
            let policy = sandbox
                .load(PolicySpec {
                    name: "raw".into(),
                    wasm: wasm.clone().into(),
                    config: tollgate_config::Policy {
                        plugin: "raw".into(),
                        on_error: tollgate_config::OnError::Refuse,
                        isolation,
                        grants: Default::default(),
                        settings: serde_json::json!({}),
                        settings_at: Default::default(),
                        sandbox: Default::default(),
                    },
                    compile: Default::default(),
                    secrets: std::sync::Arc::new(tollgate_capabilities::EmbeddedSecrets::new(
                        Default::default(),
                    )),
                })
                .await
                .unwrap_or_else(|e| panic!("{e}"));
            println!(
                "loaded {} {} in {:?}",
                policy.name(),
                policy.version(),
                t.elapsed()
            );
            let head = contract::Head {
                route: "chat".into(),
                method: "POST".into(),
                path: "/v1/chat/completions".into(),
                model: Some("llama".into()),
                caller: Some("team-a".into()),
                tier: None,
                streaming: false,
                body_bytes: Some(400),
                deadline_ms: 1000,
            };
            let ctx = ExchangeContext::default();
            let outcome = contract::Outcome {
                ending: contract::Ending::Complete,
                status: 200,
                upstream: None,
                attempts: 1,
                first_byte_us: None,
                total_us: 10,
                usage: None,
            };
            let p2 = policy.clone();
            let job = tokio::spawn(async move {
                for full in [false, true] {
                    for _ in 0..3 {
                        let n = 50_000;
                        let t = std::time::Instant::now();
                        let cpu = cpu_us();
                        for _ in 0..n {
                            let mut s = p2.open(&head, &ctx).await.unwrap();
                            let (_m, d) = s.on_request(Message::default()).await;
                            assert_eq!(d.unwrap().edits.len(), 1);
                            if full {
                                let _ = s.on_finish(&outcome).await;
                            } else {
                                drop(s);
                            }
                            tokio::task::yield_now().await;
                        }
                        println!(
                            "{isolation:?} full={full}: wall {:.2} us, cpu {:.2} us  {:?}",
                            t.elapsed().as_nanos() as f64 / n as f64 / 1000.0,
                            (cpu_us() - cpu) / n as f64,
                            p2.stats().instances_late
                        );
                    }
                }
            });
            job.await.unwrap();
        }
    });
}
fn cpu_us() -> f64 {
    let s = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let _ = s;
    let mut total = 0.0;
    for t in std::fs::read_dir("/proc/self/task").unwrap() {
        let s = std::fs::read_to_string(t.unwrap().path().join("schedstat")).unwrap();
        total += s.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1000.0;
    }
    total
}
