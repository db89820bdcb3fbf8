use tollgate_sdk::prelude::*;

struct Mine;

#[policy(name = "My Policy")]
impl Policy for Mine {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }
}

fn main() {}
