//! Keys and values, as the contract words them.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_capabilities as capability;

use super::{super::State, nothing};
use crate::{
    contract::tollgate::policy::kv,
    recording::{Note, outcome, text},
};

impl From<capability::KvError> for kv::Error {
    fn from(error: capability::KvError) -> Self {
        match error {
            capability::KvError::Full => Self::Full,
            capability::KvError::TooLarge => Self::TooLarge,
            capability::KvError::NotANumber => Self::NotANumber,
            capability::KvError::Unavailable => Self::Unavailable,
        }
    }
}

fn ttl(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

impl kv::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, kv::Error>> {
        self.enter()?;
        let answer = self
            .shared
            .capabilities
            .kv
            .get(&self.shared.namespace, &key);
        let got: Result<Option<Vec<u8>>, kv::Error> = self
            .wait(answer)
            .await
            .map(|value| value.map(Into::into))
            .map_err(Into::into);
        self.recorded.note(|to| {
            let what = json!({ "key": text(key.as_bytes()) });
            let shown = |value: &Option<Vec<u8>>| value.as_deref().map_or(Value::Null, text);
            to.call("kv.get", what, outcome(&got, shown));
        });
        Ok(got)
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: u32,
    ) -> wasmtime::Result<Result<(), kv::Error>> {
        self.enter()?;
        let answer =
            self.shared
                .capabilities
                .kv
                .put(&self.shared.namespace, &key, &value, ttl(ttl_ms));
        let put: Result<(), kv::Error> = self.wait(answer).await.map_err(Into::into);
        self.recorded.note(|to| {
            let (key, value) = (text(key.as_bytes()), text(&value));
            let what = json!({ "key": key, "value": value, "ttl-ms": ttl_ms });
            to.call("kv.put", what, outcome(&put, nothing));
        });
        Ok(put)
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), kv::Error>> {
        self.enter()?;
        let answer = self
            .shared
            .capabilities
            .kv
            .remove(&self.shared.namespace, &key);
        let removed: Result<(), kv::Error> = self.wait(answer).await.map_err(Into::into);
        self.recorded.note(|to| {
            let what = json!({ "key": text(key.as_bytes()) });
            to.call("kv.remove", what, outcome(&removed, nothing));
        });
        Ok(removed)
    }

    async fn compare_and_put(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: u32,
    ) -> wasmtime::Result<Result<bool, kv::Error>> {
        self.enter()?;
        let answer = self.shared.capabilities.kv.compare_and_put(
            &self.shared.namespace,
            &key,
            expected.as_deref(),
            &value,
            ttl(ttl_ms),
        );
        let put: Result<bool, kv::Error> = self.wait(answer).await.map_err(Into::into);
        self.recorded.note(|to| {
            let what = json!({
                "key": text(key.as_bytes()), "expected": expected.as_deref().map(text),
                "value": text(&value), "ttl-ms": ttl_ms,
            });
            to.call("kv.compare-and-put", what, outcome(&put, |put| json!(put)));
        });
        Ok(put)
    }

    async fn increment(
        &mut self,
        key: String,
        by: i64,
        ttl_ms: u32,
    ) -> wasmtime::Result<Result<i64, kv::Error>> {
        self.enter()?;
        let answer =
            self.shared
                .capabilities
                .kv
                .increment(&self.shared.namespace, &key, by, ttl(ttl_ms));
        let sum: Result<i64, kv::Error> = self.wait(answer).await.map_err(Into::into);
        self.recorded.note(|to| {
            let what = json!({ "key": text(key.as_bytes()), "by": by, "ttl-ms": ttl_ms });
            to.call("kv.increment", what, outcome(&sum, |sum| json!(sum)));
        });
        Ok(sum)
    }
}
