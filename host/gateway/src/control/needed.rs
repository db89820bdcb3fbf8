//! What has to be there when a generation goes live, besides its plugins: files of
//! certificates, and secrets. What stands in the files is looked at later.

use std::{collections::BTreeSet, fmt, path::Path};

use tollgate_capabilities::{EmbeddedSecrets, SecretStore};
use tollgate_config::{Config, HeaderValue, SecretSource};

use super::{
    files,
    refused::{Refused, Stage, token},
};

/// All that is missing, each with its place.
pub(super) fn missing(config: &Config, secrets: &EmbeddedSecrets, written: &Path) -> Vec<Refused> {
    let mut refused = unreadable_files(config, written);
    refused.extend(unreadable_secrets(config, secrets, written));
    refused
}

fn unreadable_files(config: &Config, written: &Path) -> Vec<Refused> {
    let mut refused = Vec::new();
    let mut look = |code, at: &str, file: &Path, what: &dyn fmt::Display| {
        if let Some(reason) = files::unreadable(file, what, written) {
            refused.push(Refused::written(Stage::Prove, code, (written, at), reason));
        }
    };
    if let Some(tls) = &config.tls {
        look(
            "tls",
            "/tls/certificate",
            &tls.certificate,
            &"the certificate of `tls`",
        );
        look("tls", "/tls/key", &tls.key, &"the key of `tls`");
        if let Some(clients) = &tls.clients {
            look("tls", "/tls/client_ca", &clients.ca, &"the CAs of `tls`");
        }
    }
    for (name, upstream) in &config.upstreams {
        let at = |key| format!("/upstreams/{}/{key}", token(name));
        if let Some(ca) = &upstream.ca {
            let what = format_args!("the roots (`ca`) of the upstream `{name}`");
            look("generation", &at("ca"), ca, &what);
        }
    }
    refused
}

/// Of the secrets those that are used.
fn unreadable_secrets(config: &Config, secrets: &EmbeddedSecrets, written: &Path) -> Vec<Refused> {
    let granted = config
        .policies
        .values()
        .flat_map(|policy| &policy.grants.secrets);
    let headers = config
        .upstreams
        .values()
        .flat_map(|upstream| &upstream.headers);
    let sent = headers.filter_map(|header| match &header.value {
        HeaderValue::Secret { name, .. } => Some(name),
        HeaderValue::Plain(_) => None,
    });
    let used: BTreeSet<&String> = granted.chain(sent).chain(&config.admin_token).collect();
    let unreadable = used.into_iter().filter_map(|name| {
        secrets.get(name).err()?;
        let at = format!("/secrets/{}", token(name));
        let reason = why_no_secret(name, config.secrets.get(name)?, written);
        Some(Refused::written(
            Stage::Prove,
            "secret",
            (written, &at),
            reason,
        ))
    });
    unreadable.collect()
}

fn why_no_secret(name: &str, source: &SecretSource, written: &Path) -> String {
    let what = format!("the secret `{name}`");
    match source {
        SecretSource::Env(variable) => format!(
            "{what}: the environment variable `{variable}` is not set: set it where the gateway is started, or name a `file`"
        ),
        SecretSource::File(file) => {
            let told = files::unreadable(file, &what, written);
            told.unwrap_or_else(|| {
                let file = file.display();
                format!("{what}: {file} is no regular file, or longer than 64 KiB")
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
tls: { certificate: tls/cert.pem, key: key.pem, client_ca: ca.pem, client_auth: optional }
secrets:
  team/key: { file: team.txt }
  unset: { env: TOLLGATE_TEST_NOT_SET_ANYWHERE }
  idle: { file: nowhere.txt }
upstreams:
  one: { endpoints: [\"https://h\"], ca: roots.pem, headers: { a: \"${secret:team/key}\", b: \"${secret:unset}\" } }
routes: [ { upstream: one } ]
";

    #[test]
    fn every_missing_file_and_secret_is_named_at_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path();
        let source = there.join("tollgate.yaml");
        std::fs::write(&source, CONFIG).unwrap();
        std::fs::write(there.join("ca.pem"), "").unwrap();
        let config = tollgate_config::load(&source).unwrap();
        let secrets = EmbeddedSecrets::new(config.secrets.clone());
        let missing = missing(&config, &secrets, &source);
        let shown = there.display().to_string();
        let told = missing.iter().map(|refused| {
            let first = refused.message.lines().next().unwrap();
            let said = first.split_once(": ").unwrap().1.replace(&shown, "…");
            (&*refused.code, refused.line, said)
        });
        let file = |what: &str, path: &str| {
            format!(
                "{what}: there is no such file: …/{path}; relative paths start from …: put it there, or mend the path"
            )
        };
        let expected = [
            ("tls", Some(1), file("the certificate of `tls`", "tls/cert.pem (nor is there the folder …/tls)")),
            ("tls", Some(1), file("the key of `tls`", "key.pem")),
            ("generation", Some(7), file("the roots (`ca`) of the upstream `one`", "roots.pem")),
            ("secret", Some(3), file("the secret `team/key`", "team.txt")),
            (
                "secret",
                Some(4),
                "the secret `unset`: the environment variable `TOLLGATE_TEST_NOT_SET_ANYWHERE` is not set: set it where the gateway is started, or name a `file`".to_owned(),
            ),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
