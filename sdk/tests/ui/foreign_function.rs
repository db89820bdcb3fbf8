use tollgate_sdk::prelude::*;

struct Mine;

#[policy]
impl Policy for Mine {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn count_the_words(text: &str) -> usize {
        text.len()
    }
}

fn main() {}
