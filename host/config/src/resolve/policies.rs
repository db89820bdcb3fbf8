//! Policies: their choices, grants and limits.

use serde_json::{Map, Value};

use super::{scope::Scope, tuning};
use crate::{
    defaults, file,
    model::{CALLS_MAX, Grants, HttpCallGrant, Isolation, Policy, SandboxLimits},
    place::At,
    spelling,
};

pub(super) fn policy(
    scope: &Scope<'_>,
    name: &At<String>,
    policy: file::Policy,
    sandbox: &SandboxLimits,
) -> Option<Policy> {
    let plugin = match &policy.plugin {
        Some(plugin) => scope.read(plugin, spelling::plugin),
        None => {
            let message = format!(
                "the policy {} does not say which plugin it is",
                spelling::quote(&name.value)
            );
            let expected = "`plugin`, the name of a file in the plugins folder without `.wasm`";
            scope.refuse(name.place, message, expected);
            None
        }
    };
    let grants = grants(scope, &policy.grants);
    let sandbox = tuning::sandbox(scope, policy.limits.as_ref(), sandbox);
    if policy.on_error.is_none() {
        let message = format!(
            "the policy {} does not say what happens when it fails",
            spelling::quote(&name.value)
        );
        scope.refuse(
            name.place,
            message,
            "`on_error: refuse` or `on_error: bypass`; there is no default",
        );
    }
    let settings = settings(scope, name, policy.settings);
    Some(Policy {
        plugin: plugin?,
        on_error: policy.on_error?.into(),
        isolation: policy.isolation.map_or_else(Isolation::default, Into::into),
        grants,
        settings_at: scope.location(settings.place),
        settings: settings.value,
        sandbox,
    })
}

/// Without any, an empty map that stands where the policy's name does.
fn settings(scope: &Scope<'_>, name: &At<String>, written: Option<At<Value>>) -> At<Value> {
    let nothing = || At {
        value: Value::Object(Map::new()),
        place: name.place,
    };
    let Some(settings) = written else {
        return nothing();
    };
    if !settings.value.is_object() {
        scope.refuse(
            settings.place,
            "the settings are not a map",
            "a map of settings",
        );
    }
    settings
}

fn grants(scope: &Scope<'_>, written: &file::Grants) -> Grants {
    scope.distinct(&written.secrets, "secret");
    Grants {
        kv: written.kv,
        limits: written.limits,
        geo: written
            .geo
            .as_ref()
            .is_some_and(|granted| geo(scope, granted)),
        secrets: written
            .secrets
            .iter()
            .map(|name| scope.secret(name))
            .collect(),
        http_call: written
            .http_call
            .as_ref()
            .map(|call| http_call(scope, call)),
        cache: written.cache,
        shadow: written.shadow,
        endpoints: written.endpoints,
    }
}

fn geo(scope: &Scope<'_>, granted: &At<bool>) -> bool {
    if granted.value && !scope.names.geo {
        let expected = "`geo: { file: … }` beside `policies`, a database in MaxMind's format";
        let message = "there is no file to look addresses up in";
        scope.refuse(granted.place, message, expected);
    }
    granted.value
}

fn http_call(scope: &Scope<'_>, written: &file::HttpCall) -> HttpCallGrant {
    if written.hosts.value.is_empty() {
        scope.refuse(
            written.hosts.place,
            "no host may be called",
            "at least one, such as `https://idp.example.com`",
        );
    }
    let hosts = written.hosts.value.iter();
    HttpCallGrant {
        hosts: hosts
            .filter_map(|host| scope.read(host, spelling::origin))
            .collect(),
        timeout: scope.period(written.timeout.as_ref(), defaults::CALL_TIMEOUT),
        max_response_bytes: scope.memory(
            written.max_response.as_ref(),
            defaults::CALL_RESPONSE_BYTES,
            1..=1 << 30,
        ),
        max_calls: scope.count(written.max_calls.as_ref(), defaults::CALLS, 1..=CALLS_MAX),
    }
}
