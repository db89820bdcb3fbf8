use super::*;

fn errors(default: Value, prices: Value) -> String {
    let settings = json!({ "default": default, "prices": prices });
    Run::<TokenBudget>::try_new(settings)
        .err()
        .unwrap()
        .join("\n")
}

fn budget(money: Value) -> Value {
    json!({ "tokens": 1000, "period": "1h", "money": money })
}

#[test]
fn a_budget_of_money_is_refused_with_the_place_of_each_mistake() {
    for (money, expected) in [
        (json!({}), ": expected `day`, `month` or both"),
        (json!({ "month": "0.00" }), "/month: expected more than 0"),
        (json!({ "week": 1 }), "/week: unknown field `week`"),
        (
            json!({ "day": "1,50" }),
            "/day: expected an amount such as `0.15` or `20`, with up to six",
        ),
        (json!({ "day": -1 }), "/day: expected an amount"),
        (
            json!({ "day": true }),
            "/day: invalid type: boolean `true`, expected an amount such as",
        ),
    ] {
        let errors = errors(budget(money), prices());
        let expected = format!("/default/money{expected}");
        assert!(errors.starts_with(&expected), "{errors}\n{expected}");
    }
    assert_eq!(
        errors(budget(json!({ "day": 1 })), json!(null)),
        "/default/money: expected `prices` to reckon it with"
    );
}

#[test]
fn prices_are_refused_with_the_place_of_each_mistake() {
    let with = |field: &str, value: Value| {
        let mut prices = prices();
        prices[field] = value;
        prices
    };
    let price = |field: &str, value: Value| {
        let mut prices = prices();
        prices["models"][0][field] = value;
        prices
    };
    for (prices, expected) in [
        (
            price("output", json!("0.0000001")),
            "/models/0/output: expected an amount",
        ),
        (price("cached", json!(1)), "/models/0/cached: unknown field"),
        (
            price("models", json!([])),
            "/models/0/models: expected at least one model",
        ),
        (
            price("models", json!(["free"])),
            "/models/1/models/0: `free` is never reached here: /prices/models/0 has it",
        ),
        (
            with("models", json!([])),
            "/models: expected at least one price",
        ),
        (
            with("currency", json!("US $")),
            "/currency: expected the name of a currency such as `USD`",
        ),
        (
            with("other_models", json!("allow")),
            "/other_models: unknown variant `allow`",
        ),
    ] {
        let errors = errors(budget(json!({ "day": 1 })), prices);
        let expected = format!("/prices{expected}");
        assert!(errors.starts_with(&expected), "{errors}\n{expected}");
    }
}

#[test]
fn the_samples_hold_for_any_settings() {
    let priced = |money: Value, other: &str| {
        let mut prices = prices();
        prices["other_models"] = other.into();
        json!({ "default": budget(money), "prices": prices })
    };
    for settings in [
        priced(json!({ "day": "0.000001" }), "refuse"),
        priced(json!({ "day": 1, "month": 1 }), "free"),
        priced(json!({ "month": "0.0005" }), "refuse"),
        priced(json!(null), "refuse"),
    ] {
        std::thread::spawn(move || Run::<TokenBudget>::new(settings).prove())
            .join()
            .unwrap();
    }
}

#[test]
fn the_example_in_the_readme_holds() {
    let readme = include_str!("../../README.md");
    let yaml = readme.split("```yaml").nth(1).unwrap();
    let yaml = yaml.split("```").next().unwrap();
    let config: Value = serde_saphyr::from_str(yaml).unwrap();
    let settings = config.pointer("/policies/budget/settings").unwrap();
    Run::<TokenBudget>::new(settings.clone()).prove();
}

#[test]
fn every_setting_says_what_it_is_and_what_it_is_by_default() {
    let schema: Value = serde_json::from_str(&Run::<TokenBudget>::settings_schema()).unwrap();
    for name in ["Prices", "Price", "MoneyBudget", "Budget"] {
        let object = &schema["$defs"][name];
        let required = object["required"].as_array().cloned().unwrap_or_default();
        for (field, property) in object["properties"].as_object().unwrap() {
            let description = property["description"].as_str().unwrap_or_default();
            let is_required = required.iter().any(|required| required == field);
            assert!(
                !description.is_empty() && (is_required || description.contains("Default: ")),
                "{name}/{field}: {description}"
            );
        }
        assert_eq!(object["additionalProperties"], false, "{name}");
    }
}
