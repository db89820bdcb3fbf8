use tollgate_sdk::prelude::*;

#[derive(JsonSchema)]
struct Settings {
    #[allow(dead_code)]
    words: u32,
}

struct Mine;

#[policy]
impl Policy for Mine {
    type Settings = Settings;

    fn open(_settings: &'static Settings, _head: &Head) -> Self {
        Self
    }
}

fn main() {}
