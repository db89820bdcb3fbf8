use tollgate_sdk::prelude::*;

struct Mine;

#[policy]
impl Policy for Mine {
    type Settings = NoSettings;

    fn open(_settings: &'static NoSettings, _head: &Head) -> Self {
        Self
    }

    fn on_event(&mut self, _event: &mut Event) {}

    fn on_events(&mut self, _events: &mut Events) {}
}

fn main() {}
