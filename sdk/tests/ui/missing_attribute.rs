use tollgate_sdk::prelude::*;

struct Mine;

impl Policy for Mine {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }
}

fn main() {}
