//! What other programs read: a unit of systemd, and probes of Kubernetes.

use std::time::Duration;

use serde_json::Value;

use super::{
    Rule,
    commands::{Shown, commands, wrong_of_ours},
    of_rule, read,
    workspace::Workspace,
};

/// Last hooks have so long, beyond `timeouts.shutdown`.
const LAST_HOOKS: Duration = Duration::from_secs(5);

/// The entries of a unit, by section and key.
fn entries(unit: &str) -> Vec<(String, String)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in unit.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']').unwrap();
        } else if !line.is_empty() && !line.starts_with('#') {
            let (key, value) = line.split_once('=').unwrap();
            found.push((format!("{section}.{key}"), value.to_owned()));
        }
    }
    found
}

#[test]
fn the_unit_starts_what_there_is_where_the_page_puts_it() {
    let [block] = &of_rule(Rule::Unit, 1)[..] else {
        panic!("one unit was expected")
    };
    let page = read(&block.page);
    let entries = entries(&block.text);
    let value = |key: &str| {
        let found = entries.iter().find(|(found, _)| found == key);
        found.map_or_else(|| panic!("no {key}"), |(_, value)| value.as_str())
    };
    for key in ["Service.ExecStartPre", "Service.ExecStart"] {
        let words = commands(value(key)).remove(0);
        assert_eq!(wrong_of_ours(&words, Shown::Whole), None, "{key}");
        let named = [&words[0], &words[3]];
        assert_eq!(words[2], "--config", "{key}");
        for path in named {
            assert!(page.contains(&format!("\n| `{path}` |")), "{path}");
        }
    }
    let cache = format!("\ncache: /var/cache/{}\n", value("Service.CacheDirectory"));
    assert!(page.contains(&cache), "{cache}");

    let least = r#"{"upstreams":{"u":{"endpoints":["http://h"]}},"routes":[{"upstream":"u"}]}"#;
    let defaults = tollgate_config::parse_str(least, "page", &super::root()).unwrap();
    let stop: u64 = value("Service.TimeoutStopSec").parse().unwrap();
    let needed = defaults.timeouts.shutdown + LAST_HOOKS;
    assert!(Duration::from_secs(stop) > needed, "{needed:?}");
}

#[test]
fn the_probes_ask_what_the_admin_port_answers() {
    let workspace = Workspace::read();
    for block in of_rule(Rule::Probes, 1) {
        let probes: Value = serde_saphyr::from_str(&block.text).unwrap();
        let page = read(&block.page);
        let mut count = 0;
        for (name, probe) in probes.as_object().unwrap() {
            let asked = &probe["httpGet"];
            let path = asked["path"].as_str().unwrap();
            assert!(workspace.is_asked(path), "{name}: {path}");
            let admin = format!("`admin: 0.0.0.0:{}`", asked["port"]);
            assert!(page.contains(&admin), "{name}: {admin}");
            count += 1;
        }
        assert_eq!(count, 3, "{}", block.place());
    }
}
