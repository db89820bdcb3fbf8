use tollgate_sdk::prelude::*;

struct Mine;

#[policy]
impl Policy for Mine {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn on_reqest(&mut self, _request: &mut Request) -> Verdict {
        Verdict::next()
    }
}

fn main() {}
